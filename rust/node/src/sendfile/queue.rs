//! What one connection still has to send from files.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Longest stand-in. One `sendfile` call of this size keeps a worker busy for a fraction of a millisecond.
pub(crate) const WINDOW_BYTES: usize = 1 << 20;

/// The block that stand-ins are slices of. Never written to, so it costs address space but no memory.
static BLOCK: LazyLock<&'static [u8]> =
    LazyLock::new(|| Box::leak(vec![0; WINDOW_BYTES].into_boxed_slice()));

/// Bytes of a file for which a stand-in is on its way.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) file: Arc<File>,
    pub(super) offset: u64,
    length: usize,
    sent: usize,
}

impl Entry {
    /// Bytes still to be sent.
    pub(super) fn left(&self) -> usize {
        self.length.saturating_sub(self.sent)
    }

    /// Where in the file the next byte to be sent lies.
    pub(super) fn position(&self) -> u64 {
        self.offset + self.sent as u64
    }

    pub(super) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
    }
}

/// The files of one connection, in the order of their bytes on the wire.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<VecDeque<Entry>>);

impl Queue {
    /// Queues up to [`WINDOW_BYTES`] of `file` and returns the stand-in, which must be given to hyper at once.
    pub(super) fn push(&self, file: Arc<File>, offset: u64, length: u64) -> Bytes {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(WINDOW_BYTES);
        let stand_in = BLOCK.get(..length).unwrap_or_default();
        self.lock().push_back(Entry { file, offset, length: stand_in.len(), sent: 0 });
        Bytes::from_static(stand_in)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a slice is a stand-in, and if so from where in the block on.
pub(super) fn stand_in(slice: &[u8]) -> Option<usize> {
    let (block, at) = (BLOCK.as_ptr() as usize, slice.as_ptr() as usize);
    let within = at.checked_sub(block)?;
    // An empty slice at the very end is somebody else's.
    (within < BLOCK.len()).then_some(within)
}

/// Compares the stand-ins among `slices` with the queue: all of them, in order, each at the same place.
pub(super) fn check(slices: &[IoSlice<'_>], entries: &VecDeque<Entry>) -> io::Result<()> {
    let mut entries = entries.iter();
    for slice in slices {
        let Some(from) = stand_in(slice) else { continue };
        let same = entries.next().is_some_and(|e| e.sent == from && e.left() == slice.len());
        if !same {
            return Err(out_of_step());
        }
    }
    if entries.next().is_some() { Err(out_of_step()) } else { Ok(()) }
}

/// The error that closes a connection whose queue does not match what is to be written.
pub(super) fn out_of_step() -> io::Error {
    io::Error::other("the files queued on a connection do not match what it is to write")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<File> {
        Arc::new(tempfile::tempfile().unwrap())
    }

    #[test]
    fn only_the_queued_order_passes() {
        let queue = Queue::default();
        let (a, b) = (queue.push(file(), 0, 10), queue.push(file(), 5, 20));
        let text = b"HTTP/1.1".to_vec();
        let check = |slices: &[&[u8]]| {
            let slices: Vec<IoSlice<'_>> = slices.iter().map(|s| IoSlice::new(s)).collect();
            check(&slices, &queue.lock())
        };
        check(&[&text, &a, &b]).unwrap();
        check(&[&a, &text, &b]).unwrap();
        check(&[&text, &b, &a]).unwrap_err();
        check(&[&text, &a]).unwrap_err();
        check(&[&text, &a, &b, &b]).unwrap_err();
        check(&[&text, &a[1..], &b]).unwrap_err();
        check(&[&text, &a[..9], &b]).unwrap_err();
        check(&[&text]).unwrap_err();
        queue.lock().front_mut().unwrap().advance(4);
        check(&[&a[4..], &b]).unwrap();
        check(&[&a, &b]).unwrap_err();
    }

    #[test]
    fn windows_are_bounded() {
        let queue = Queue::default();
        assert_eq!(queue.push(file(), 0, u64::MAX).len(), WINDOW_BYTES);
    }
}
