//! Calls on open files.

use super::{State, Twin, error, failure};
use crate::events::Event;
use crate::faults::{Call, Fault};
use crate::trap::{self, identify, kernel};
use crate::tree::Id;

/// Addresses and lengths of memory that is written from or read to.
type Pieces = [(usize, usize)];

impl Twin {
    pub(super) fn read(
        &self,
        descriptor: usize,
        pieces: &Pieces,
        at: Option<usize>,
        flags: usize,
    ) -> Option<isize> {
        let (mut state, id) = self.opened(descriptor)?;
        let asked = length_of(pieces);
        let fault = state.decide(Call::Read, id, asked)?;
        if let Some(failed) = failure(Some(fault)) {
            return Some(failed);
        }
        let part = state.plan.part_of(asked);
        drop(state);
        Some(transfer(libc::SYS_preadv2, descriptor, &cut(pieces, part), at, flags))
    }

    /// A file is sent elsewhere.
    pub(super) fn sends(&self, descriptor: usize, length: usize) -> Option<isize> {
        let (mut state, id) = self.opened(descriptor)?;
        failure(state.decide(Call::Read, id, length))
    }

    pub(super) fn write(
        &self,
        descriptor: usize,
        pieces: &Pieces,
        at: Option<usize>,
        flags: usize,
    ) -> Option<isize> {
        let (mut state, id) = self.opened(descriptor)?;
        let asked = length_of(pieces);
        let (take, failed) = match state.decide(Call::Write, id, asked) {
            None => (asked, None),
            Some(Fault::Error(number)) => return Some(error(number)),
            Some(Fault::Torn(number)) if asked < 2 => return Some(error(number)),
            Some(Fault::Torn(number)) => (state.plan.part_of(asked), Some(error(number))),
            Some(Fault::Short) => (state.plan.part_of(asked), None),
        };
        let start = write_position(descriptor, at);
        let pieces = cut(pieces, take);
        let done = transfer(libc::SYS_pwritev2, descriptor, &pieces, at, flags);
        if let Ok(written) = usize::try_from(done)
            && written > 0
        {
            let data = gather(&cut(&pieces, written));
            self.record(&mut state, &Event::Write { id, offset: start, data });
        }
        Some(failed.unwrap_or(done))
    }

    pub(super) fn truncate(&self, descriptor: usize, length: usize) -> Option<isize> {
        let (mut state, id) = self.opened(descriptor)?;
        let fault = state.decide(Call::Truncate, id, 0);
        Some(failure(fault).unwrap_or_else(|| {
            let done = kernel(libc::SYS_ftruncate, [descriptor, length, 0, 0, 0, 0]);
            if done == 0 {
                self.record(&mut state, &Event::Truncate { id, length: length as u64 });
            }
            done
        }))
    }

    pub(super) fn allocate(
        &self,
        descriptor: usize,
        mode: usize,
        offset: usize,
        length: usize,
    ) -> Option<isize> {
        let (mut state, id) = self.opened(descriptor)?;
        let keeps_length = mode == libc::FALLOC_FL_KEEP_SIZE as usize;
        if mode != 0 && !keeps_length {
            return Some(error(libc::EOPNOTSUPP));
        }
        let fault = state.decide(Call::Allocate, id, 0);
        Some(failure(fault).unwrap_or_else(|| {
            let before = size_of(descriptor);
            let arguments = [descriptor, mode, offset, length, 0, 0];
            let done = kernel(libc::SYS_fallocate, arguments);
            let end = (offset + length) as u64;
            if done == 0 && !keeps_length && end > before {
                self.record(&mut state, &Event::Truncate { id, length: end });
            }
            done
        }))
    }

    pub(super) fn sync(&self, descriptor: usize, data_only: bool) -> Option<isize> {
        let (mut state, id) = self.opened(descriptor)?;
        let begun = state.count;
        if let Some(failed) = failure(state.decide(Call::Sync, id, 0)) {
            self.record(&mut state, &Event::Sync { id, begun, data_only, failed: true });
            return Some(failed);
        }
        // What lasts is decided here, so the disk need not be waited for. Others go on meanwhile; what they do
        // is not covered.
        drop(state);
        kernel(libc::SYS_sched_yield, [0; 6]);
        let mut state = self.lock();
        self.record(&mut state, &Event::Sync { id, begun, data_only, failed: false });
        Some(0)
    }

    pub(super) fn sync_all(&self) -> isize {
        let begun = self.lock().count;
        kernel(libc::SYS_sched_yield, [0; 6]);
        self.record(&mut self.lock(), &Event::SyncAll { begun });
        0
    }

    /// Takes note that a file is empty now.
    pub(super) fn emptied(&self, state: &mut State, id: Id) {
        self.record(state, &Event::Truncate { id, length: 0 });
    }
}

fn length_of(pieces: &Pieces) -> usize {
    pieces.iter().map(|piece| piece.1).sum()
}

/// The first `length` bytes of the pieces.
fn cut(pieces: &Pieces, mut length: usize) -> Vec<(usize, usize)> {
    let mut taken = Vec::with_capacity(pieces.len());
    for (address, whole) in pieces {
        let part = length.min(*whole);
        taken.push((*address, part));
        length -= part;
    }
    taken
}

#[allow(unsafe_code, reason = "memory of the caller")]
fn gather(pieces: &Pieces) -> Vec<u8> {
    // SAFETY: the kernel has just read these bytes on behalf of the caller, who waits for us.
    let each = |piece: &(usize, usize)| unsafe { trap::bytes_of(piece.0, piece.1) };
    pieces.iter().map(each).collect::<Vec<_>>().concat()
}

/// Reads or writes at a position, or at that of the descriptor.
fn transfer(
    number: libc::c_long,
    descriptor: usize,
    pieces: &Pieces,
    at: Option<usize>,
    flags: usize,
) -> isize {
    let vectors = pieces
        .iter()
        .map(|piece| libc::iovec { iov_base: piece.0 as *mut libc::c_void, iov_len: piece.1 });
    let vectors: Vec<_> = vectors.collect();
    let address = vectors.as_ptr() as usize;
    // On 64-bit machines the first half of a position is all of it, and the second is not looked at.
    let at = at.unwrap_or(usize::MAX);
    kernel(number, [descriptor, address, vectors.len(), at, 0, flags])
}

/// Where a write will go.
fn write_position(descriptor: usize, at: Option<usize>) -> u64 {
    let flags = kernel(libc::SYS_fcntl, [descriptor, libc::F_GETFL as usize, 0, 0, 0, 0]);
    if flags > 0 && flags & libc::O_APPEND as isize != 0 {
        return size_of(descriptor);
    }
    let at = at.unwrap_or_else(|| {
        let current = libc::SEEK_CUR as usize;
        usize::try_from(kernel(libc::SYS_lseek, [descriptor, 0, current, 0, 0, 0])).unwrap_or(0)
    });
    at as u64
}

fn size_of(descriptor: usize) -> u64 {
    identify(descriptor).and_then(|stat| u64::try_from(stat.st_size).ok()).unwrap_or(0)
}
