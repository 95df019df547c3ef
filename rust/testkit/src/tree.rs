//! Names and what they name.

use std::collections::{BTreeMap, HashMap};

/// Number of a file or directory; never used again.
pub(crate) type Id = u64;

/// The directory that all is about.
pub(crate) const ROOT: Id = 0;

#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    /// Names of what is in it; `None` for a file.
    pub(crate) children: Option<BTreeMap<Vec<u8>, Id>>,
    /// Where it is named.
    pub(crate) names: Vec<(Id, Vec<u8>)>,
}

/// Directories and files by number.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) nodes: HashMap<Id, Node>,
}

impl Default for Tree {
    fn default() -> Self {
        let root = Node { children: Some(BTreeMap::new()), names: Vec::new() };
        Self { nodes: HashMap::from([(ROOT, root)]) }
    }
}

impl Tree {
    pub(crate) fn child(&self, parent: Id, name: &[u8]) -> Option<Id> {
        self.nodes.get(&parent)?.children.as_ref()?.get(name).copied()
    }

    pub(crate) fn is_dir(&self, id: Id) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.children.is_some())
    }

    /// Makes something new, or gives what is there another name.
    pub(crate) fn add(&mut self, id: Id, parent: Id, name: &[u8], dir: bool) {
        let node = self.nodes.entry(id).or_default();
        if dir && node.children.is_none() {
            node.children = Some(BTreeMap::new());
        }
        node.names.push((parent, name.to_vec()));
        if let Some(children) = self.nodes.get_mut(&parent).and_then(|node| node.children.as_mut())
        {
            children.insert(name.to_vec(), id);
        }
    }

    /// Takes a name away; returns what it named, and whether that has no name left.
    pub(crate) fn remove(&mut self, parent: Id, name: &[u8]) -> Option<(Id, bool)> {
        let id = self.nodes.get_mut(&parent)?.children.as_mut()?.remove(name)?;
        let node = self.nodes.get_mut(&id)?;
        node.names.retain(|known| (known.0, known.1.as_slice()) != (parent, name));
        Some((id, node.names.is_empty()))
    }

    /// Gives something another name in place of what has it; returns what has no name left thereby.
    pub(crate) fn rename(&mut self, from: (Id, &[u8]), to: (Id, &[u8])) -> Option<Id> {
        if from == to || self.child(from.0, from.1)? == self.child(to.0, to.1).unwrap_or(ROOT) {
            return None;
        }
        let replaced = self.remove(to.0, to.1);
        if let Some((id, _)) = self.remove(from.0, from.1) {
            self.add(id, to.0, to.1, false);
        }
        replaced.filter(|(_, gone)| *gone).map(|(id, _)| id)
    }

    /// One path of a node, relative to the root.
    pub(crate) fn path(&self, mut id: Id) -> Vec<u8> {
        let mut parts: Vec<&[u8]> = Vec::new();
        while let Some((parent, name)) = self.nodes.get(&id).and_then(|node| node.names.first()) {
            parts.push(name);
            id = *parent;
        }
        parts.reverse();
        parts.join(&b'/')
    }

    /// Follows a relative path; `None` where it leads to nothing that is known.
    pub(crate) fn walk<'p>(&self, mut at: Id, parts: impl Iterator<Item = &'p [u8]>) -> Option<Id> {
        for part in parts {
            at = match part {
                b"" | b"." => at,
                b".." => self.nodes.get(&at)?.names.first()?.0,
                name => self.child(at, name)?,
            };
        }
        Some(at)
    }
}
