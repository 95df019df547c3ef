//! Page-aligned buffers between disks and sockets, reused, and counted in the node's memory budget.
//!
//! Copies between the page cache, or a socket, and a buffer that starts 16 bytes past a page boundary (what malloc
//! returns for large blocks) were measured 3 to 10 times slower than with an aligned one. Hence aligned
//! buffers, and a shelf of used ones so that a large read does not fault in fresh pages every time.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::memory::{Budget, Lease, Lender, Permit, Purpose};

/// Size of one buffer. Larger reads cost more memory per request than they save in calls.
pub(crate) const BUFFER_BYTES: usize = 256 << 10;
/// Pieces up to this size are read into memory of their own; the pool's buffers would be mostly empty. Answers that
/// begin while memory is scarce go in pieces of this size, so that many slow readers fit.
const SMALL_BYTES: usize = 32 << 10;
const PAGE: usize = 4096;

/// Idle buffers of one process, and the budget that those in use are part of.
#[derive(Clone)]
pub(crate) struct BufferPool(Arc<Shelf>);

struct Shelf {
    idle: Mutex<Vec<Memory>>,
    /// Idle buffers kept: enough for some dozen streams, few enough for a node at rest.
    keep: usize,
    budget: Budget,
}

/// [`BUFFER_BYTES`] of page-aligned memory inside a slightly larger allocation.
struct Memory {
    block: Vec<u8>,
    start: usize,
}

impl Memory {
    fn new() -> Self {
        let block = vec![0; BUFFER_BYTES + PAGE];
        // `align_offset` may in theory decline; unaligned is slower, not wrong.
        let start = Some(block.as_ptr().align_offset(PAGE)).filter(|n| *n < PAGE).unwrap_or(0);
        Self { block, start }
    }
}

/// A buffer on loan; returns to the pool when dropped, also as [`Bytes`].
pub(crate) struct Buffer {
    memory: Option<Memory>,
    length: usize,
    shelf: Arc<Shelf>,
    _lease: Lease,
}

impl BufferPool {
    /// Buffers within a budget.
    pub(crate) fn new(budget: Budget) -> Self {
        let keep = usize::try_from(budget.shares().idle).unwrap_or(usize::MAX) / BUFFER_BYTES;
        Self(Arc::new(Shelf { idle: Mutex::default(), keep, budget }))
    }

    /// The budget.
    pub(crate) fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// Lends a buffer with arbitrary content; `lease` is for [`BUFFER_BYTES`].
    pub(crate) fn lend(&self, lease: Lease) -> Buffer {
        let idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let memory = Some(idle.unwrap_or_else(Memory::new));
        Buffer { memory, length: BUFFER_BYTES, shelf: Arc::clone(&self.0), _lease: lease }
    }
}

impl Default for BufferPool {
    fn default() -> Self {
        Self::new(Budget::default())
    }
}

impl Buffer {
    /// The whole buffer, for writing.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        let Some(memory) = &mut self.memory else { return &mut [] };
        memory.block.get_mut(memory.start..memory.start + BUFFER_BYTES).unwrap_or_default()
    }

    /// The first `length` bytes, as shared bytes that give the buffer back when the last clone goes.
    pub(crate) fn freeze(mut self, length: usize) -> Bytes {
        self.length = length.min(BUFFER_BYTES);
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        let Some(memory) = &self.memory else { return &[] };
        memory.block.get(memory.start..memory.start + self.length).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut idle = self.shelf.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(memory) = self.memory.take()
            && idle.len() < self.shelf.keep
        {
            idle.push(memory);
        }
    }
}

/// Buffers for one answer: the pool, and what the answer may hold of the budget.
#[derive(Clone)]
pub(crate) struct Pieces {
    pool: BufferPool,
    lender: Lender,
    /// Longest piece.
    longest: usize,
}

impl Pieces {
    /// Buffers within `permit`, which was taken for `purpose`.
    pub(crate) fn new(pool: &BufferPool, purpose: Purpose, permit: Permit) -> Self {
        let longest = usize::try_from(permit.bytes()).unwrap_or(usize::MAX).min(BUFFER_BYTES);
        let lender = Lender::new(pool.budget().clone(), purpose, permit);
        Self { pool: pool.clone(), lender, longest }
    }

    /// The memory again, for another use; none while a piece is under way.
    pub(crate) fn into_permit(self) -> Permit {
        self.lender.into_permit()
    }

    /// Buffers without bounds to speak of, for tests.
    #[cfg(test)]
    pub(crate) fn unlimited() -> Self {
        let lender = Lender::unlimited();
        Self { pool: BufferPool::default(), lender, longest: BUFFER_BYTES }
    }

    /// Space for the next piece of an answer that has `left` bytes to go, when there is some. With nothing of
    /// this answer on its way there always is.
    pub(crate) fn try_space(&self, left: u64) -> Option<Space> {
        let wanted = wanted(left, self.longest);
        self.lender.try_lend(cost(wanted)).map(|lease| self.space(wanted, lease))
    }

    /// As [`try_space`](Self::try_space); wakes when a piece of this answer was sent.
    pub(crate) fn poll_space(&self, left: u64, cx: &mut Context<'_>) -> Poll<Space> {
        let wanted = wanted(left, self.longest);
        self.lender.poll_lend(cost(wanted), cx).map(|lease| self.space(wanted, lease))
    }

    /// Space whether it is there or not: for who waited for [`room`](Self::room).
    pub(crate) fn any_space(&self, left: u64) -> Space {
        let wanted = wanted(left, self.longest);
        self.space(wanted, self.lender.lend(cost(wanted)))
    }

    /// A buffer whether it is there or not: for who waited for [`room`](Self::room).
    pub(crate) fn buffer(&self) -> Buffer {
        self.pool.lend(self.lender.lend(BUFFER_BYTES as u64))
    }

    /// The budget that they are part of.
    pub(crate) fn budget(&self) -> &Budget {
        self.pool.budget()
    }

    /// Waits until so many buffers of what was reserved are free.
    pub(crate) async fn room(&self, buffers: u64) {
        let most = self.lender.reserved().saturating_sub(buffers * BUFFER_BYTES as u64);
        self.lender.room(most).await;
    }

    fn space(&self, wanted: usize, lease: Lease) -> Space {
        if wanted <= SMALL_BYTES {
            Space::Small(Small { bytes: vec![0; wanted], _lease: lease })
        } else {
            Space::Large(self.pool.lend(lease), wanted)
        }
    }
}

/// Where one piece is read to.
pub(crate) enum Space {
    Small(Small),
    Large(Buffer, usize),
}

/// Memory of its own for a short piece.
pub(crate) struct Small {
    bytes: Vec<u8>,
    _lease: Lease,
}

impl Space {
    /// The memory: as many bytes as are wanted.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        match self {
            Self::Small(small) => &mut small.bytes,
            Self::Large(buffer, wanted) => buffer.space().get_mut(..*wanted).unwrap_or_default(),
        }
    }

    /// The first `length` bytes, which hold their memory until the last clone goes.
    pub(crate) fn freeze(self, length: usize) -> Bytes {
        match self {
            Self::Small(mut small) => {
                small.bytes.truncate(length);
                Bytes::from_owner(small)
            }
            Self::Large(buffer, _) => buffer.freeze(length),
        }
    }
}

impl AsRef<[u8]> for Small {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes of the next piece of `left` bytes.
fn wanted(left: u64, longest: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(longest)
}

/// Memory that a piece of so many bytes takes.
fn cost(wanted: usize) -> u64 {
    (if wanted <= SMALL_BYTES { wanted } else { BUFFER_BYTES }) as u64
}

impl BufferPool {
    /// Memory that an answer of `length` bytes is to begin with.
    pub(crate) fn need(&self, length: u64) -> u64 {
        let plenty = self.budget().is_plenty(Purpose::Replies);
        cost(wanted(length, if plenty { BUFFER_BYTES } else { SMALL_BYTES }))
    }
}

/// What of `memory` an answer of `length` bytes needs.
pub(crate) fn least(length: u64, memory: u64) -> u64 {
    let longest = usize::try_from(memory).unwrap_or(usize::MAX).min(BUFFER_BYTES);
    cost(wanted(length, longest)).min(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> Lease {
        Lender::unlimited().lend(BUFFER_BYTES as u64)
    }

    #[test]
    fn buffers_are_aligned_and_come_back() {
        let pool = BufferPool::default();
        let mut first = pool.lend(lease());
        first.space()[0] = 7;
        assert_eq!(first.space().len(), BUFFER_BYTES);
        assert_eq!(first.space().as_ptr().align_offset(PAGE), 0);
        let bytes = first.freeze(3);
        let part = bytes.slice(0..1);
        drop(bytes);
        assert_eq!((&part[..], pool.0.idle.lock().unwrap().len()), (&[7][..], 0), "still in use");
        drop(part);
        assert_eq!(pool.0.idle.lock().unwrap().len(), 1);
        let second = pool.lend(lease());
        assert_eq!(second.freeze(1)[0], 7, "the same memory");
    }

    #[test]
    fn the_shelf_is_bounded() {
        let pool = BufferPool::default();
        let keep = pool.0.keep;
        drop((0..keep + 5).map(|_| pool.lend(lease())).collect::<Vec<_>>());
        assert_eq!((pool.0.idle.lock().unwrap().len(), keep), (keep, 64));
    }

    #[test]
    fn a_buffer_holds_its_memory_until_its_last_bytes_go() {
        let budget = Budget::new(crate::memory::Shares::of(Some(64 << 20), 1).unwrap());
        let pool = BufferPool::new(budget.clone());
        let share = budget.share(Purpose::Replies);
        let all = || budget.try_take(Purpose::Replies, share).is_some();
        let permit = budget.try_take(Purpose::Replies, BUFFER_BYTES as u64).unwrap();
        let pieces = Pieces::new(&pool, Purpose::Replies, permit);
        let bytes = pieces.try_space(1 << 20).unwrap().freeze(1);
        drop(pieces);
        assert!(!all());
        drop(bytes);
        assert!(all());
    }
}
