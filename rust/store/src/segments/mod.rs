//! Small blobs, many to a file: a put is an append, and a read is one read of an open file.
//!
//! One segment at a time is appended to; full ones never change. What becomes of a record that nothing
//! refers to any more is noted beside its segment ([`dead`]); once enough of a segment is waste, its live
//! records are appended again and the file goes (see `compaction`). Where a blob lies is kept by the
//! index (see `locations`), because moving it must not change its id.

pub(crate) mod dead;
mod location;
pub(crate) mod numbers;
mod record;
mod scan;
mod table;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};

pub(crate) use location::{Location, blob_of, key};
#[cfg(fuzzing)]
pub(crate) use record::preamble;
pub(crate) use record::{HEADER_BYTES, Header, PREAMBLE, PREAMBLE_BYTES, salt_of, stride};
pub(crate) use scan::{Record, Scan};
use table::Table;

use crate::config::Limits;
use crate::error::StoreError;
use crate::meta::BlobId;
use crate::sync::{Mutex, MutexGuard, RwLock};

/// Larger records than any that is written: payload is held back up to 64 KiB, and descriptions are small.
const MAX_RECORD_BYTES: u64 = 128 << 10;

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

/// The segment that is appended to.
#[derive(Debug)]
struct Active {
    number: u32,
    file: Arc<File>,
    salt: u32,
    length: u64,
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

    /// Goes on with the newest segment, if the last run ended in order and all of it are records. Else it
    /// stays as it is: what a crash tore off is waste, and nothing may come to lie where the index may know
    /// something else.
    fn resume(&self, clean: bool) -> Result<(), StoreError> {
        let Some(Fill { number, bytes, .. }) = self.table().newest() else { return Ok(()) };
        if !clean || !(PREAMBLE_BYTES..self.full_bytes).contains(&bytes) {
            return Ok(());
        }
        let path = self.path(number);
        let failed = |source: io::Error| StoreError::io(&path, "open", source);
        let file = File::options().read(true).write(true).open(&path).map_err(failed)?;
        let mut scan = Scan::new(&file).map_err(failed)?;
        let salt = scan.salt();
        while scan.next().map_err(failed)?.is_some() {}
        if scan.was_sound() {
            *self.active() = Some(Active { number, file: Arc::new(file), salt, length: bytes });
        } else {
            tracing::warn!(path = %path.display(), "not all of this segment are records");
        }
        Ok(())
    }

    /// Whether numbers that only the index knows of are passed over already.
    pub(crate) fn is_numbered(&self) -> bool {
        self.numbered
    }

    /// Gives out no number up to this one any more.
    pub(crate) fn pass_over(&self, number: u32) {
        self.table().pass_over(number);
    }

    /// Appends a blob; on return the operating system has it. `placed` is called before the segment can count
    /// as full, so that no compaction finds a record which nothing knows yet.
    pub(crate) fn append(
        &self,
        blob: BlobId,
        payload: &[u8],
        trailer: &[u8],
        placed: impl FnOnce(Location),
    ) -> Result<(), StoreError> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let header = Header {
            blob,
            payload: length(payload),
            trailer: length(trailer),
            crc32c: crc32c::crc32c(payload),
        };
        self.append_record(&header, payload, trailer, placed)
    }

    /// Appends a record with the header that it has.
    pub(crate) fn append_record(
        &self,
        header: &Header,
        payload: &[u8],
        trailer: &[u8],
        placed: impl FnOnce(Location),
    ) -> Result<(), StoreError> {
        let mut active = self.active();
        // One that is empty takes any record.
        let room = |active: &Active| {
            active.length == PREAMBLE_BYTES || active.length + header.stride() <= self.full_bytes
        };
        if !active.as_ref().is_some_and(room) {
            *active = None;
        }
        let current = match &mut *active {
            Some(current) => current,
            none => none.insert(self.start()?),
        };
        let start = current.length;
        match write_record(current, header, payload, trailer) {
            Ok(()) => {
                current.length += header.stride();
                self.table().set_bytes(current.number, current.length);
            }
            Err(source) => {
                // Nothing may follow a torn record: cut it off, or leave this segment as it is.
                if current.file.set_len(start).is_err() {
                    *active = None;
                }
                return Err(StoreError::io(&self.dir, "append to a segment in", source));
            }
        }
        step!("segment: record written");
        let offset = u32::try_from(start).unwrap_or(u32::MAX);
        let length = header.payload.saturating_add(header.trailer);
        placed(Location { segment: current.number, offset, length });
        Ok(())
    }

    /// Makes a new, empty segment.
    fn start(&self) -> Result<Active, StoreError> {
        let number = self.table().next_number();
        // Called by who holds `active`, so by one at a time.
        let bound = numbers::reserve(&self.dir, number, self.bound.load(Ordering::Relaxed))?;
        self.bound.store(bound, Ordering::Relaxed);
        let (path, salt) = (self.path(number), fastrand::u32(..));
        let failed = |source| StoreError::io(&path, "create", source);
        let made = File::options().read(true).write(true).create_new(true).open(&path);
        let file = made.map_err(|source| {
            if source.kind() == io::ErrorKind::AlreadyExists {
                self.pass_over(number);
            }
            failed(source)
        })?;
        let begun = std::os::unix::fs::FileExt::write_all_at(&file, &record::preamble(salt), 0);
        begun.map_err(|source| {
            // Nothing lies in it. One that stays is in the way of the next attempt.
            if fs::remove_file(&path).is_err() {
                self.pass_over(number);
            }
            failed(source)
        })?;
        step!("segment: begun");
        let file = Arc::new(file);
        let mut table = self.table();
        table.add(number, PREAMBLE_BYTES);
        table.keep_open(number, &file);
        Ok(Active { number, file, salt, length: PREAMBLE_BYTES })
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

    /// Notes that nothing refers to a record any more. A list that cannot be written is tried again, see
    /// [`settle_lists`](Self::settle_lists).
    pub(crate) fn mark_dead(&self, location: Location) {
        // Held until the list has it, so that a sweep which reads the list counts nothing twice.
        let lost = self.lost.read().unwrap_or_else(PoisonError::into_inner);
        if !lost.contains(&location) {
            self.note_dead(location);
        }
    }

    /// Notes records of earlier runs as dead that a sweep found nobody to know, unless somebody did meanwhile.
    pub(crate) fn mark_lost(&self, found: &[Location]) -> Result<(), StoreError> {
        let mut lost = self.lost.write().unwrap_or_else(PoisonError::into_inner);
        let mut dead = BTreeMap::new();
        for location in found {
            let known = match dead.entry(location.segment) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(vacant) => vacant.insert(self.dead_of(location.segment)?),
            };
            if known.insert(location.offset) {
                self.note_dead(*location);
                lost.insert(*location);
            }
        }
        Ok(())
    }

    fn note_dead(&self, location: Location) {
        let bytes = stride(u64::from(location.length));
        if !self.table().add_dead(location.segment, bytes) {
            return;
        }
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.list_dead(location) {
            let path = self.list_path(location.segment);
            tracing::warn!(path = %path.display(), %error, "cannot note a dead record yet");
            owed.insert(location);
        }
    }

    /// Appends a record to the list of its segment. Called by one at a time: a torn entry is cut off before another
    /// follows, which it would shift.
    fn list_dead(&self, Location { segment, offset, length }: Location) -> io::Result<()> {
        let opened = self.table().list(segment);
        let list = match opened {
            Some(list) => list,
            None => Arc::new(dead::open(&self.list_path(segment))?),
        };
        let bytes = stride(u64::from(length));
        let appended = dead::append(&list, offset, u32::try_from(bytes).unwrap_or(u32::MAX));
        step!("segment: record noted as dead");
        match appended {
            Ok(()) => self.table().keep_list(segment, &list),
            // Whoever opens it cuts off what may have been written.
            Err(_) => self.table().close_list(segment),
        }
        appended
    }

    /// Tries once more to note dead records that no list has; `false` while there are some. A start after a run that
    /// leaves some looks for them.
    pub(crate) fn settle_lists(&self) -> bool {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        owed.retain(|location| {
            let there = self.table().has(location.segment);
            there && self.list_dead(*location).is_err()
        });
        owed.is_empty()
    }

    /// Offsets of the records of a segment that were noted as dead.
    pub(crate) fn dead_of(
        &self,
        number: u32,
    ) -> Result<std::collections::HashSet<u32>, StoreError> {
        let path = self.list_path(number);
        let read = dead::read(&path).map_err(|source| StoreError::io(&path, "read", source))?;
        Ok(read.0)
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

    /// How much of a segment is waste, the room included that was never filled: a start after a crash leaves
    /// the segment that was being written.
    pub(crate) fn waste(&self, fill: &Fill) -> u64 {
        let unfilled = self.full_bytes.saturating_sub(fill.bytes);
        // The last record of a full one may just not have found room.
        let unfilled = if unfilled > MAX_RECORD_BYTES { unfilled } else { 0 };
        fill.dead.saturating_add(unfilled)
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

fn write_record(
    active: &Active,
    header: &Header,
    payload: &[u8],
    trailer: &[u8],
) -> io::Result<()> {
    const ZEROS: [u8; record::PADDING] = [0; record::PADDING];
    let head = header.encode(active.salt);
    let written = HEADER_BYTES + payload.len() + trailer.len();
    let padding = usize::try_from(header.stride()).unwrap_or(usize::MAX).saturating_sub(written);
    let padding = ZEROS.get(..padding).unwrap_or_default();
    let mut slices = [&head[..], payload, trailer, padding].map(IoSlice::new);
    let mut rest = &mut slices[..];
    let mut at = active.length;
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match rustix::io::pwritev(&active.file, rest, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                at += n as u64;
                IoSlice::advance_slices(&mut rest, n);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
