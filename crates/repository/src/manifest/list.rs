//! Builds the content list of a stream.

use nightjar_format::BlobId;
use nightjar_format::limits;
use nightjar_format::manifest::{Content, ContentRef, ListNode, ends_node};
use nightjar_format::record;

use crate::error::Result;
use crate::manifest::NodeSink;
use crate::manifest::walk::NodePath;

/// An unfinished list: one unfinished node per level.
#[derive(Default)]
pub(crate) struct ListBuilder {
    levels: Vec<Vec<ContentRef>>,
    length: u64,
    /// The nodes of the previous snapshot's list where the last chunk stood in it.
    near: Option<NodePath>,
}

impl ListBuilder {
    /// Bytes of the stream so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Appends a chunk; `near` are the nodes of the previous list at its place, if it has one.
    pub(crate) fn push(
        &mut self,
        chunk: ContentRef,
        near: Option<NodePath>,
        sink: &mut dyn NodeSink,
    ) -> Result<()> {
        self.length += chunk.length;
        if near.is_some() {
            self.near = near;
        }
        self.push_at(0, chunk, sink)
    }

    fn push_at(&mut self, level: usize, entry: ContentRef, sink: &mut dyn NodeSink) -> Result<()> {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        let Some(entries) = self.levels.get_mut(level) else {
            return Ok(());
        };
        entries.push(entry);
        if ends_node(entries.len(), &entry.id.0) { self.end_node(level, sink) } else { Ok(()) }
    }

    /// Stores the unfinished node of a level and refers to it from the next.
    fn end_node(&mut self, level: usize, sink: &mut dyn NodeSink) -> Result<()> {
        let entries = self.levels.get_mut(level).map(std::mem::take).unwrap_or_default();
        if entries.is_empty() {
            return Ok(());
        }
        let reference = self.store(level, entries, sink)?;
        self.push_at(level + 1, reference, sink)
    }

    /// Ends the stream.
    pub(crate) fn finish(mut self, sink: &mut dyn NodeSink) -> Result<Content> {
        if self.levels.len() <= 1 {
            let mut chunks = self.levels.pop().unwrap_or_default();
            if chunks.len() <= limits::DIRECT_CHUNKS {
                // Very many of them may be kept at once.
                chunks.shrink_to_fit();
                return Ok(Content::Chunks(chunks));
            }
            self.levels.push(chunks);
        }
        let mut level = 0;
        while level + 1 < self.levels.len() {
            self.end_node(level, sink)?;
            level += 1;
        }
        let top = self.levels.pop().unwrap_or_default();
        match top.as_slice() {
            // A single node below needs nobody to refer to it.
            [only] if level > 0 => Ok(Content::List { id: only.id }),
            _ => Ok(Content::List { id: self.store(level, top, sink)?.id }),
        }
    }

    fn store(
        &self,
        level: usize,
        entries: Vec<ContentRef>,
        sink: &mut dyn NodeSink,
    ) -> Result<ContentRef> {
        let like: Option<BlobId> = self.near.as_ref().and_then(|near| near.get(level)).copied();
        let level = u8::try_from(level).unwrap_or(u8::MAX);
        let node = ListNode::new(level, entries);
        let length = node.length().unwrap_or(u64::MAX);
        Ok(ContentRef { id: sink.put_node(record::encode(&node), like)?, length })
    }
}
