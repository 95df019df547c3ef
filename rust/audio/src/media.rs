//! A recording as decoders read it: no more of it than makes sense.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use symphonia::core::io::MediaSource;

use crate::recording::Source;

/// Bytes that may still be read. Broken files can make a search go in circles, and headers grow without end.
#[derive(Clone)]
pub(crate) struct Allowance(Arc<Allowed>);

struct Allowed {
    bytes: AtomicU64,
    is_seekable: AtomicBool,
}

impl Allowance {
    pub(crate) fn set(&self, bytes: u64) {
        self.0.bytes.store(bytes, Ordering::Relaxed);
    }

    /// From now on it can only be read forward, says the source.
    pub(crate) fn forward_only(&self) {
        self.0.is_seekable.store(false, Ordering::Relaxed);
    }
}

/// A source, and what may be read of it.
pub(crate) struct Media {
    source: Box<dyn Source>,
    allowance: Allowance,
}

impl Media {
    pub(crate) fn new(source: Box<dyn Source>, bytes: u64) -> (Self, Allowance) {
        let (bytes, is_seekable) = (AtomicU64::new(bytes), AtomicBool::new(true));
        let allowance = Allowance(Arc::new(Allowed { bytes, is_seekable }));
        (Self { source, allowance: allowance.clone() }, allowance)
    }
}

impl Read for Media {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.allowance.0.bytes.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::Error::from(io::ErrorKind::QuotaExceeded));
        }
        let read = self.source.read(buf)?;
        // A read at the end costs too.
        self.allowance.set(left.saturating_sub(read.max(1) as u64));
        Ok(read)
    }
}

impl Seek for Media {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.source.seek(to)
    }
}

impl MediaSource for Media {
    fn is_seekable(&self) -> bool {
        self.allowance.0.is_seekable.load(Ordering::Relaxed)
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.source.size())
    }
}
