//! Small blobs, many to a file: a put is an append, and a read is one read of an open file.
//!
//! One segment at a time is appended to; full ones never change. What becomes of a record that nothing
//! refers to any more is noted beside its segment ([`dead`]); once enough of a segment is waste, its live
//! records are appended again and the file goes (see `compaction`). Where a blob lies is kept by the
//! index (see `locations`), because moving it must not change its id.

mod appending;
pub(crate) mod dead;
mod location;
pub(crate) mod numbers;
mod record;
mod scan;
mod table;
mod waste;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, PoisonError};

use appending::Active;
pub(crate) use location::{Location, blob_of, key};
#[cfg(fuzzing)]
pub(crate) use record::preamble;
pub(crate) use record::{HEADER_BYTES, Header, PREAMBLE, salt_of, stride};
pub(crate) use scan::{Record, Scan};
use table::Table;

use crate::config::Limits;
use crate::error::StoreError;
use crate::sync::{Mutex, MutexGuard, RwLock};

/// The segments of one mountpath.
#[derive(Debug)]
pub(crate) struct Segments {
    dir: PathBuf,
    /// Size at which a segment is full.
    full_bytes: u64,
    /// Whether the bound of the numbers was known at the start.
    numbered: bool,
    /// Bound of the numbers given out; see [`numbers`].
    bound: AtomicU32,
    table: Mutex<Table>,
    active: Mutex<Option<Active>>,
    /// Records that a sweep noted as dead, a few thousand at most.
    lost: RwLock<HashSet<Location>>,
    /// Dead records that no list has, because one could not be written. Held by who writes to a list.
    owed: Mutex<HashSet<Location>>,
}

/// What one segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) number: u32,
    pub(crate) bytes: u64,
    pub(crate) dead: u64,
}

impl Segments {
    /// Opens the segments below `dir`. `clean`: whether the last run ended in order; only then is the newest one gone on
    /// with.
    pub(crate) fn open(dir: PathBuf, clean: bool, limits: Limits) -> Result<Self, StoreError> {
        fs::create_dir_all(&dir)
            .map_err(|source| StoreError::io(&dir, "create the directory", source))?;
        let mut table = Table::new(limits.descriptors);
        let mut lists = Vec::new();
        let entries = fs::read_dir(&dir).map_err(|source| StoreError::io(&dir, "list", source))?;
        for entry in entries {
            let path = entry.map_err(|source| StoreError::io(&dir, "list", source))?.path();
            match parse_name(&path) {
                Some((number, Kind::Segment)) => {
                    let bytes = fs::metadata(&path)
                        .map_err(|source| StoreError::io(&path, "query", source))?
                        .len();
                    table.add(number, bytes);
                }
                Some((number, Kind::List)) => lists.push((number, path)),
                None if path.file_name().is_some_and(|name| name == numbers::NAME) => {}
                None => tracing::warn!(path = %path.display(), "not a segment; ignored"),
            }
        }
        for (number, path) in lists {
            if table.has(number) {
                let (_, dead) =
                    dead::read(&path).map_err(|source| StoreError::io(&path, "read", source))?;
                table.add_dead(number, dead);
            } else {
                // Its segment went just before a crash. A new segment must not inherit it.
                fs::remove_file(&path).map_err(|source| StoreError::io(&path, "remove", source))?;
            }
        }
        let full_bytes = limits.segment_bytes;
        let bound = numbers::read(&dir)?;
        if let (Some(bound), false) = (bound, clean) {
            table.pass_over(bound.saturating_sub(1));
        }
        let segments = Self {
            dir,
            full_bytes,
            numbered: bound.is_some(),
            bound: AtomicU32::new(bound.unwrap_or(0)),
            table: Mutex::new(table),
            active: Mutex::new(None),
            lost: RwLock::new(HashSet::new()),
            owed: Mutex::new(HashSet::new()),
        };
        segments.resume(clean)?;
        Ok(segments)
    }

    /// Whether numbers that only the index knows of are passed over already.
    pub(crate) fn is_numbered(&self) -> bool {
        self.numbered
    }

    /// Gives out no number up to this one any more.
    pub(crate) fn pass_over(&self, number: u32) {
        self.table().pass_over(number);
    }

    /// The file of a segment; `None` when it is gone.
    pub(crate) fn file(&self, number: u32) -> Result<Option<Arc<File>>, StoreError> {
        if let Some(file) = self.table().opened(number) {
            return Ok(Some(file));
        }
        let path = self.path(number);
        match File::open(&path) {
            Ok(file) => {
                let file = Arc::new(file);
                self.table().keep_open(number, &file);
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::io(&path, "open", source)),
        }
    }

    /// Every segment.
    pub(crate) fn fills(&self) -> Vec<Fill> {
        self.table().fills()
    }

    /// The first segment of this number or a greater one.
    pub(crate) fn from(&self, number: u32) -> Option<Fill> {
        self.table().from(number)
    }

    /// Whether a record can lie there: its segment is there, and long enough.
    pub(crate) fn reaches(&self, at: Location) -> bool {
        let end = u64::from(at.offset) + HEADER_BYTES as u64 + u64::from(at.length);
        self.from(at.segment).is_some_and(|fill| fill.number == at.segment && end <= fill.bytes)
    }

    /// Every segment that is not appended to, but those that are left alone.
    pub(crate) fn full(&self) -> Vec<Fill> {
        // Before the active one is asked for: what is newer is not in the list.
        let mut fills = self.fills();
        let active = self.active().as_ref().map(|active| active.number);
        let table = self.table();
        fills.retain(|fill| Some(fill.number) != active && !table.avoids(fill.number));
        fills
    }

    /// Removes a segment that holds nothing any more. Those who read it keep their open file.
    pub(crate) fn remove(&self, number: u32) -> Result<(), StoreError> {
        self.table().forget(number);
        // The list last: without it, deleted objects of a segment that is left would come back.
        for path in [self.path(number), self.list_path(number)] {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io(&path, "remove", source));
                }
                _ => {}
            }
            step!("segment: file or list removed");
        }
        Ok(())
    }

    /// Makes what was written last survive loss of power.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let active = self.active().as_ref().map(|active| active.number);
        active.map_or(Ok(()), |number| self.sync_one(number))
    }

    /// Brings what was appended to a segment so far to the disk. One that is gone has nothing left.
    pub(crate) fn sync_one(&self, number: u32) -> Result<(), StoreError> {
        let Some(file) = self.file(number)? else { return Ok(()) };
        file.sync_data().map_err(|source| StoreError::io(&self.path(number), "sync", source))
    }

    /// Size at which a segment is full.
    pub(crate) fn full_bytes(&self) -> u64 {
        self.full_bytes
    }

    /// Leaves a segment alone until the next start.
    pub(crate) fn avoid(&self, number: u32) {
        self.table().avoid(number);
    }

    /// Path of a segment, for messages.
    pub(crate) fn path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:08x}.{SEGMENT_EXTENSION}"))
    }

    fn list_path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:08x}.{LIST_EXTENSION}"))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn active(&self) -> MutexGuard<'_, Option<Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SEGMENT_EXTENSION: &str = "segment";
const LIST_EXTENSION: &str = "dead";

/// The number of a segment, from its file name.
pub(crate) fn parse_segment_name(path: &Path) -> Option<u32> {
    let (number, kind) = parse_name(path)?;
    matches!(kind, Kind::Segment).then_some(number)
}

/// Offsets of the records of the segment at `path` that were noted as dead.
pub(crate) fn dead_offsets(path: &Path) -> io::Result<std::collections::HashSet<u32>> {
    Ok(dead::read(&path.with_extension(LIST_EXTENSION))?.0)
}

enum Kind {
    Segment,
    List,
}

fn parse_name(path: &Path) -> Option<(u32, Kind)> {
    let stem = path.file_stem()?.to_str().filter(|stem| stem.len() == 8)?;
    let number = u32::from_str_radix(stem, 16).ok()?;
    match path.extension()?.to_str()? {
        SEGMENT_EXTENSION => Some((number, Kind::Segment)),
        LIST_EXTENSION => Some((number, Kind::List)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
