//! Lines of a manifest, plain or compressed.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;

/// Longest line.
pub const MAX_LINE_BYTES: usize = 16 << 20;
/// Read ahead.
const BUFFER_BYTES: usize = 64 << 10;

const GZIP: &[u8] = &[0x1f, 0x8b];
const LZ4: &[u8] = &[0x04, 0x22, 0x4d, 0x18];

/// Why no more lines come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// Longer than any cut.
    #[error("line {0} is longer than 16 MiB: is this a manifest of cuts?")]
    TooLong(u64),
    /// Unreadable, or packed badly.
    #[error("after line {line}: {reason}")]
    Read {
        /// Lines that were good.
        line: u64,
        /// Why.
        reason: io::Error,
    },
}

/// The lines of a manifest that are not empty, with their numbers from 1. One at a time is in memory.
pub struct Lines {
    source: Box<dyn BufRead + Send>,
    line: u64,
    ended: bool,
}

impl Lines {
    /// Lines of `source`, whose first bytes tell how it is packed.
    pub fn new(mut source: impl Read + Send + 'static) -> io::Result<Self> {
        let mut head = Vec::new();
        source.by_ref().take(LZ4.len() as u64).read_to_end(&mut head)?;
        let (is_gzip, is_lz4) = (head.starts_with(GZIP), head.starts_with(LZ4));
        let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(head).chain(source));
        let source: Box<dyn BufRead + Send> = if is_gzip {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(whole)))
        } else if is_lz4 {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, FrameDecoder::new(whole)))
        } else {
            Box::new(whole)
        };
        Ok(Self { source, line: 0, ended: false })
    }

    fn read(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        let mut line = Vec::new();
        let most = MAX_LINE_BYTES as u64 + 2;
        let read = self.source.by_ref().take(most).read_until(b'\n', &mut line);
        let read = read.map_err(|reason| LineError::Read { line: self.line, reason })?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        let length = line.trim_ascii_end().len();
        line.truncate(length);
        if length > MAX_LINE_BYTES {
            return Err(LineError::TooLong(self.line));
        }
        Ok(Some(line))
    }
}

impl Iterator for Lines {
    type Item = Result<(u64, Vec<u8>), LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.read() {
                Ok(Some(line)) if line.is_empty() => {}
                Ok(Some(line)) => return Some(Ok((self.line, line))),
                Ok(None) => self.ended = true,
                Err(err) => {
                    self.ended = true;
                    return Some(Err(err));
                }
            }
        }
        None
    }
}
