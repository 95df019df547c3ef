//! Page-aligned read buffers, reused.
//!
//! Copies out of the page cache into a buffer that starts 16 bytes past a page boundary (what malloc
//! returns for large blocks) were measured 3 to 10 times slower than into an aligned one. Hence aligned
//! buffers, and a shelf of used ones so that a large read does not fault in fresh pages every time.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Size of one buffer. Larger reads cost more memory per request than they save in calls.
pub(crate) const BUFFER_BYTES: usize = 256 << 10;
/// Idle buffers kept, 16 MiB in all: enough for some dozen streams, small enough for a node at rest.
const KEEP: usize = 64;
const PAGE: usize = 4096;

/// Idle buffers of one target.
#[derive(Clone, Default)]
pub(crate) struct BufferPool(Arc<Shelf>);

#[derive(Default)]
struct Shelf(Mutex<Vec<Memory>>);

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
}

impl BufferPool {
    /// Lends a buffer with arbitrary content.
    pub(crate) fn lend(&self) -> Buffer {
        let idle = self.0.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let memory = Some(idle.unwrap_or_else(Memory::new));
        Buffer { memory, length: BUFFER_BYTES, shelf: Arc::clone(&self.0) }
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
        let mut idle = self.shelf.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(memory) = self.memory.take()
            && idle.len() < KEEP
        {
            idle.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_come_back() {
        let pool = BufferPool::default();
        let mut first = pool.lend();
        first.space()[0] = 7;
        assert_eq!(first.space().len(), BUFFER_BYTES);
        assert_eq!(first.space().as_ptr().align_offset(PAGE), 0);
        let bytes = first.freeze(3);
        let part = bytes.slice(0..1);
        drop(bytes);
        assert_eq!((&part[..], pool.0.0.lock().unwrap().len()), (&[7][..], 0), "still in use");
        drop(part);
        assert_eq!(pool.0.0.lock().unwrap().len(), 1);
        let second = pool.lend();
        assert_eq!(second.freeze(1)[0], 7, "the same memory");
    }

    #[test]
    fn the_shelf_is_bounded() {
        let pool = BufferPool::default();
        drop((0..KEEP + 5).map(|_| pool.lend()).collect::<Vec<_>>());
        assert_eq!(pool.0.0.lock().unwrap().len(), KEEP);
    }
}
