//! Where the bytes of an archive come from: as they lie, or unpacked on the way.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;

use super::Format;
use crate::tar::{ReadAt, Skip};

/// An archive that many may read at a time.
pub type Shared = Arc<dyn ReadAt + Send + Sync>;

/// Compressed bytes read at once.
const WINDOW_BYTES: usize = 64 << 10;
/// Unpacked bytes thrown away at once.
const SCRATCH_BYTES: usize = 16 << 10;

/// A part of an archive, read front to back.
#[derive(Clone)]
pub struct SourceAt {
    src: Shared,
    at: u64,
    end: u64,
}

impl SourceAt {
    /// The bytes from `at` to `end`.
    pub fn new(src: Shared, at: u64, end: u64) -> Self {
        Self { src, at, end }
    }
}

impl fmt::Debug for SourceAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceAt")
            .field("at", &self.at)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Read for SourceAt {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = buf.len().min(left);
        let read = self.src.read_at(buf.get_mut(..most).unwrap_or_default(), self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The bytes of a TAR, unpacked if need be.
pub(super) enum Unpacked {
    Plain(SourceAt),
    Gzip(Box<MultiGzDecoder<BufReader<SourceAt>>>),
    Lz4(Box<FrameDecoder<BufReader<SourceAt>>>),
}

impl fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Gzip(_) => "Gzip",
            Self::Lz4(_) => "Lz4",
        })
    }
}

impl Unpacked {
    pub(super) fn new(src: Shared, size: u64, format: Format) -> Self {
        let plain = SourceAt::new(src, 0, size);
        let window = |plain| BufReader::with_capacity(WINDOW_BYTES, plain);
        match format {
            Format::TarGz => Self::Gzip(Box::new(MultiGzDecoder::new(window(plain)))),
            Format::TarLz4 => Self::Lz4(Box::new(FrameDecoder::new(window(plain)))),
            Format::Tar | Format::Zip => Self::Plain(plain),
        }
    }
}

impl Read for Unpacked {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.read(buf),
            Self::Gzip(gzip) => gzip.read(buf),
            // Nothing at the end of a frame: another may follow.
            Self::Lz4(lz4) => match lz4.read(buf)? {
                0 => lz4.read(buf),
                read => Ok(read),
            },
        }
    }
}

impl Skip for Unpacked {
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        if let Self::Plain(plain) = self {
            let skipped = count.min(plain.end.saturating_sub(plain.at));
            plain.at += skipped;
            return Ok(skipped);
        }
        let mut scratch = [0; SCRATCH_BYTES];
        let mut left = count;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(SCRATCH_BYTES);
            match self.read(scratch.get_mut(..most).unwrap_or_default()) {
                Ok(0) => break,
                Ok(read) => left -= read as u64,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(count - left)
    }
}
