//! Indexes of shards: where each member lies, so that one file is one read however large its shard.
//!
//! Built on first use by one pass over the member headers, or the directory. Kept
//! by blob: a blob never changes, so an index never goes stale and a new version of the shard gets one of its own.
//! Members of compressed TARs are only reached through all before them; their index tells what is there.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aistore_core::archive::zip::{Method, ZipMember, read_directory};
use aistore_core::archive::{ArchiveError, Format, Shared, Walk};
use aistore_core::error::ApiError;
use aistore_core::placement::digest;
use aistore_core::tar::{Member, TarError, index_members, lookup_name};
use aistore_store::ObjectReader;
use lru::LruCache;

use super::failure::read_failure;

/// Most indexed shards, which bounds the bookkeeping of tiny ones.
const MAX_SHARDS: usize = 8192;
/// Memory of the index of a compressed shard, whose size says nothing about it.
const MAX_PACKED_INDEX: usize = 256 << 20;
/// Bookkeeping per member besides its name.
const MEMBER_OVERHEAD: usize = size_of::<Place>();

/// Blob identity: blob ids are unique within a mountpath only. A shard may be read as several formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ShardKey {
    mountpath: u64,
    blob: u64,
    format: Format,
}

/// Where a member's bytes lie in the shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// As stored.
    pub(crate) name: Box<str>,
    /// Of the data in a TAR, of the local header in a ZIP; of no meaning in a compressed TAR.
    offset: u64,
    pub(crate) size: u64,
    mtime_s: u64,
    /// In a ZIP, how the member is packed.
    packed: u64,
    crc: u32,
    method: Method,
}

impl Place {
    /// The range of a TAR that the member is.
    pub(crate) fn range(&self) -> (u64, u64) {
        (self.offset, self.size)
    }

    /// The member of a ZIP.
    pub(crate) fn zip_member(&self) -> ZipMember {
        ZipMember {
            name: self.name.to_string(),
            header_at: self.offset,
            packed: self.packed,
            size: self.size,
            crc: self.crc,
            method: self.method,
            mtime_s: self.mtime_s,
        }
    }
}

impl From<Member> for Place {
    fn from(m: Member) -> Self {
        let Member { name, offset, size, mtime_s } = m;
        let (name, method) = (name.into(), Method::Stored);
        Self { name, offset, size, mtime_s, packed: size, crc: 0, method }
    }
}

impl From<ZipMember> for Place {
    fn from(m: ZipMember) -> Self {
        let ZipMember { name, header_at: offset, packed, size, crc, method, mtime_s } = m;
        Self { name: name.into(), offset, size, mtime_s, packed, crc, method }
    }
}

/// The members of one shard, by name.
#[derive(Debug, Default)]
pub(crate) struct MemberIndex {
    /// Sorted by name; of equal names the first in archive order survives, as clients expect.
    places: Vec<Place>,
    bytes: usize,
}

impl MemberIndex {
    fn new(members: impl Iterator<Item = Place>) -> Self {
        let mut places: Vec<Place> = members.collect();
        places.sort_by(|a, b| lookup_name(&a.name).cmp(lookup_name(&b.name)));
        places.dedup_by(|later, first| lookup_name(&later.name) == lookup_name(&first.name));
        places.shrink_to_fit();
        let bytes = places.iter().map(|p| p.name.len() + MEMBER_OVERHEAD).sum();
        Self { places, bytes }
    }

    /// The index of members of a TAR.
    pub(crate) fn of_tar(members: Vec<Member>) -> Self {
        Self::new(members.into_iter().map(Place::from))
    }

    /// Reads what is needed of a shard. Blocks on the disk.
    fn read(shard: &Shared, size: u64, format: Format) -> Result<Self, ArchiveError> {
        Ok(match format {
            Format::Tar => Self::of_tar(index_members(&**shard, size)?),
            Format::Zip => Self::new(read_directory(&**shard, size)?.into_iter().map(Place::from)),
            Format::TarGz | Format::TarLz4 => {
                let mut walk = Walk::open(Arc::clone(shard), size, format)?;
                let (mut members, mut bytes) = (Vec::new(), 0);
                while let Some(entry) = walk.next_entry()? {
                    bytes += entry.name.len() + MEMBER_OVERHEAD;
                    if bytes > MAX_PACKED_INDEX {
                        let what = "more member names than fit into 256 MiB";
                        return Err(TarError::Limit { at: size, what }.into());
                    }
                    let (name, size, mtime_s) = (entry.name, entry.size, entry.mtime_s);
                    members.push(Place::from(Member { name, offset: 0, size, mtime_s }));
                }
                Self::new(members.into_iter())
            }
        })
    }

    /// The named member.
    pub(crate) fn find(&self, name: &str) -> Option<&Place> {
        let name = lookup_name(name);
        let at = self.places.binary_search_by(|place| lookup_name(&place.name).cmp(name)).ok()?;
        self.places.get(at)
    }

    /// All members by name, each once.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }
}

/// The shard cannot be read as what it is taken for, or not at all.
pub(super) fn archive_failure(err: &ArchiveError, format: Format, cname: &str) -> ApiError {
    if !err.is_damage() {
        return read_failure(&std::io::Error::other(err.to_string()), cname);
    }
    let what = format.as_str().trim_start_matches('.').to_ascii_uppercase();
    ApiError::bad_request(format!("{cname}: cannot read the object as a {what} archive: {err}"))
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
    pub(crate) fn ready(&self, reader: &ObjectReader, format: Format) -> Option<Arc<MemberIndex>> {
        let slot = Arc::clone(&self.lock().slots.get(&key(reader, format))?.slot);
        let built = slot.try_lock().ok()?;
        built.clone()
    }

    /// The index of the shard behind `reader`, built if need be from `shard`, which reads the same. Blocks on the
    /// disk.
    ///
    /// `cname` names the shard in the error.
    pub(crate) fn get(
        &self,
        reader: &ObjectReader,
        shard: &Shared,
        format: Format,
        cname: &str,
    ) -> Result<Arc<MemberIndex>, ApiError> {
        self.get_with(key(reader, format), shard, reader.meta().size, cname)
    }

    fn get_with(
        &self,
        key: ShardKey,
        shard: &Shared,
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
        let index = MemberIndex::read(shard, size, key.format);
        let index = Arc::new(index.map_err(|err| archive_failure(&err, key.format, cname))?);
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

fn key(reader: &ObjectReader, format: Format) -> ShardKey {
    let mountpath = digest(&reader.mountpath().to_string_lossy());
    ShardKey { mountpath, blob: reader.meta().blob.0, format }
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
        let index = MemberIndex::of_tar(members);
        assert_eq!(index.find("b").unwrap().range(), (10, 1));
        assert_eq!(index.find("/./a").unwrap().range(), (20, 1));
        assert!(index.find("c").is_none());
        assert_eq!(index.places.len(), 2);
    }

    struct Memory(Vec<u8>, std::sync::atomic::AtomicUsize);

    impl aistore_core::tar::ReadAt for Memory {
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
        let memory = Arc::new(Memory(tar, 0.into()));
        let shard: Shared = memory.clone();
        let key = ShardKey { mountpath: 1, blob: 1, format: Format::Tar };
        let index = cache.get_with(key, &shard, size, "ais://b/o.tar").unwrap();
        assert_eq!(index.find("x.txt").unwrap().range(), (512, 3));
        let reads = memory.1.load(std::sync::atomic::Ordering::Relaxed);
        cache.get_with(key, &shard, size, "ais://b/o.tar").unwrap();
        assert_eq!(memory.1.load(std::sync::atomic::Ordering::Relaxed), reads);
        assert_eq!(cache.lock().sizes, index.bytes);

        let garbage: Shared = Arc::new(Memory(vec![0xAA; 2048], 0.into()));
        let key = ShardKey { mountpath: 1, blob: 2, format: Format::Tar };
        let err = cache.get_with(key, &garbage, 2048, "ais://b/g.tar").unwrap_err();
        assert!(err.status == 400 && err.message.starts_with("ais://b/g.tar"), "{err}");
    }
}
