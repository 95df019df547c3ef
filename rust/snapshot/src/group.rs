//! Files of a shard, grouped into samples by the key that WebDataset gives them.

use std::collections::HashMap;

/// Key and extension of a file: the base name is cut at its first dot.
///
/// `None` for a file without an extension, which is a sample by itself.
pub(crate) fn split_key(name: &str) -> Option<(&str, &str)> {
    let base = name.rfind('/').map_or(0, |slash| slash + 1);
    // A leading dot hides a file; it does not begin an extension.
    let dot = name.get(base + 1..)?.find('.')? + base + 1;
    Some((name.get(..dot)?, name.get(dot + 1..)?))
}

/// One sample of a shard.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// Key inside the shard.
    pub(crate) key: String,
    /// Files, in the order of the listing.
    pub(crate) members: Vec<String>,
    /// Bytes of all of them.
    pub(crate) size: u64,
}

/// Most memory for the names of one shard's files.
pub(crate) const MAX_BYTES: usize = 256 << 20;
/// What an entry takes beside its name.
const ENTRY_BYTES: usize = 64;

/// Groups the files of one shard.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    bytes: usize,
    found: Vec<Group>,
    by_key: HashMap<String, usize>,
}

impl Groups {
    /// Takes a file in. `false`: there are too many.
    pub(crate) fn add(&mut self, member: &str, size: u64) -> bool {
        self.bytes += ENTRY_BYTES + member.len();
        if self.bytes > MAX_BYTES {
            return false;
        }
        let key = split_key(member).map_or(member, |(key, _)| key);
        let place = *self.by_key.entry(key.to_owned()).or_insert_with(|| {
            self.found.push(Group { key: key.to_owned(), ..Group::default() });
            self.found.len() - 1
        });
        if let Some(group) = self.found.get_mut(place) {
            group.members.push(member.to_owned());
            group.size += size;
        }
        true
    }

    /// Gives out what there is, in the order in which keys were first seen.
    pub(crate) fn take(&mut self) -> Vec<Group> {
        self.by_key.clear();
        self.bytes = 0;
        std::mem::take(&mut self.found)
    }
}
