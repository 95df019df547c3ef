//! Listings that go into shards: their files are names like any other, in one order with the objects.
//!
//! A token may thus be the name of a file, and files of a shard may come after objects whose names only begin
//! like the shard's (`s.tar`, `s.tar-old`, `s.tar/a`): a page asks for the shards that its start lies behind or in.

use aistore_core::archive::Format;
use aistore_core::list::{ENTRY_IN_ARCHIVE, ENTRY_IS_ARCHIVE, ListEntry};
use aistore_core::tar::lookup_name;

use super::is_main;
use crate::target::Target;
use crate::target::archive::{Gone, Watched};
use crate::target::objects::ObjectRef;

/// What a page is about.
pub(super) struct Inside<'a> {
    pub(super) bucket: &'a aistore_core::bucket::Bucket,
    pub(super) bid: u64,
    pub(super) prefix: &'a str,
    /// Where it starts, exclusive.
    pub(super) after: &'a str,
    pub(super) limit: usize,
    pub(super) sizes: bool,
}

/// The names that are shards by their extension and begin `text`, the whole of it left out.
fn shards_before(text: &str) -> impl Iterator<Item = &str> {
    let ends = text.char_indices().map(|(at, _)| at);
    ends.filter_map(|end| text.get(..end)).filter(|name| Format::by_name(name).is_some())
}

impl Target {
    /// Adds the files of shards to a page of objects, and says whether more names follow. Blocks on the disk.
    pub(super) fn list_inside(
        &self,
        inside: &Inside<'_>,
        mut entries: Vec<ListEntry>,
        more: bool,
    ) -> (Vec<ListEntry>, bool) {
        // Names behind this one are not known yet.
        let last = entries.last().filter(|_| more).map(|entry| entry.name.clone());
        let behind = |name: &str| last.as_deref().is_some_and(|last| name > last);
        let mut earlier: Vec<&str> = shards_before(inside.after).collect();
        earlier.extend(shards_before(inside.prefix));
        if Format::by_name(inside.after).is_some() {
            earlier.push(inside.after);
        }
        earlier.sort_unstable();
        earlier.dedup();
        let is_listed = |name: &&str| entries.iter().any(|entry| entry.name == **name);
        earlier.retain(|name| !is_listed(name));
        let mut files = Vec::new();
        for name in earlier {
            let parent = ListEntry {
                flags: aistore_core::list::ENTRY_CACHED,
                name: name.to_owned(),
                ..ListEntry::default()
            };
            if let Some(inner) = self.files_of(inside, &parent) {
                files.extend(inner.into_iter().filter(|file| !behind(&file.name)));
            }
        }
        let mut cut = None;
        for (at, entry) in entries.iter_mut().enumerate() {
            // Enough names that come before this shard's.
            if at > 0 && files.len() + at > inside.limit.saturating_mul(2) {
                cut = Some(at);
                break;
            }
            if is_main(entry.flags)
                && Format::by_name(&entry.name).is_some()
                && let Some(inner) = self.files_of(inside, entry)
            {
                entry.flags |= ENTRY_IS_ARCHIVE;
                files.extend(inner.into_iter().filter(|file| !behind(&file.name)));
            }
        }
        if let Some(at) = cut {
            entries.truncate(at);
            let last = entries.last().map(|entry| entry.name.clone()).unwrap_or_default();
            files.retain(|file| file.name <= last);
        }
        entries.append(&mut files);
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let more = more || cut.is_some() || entries.len() > inside.limit;
        entries.truncate(inside.limit);
        (entries, more)
    }

    /// The files of a shard that belong to the page, as many as one page holds. `None` when it cannot be read.
    fn files_of(&self, inside: &Inside<'_>, shard: &ListEntry) -> Option<Vec<ListEntry>> {
        let format = Format::by_name(&shard.name)?;
        let object = ObjectRef {
            uname: inside.bucket.object_uname(&shard.name),
            bucket: inside.bucket.clone(),
            name: shard.name.clone(),
            bid: inside.bid,
        };
        let reader = self.objects.open(&object).ok().flatten()?;
        let bytes = Watched::shared(&reader, &Gone::default());
        let index = self.objects.members.get(&reader, &bytes, format, &object.cname());
        let index = index
            .inspect_err(|err| tracing::warn!(error = %err, "a shard is listed as a plain object"))
            .ok()?;
        let flags = shard.flags & !ENTRY_IS_ARCHIVE | ENTRY_IN_ARCHIVE;
        let places = index.places().iter().map(|place| {
            let name = format!("{}/{}", shard.name, lookup_name(&place.name));
            (name, place.size)
        });
        let wanted = places
            .filter(|(name, _)| name.as_str() > inside.after && name.starts_with(inside.prefix));
        let entry = |(name, size)| ListEntry {
            name,
            size: if inside.sizes { size } else { 0 },
            flags,
            ..ListEntry::default()
        };
        Some(wanted.take(inside.limit + 1).map(entry).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_that_a_name_lies_behind_or_in() {
        let found: Vec<&str> = shards_before("a.tar/b.zip/ü.tar.lz4-x.tar").collect();
        assert_eq!(found, ["a.tar", "a.tar/b.zip", "a.tar/b.zip/ü.tar", "a.tar/b.zip/ü.tar.lz4"]);
        assert_eq!(shards_before("a.tar").count(), 0);
    }
}
