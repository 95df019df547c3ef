//! Which records of a segment nothing refers to any more.
//!
//! A list beside each segment, written by appending: marking a record in place would read and rewrite a
//! page of old data for each delete. The index alone decides what exists; the list says how much of a
//! segment is waste, and keeps deleted objects from coming back when an index is rebuilt.
//!
//! ```text
//! entry = offset of the record: u32 LE | bytes that it takes: u32 LE
//! ```

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use crate::config::MAX_SEGMENT_BYTES;
use crate::files::read_small;

const ENTRY_BYTES: usize = 8;
/// What a list may be long. The smallest record takes several times what an entry does, and is noted once, after a
/// crash once more.
const MAX_LIST_BYTES: u64 = MAX_SEGMENT_BYTES;

/// Opens a list for appending, cutting off the torn end that a crash may have left: what follows must not
/// shift.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let file = File::options().append(true).create(true).open(path)?;
    let length = file.metadata()?.len();
    let whole = length - length % ENTRY_BYTES as u64;
    if whole != length {
        file.set_len(whole)?;
    }
    Ok(file)
}

/// Adds a record to the list in `file`, which was opened for appending.
pub(super) fn append(mut file: &File, offset: u32, stride: u32) -> io::Result<()> {
    let mut entry = [0; ENTRY_BYTES];
    entry[..4].copy_from_slice(&offset.to_le_bytes());
    entry[4..].copy_from_slice(&stride.to_le_bytes());
    file.write_all(&entry)
}

/// Reads a list: offsets of dead records, and the bytes that they take together. An absent list is empty.
pub(super) fn read(path: &Path) -> io::Result<(HashSet<u32>, u64)> {
    Ok(parse(&read_small(path, MAX_LIST_BYTES)?.unwrap_or_default()))
}

/// The entries of a list that are to stay, and the bytes that the others take together.
pub(super) fn without(bytes: &[u8], mut goes: impl FnMut(u32) -> bool) -> (Vec<u8>, u64) {
    let (mut kept, mut freed, mut seen) = (Vec::with_capacity(bytes.len()), 0, HashSet::new());
    for entry in bytes.as_chunks::<ENTRY_BYTES>().0 {
        let (offset, stride) = fields(*entry);
        if !goes(offset) {
            kept.extend_from_slice(entry);
        } else if seen.insert(offset) {
            freed += u64::from(stride);
        }
    }
    (kept, freed)
}

/// Offset and bytes of an entry.
fn fields(entry: [u8; ENTRY_BYTES]) -> (u32, u32) {
    let [offset, stride] = entry.as_chunks::<4>().0 else { return (0, 0) };
    (u32::from_le_bytes(*offset), u32::from_le_bytes(*stride))
}

/// What a list says: offsets of dead records, and the bytes that they take together.
pub(crate) fn parse(bytes: &[u8]) -> (HashSet<u32>, u64) {
    let (mut offsets, mut total) = (HashSet::new(), 0);
    // A torn last entry counts for nothing; what it named stays until the next sweep.
    for entry in bytes.as_chunks::<ENTRY_BYTES>().0 {
        let (offset, stride) = fields(*entry);
        if offsets.insert(offset) {
            total += u64::from(stride);
        }
    }
    (offsets, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_count_each_record_once_and_survive_a_torn_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        assert_eq!(read(&path).unwrap(), (HashSet::new(), 0));
        let file = File::options().append(true).create(true).open(&path).unwrap();
        for (offset, stride) in [(16, 100), (116, 40), (16, 100)] {
            append(&file, offset, stride).unwrap();
        }
        (&file).write_all(b"abc").unwrap();
        assert_eq!(read(&path).unwrap(), (HashSet::from([16, 116]), 140));
        append(&open(&path).unwrap(), 500, 8).unwrap();
        assert_eq!(read(&path).unwrap(), (HashSet::from([16, 116, 500]), 148));
        let bytes = std::fs::read(&path).unwrap();
        let (kept, freed) = without(&bytes, |offset| offset == 16);
        assert_eq!((parse(&kept), freed), ((HashSet::from([116, 500]), 48), 100));
        assert_eq!(without(&bytes, |_| false), (bytes, 0));
    }
}
