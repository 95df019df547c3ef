//! Pull decoder: members of an archive that is read front to back, their data on demand.

use std::io::{self, Read};

use super::header::{Headers, Step};
use super::{BLOCK, TarError, padding};

/// A source whose bytes may be passed over without being read.
pub trait Skip: Read {
    /// Passes over `count` bytes; fewer at the end.
    fn skip(&mut self, count: u64) -> io::Result<u64>;
}

/// A member that is next to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Name as stored.
    pub name: String,
    /// Bytes of data.
    pub size: u64,
    /// Seconds since the epoch.
    pub mtime_s: u64,
    /// Offset of the data in the (unpacked) archive.
    pub offset: u64,
}

/// Goes through an archive in order. Holds at most one header or extended header.
#[derive(Debug)]
pub struct Walker<R> {
    src: R,
    headers: Headers,
    /// Bytes consumed.
    at: u64,
    /// Data of the current member still to come.
    left: u64,
    padding: u64,
    /// Whether the end-of-archive block may be missing: where the length of the archive is known.
    lenient: bool,
    done: bool,
}

impl<R: Skip> Walker<R> {
    /// Starts at the beginning of an archive; a `lenient` walk takes the end of the input between two members for
    /// the end of the archive.
    pub fn new(src: R, lenient: bool) -> Self {
        let headers = Headers::default();
        Self { src, headers, at: 0, left: 0, padding: 0, lenient, done: false }
    }

    /// The next regular file; what was not read of the one before is passed over. `None` at the end.
    ///
    /// # Errors
    ///
    /// [`TarError`] when the archive is damaged; the walk is over then.
    pub fn next_member(&mut self) -> Result<Option<Head>, TarError> {
        while !self.done {
            self.pass_over()?;
            let header_at = self.at;
            let mut block = [0; BLOCK];
            let read = fill(&mut self.src, &mut block)?;
            self.at += read as u64;
            if read == 0 && self.lenient {
                break;
            }
            if read < BLOCK {
                let inside = if read > 0 { "a header" } else { "the list of members" };
                return Err(TarError::Truncated { at: self.at, inside });
            }
            match self.headers.block(&block, header_at)? {
                Step::End => {
                    self.at = header_at;
                    break;
                }
                Step::Skip { size } => self.pending(size),
                Step::Record { kind, size } => {
                    // Bounded by MAX_RECORD_BYTES, and grown only as the bytes come.
                    let mut body = Vec::new();
                    Read::take(&mut self.src, size).read_to_end(&mut body)?;
                    self.at += body.len() as u64;
                    if (body.len() as u64) < size {
                        let inside = "an extended header";
                        return Err(TarError::Truncated { at: self.at, inside });
                    }
                    self.headers.record(kind, &body, header_at)?;
                    self.pending(size);
                    self.left = 0;
                }
                Step::Entry { name, size, mtime_s } => {
                    self.pending(size);
                    return Ok(Some(Head { name, size, mtime_s, offset: self.at }));
                }
            }
        }
        self.done = true;
        Ok(None)
    }

    /// Bytes consumed; once there are no more members, where the next one could be put.
    pub fn position(&self) -> u64 {
        self.at
    }

    fn pending(&mut self, size: u64) {
        self.left = size;
        self.padding = padding(size) as u64;
    }

    fn pass_over(&mut self) -> Result<(), TarError> {
        let data = self.src.skip(self.left)?;
        self.at += data;
        if data < self.left {
            return Err(TarError::Truncated { at: self.at, inside: "the data of a member" });
        }
        // Missing padding at the very end is harmless.
        self.at += self.src.skip(self.padding)?;
        (self.left, self.padding) = (0, 0);
        Ok(())
    }
}

/// Reads the data of the current member.
impl<R: Skip> Read for Walker<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.src.read(buf.get_mut(..most).unwrap_or_default())?;
        if read == 0 {
            let err = TarError::Truncated { at: self.at, inside: "the data of a member" };
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, err));
        }
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Fills `buf` as far as the source goes.
fn fill(src: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(free) = buf.get_mut(done..).filter(|free| !free.is_empty()) {
        match src.read(free) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(done)
}
