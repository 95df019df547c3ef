//! Journals whose last write failed half-way, before the engine reads them.
//!
//! A batch that could not be written whole leaves a piece of itself at the end, and the engine, which still has it in a
//! buffer, writes all of it behind the piece as it closes. Read one after the other the two make no sense: the engine
//! gives up, and what only the index knows, as uploads under way, would be lost for a change that was never
//! acknowledged. So such an end is cut off here. Damage with other changes behind it is none of this: then the index
//! is damaged, where the engine would quietly drop what follows.
//!
//! Unless power was lost before what was written last was brought to the disk: of that, any sectors may be missing, with
//! others behind them. What was synced is whole, so that all which is not whole, and all behind it, was not. It is
//! cut off, and the index is as it was at some moment after it was last brought to the disk. To build it
//! from the blobs instead would bring back what was deleted long before.
//!
//! ```text
//! batch = 1 | items: u32 LE | number of the change: u64 LE | item, ... | 3 | xxh3 of the items: u64 LE | "FJL" 3
//! item  = 2 | type: u8 | compression: u8 | table: u64 LE | length of the key: u16 LE | of the value: u32 LE
//!           | of the value as stored: u32 LE | key | value as stored
//!       or 4 | table: u64 LE
//! ```

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::{JOURNAL_BYTES, OpenFailure};
use crate::error::StoreError;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: [u8; 4] = [b'F', b'J', b'L', 3];
/// Head of an item, and where in it the lengths of key and stored value are.
const ITEM_BYTES: usize = 21;
const KEY_LENGTH: usize = 11;
const VALUE_LENGTH: usize = 17;
/// Larger journals than the engine writes are left to it.
const MOST_BYTES: u64 = 4 * JOURNAL_BYTES;

/// Cuts off what a failed write left at the end of the journals in this directory, which nobody has open.
pub(super) fn mend(index: &Path) -> Result<(), OpenFailure> {
    let journals = match journals_in(index) {
        Ok(journals) => journals,
        // None yet, or a file in its place: for the engine to make or to refuse.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(());
        }
        Err(source) => return Err(failed(index, "list", source)),
    };
    for path in journals {
        let Some(bytes) = read(&path).map_err(|source| failed(&path, "read", source))? else {
            continue;
        };
        match end_of(&bytes) {
            End::Sound => {}
            End::Torn(at) => {
                tracing::warn!(path = %path.display(), at, "the end of a journal was not written whole, and is cut off");
                cut(&path, at as u64).map_err(|source| failed(&path, "cut", source))?;
            }
            End::Damaged(at) => {
                let reason = format!("{} is damaged at {at}", path.display());
                return Err(OpenFailure::Damaged(reason));
            }
        }
    }
    Ok(())
}

/// Cuts the newest journal in this directory, which nobody has open, where the first batch begins that is not whole. The
/// older ones were brought to the disk before it was begun.
pub(super) fn cut_unsynced(index: &Path) -> Result<(), OpenFailure> {
    let journals = match journals_in(index) {
        Ok(journals) => journals,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(());
        }
        Err(source) => return Err(failed(index, "list", source)),
    };
    let Some(path) = journals.into_iter().max_by_key(|path| number_of(path)) else { return Ok(()) };
    let read = read(&path).map_err(|source| failed(&path, "read", source))?;
    let Some(bytes) = read else { return Ok(()) };
    let at = whole_batches(&bytes);
    let rest = tail(&bytes, at);
    // Else it is none of what this program knows: for the engine to judge. What never came to the disk is zero.
    if rest.is_empty() || (at == 0 && !matches!(rest.first(), Some(0 | &START))) {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), at, bytes = rest.len(),
        "a part of the journal was lost with the power: it is cut off there");
    cut(&path, at as u64).map_err(|source| failed(&path, "cut", source))
}

fn number_of(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

fn failed(path: &Path, doing: &'static str, source: io::Error) -> OpenFailure {
    OpenFailure::Failed(StoreError::io(path, doing, source))
}

fn journals_in(index: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(index)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            found.push(path);
        }
    }
    Ok(found)
}

/// The content of a journal without the zeros behind it: the engine reserves room. `None` for one too large.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    if file.metadata()?.len() > MOST_BYTES {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(used);
    Ok(Some(bytes))
}

fn cut(path: &Path, at: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    file.set_len(at)?;
    file.sync_all()
}

/// How a journal ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Sound,
    /// From here on there is nothing that was ever acknowledged.
    Torn(usize),
    /// Here is damage, and changes follow.
    Damaged(usize),
}

fn end_of(bytes: &[u8]) -> End {
    let at = whole_batches(bytes);
    let rest = tail(bytes, at);
    if rest.is_empty() {
        return End::Sound;
    }
    if at == 0 && rest.first() != Some(&START) {
        // None of what this program knows: for the engine to judge.
        return End::Sound;
    }
    let Some((start, length)) = first_batch(rest) else { return End::Torn(at) };
    let (piece, whole) = rest.split_at(start);
    // The batch whose write failed, once more; and should that have failed too, another piece of it.
    let (whole, behind) = whole.split_at(length);
    if whole.starts_with(piece) && whole.starts_with(behind) {
        End::Torn(at)
    } else {
        End::Damaged(at)
    }
}

/// How many bytes the batches take with which a journal begins.
fn whole_batches(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = batch(tail(bytes, at)) {
        at += length;
    }
    at
}

fn tail(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or_default()
}

/// Where the first whole batch is, and how long.
fn first_batch(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut starts = (0..bytes.len()).filter(|at| bytes.get(*at) == Some(&START));
    starts.find_map(|at| Some((at, batch(tail(bytes, at))?)))
}

/// The length of the batch with which `bytes` begin, if it is whole.
fn batch(bytes: &[u8]) -> Option<usize> {
    let mut input = bytes;
    let head = take(&mut input, 13)?;
    if head.first() != Some(&START) {
        return None;
    }
    let count = field(head, 1, 4)?;
    let mut hash = Xxh3::new();
    for _ in 0..count {
        let length = item(input)?;
        hash.update(take(&mut input, length)?);
    }
    let end = take(&mut input, 13)?;
    let sound = end.first() == Some(&END)
        && field(end, 1, 8)? == hash.digest()
        && end.get(9..) == Some(&MAGIC[..]);
    sound.then(|| bytes.len() - input.len())
}

/// The length of the item with which `bytes` begin.
fn item(bytes: &[u8]) -> Option<usize> {
    match *bytes.first()? {
        ITEM => {
            let key = usize::try_from(field(bytes, KEY_LENGTH, 2)?).ok()?;
            let value = usize::try_from(field(bytes, VALUE_LENGTH, 4)?).ok()?;
            ITEM_BYTES.checked_add(key)?.checked_add(value)
        }
        CLEAR => Some(9),
        _ => None,
    }
}

fn field(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + length)?;
    Some(bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
}

fn take<'b>(input: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{Change, Index, Standing};

    /// A journal as the engine writes it, and where its batches begin.
    fn journal(dir: &Path) -> (PathBuf, Vec<u8>, Vec<usize>) {
        let index = Index::open(dir, 1 << 20).ok().unwrap();
        index.mark_complete().unwrap();
        for n in 0..4_u8 {
            let set =
                |m: u8| Change::Set { key: vec![n, m, 1, 1, 1, 1, 1, 1, 1], value: vec![m; 300] };
            index.apply(vec![set(1), set(2), Change::Remove { key: vec![9; 9] }], true).unwrap();
        }
        drop(index);
        let path = journals_in(dir).unwrap().pop().unwrap();
        let bytes = read(&path).unwrap().unwrap();
        let (mut begins, mut at) = (Vec::new(), 0);
        while let Some(length) = batch(&bytes[at..]) {
            begins.push(at);
            at += length;
        }
        assert_eq!(
            (begins.len(), at),
            (5, bytes.len()),
            "the engine writes journals of another kind"
        );
        (path, bytes, begins)
    }

    #[test]
    fn an_end_that_was_not_written_whole_is_cut_off_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (path, bytes, begins) = journal(&dir.path().join("index"));
        let last = begins[4];
        for piece in [1, 5, 13, 14, 40, 400, bytes.len() - last - 1] {
            let torn = &bytes[..last + piece];
            let again = [torn, &bytes[last..]].concat();
            let twice = [torn, &bytes[last..], &bytes[last..last + piece]].concat();
            for bytes in [torn, &again, &twice] {
                assert_eq!(end_of(bytes), End::Torn(last), "{piece}");
                std::fs::write(&path, bytes).unwrap();
                let index = Index::open(&dir.path().join("index"), 1 << 20).ok().unwrap();
                assert_eq!(index.standing().unwrap(), Standing::Complete);
                let has = |n: u8| index.get(&[n, 2, 1, 1, 1, 1, 1, 1, 1]).unwrap().is_some();
                assert_eq!([0, 1, 2, 3].map(has), [true, true, true, false]);
            }
        }
        assert_eq!(end_of(&bytes), End::Sound);
        assert_eq!(end_of(&[]), End::Sound);
    }

    #[test]
    fn what_power_tore_is_cut_off_with_all_behind_it_and_what_was_before_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (path, bytes, begins) = journal(&dir.path().join("index"));
        for (from, to, kept) in [(3, 4, 3), (2, 3, 2), (0, 1, 0)] {
            let mut torn = bytes.clone();
            torn[begins[from]..begins[to]].fill(0);
            std::fs::write(&path, &torn).unwrap();
            cut_unsynced(&dir.path().join("index")).ok().unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().len(), begins[kept] as u64);
            let index = Index::open(&dir.path().join("index"), 1 << 20).ok().unwrap();
            let has = |n: u8| index.get(&[n, 2, 1, 1, 1, 1, 1, 1, 1]).unwrap().is_some();
            // The first batch is the mark that all is there.
            let expected = [0, 1, 2, 3].map(|n| n + 1 < kept);
            assert_eq!([0, 1, 2, 3].map(has), expected, "{from}");
        }
        for unknown in [&b"a journal of a later version"[..], b""] {
            std::fs::write(&path, unknown).unwrap();
            cut_unsynced(&dir.path().join("index")).ok().unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), unknown);
        }
        cut_unsynced(&dir.path().join("none")).ok().unwrap();
    }

    #[test]
    fn damage_with_changes_behind_it_is_no_torn_end() {
        let dir = tempfile::tempdir().unwrap();
        let (path, bytes, begins) = journal(&dir.path().join("index"));
        for at in (begins[2]..begins[3]).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            // Of the numbers of changes there is no checksum.
            if (begins[2] + 5..begins[2] + 13).contains(&at) {
                continue;
            }
            assert_eq!(end_of(&damaged), End::Damaged(begins[2]), "at {at}");
            std::fs::write(&path, &damaged).unwrap();
            let opened = Index::open(&dir.path().join("index"), 1 << 20);
            assert!(matches!(opened, Err(OpenFailure::Damaged(reason)) if reason.contains("jnl")));
        }
    }
}
