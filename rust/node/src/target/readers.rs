//! Open objects that were read lately, so that a hot GET costs neither an index lookup nor an open.
//!
//! Entries are dropped when their object changes. A lookup that raced a change must not put the old
//! version back: hence the tickets, see [`ReaderCache::ticket`].

mod key;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aistore_store::{ObjectMeta, ObjectReader};
use lru::LruCache;

use self::key::{AsIs, Key, Keys};

/// Most cached readers that have a file of their own open.
const MAX_FILES: usize = 4096;
/// Memory of a cached reader, its name, metadata and lines included.
const READER_BYTES: u64 = 1 << 10;
/// Longest lines that are kept: objects with much custom metadata have theirs written anew.
const MAX_LINES: usize = 512;
/// At most this share of the process's file descriptors is spent on cached readers.
const DESCRIPTOR_SHARE: u64 = 4;
/// Descriptors assumed when the limit cannot be read or there is none.
const DEFAULT_DESCRIPTORS: u64 = 1024;
const SHARDS: usize = 16;
/// One in so many hits counts as a use. Moving an entry to the front writes to four others, which no cache of a
/// processor holds where there are many; what is used often is moved often enough.
const COUNTED_ONE_IN: u32 = 8;

/// Recently used readers by object uname.
pub(crate) struct ReaderCache {
    keys: Keys,
    shards: Vec<Mutex<Shard>>,
}

struct Shard {
    epoch: u64,
    /// Readers with a file of their own.
    files: Readers,
    /// Readers of records in files that many share.
    sharing: Readers,
}

/// By key of the uname.
type Readers = LruCache<Key, Cached, AsIs>;

struct Cached {
    /// Id of the bucket.
    bid: u64,
    reader: Arc<ObjectReader>,
    /// What the head of an answer says of the object; empty until it is asked for.
    lines: Box<[u8]>,
}

impl Shard {
    fn new(files: usize, sharing: usize) -> Self {
        // Not preallocated: an idle target stays small.
        let readers = |most| {
            let mut readers = LruCache::unbounded_with_hasher(AsIs);
            readers.resize(NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN));
            readers
        };
        Self { epoch: 0, files: readers(files), sharing: readers(sharing) }
    }

    fn both(&mut self) -> [&mut Readers; 2] {
        [&mut self.sharing, &mut self.files]
    }

    fn find(&mut self, bid: u64, key: Key) -> Option<&mut Cached> {
        let counts = fastrand::u32(..COUNTED_ONE_IN) == 0;
        let found = self.both().into_iter().find_map(|readers| {
            if counts { readers.get_mut(&key) } else { readers.peek_mut(&key) }
        });
        found.filter(|cached| cached.bid == bid)
    }

    /// Forgets what the test says.
    fn forget(&mut self, gone: impl Fn(u64, &ObjectReader) -> bool) {
        for readers in self.both() {
            let forgotten = readers.iter().filter(|(_, cached)| gone(cached.bid, &cached.reader));
            let forgotten: Vec<Key> = forgotten.map(|(key, _)| *key).collect();
            for key in forgotten {
                readers.pop(&key);
            }
        }
    }
}

/// The right to insert, taken before the index is asked; void once anything in its shard has changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket(u64);

impl ReaderCache {
    /// A cache sized by the process's descriptor limit, and by its memory budget for those of small objects, whose
    /// files many share.
    pub(crate) fn within(bytes: u64) -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let limit = limit.current.unwrap_or(DEFAULT_DESCRIPTORS).max(64);
        let budget = usize::try_from(limit / DESCRIPTOR_SHARE).unwrap_or(MAX_FILES);
        let sharing = usize::try_from(bytes / READER_BYTES).unwrap_or(usize::MAX);
        Self::with_capacity(budget.min(MAX_FILES), sharing)
    }

    fn with_capacity(files: usize, sharing: usize) -> Self {
        let shard = || Mutex::new(Shard::new(files / SHARDS, sharing / SHARDS));
        Self { keys: Keys::new(), shards: (0..SHARDS).map(|_| shard()).collect() }
    }

    fn shard(&self, uname: &str) -> (Key, MutexGuard<'_, Shard>) {
        let key = self.keys.of(uname);
        #[expect(clippy::indexing_slicing, reason = "below the number of shards")]
        let shard = &self.shards[key.share(SHARDS)];
        (key, shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The cached reader of the object, if it belongs to bucket `bid`.
    pub(crate) fn get(&self, bid: u64, uname: &str) -> Option<Arc<ObjectReader>> {
        let (key, mut shard) = self.shard(uname);
        shard.find(bid, key).map(|cached| Arc::clone(&cached.reader))
    }

    /// As [`get`](Self::get), and appends to `head` what `write` writes of the object, which must always be the same.
    pub(crate) fn get_with_lines(
        &self,
        bid: u64,
        uname: &str,
        head: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>, &ObjectMeta),
    ) -> Option<Arc<ObjectReader>> {
        let (key, mut shard) = self.shard(uname);
        let cached = shard.find(bid, key)?;
        if cached.lines.is_empty() {
            let start = head.len();
            write(head, cached.reader.meta());
            let lines = head.get(start..).unwrap_or_default();
            if lines.len() <= MAX_LINES {
                cached.lines = lines.into();
            }
        } else {
            head.extend_from_slice(&cached.lines);
        }
        Some(Arc::clone(&cached.reader))
    }

    /// Take this before asking the index, and hand it to [`insert`](Self::insert).
    pub(crate) fn ticket(&self, uname: &str) -> Ticket {
        Ticket(self.shard(uname).1.epoch)
    }

    /// Keeps a reader unless something in its shard changed since the ticket was taken.
    pub(crate) fn insert(&self, ticket: Ticket, bid: u64, uname: &str, reader: &Arc<ObjectReader>) {
        let (key, mut shard) = self.shard(uname);
        if shard.epoch == ticket.0 {
            let readers = if reader.shares_file() { &mut shard.sharing } else { &mut shard.files };
            let cached = Cached { bid, reader: Arc::clone(reader), lines: Box::default() };
            readers.put(key, cached);
        }
    }

    /// Forgets an object. Call after every change of it, before the change is acknowledged.
    pub(crate) fn invalidate(&self, uname: &str) {
        let (key, mut shard) = self.shard(uname);
        shard.epoch = shard.epoch.wrapping_add(1);
        for readers in shard.both() {
            readers.pop(&key);
        }
    }

    /// Forgets objects whose bytes lie in a segment that was compacted away.
    pub(crate) fn forget_stale(&self) {
        // Of the many that share a file, one asks for all.
        let known = RefCell::new(HashMap::new());
        let stale = |reader: &ObjectReader| {
            reader.file().is_some_and(|file| {
                let mut known = known.borrow_mut();
                *known.entry(Arc::as_ptr(file)).or_insert_with(|| reader.is_stale())
            })
        };
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.forget(|_, reader| stale(reader));
        }
    }

    /// Forgets all objects of buckets other than these.
    pub(crate) fn keep_buckets(&self, bids: &HashSet<u64>) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.epoch = shard.epoch.wrapping_add(1);
            shard.forget(|bid, _| !bids.contains(&bid));
        }
    }
}

#[cfg(test)]
mod tests {
    use aistore_store::{PutOptions, Store, StoreConfig};

    use super::*;

    fn reader(store: &Store, bid: u64, uname: &str) -> Arc<ObjectReader> {
        store.begin_put(bid, uname, "o", PutOptions::default()).unwrap().finish().unwrap();
        Arc::new(store.open_object(bid, uname, "o").unwrap().unwrap())
    }

    #[test]
    fn a_lookup_that_raced_a_change_leaves_nothing_stale() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(StoreConfig::new(vec![directory.path().to_owned()])).unwrap();
        let (cache, uname) = (ReaderCache::with_capacity(64, 64), "ais/@#/b/o");
        let old = reader(&store, 1, uname);
        let ticket = cache.ticket(uname);
        cache.invalidate(uname);
        cache.insert(ticket, 1, uname, &old);
        assert!(cache.get(1, uname).is_none(), "the ticket was void");
        cache.insert(cache.ticket(uname), 1, uname, &old);
        assert!(Arc::ptr_eq(&cache.get(1, uname).unwrap(), &old));
        assert!(cache.get(2, uname).is_none(), "a bucket created anew has another id");
        let late = cache.ticket(uname);
        cache.keep_buckets(&HashSet::from([1]));
        assert!(cache.get(1, uname).is_some());
        cache.keep_buckets(&HashSet::from([2]));
        cache.insert(late, 1, uname, &old);
        assert!(cache.get(1, uname).is_none());
    }

    #[test]
    fn the_number_of_open_files_is_bounded_and_that_of_small_objects_apart() {
        let directory = tempfile::tempdir().unwrap();
        for (max_record_bytes, files, sharing) in [(0, 32, 1024), (1 << 16, 1024, 32)] {
            let path = directory.path().join(max_record_bytes.to_string());
            let config = StoreConfig { max_record_bytes, ..StoreConfig::new(vec![path]) };
            let store = Store::open(config).unwrap();
            let cache = ReaderCache::with_capacity(files, sharing);
            for i in 0..200 {
                let uname = format!("u{i}");
                cache.insert(cache.ticket(&uname), 1, &uname, &reader(&store, 1, &uname));
            }
            let kept = |shard: &Mutex<Shard>| {
                let shard = shard.lock().unwrap();
                shard.files.len() + shard.sharing.len()
            };
            let kept: usize = cache.shards.iter().map(kept).sum();
            assert!(kept <= 32 && kept > 16, "{kept}");
        }
    }
}
