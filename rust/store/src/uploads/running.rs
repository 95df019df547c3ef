//! What is remembered of uploads while the process runs.

use std::num::NonZeroUsize;
use std::sync::PoisonError;

use aistore_core::checksum::{ChecksumType, Hasher};
use lru::LruCache;

use crate::meta::Part;
use crate::sync::{Mutex, MutexGuard};

/// Locks that serialise changes of one upload.
const LOCKS: usize = 64;
/// Uploads whose checksum is computed as parts arrive; of others it is combined from the parts.
const HASHED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Locks and running checksums of uploads.
pub(crate) struct Uploads {
    locks: Vec<Mutex<()>>,
    hashed: Mutex<LruCache<u64, Running>>,
}

/// The checksum of an upload whose parts have arrived one after the other so far.
struct Running {
    kind: ChecksumType,
    /// The part that must come next.
    next: u32,
    /// Parts that are arriving.
    arriving: u32,
    /// Whether the order was broken, once and for all.
    broken: bool,
    hasher: Option<Hasher>,
}

impl std::fmt::Debug for Uploads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uploads").finish_non_exhaustive()
    }
}

impl Default for Uploads {
    fn default() -> Self {
        let locks = (0..LOCKS).map(|_| Mutex::default()).collect();
        let mut hashed = LruCache::unbounded();
        hashed.resize(HASHED);
        Self { locks, hashed: Mutex::new(hashed) }
    }
}

impl Uploads {
    /// Serialises changes of one upload. Taken before the lock of a name.
    pub(crate) fn lock(&self, id: u64) -> Option<MutexGuard<'_, ()>> {
        let slot = usize::try_from(id % LOCKS as u64).unwrap_or(0);
        Some(self.locks.get(slot)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn started(&self, id: u64, kind: ChecksumType) {
        let first = Some(Hasher::new(kind));
        let running = Running { kind, next: 1, arriving: 0, broken: false, hasher: first };
        let _evicted = self.hashed().push(id, running);
    }

    pub(crate) fn ended(&self, id: u64) {
        let _ended = self.hashed().pop(&id);
    }

    /// A part begins to arrive; hands out the hasher when the part is the next in order.
    pub(crate) fn part_begins(&self, id: u64, number: u32) -> Option<Hasher> {
        let mut known = self.hashed();
        let running = known.get_mut(&id)?;
        running.broken |= running.arriving > 0 || running.next != number;
        running.arriving += 1;
        if running.broken { None } else { running.hasher.take() }
    }

    /// A part is complete (with what it got when it began, if that took in all of its bytes) or was given up.
    pub(crate) fn part_ends(&self, id: u64, hasher: Option<Hasher>) {
        let mut known = self.hashed();
        let Some(running) = known.get_mut(&id) else { return };
        running.arriving = running.arriving.saturating_sub(1);
        running.broken |= hasher.is_none();
        running.hasher = hasher;
        running.next = running.next.saturating_add(1);
    }

    /// The checksum of all parts: of type `kind` where it was computed as they arrived, else CRC-32C.
    pub(crate) fn checksum(
        &self,
        id: u64,
        kind: ChecksumType,
        parts: &[Part],
    ) -> (ChecksumType, String) {
        if kind == ChecksumType::None {
            return (kind, String::new());
        }
        let mut hashed = self.hashed();
        if let Some(running) = hashed.get_mut(&id)
            && running.kind == kind
            && !running.broken
            && running.arriving == 0
            && usize::try_from(running.next).is_ok_and(|next| next == parts.len() + 1)
            && let Some(hasher) = running.hasher.take()
        {
            // Taken: if the completion fails after all, the next try combines.
            running.broken = true;
            return (kind, hasher.finish());
        }
        drop(hashed);
        let combine = |crc, part: &Part| {
            let length = usize::try_from(part.size).unwrap_or(usize::MAX);
            crc32c::crc32c_combine(crc, part.crc32c, length)
        };
        (ChecksumType::Crc32c, format!("{:08x}", parts.iter().fold(0, combine)))
    }

    fn hashed(&self) -> MutexGuard<'_, LruCache<u64, Running>> {
        self.hashed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
