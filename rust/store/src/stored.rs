//! The bytes of one blob: payload, then trailer, in a file of its own or as a record among others.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags};

/// An open blob. Reads what it was opened on, even after the blob was removed or moved.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    file: Arc<File>,
    start: u64,
    /// Payload and trailer; `None` when they are all of the file.
    length: Option<u64>,
}

impl Stored {
    /// All of a file.
    pub(crate) fn whole(file: Arc<File>) -> Self {
        Self { file, start: 0, length: None }
    }

    /// `length` bytes from `start` on.
    pub(crate) fn record(file: Arc<File>, start: u64, length: u64) -> Self {
        Self { file, start, length: Some(length) }
    }

    /// Bytes of payload and trailer.
    pub(crate) fn length(&self) -> io::Result<u64> {
        self.length.map_or_else(|| Ok(self.file.metadata()?.len()), Ok)
    }

    /// Whether other blobs lie in the same file.
    pub(crate) fn shares_file(&self) -> bool {
        self.length.is_some()
    }

    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Whether no name refers to the file any more.
    pub(crate) fn is_unlinked(&self) -> bool {
        rustix::fs::fstat(&self.file).is_ok_and(|stat| stat.st_nlink == 0)
    }

    pub(crate) fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        // Nothing may be asked for anywhere, also past the end.
        if buf.is_empty() {
            return Ok(());
        }
        self.file.read_exact_at(buf, self.at(offset, buf.len())?)
    }

    /// Reads what is in memory, at least a byte; `None` when nothing is.
    pub(crate) fn read_nowait(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        let at = self.at(offset, buf.len())?;
        let mut slices = [IoSliceMut::new(buf)];
        match rustix::io::preadv2(&self.file, &mut slices, at, ReadWriteFlags::NOWAIT) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => Ok(Some(read)),
            // Not cached, or a file system or kernel that cannot tell.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR | Errno::INVAL) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the system to have these bytes in memory soon. A hint: failure costs speed only.
    pub(crate) fn will_need(&self, offset: u64, length: u64) {
        if let Some(length) = NonZeroU64::new(length) {
            let _ = fadvise(&self.file, self.start + offset, Some(length), Advice::WillNeed);
        }
    }

    /// The file, and where in it byte `offset` lies.
    pub(crate) fn locate(&self, offset: u64) -> (Arc<File>, u64) {
        (Arc::clone(&self.file), self.start + offset)
    }

    /// Where in the file `wanted` bytes from `offset` on lie: never beyond the blob, where another begins.
    fn at(&self, offset: u64, wanted: usize) -> io::Result<u64> {
        let end = offset.checked_add(wanted as u64);
        match (end, self.length) {
            (Some(_), None) => Ok(self.start + offset),
            (Some(end), Some(length)) if end <= length => Ok(self.start + offset),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
