//! The ordered index of one mountpath: the only module that knows the engine.
//!
//! Why this engine: docs/decisions/0001-index-engine.md. To change it, rewrite this file.

mod journals;
mod torn;

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use fjall::compaction::Leveled;
use fjall::config::{
    BlockSizePolicy, CompressionPolicy, PartitioningPolicy, PinningPolicy, RestartIntervalPolicy,
};
use fjall::{
    AbstractTree as _, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable as _,
};

use crate::error::StoreError;
use crate::faults::{self, Tried};
use crate::files::Files;
use crate::meta::BlobId;
use crate::rows::Rows;
use crate::segments::{self, Location};
use crate::sync::Mutex;

pub(crate) use journals::Journals;

/// Memory of entries not yet in a table. A target holds two of them per mountpath at worst; small, so
/// that a node stays small. 2 MiB are some 15,000 objects.
const WRITE_BUFFER_BYTES: usize = 2 * 1024 * 1024;
/// Memory of an entry there besides its key and value.
const BUFFERED_BYTES: usize = 64;
/// Bound on the disk space of the journal; the least that the engine allows.
const JOURNAL_BYTES: u64 = 64 * 1024 * 1024;
/// Size of a table's file. The upper level has four: what arrives out of order rewrites them again and again.
const TABLE_BYTES: u64 = 16 * 1024 * 1024;
/// The part of the cache that is for blocks of tables; the rest is for rows. Filters and indexes have memory of their own.
const BLOCK_SHARE: u64 = 4;
/// A block of a table, and how many names apart whole names are in it.
const BLOCK_BYTES: u32 = 1024;
const NAMES_PER_RESTART: u8 = 8;
/// Tables held open.
const OPEN_TABLES: usize = 64;
/// Background threads: with two, the engine keeps one for flushing; with one, the write buffer grows
/// without bound while that one compacts (measured: 80 MiB instead of 2).
const WORKERS: usize = 2;

/// Entries that are worth a file of their own.
const LEAST_LOAD: usize = 16 * 1024;
/// Files that a load leaves unmerged, and how often and how long it waits for there to be no more.
const MOST_LOADED: usize = 16;
const LOAD_WAITS: usize = 6_000;
const LOAD_WAIT: Duration = Duration::from_millis(5);

/// How long an end in order waits for the write buffers to be written, and how often it looks.
const MOST_SETTLING: Duration = Duration::from_secs(3);
const SETTLE_WAIT: Duration = Duration::from_millis(2);

const KEYSPACE: &str = "objects";
const LOCATIONS: &str = "locations";
/// Present once the index holds every object; sorts before all object keys, which have eight bytes or more.
const COMPLETE_KEY: [u8; 1] = [0];
/// Its value until the index, which was rebuilt, is compared with those of the other mountpaths.
const UNCOMPARED: u8 = 2;
/// Its value from then on.
const COMPLETE: u8 = 1;

/// One change of the index.
pub(crate) enum Change {
    Set {
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Remove {
        key: Vec<u8>,
    },
    /// A blob lies in a segment.
    Place {
        blob: BlobId,
        location: Location,
    },
    /// A blob lies in no segment any more.
    Unplace {
        blob: BlobId,
    },
}

impl Change {
    /// Key and value in the index; no value removes.
    fn into_row(self) -> Row {
        match self {
            Self::Set { key, value } => (key.into(), Some(value.into())),
            Self::Remove { key } => (key.into(), None),
            Self::Place { blob, location } => {
                (segments::key(blob).into(), Some(location.encode().into()))
            }
            Self::Unplace { blob } => (segments::key(blob).into(), None),
        }
    }

    /// The key of the entry; `None` for changes of what goes along with entries.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Set { key, .. } | Self::Remove { key } => Some(key),
            Self::Place { .. } | Self::Unplace { .. } => None,
        }
    }
}

/// How far an index is to be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It was never filled, or not to the end.
    Unfinished,
    /// It was rebuilt, from what one mountpath says alone.
    Uncompared,
    /// It holds every object, and nothing else.
    Complete,
}

/// Why an index could not be opened.
pub(crate) enum OpenFailure {
    /// The files are damaged: rebuild.
    Damaged(String),
    /// The disk or the rights are at fault: report.
    Failed(StoreError),
}

impl OpenFailure {
    /// As an error of who cannot do without the index.
    pub(crate) fn told(self, files: &Files) -> StoreError {
        match self {
            Self::Damaged(reason) => StoreError::Index { path: files.path("index"), reason },
            Self::Failed(error) => error,
        }
    }
}

/// Key and new value of what changes. Locations have keys of 8 bytes, entries of 9 and more.
type Row = (fjall::Slice, Option<fjall::Slice>);

/// Key and value of an entry.
pub(crate) type Entry = (fjall::Slice, fjall::Slice);

#[cfg_attr(test, derive(Clone))]
pub(crate) struct Index {
    // Dropped before the database: the engine wants its keyspaces gone first.
    objects: Keyspace,
    locations: Keyspace,
    /// Bytes in the write buffers of the two.
    buffered: Arc<[AtomicUsize; 2]>,
    /// What was read or written lately.
    rows: Arc<Rows>,
    /// Held by who changes something.
    changing: Arc<Mutex<()>>,
    database: Database,
    path: PathBuf,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Index {
    /// Opens or creates the index in directory `path`.
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Self, OpenFailure> {
        torn::mend(path)?;
        // The engine asserts some of what it reads back, so damage may come as a panic.
        let opened = catch_unwind(AssertUnwindSafe(|| Self::open_engine(path, cache_bytes)));
        match opened {
            Ok(Ok(index)) => Ok(index),
            Ok(Err(error)) => Err(classify(path, &error)),
            Err(_) => Err(OpenFailure::Damaged("the engine gave up on its files".to_owned())),
        }
    }

    fn open_engine(path: &Path, cache_bytes: u64) -> fjall::Result<Self> {
        let block_bytes = cache_bytes / BLOCK_SHARE;
        let row_bytes = usize::try_from(cache_bytes - block_bytes).unwrap_or(usize::MAX);
        let database = Database::builder(path)
            .cache_size(block_bytes)
            .max_journaling_size(JOURNAL_BYTES)
            .max_cached_files(Some(OPEN_TABLES))
            .worker_threads(WORKERS)
            .open()?;
        let objects = database.keyspace(KEYSPACE, options)?;
        // Who asks where a blob lies knows that it exists: filters would only compete for the cache.
        let locations = database.keyspace(LOCATIONS, || options().expect_point_read_hits(true))?;
        let buffered = Arc::default();
        let (rows, changing) = (Arc::new(Rows::new(row_bytes)), Arc::default());
        Ok(Self { objects, locations, buffered, rows, changing, database, path: path.to_owned() })
    }

    /// How far it is to be relied on.
    pub(crate) fn standing(&self) -> Result<Standing, StoreError> {
        let mark = self.objects.get(COMPLETE_KEY).map_err(|error| self.failed(&error))?;
        Ok(match mark.as_deref() {
            None => Standing::Unfinished,
            Some([UNCOMPARED]) => Standing::Uncompared,
            Some(_) => Standing::Complete,
        })
    }

    /// Records that the index holds every object that the blobs of its mountpath tell of, and makes all of it durable.
    pub(crate) fn mark_filled(&self) -> Result<(), StoreError> {
        self.mark(UNCOMPARED)
    }

    /// Records that the index holds every object and nothing else, and makes all of it durable.
    pub(crate) fn mark_complete(&self) -> Result<(), StoreError> {
        self.mark(COMPLETE)
    }

    fn mark(&self, value: u8) -> Result<(), StoreError> {
        self.objects.insert(COMPLETE_KEY, [value]).map_err(|error| self.failed(&error))?;
        self.sync()
    }

    /// Cuts off what loss of power tore of the journal in this directory, which nobody has open: all from the first batch
    /// on that is not whole. For an index of which not all was brought to the disk.
    pub(crate) fn cut_unsynced(path: &Path) -> Result<(), OpenFailure> {
        torn::cut_unsynced(path)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<fjall::Slice>, StoreError> {
        let missed = match self.rows.get(key, |value| fjall::Slice::from(value)) {
            Ok(value) => return Ok(Some(value)),
            Err(missed) => missed,
        };
        let value = self.objects.get(key).map_err(|error| self.failed(&error))?;
        if let Some(value) = &value {
            self.rows.learn(&missed, key, value);
        }
        Ok(value)
    }

    /// Applies all changes or none; on return they have reached the operating system, with `sync` the disk,
    /// and so has everything that was applied before.
    pub(crate) fn apply(&self, changes: Vec<Change>, sync: bool) -> Result<(), StoreError> {
        let mode = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        let mut rows = Vec::with_capacity(changes.len());
        let (mut entries, mut places) = (0, 0);
        for change in changes {
            let (table, bytes) = match &change {
                Change::Set { .. } | Change::Remove { .. } => (&self.objects, &mut entries),
                Change::Place { .. } | Change::Unplace { .. } => (&self.locations, &mut places),
            };
            let (key, value) = change.into_row();
            *bytes += BUFFERED_BYTES + key.len() + value.as_ref().map_or(0, |value| value.len());
            match &value {
                Some(value) => batch.insert(table, key.clone(), value.clone()),
                None => batch.remove(table, key.clone()),
            }
            rows.push((key, value));
        }
        self.commit(batch, &rows).map_err(|error| self.failed(&error))?;
        self.flush_full(&self.objects, &self.buffered[0], entries)?;
        self.flush_full(&self.locations, &self.buffered[1], places)
    }

    /// Commits a batch, and keeps what is known of it at hand.
    fn commit(&self, batch: fjall::OwnedWriteBatch, rows: &[Row]) -> fjall::Result<()> {
        // One after the other: of two changes of a key the later one is to be remembered.
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let begun: Vec<u64> = rows.iter().map(|(key, _)| self.rows.begin(key)).collect();
        let committed = batch.commit();
        let known = committed.is_ok();
        for (hash, (key, value)) in begun.into_iter().zip(rows) {
            self.rows.end(hash, key, value.as_deref().filter(|_| known));
        }
        committed
    }

    /// Counts what went into the write buffer of a table, and hands the buffer over for writing once it is full.
    fn flush_full(
        &self,
        table: &Keyspace,
        buffered: &AtomicUsize,
        bytes: usize,
    ) -> Result<(), StoreError> {
        if buffered.fetch_add(bytes, Ordering::Relaxed) + bytes < WRITE_BUFFER_BYTES {
            return Ok(());
        }
        buffered.store(0, Ordering::Relaxed);
        table.rotate_memtable().map_err(|error| self.failed(&error))?;
        Ok(())
    }

    /// Takes in many entries and locations, each in ascending order and each key once, without the journal: for
    /// an index that counts only once [`mark_filled`](Self::mark_filled) was called. They are on the disk then.
    pub(crate) fn load(
        &self,
        entries: Vec<(Vec<u8>, Vec<u8>)>,
        places: Vec<(BlobId, Location)>,
    ) -> Result<(), StoreError> {
        if entries.len() + places.len() < LEAST_LOAD {
            let set = entries.into_iter().map(|(key, value)| Change::Set { key, value });
            let place = places.into_iter().map(|(blob, location)| Change::Place { blob, location });
            return self.apply(set.chain(place).collect(), false);
        }
        let places = places.into_iter().map(|(blob, at)| (segments::key(blob), at.encode()));
        self.load_into(&self.objects, entries.into_iter())?;
        self.load_into(&self.locations, places)?;
        self.rows.forget_all();
        Ok(())
    }

    fn load_into<K: Into<fjall::Slice>, V: Into<fjall::Slice>>(
        &self,
        table: &Keyspace,
        sorted: impl Iterator<Item = (K, V)>,
    ) -> Result<(), StoreError> {
        let load = || -> fjall::Result<()> {
            let mut loading = table.start_ingestion()?;
            for (key, value) in sorted {
                loading.write(key, value)?;
            }
            loading.finish()
        };
        load().map_err(|error| self.failed(&error))?;
        // Each load is one more file to look into until the engine has merged it: let it keep up.
        for _ in 0..LOAD_WAITS {
            if table.l0_table_count() <= MOST_LOADED {
                break;
            }
            std::thread::sleep(LOAD_WAIT);
        }
        Ok(())
    }

    /// Where a blob lies among the segments.
    pub(crate) fn location(&self, blob: BlobId) -> Result<Option<Location>, StoreError> {
        let key = segments::key(blob);
        let missed = match self.rows.get(&key, |value| self.decode_location(value)) {
            Ok(location) => return location.map(Some),
            Err(missed) => missed,
        };
        let value = self.locations.get(key).map_err(|error| self.failed(&error))?;
        let Some(value) = value else { return Ok(None) };
        self.rows.learn(&missed, &key, &value);
        self.decode_location(&value).map(Some)
    }

    /// Every blob that lies in a segment, in ascending order, as of now.
    pub(crate) fn locations(
        &self,
    ) -> impl Iterator<Item = Result<(BlobId, Location), StoreError>> + Send + use<> {
        let (snapshot, path) = (self.database.snapshot(), self.path.clone());
        snapshot.iter(&self.locations).map(move |guard| {
            let (key, value) = guard.into_inner().map_err(|error| index_error(&path, &error))?;
            let blob = segments::blob_of(&key).ok_or_else(|| damaged_location(&path))?;
            Ok((blob, Location::decode(&value).ok_or_else(|| damaged_location(&path))?))
        })
    }

    fn decode_location(&self, value: &[u8]) -> Result<Location, StoreError> {
        Location::decode(value).ok_or_else(|| damaged_location(&self.path))
    }

    /// Entries between two keys in ascending order, as of now.
    pub(crate) fn range(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> impl Iterator<Item = Result<Entry, StoreError>> + Send + use<> {
        let path = self.path.clone();
        // A range without a snapshot sees, and misses, what changes while it is read.
        let snapshot = self.database.snapshot();
        let entries = snapshot.range::<&[u8], _>(&self.objects, bounds);
        entries.map(move |guard| guard.into_inner().map_err(|error| index_error(&path, &error)))
    }

    /// Entries, overwritten and removed ones included.
    pub(crate) fn approximate_len(&self) -> usize {
        self.objects.approximate_len()
    }

    /// Makes everything written so far survive loss of power.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.database.persist(PersistMode::SyncAll).map_err(|error| self.failed(&error))
    }

    /// Brings all that is in memory into the tables; nobody may change anything any more. Returns what
    /// [`empty_journals`](Self::empty_journals) wants, or nothing where this takes long: then the next start replays.
    pub(crate) fn settle(&self) -> Option<Journals> {
        let tables = [&self.objects, &self.locations];
        let in_memory = |table: &&Keyspace| {
            table.sealed_memtable_count() > 0 || !table.tree.active_memtable().is_empty()
        };
        for table in tables {
            if let Err(error) = table.rotate_memtable() {
                tracing::warn!(path = %self.path.display(), %error, "the index cannot be flushed");
                return None;
            }
        }
        let until = Instant::now() + MOST_SETTLING;
        while tables.iter().any(in_memory) {
            if Instant::now() > until {
                return None;
            }
            std::thread::sleep(SETTLE_WAIT);
        }
        self.sync().ok()?;
        Journals::read(&self.path).ok()
    }

    /// Empties the journals of a closed index, if they are those that [`settle`](Self::settle) returned.
    pub(crate) fn empty_journals(path: &Path, settled: &Journals) {
        match settled.empty(path) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(path = %path.display(), "the journals are not as they were left: they are replayed");
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the journals cannot be emptied");
            }
        }
    }

    fn failed(&self, error: &fjall::Error) -> StoreError {
        index_error(&self.path, error)
    }
}

/// How a table is laid out. Taken when it is created, so other values count from the next rebuild on.
fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        // Never by the engine itself: each commit would ask its threads for it until one gets to it, and where
        // they all find the queue full of that, none ever empties it again. Entries then pile up in memory.
        .max_memtable_size(u64::MAX)
        // Filters and indexes of the upper levels, some 700 MiB of entries, stay in memory: 6 bytes a name and 45 MiB
        // at most. Below, they come in pieces of 4 KiB through the cache. In one piece each through the cache,
        // which is how the engine has it, a lookup among 5,000,000 names read a megabyte.
        .filter_block_partitioning_policy(PartitioningPolicy::new([false, false, false, true]))
        .index_block_partitioning_policy(PartitioningPolicy::new([false, false, false, true]))
        .filter_block_pinning_policy(PinningPolicy::all(true))
        .index_block_pinning_policy(PinningPolicy::all(true))
        // Ids, times and checksums do not shrink; unpacking them is a tenth of a lookup.
        .data_block_compression_policy(CompressionPolicy::disabled())
        // 11 entries, of which every 8th has its whole name: what is read, checked, copied and searched for a lookup.
        // With 4 KiB a lookup that finds no row takes a third longer; with 1 KiB the indexes take 3 bytes a name more.
        .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
        .data_block_restart_interval_policy(RestartIntervalPolicy::all(NAMES_PER_RESTART))
        .compaction_strategy(Arc::new(Leveled::default().with_table_target_size(TABLE_BYTES)))
}

fn damaged_location(path: &Path) -> StoreError {
    let reason = "the place of a blob cannot be decoded".to_owned();
    StoreError::Corrupt { path: path.to_owned(), reason }
}

fn io_cause(error: &fjall::Error) -> Option<&std::io::Error> {
    match error {
        fjall::Error::Io(cause) | fjall::Error::Storage(fjall::LsmError::Io(cause)) => Some(cause),
        _ => None,
    }
}

fn index_error(path: &Path, error: &fjall::Error) -> StoreError {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, StorageFull};
    if let Some(cause) = io_cause(error) {
        faults::note(path, Tried::Write, cause);
    }
    let path = path.to_owned();
    match io_cause(error).map(std::io::Error::kind) {
        Some(StorageFull) => StoreError::NoSpace { path },
        Some(kind @ (PermissionDenied | ReadOnlyFilesystem)) => {
            StoreError::ReadOnly { path, source: kind.into() }
        }
        _ => StoreError::Index { path, reason: error.to_string() },
    }
}

fn classify(path: &Path, error: &fjall::Error) -> OpenFailure {
    use std::io::ErrorKind as Kind;
    if matches!(error, fjall::Error::Locked) {
        return OpenFailure::Failed(StoreError::Locked { path: path.to_owned() });
    }
    match io_cause(error).map(std::io::Error::kind) {
        // What damaged files look like to a reader; any other I/O error is the machine's.
        None
        | Some(
            Kind::UnexpectedEof
            | Kind::InvalidData
            | Kind::InvalidInput
            | Kind::NotFound
            | Kind::AlreadyExists
            | Kind::NotADirectory
            | Kind::IsADirectory,
        ) => OpenFailure::Damaged(error.to_string()),
        Some(_) => OpenFailure::Failed(index_error(path, error)),
    }
}

#[cfg(test)]
mod tests;
