//! Reading without pushing what others read out of memory.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use rustix::fs::{Advice, fadvise};
use rustix::io::ReadWriteFlags;

/// A file of its own descriptor, whose pages are let go again if they were not in memory before.
#[derive(Debug)]
pub(super) struct Source {
    file: Arc<File>,
    /// What was read from the disk: offset and length of each piece.
    cold: Vec<(u64, u64)>,
}

/// Pieces remembered before their pages are let go.
const MOST_PIECES: usize = 16;

impl Source {
    pub(super) fn new(file: File) -> Self {
        // The system must not read ahead: pages that it brings would look as if others wanted them.
        let _ = fadvise(&file, 0, None, Advice::Random);
        Self { file: Arc::new(file), cold: Vec::new() }
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Fills `buf`.
    pub(super) fn read(&mut self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut slices = [IoSliceMut::new(&mut *buf)];
        let now = rustix::io::preadv2(&self.file, &mut slices, offset, ReadWriteFlags::NOWAIT);
        let warm = now.unwrap_or(0);
        let Some(rest) = buf.get_mut(warm..).filter(|rest| !rest.is_empty()) else { return Ok(()) };
        let start = offset + warm as u64;
        if self.cold.len() >= MOST_PIECES {
            self.forget();
        }
        self.cold.push((start, rest.len() as u64));
        self.file.read_exact_at(rest, start)
    }

    /// Lets go of the pages that were read from the disk.
    pub(super) fn forget(&mut self) {
        for (start, length) in self.cold.drain(..) {
            let _ = fadvise(&self.file, start, NonZeroU64::new(length), Advice::DontNeed);
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.forget();
    }
}
