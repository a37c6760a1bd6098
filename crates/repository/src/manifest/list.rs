//! Builds the content list of a stream.

use nightjar_format::limits;
use nightjar_format::manifest::{Content, ContentRef, ListNode, ends_node};
use nightjar_format::record;

use crate::error::Result;
use crate::manifest::NodeSink;

/// An unfinished list: one unfinished node per level.
#[derive(Default)]
pub(crate) struct ListBuilder {
    levels: Vec<Vec<ContentRef>>,
    length: u64,
}

impl ListBuilder {
    /// Bytes of the stream so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Appends a chunk.
    pub(crate) fn push(&mut self, chunk: ContentRef, sink: &mut dyn NodeSink) -> Result<()> {
        self.length += chunk.length;
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
        let reference = store(level, entries, sink)?;
        self.push_at(level + 1, reference, sink)
    }

    /// Ends the stream.
    pub(crate) fn finish(mut self, sink: &mut dyn NodeSink) -> Result<Content> {
        if self.levels.len() <= 1 {
            let chunks = self.levels.pop().unwrap_or_default();
            if chunks.len() <= limits::DIRECT_CHUNKS {
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
            _ => Ok(Content::List { id: store(level, top, sink)?.id }),
        }
    }
}

fn store(level: usize, entries: Vec<ContentRef>, sink: &mut dyn NodeSink) -> Result<ContentRef> {
    let level = u8::try_from(level).unwrap_or(u8::MAX);
    let node = ListNode::new(level, entries);
    let length = node.length().unwrap_or(u64::MAX);
    Ok(ContentRef { id: sink.put_node(record::encode(&node))?, length })
}
