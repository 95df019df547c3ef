//! Which objects of a listing become samples, and how.

use std::collections::HashSet;
use std::io::Write;

use aistore_core::archive::Format;
use aistore_core::list::{
    ENTRY_IN_ARCHIVE, ENTRY_IS_ARCHIVE, ENTRY_IS_DIR, ENTRY_STATUS_MASK, ListEntry,
};
use arrow_schema::ArrowError;
use serde::{Deserialize, Serialize};

use crate::group::{Groups, MAX_BYTES};
use crate::rows::{Part, Row};
use crate::writer::SnapshotWriter;

/// What a snapshot is made from, as requests have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// What names begin with.
    pub prefix: String,
    /// Only these; all of them must be there.
    pub objnames: Option<HashSet<String>>,
    /// What names end with, one of these; none for any.
    pub suffixes: Vec<String>,
    /// Smallest object.
    pub min_size: u64,
    /// Largest object.
    pub max_size: u64,
    /// Names that begin so are passed over.
    pub skip_prefix: String,
    /// Splits objects into samples of so many bytes; 0 does not.
    pub range_bytes: u64,
    /// Objects are archives, and samples the files inside with the same key.
    pub shards: bool,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            objnames: None,
            suffixes: Vec::new(),
            min_size: 0,
            max_size: u64::MAX,
            skip_prefix: String::new(),
            range_bytes: 0,
            shards: false,
        }
    }
}

/// A selection that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("snapshot: {0}")]
pub struct SelectionError(&'static str);

impl Selection {
    /// Refuses what contradicts itself.
    ///
    /// # Errors
    ///
    /// Naming the fields.
    pub fn check(&self) -> Result<(), SelectionError> {
        if self.shards && self.range_bytes > 0 {
            return Err(SelectionError("shards and range_bytes: files in shards are not split"));
        }
        if self.min_size > self.max_size {
            return Err(SelectionError(
                "min_size is larger than max_size: nothing would be listed",
            ));
        }
        Ok(())
    }

    fn fits(&self, entry: &ListEntry) -> bool {
        entry.flags & (ENTRY_IS_DIR | ENTRY_STATUS_MASK) == 0
            && (self.min_size..=self.max_size).contains(&entry.size)
            && (self.skip_prefix.is_empty() || !entry.name.starts_with(&self.skip_prefix))
            && (self.suffixes.is_empty()
                || self.suffixes.iter().any(|suffix| entry.name.ends_with(suffix)))
    }
}

/// Turns the entries of a listing into rows.
#[derive(Debug)]
pub struct Filler {
    selection: Selection,
    /// Shards whose files may still come, each beginning with the name of the one before: `s.tar-old` and
    /// `s.tar.idx` stand between `s.tar` and its files.
    open: Vec<(String, Groups)>,
}

impl Filler {
    /// By that selection.
    #[must_use]
    pub fn new(selection: Selection) -> Self {
        Self { selection, open: Vec::new() }
    }

    /// Takes entries in as a listing gives them, files in archives after their archive. `wanted` is asked about
    /// each object that fits otherwise.
    ///
    /// # Errors
    ///
    /// Those of writing and of `wanted`, and shards that cannot be read or have too many files.
    pub fn take<W, E>(
        &mut self,
        writer: &mut SnapshotWriter<W>,
        entries: &[ListEntry],
        mut wanted: impl FnMut(&ListEntry) -> Result<bool, E>,
    ) -> Result<(), E>
    where
        W: Write,
        E: From<ArrowError>,
    {
        for entry in entries {
            if entry.flags & ENTRY_IN_ARCHIVE != 0 {
                self.add_member(entry)?;
                continue;
            }
            self.push_ended(writer, &entry.name)?;
            if !self.fits(entry) || !wanted(entry)? {
                continue;
            }
            if self.selection.shards {
                check_readable(entry)?;
                self.open.push((entry.name.clone(), Groups::default()));
            } else {
                self.push_whole(writer, entry)?;
            }
        }
        Ok(())
    }

    /// Ends the listing; answers the names that it did not have.
    ///
    /// # Errors
    ///
    /// Those of writing.
    pub fn finish<W: Write>(
        mut self,
        writer: &mut SnapshotWriter<W>,
    ) -> Result<Vec<String>, ArrowError> {
        while let Some((shard, groups)) = self.open.pop() {
            push_groups(writer, &shard, groups)?;
        }
        let mut missing: Vec<_> = self.selection.objnames.into_iter().flatten().collect();
        missing.sort_unstable();
        Ok(missing)
    }

    fn fits(&mut self, entry: &ListEntry) -> bool {
        // Names that were seen are taken out.
        self.selection.fits(entry)
            && self.selection.objnames.as_mut().is_none_or(|names| names.remove(&entry.name))
    }

    fn push_whole<W: Write>(
        &self,
        writer: &mut SnapshotWriter<W>,
        entry: &ListEntry,
    ) -> Result<(), ArrowError> {
        let object = entry.name.as_str();
        if self.selection.range_bytes == 0 {
            let row = Row { key: None, object, members: None, part: None, size: entry.size };
            return writer.push(&row);
        }
        let mut start = 0;
        while start < entry.size {
            let length = self.selection.range_bytes.min(entry.size - start);
            let key = format!("{object}@{start}");
            let part = Some(Part::Bytes(start, length));
            writer.push(&Row { key: Some(&key), object, members: None, part, size: length })?;
            start += length;
        }
        Ok(())
    }

    /// Adds a file to the shard that it is in: the longest of the names.
    fn add_member(&mut self, entry: &ListEntry) -> Result<(), ArrowError> {
        let found =
            self.open.iter_mut().rev().find_map(|(shard, groups)| {
                inside(&entry.name, shard).map(|member| (groups, member))
            });
        let taken = found.is_none_or(|(groups, member)| groups.add(member, entry.size));
        if taken { Ok(()) } else { Err(too_many(&entry.name)) }
    }

    /// Writes the samples of shards of which nothing can come after an object of that name.
    fn push_ended<W: Write>(
        &mut self,
        writer: &mut SnapshotWriter<W>,
        name: &str,
    ) -> Result<(), ArrowError> {
        while let Some((shard, groups)) = self.open.pop_if(|(shard, _)| !name.starts_with(&**shard))
        {
            push_groups(writer, &shard, groups)?;
        }
        Ok(())
    }
}

fn push_groups<W: Write>(
    writer: &mut SnapshotWriter<W>,
    shard: &str,
    mut groups: Groups,
) -> Result<(), ArrowError> {
    for group in groups.take() {
        let key = format!("{shard}/{}", group.key);
        writer.push(&Row {
            key: Some(&key),
            object: shard,
            members: Some(&group.members),
            part: None,
            size: group.size,
        })?;
    }
    Ok(())
}

/// A listing marks the shards whose files it has; one that it cannot read would lose its samples without a word.
fn check_readable(entry: &ListEntry) -> Result<(), ArrowError> {
    if Format::by_name(&entry.name).is_none() || entry.flags & ENTRY_IS_ARCHIVE != 0 {
        return Ok(());
    }
    Err(ArrowError::InvalidArgumentError(format!(
        "\"{}\" cannot be read as an archive: put it again or delete it, or leave it out by prefix, suffixes or template",
        entry.name
    )))
}

fn too_many(file: &str) -> ArrowError {
    ArrowError::InvalidArgumentError(format!(
        "\"{file}\": the names of the files of its shard take more than {} MiB: make smaller shards",
        MAX_BYTES >> 20
    ))
}

/// The name inside a shard.
fn inside<'a>(name: &'a str, shard: &str) -> Option<&'a str> {
    if shard.is_empty() {
        return None;
    }
    name.strip_prefix(shard)?.strip_prefix('/').filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Made, TAIL_BYTES, Tail};

    fn entry(name: &str, size: u64, flags: u16) -> ListEntry {
        ListEntry { name: name.to_owned(), size, flags, ..ListEntry::default() }
    }

    fn made(selection: Selection, entries: &[ListEntry]) -> (Made, Vec<String>, Vec<u8>) {
        let mut file = Vec::new();
        let mut writer = SnapshotWriter::new(&mut file, "@#b").unwrap();
        let mut filler = Filler::new(selection);
        for part in entries.chunks(2) {
            filler.take(&mut writer, part, |_| Ok::<_, ArrowError>(true)).unwrap();
        }
        let missing = filler.finish(&mut writer).unwrap();
        let made = writer.finish().unwrap().0;
        (made, missing, file)
    }

    #[test]
    fn conditions_choose_objects() {
        let entries = [
            entry("a.jpg", 5, 0),
            entry("a.txt", 5, 0),
            entry("b.jpg", 50, 0),
            entry("c.jpg", 5, 3),
            entry("d", 0, ENTRY_IS_DIR),
        ];
        let suffixes = vec![".jpg".to_owned()];
        let chosen = Selection { suffixes, max_size: 10, ..Selection::default() };
        assert_eq!(made(chosen, &entries).0.rows, 1, "a copy and a directory are no samples");
        let names = ["a.txt", "b.jpg", "z"].map(str::to_owned).into();
        let chosen = Selection { objnames: Some(names), ..Selection::default() };
        let (snapshot, missing, _) = made(chosen, &entries);
        assert_eq!((snapshot.rows, missing), (2, vec!["z".to_owned()]));
        let ranges = Selection { range_bytes: 20, min_size: 1, ..Selection::default() };
        assert_eq!(made(ranges, &entries).0.rows, 5);
    }

    #[test]
    fn files_of_a_shard_are_grouped_across_pages() {
        let inside = |name| entry(name, 3, ENTRY_IN_ARCHIVE);
        let entries = [
            entry("s.tar", 99, ENTRY_IS_ARCHIVE),
            inside("s.tar/1.jpg"),
            inside("s.tar/1.cls"),
            inside("s.tar/2.jpg"),
            entry("t.tar", 99, ENTRY_IS_ARCHIVE),
            inside("t.tar/1.jpg"),
        ];
        let (snapshot, ..) = made(Selection { shards: true, ..Selection::default() }, &entries);
        assert_eq!(snapshot.rows, 3);
    }

    #[test]
    fn a_shard_that_cannot_be_read_is_named() {
        let mut writer = SnapshotWriter::new(Vec::new(), "@#b").unwrap();
        let mut filler = Filler::new(Selection { shards: true, ..Selection::default() });
        let entries = [entry("readme", 9, 0), entry("broken.tar", 99, 0)];
        let taken = filler.take(&mut writer, &entries, |_| Ok::<_, ArrowError>(true));
        let text = taken.unwrap_err().to_string();
        assert!(text.contains("\"broken.tar\" cannot be read"), "{text}");
    }

    #[test]
    fn objects_between_a_shard_and_its_files_lose_none() {
        let inside = |name| entry(name, 3, ENTRY_IN_ARCHIVE);
        let entries = [
            entry("s.tar", 99, ENTRY_IS_ARCHIVE),
            entry("s.tar-old", 99, 0),
            inside("s.tar-old/9.jpg"),
            entry("s.tar.idx", 9, 0),
            inside("s.tar/1.jpg"),
            entry("s.tar/2", 9, 0),
            inside("s.tar/3.jpg"),
            entry("t", 9, 0),
        ];
        let all = Selection { shards: true, ..Selection::default() };
        assert_eq!(made(all.clone(), &entries).0.rows, 3);
        let suffixes = vec![".tar".to_owned()];
        assert_eq!(made(Selection { suffixes, ..all }, &entries).0.rows, 2);
    }

    #[test]
    fn the_footer_tells_the_identity() {
        let (snapshot, _, file) = made(Selection::default(), &[entry("a", 1, 0)]);
        let at = file.len() - usize::try_from(TAIL_BYTES).unwrap();
        let tail = Tail::parse(&file[at..], file.len() as u64).unwrap();
        let start = usize::try_from(tail.start).unwrap();
        assert_eq!(Tail::id(&file[start..at]).unwrap(), snapshot.id);
        let (other, ..) = made(Selection::default(), &[entry("a", 2, 0)]);
        assert_ne!(other.id, snapshot.id);
        assert!(Tail::parse(b"0123456789", 10).is_err());
        assert!(Tail::parse(&file[at..], 11).is_err(), "a footer longer than the file");
        assert!(Tail::id(&file[..20]).is_err());
    }

    #[test]
    fn selections_are_read_strictly() {
        let read = |text| serde_json::from_str::<Selection>(text);
        assert_eq!(read("{}").unwrap(), Selection::default());
        assert!(read(r#"{"prefixes":""}"#).unwrap_err().to_string().contains("prefixes"));
        let both = read(r#"{"shards":true,"range_bytes":1}"#).unwrap();
        assert!(both.check().unwrap_err().to_string().contains("range_bytes"));
        assert!(read(r#"{"min_size":2,"max_size":1}"#).unwrap().check().is_err());
    }
}
