//! Whether what is kept can be read without packs that are damaged, missing or not listed.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use nightjar_format::manifest::{Content, DirectoryNode, EntryKind};
use nightjar_format::object::ObjectName;
use nightjar_format::{BlobId, PackId, limits};

use super::Planned;
use crate::error::{RepositoryError, Result};
use crate::index::LocalIndex;
use crate::read::Reader;

/// Packs that nothing new may rest on, by ordinal: without the retired ones, in which nothing lies that
/// a snapshot needs.
pub(super) type Unusable = BTreeMap<u32, PackId>;

/// Names told in a refusal.
const NAMED: usize = 8;

pub(super) fn unusable(index: &LocalIndex, retired: &BTreeSet<PackId>) -> Result<Unusable> {
    let packs = index.packs()?.into_iter().map(|(ordinal, info)| (ordinal, info.pack_id));
    Ok(packs.filter(|(at, id)| !index.is_open(*at) && !retired.contains(id)).collect())
}

/// Refuses if something that the planned snapshot keeps can only be read from one of these packs.
pub(super) fn require(
    reader: &Reader<'_>,
    index: &LocalIndex,
    unusable: &Unusable,
    plan: &Planned,
) -> Result<()> {
    let mut check = Check { reader, index, unusable, seen: HashSet::new(), packs: BTreeSet::new() };
    check.tree(plan.root)?;
    if check.packs.is_empty() {
        return Ok(());
    }
    let mut names: Vec<String> =
        check.packs.iter().take(NAMED).map(|id| ObjectName::Pack(*id).to_string()).collect();
    if check.packs.len() > NAMED {
        names.push("…".to_owned());
    }
    let (id, names) = (plan.info.id.short(), names.join(", "));
    Err(RepositoryError::Refused(format!(
        "what would be kept of snapshot {id} lies in packs that are damaged, missing or not listed: \
         {names}; it was not rewritten, and nothing was forgotten. `nightjar snapshot verify {id}` \
         tells what it lost; leave that out as well, or remove the snapshot whole with `nightjar \
         snapshot forget {id} --erase --reason …`"
    )))
}

struct Check<'a, 'r> {
    reader: &'a Reader<'r>,
    index: &'a LocalIndex,
    unusable: &'a Unusable,
    /// Nodes that were looked at. Chunks are too many to be remembered.
    seen: HashSet<BlobId>,
    /// Those among the unusable that are missed.
    packs: BTreeSet<PackId>,
}

impl Check<'_, '_> {
    fn tree(&mut self, root: BlobId) -> Result<()> {
        let mut open = vec![root];
        while let Some(id) = open.pop() {
            if !self.is_new_and_there(&id)? {
                continue;
            }
            match self.reader.directory_node(&id)? {
                DirectoryNode::Inner { children, .. } => {
                    open.extend(children.iter().map(|child| child.id));
                }
                DirectoryNode::Leaf(entries) => {
                    for entry in entries {
                        match entry.kind {
                            EntryKind::Directory { root } => open.push(root),
                            EntryKind::File(file) => self.content(&file.content)?,
                            _ => {}
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn content(&mut self, content: &Content) -> Result<()> {
        let root = match content {
            Content::Chunks(chunks) => {
                return chunks.iter().try_for_each(|chunk| self.is_there(&chunk.id).map(drop));
            }
            Content::List { id } => *id,
        };
        let mut open = vec![root];
        while let Some(id) = open.pop() {
            if !self.is_new_and_there(&id)? {
                continue;
            }
            let node = self.reader.list_node(&id)?;
            for entry in node.entries {
                match node.level {
                    0 => drop(self.is_there(&entry.id)?),
                    _ => open.push(entry.id),
                }
            }
        }
        Ok(())
    }

    /// Whether a node was not looked at yet and may be relied on.
    fn is_new_and_there(&mut self, node: &BlobId) -> Result<bool> {
        Ok(self.seen.insert(*node) && self.is_there(node)?)
    }

    /// Whether a blob may be relied on. If not, notes which packs are missed for it.
    fn is_there(&mut self, id: &BlobId) -> Result<bool> {
        if self.index.is_present(id) {
            return Ok(true);
        }
        let found = self.blame(id)?;
        if !found {
            let why = "no index object says where it lies".into();
            return Err(RepositoryError::LostBlob { id: *id, why });
        }
        Ok(false)
    }

    /// Notes the unusable packs in which a blob, or what it may rest on, lies; whether there are any.
    fn blame(&mut self, id: &BlobId) -> Result<bool> {
        let mut open = vec![*id];
        let mut met = BTreeSet::new();
        let mut found = false;
        while let Some(id) = open.pop() {
            if met.len() >= limits::SUPPORT || !met.insert(id) {
                continue;
            }
            for at in self.index.locations(&id)? {
                if let Some(pack) = self.unusable.get(&at.pack) {
                    self.packs.insert(*pack);
                    found = true;
                }
                open.extend(at.encoding.bases());
            }
        }
        Ok(found)
    }
}
