//! Indexes of TAR shards: where each member lies, so that one file is one read however large its shard.
//!
//! Built on first use by one pass over the member headers, kept by blob: a blob never changes, so an
//! index never goes stale and a new version of the shard gets one of its own.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aistore_core::error::ApiError;
use aistore_core::placement::digest;
use aistore_core::tar::{Member, ReadAt, index_members, lookup_name};
use aistore_store::ObjectReader;
use lru::LruCache;

/// Most indexed shards, which bounds the bookkeeping of tiny ones.
const MAX_SHARDS: usize = 8192;
/// Bookkeeping per member besides its name.
const MEMBER_OVERHEAD: usize = size_of::<Place>();

/// Blob identity: blob ids are unique within a mountpath only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ShardKey {
    mountpath: u64,
    blob: u64,
}

/// Where a member's bytes lie in the shard.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    name: Box<str>,
    offset: u64,
    size: u64,
}

/// The members of one shard, by name.
#[derive(Debug, Default)]
pub(crate) struct MemberIndex {
    /// Sorted by name; of equal names the first in archive order survives, as clients expect.
    places: Vec<Place>,
    bytes: usize,
}

impl MemberIndex {
    fn new(members: Vec<Member>) -> Self {
        let place =
            |m: Member| Place { name: lookup_name(&m.name).into(), offset: m.offset, size: m.size };
        let mut places: Vec<Place> = members.into_iter().map(place).collect();
        places.sort_by(|a, b| a.name.cmp(&b.name));
        places.dedup_by(|later, first| later.name == first.name);
        places.shrink_to_fit();
        let bytes = places.iter().map(|p| p.name.len() + MEMBER_OVERHEAD).sum();
        Self { places, bytes }
    }

    /// Offset in the shard and size of the named member.
    pub(crate) fn find(&self, name: &str) -> Option<(u64, u64)> {
        let name = lookup_name(name);
        let at = self.places.binary_search_by(|place| (*place.name).cmp(name)).ok()?;
        self.places.get(at).map(|place| (place.offset, place.size))
    }
}

/// One shard's index, or the place where the first to need it builds it while others wait.
type Slot = Arc<Mutex<Option<Arc<MemberIndex>>>>;

/// The indexes used lately, bounded in bytes.
pub(crate) struct MemberCache {
    state: Mutex<State>,
    max_bytes: usize,
}

struct State {
    slots: LruCache<ShardKey, Kept>,
    sizes: usize,
}

struct Kept {
    slot: Slot,
    /// What `State::sizes` counts for it; 0 while it is being built.
    counted: usize,
}

impl MemberCache {
    /// Keeps up to so many bytes of indexes, all shards together.
    pub(crate) fn within(bytes: u64) -> Self {
        let most = NonZeroUsize::new(MAX_SHARDS).unwrap_or(NonZeroUsize::MIN);
        let state = Mutex::new(State { slots: LruCache::new(most), sizes: 0 });
        Self { state, max_bytes: usize::try_from(bytes).unwrap_or(usize::MAX) }
    }

    /// The index of the shard behind `reader`, if it is ready. Never waits.
    pub(crate) fn ready(&self, reader: &ObjectReader) -> Option<Arc<MemberIndex>> {
        let slot = Arc::clone(&self.lock().slots.get(&key(reader))?.slot);
        let built = slot.try_lock().ok()?;
        built.clone()
    }

    /// The index of the shard behind `reader`, built if need be. Blocks on the disk.
    ///
    /// `cname` names the shard in the error.
    pub(crate) fn get(
        &self,
        reader: &ObjectReader,
        cname: &str,
    ) -> Result<Arc<MemberIndex>, ApiError> {
        self.get_with(key(reader), reader, reader.meta().size, cname)
    }

    fn get_with(
        &self,
        key: ShardKey,
        shard: &dyn ReadAt,
        size: u64,
        cname: &str,
    ) -> Result<Arc<MemberIndex>, ApiError> {
        let slot = {
            let mut state = self.lock();
            if let Some(kept) = state.slots.get(&key) {
                Arc::clone(&kept.slot)
            } else {
                let slot = Slot::default();
                let kept = Kept { slot: Arc::clone(&slot), counted: 0 };
                // One pushed out by the count limit takes its bytes with it.
                if let Some((_, old)) = state.slots.push(key, kept) {
                    state.sizes -= old.counted;
                }
                slot
            }
        };
        let mut built = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = &*built {
            return Ok(Arc::clone(index));
        }
        let members = index_members(shard, size).map_err(|err| {
            ApiError::bad_request(format!(
                "{cname}: cannot read the object as a TAR archive: {err}"
            ))
        })?;
        let index = Arc::new(MemberIndex::new(members));
        *built = Some(Arc::clone(&index));
        drop(built);
        self.account(key, &slot, index.bytes);
        Ok(index)
    }

    /// Counts a finished index and makes room for it.
    fn account(&self, key: ShardKey, slot: &Slot, bytes: usize) {
        let mut state = self.lock();
        match state.slots.peek_mut(&key) {
            Some(kept) if Arc::ptr_eq(&kept.slot, slot) => kept.counted = bytes,
            // Pushed out while it was being built: nobody keeps it, nobody counts it.
            _ => return,
        }
        state.sizes += bytes;
        while state.sizes > self.max_bytes {
            let Some((_, old)) = state.slots.pop_lru() else { break };
            state.sizes -= old.counted;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(reader: &ObjectReader) -> ShardKey {
    let mountpath = digest(&reader.mountpath().to_string_lossy());
    ShardKey { mountpath, blob: reader.meta().blob.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, offset: u64) -> Member {
        Member { name: name.to_owned(), offset, size: 1, mtime_s: 0 }
    }

    #[test]
    fn the_first_of_equal_names_wins_and_leading_marks_are_ignored() {
        let members = vec![member("./b", 10), member("a", 20), member("/b", 30), member("b", 40)];
        let index = MemberIndex::new(members);
        assert_eq!(index.find("b"), Some((10, 1)));
        assert_eq!(index.find("/./a"), Some((20, 1)));
        assert_eq!(index.find("c"), None);
        assert_eq!(index.places.len(), 2);
    }

    struct Memory(Vec<u8>, std::sync::atomic::AtomicUsize);

    impl ReadAt for Memory {
        fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
            self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let rest = usize::try_from(offset).ok().and_then(|at| self.0.get(at..));
            let rest = rest.unwrap_or_default();
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        }
    }

    #[test]
    fn an_index_is_built_once_and_garbage_is_named() {
        let mut tar = aistore_core::tar::encode_header("x.txt", 3, 0);
        tar.extend_from_slice(b"abc");
        tar.resize(tar.len() + aistore_core::tar::padding(3), 0);
        tar.extend_from_slice(&aistore_core::tar::END);
        let (cache, size) = (MemberCache::within(1 << 20), tar.len() as u64);
        let shard = Memory(tar, 0.into());
        let key = ShardKey { mountpath: 1, blob: 1 };
        let index = cache.get_with(key, &shard, size, "ais://b/o.tar").unwrap();
        assert_eq!(index.find("x.txt"), Some((512, 3)));
        let reads = shard.1.load(std::sync::atomic::Ordering::Relaxed);
        cache.get_with(key, &shard, size, "ais://b/o.tar").unwrap();
        assert_eq!(shard.1.load(std::sync::atomic::Ordering::Relaxed), reads);
        assert_eq!(cache.lock().sizes, index.bytes);

        let garbage = Memory(vec![0xAA; 2048], 0.into());
        let key = ShardKey { mountpath: 1, blob: 2 };
        let err = cache.get_with(key, &garbage, 2048, "ais://b/g.tar").unwrap_err();
        assert!(err.status == 400 && err.message.starts_with("ais://b/g.tar"), "{err}");
    }
}
