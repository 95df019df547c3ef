//! ZIP archives: the directory at their end, and where each file's bytes lie.

mod directory;

use std::io::{self, Read};

use crc32fast::Hasher;
use flate2::read::DeflateDecoder;

pub use self::directory::{MAX_INDEX_BYTES, raw_directory, read_directory};
use super::source::{Shared, SourceAt};
use crate::tar::ReadAt;

/// Bytes of a local header before the name.
const LOCAL_BYTES: usize = 30;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZipError {
    /// No directory where it must be.
    #[error(
        "no end-of-directory record: the zip archive is truncated or none; upload the archive again"
    )]
    NoDirectory,
    /// Damaged.
    #[error("malformed zip archive: {what} at byte {at}")]
    Malformed {
        /// Offset concerned.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A limit of this reader.
    #[error("zip archive exceeds a limit: {0}")]
    Limit(&'static str),
    /// A member in a form that is not read.
    #[error("zip member \"{name}\" {what}: pack it again, stored or deflated")]
    Unsupported {
        /// Name of the member.
        name: String,
        /// Why.
        what: &'static str,
    },
    /// The source failed.
    #[error("cannot read zip archive: {0}")]
    Io(#[from] io::Error),
}

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As it is.
    Stored,
    /// Deflated.
    Deflated,
    /// Some other way, which is not read.
    Other,
    /// Encrypted, which is not read.
    Encrypted,
}

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZipMember {
    /// Name as stored.
    pub name: String,
    /// Offset of its local header.
    pub header_at: u64,
    /// Bytes in the archive.
    pub packed: u64,
    /// Bytes of the file.
    pub size: u64,
    /// CRC-32 of the file.
    pub crc: u32,
    /// How it is packed.
    pub method: Method,
    /// Seconds since the epoch, taking the archive's clock for UTC.
    pub mtime_s: u64,
}

impl ZipMember {
    /// Offset of its bytes in an archive of `size` bytes; the header there must be its own.
    ///
    /// # Errors
    ///
    /// [`ZipError`] when header and directory disagree, and when the file is packed in a way that is not read.
    pub fn data_offset(&self, src: &(impl ReadAt + ?Sized), size: u64) -> Result<u64, ZipError> {
        let at = self.header_at;
        let malformed = |what| ZipError::Malformed { at, what };
        let unsupported = |what| ZipError::Unsupported { name: self.name.clone(), what };
        match self.method {
            Method::Stored if self.packed != self.size => {
                return Err(malformed("a stored file has two sizes"));
            }
            Method::Stored | Method::Deflated => {}
            Method::Encrypted => return Err(unsupported("is encrypted")),
            Method::Other => return Err(unsupported("is packed with an unknown method")),
        }
        let mut header = [0; LOCAL_BYTES];
        read_exact(src, &mut header, at)?;
        if header.first_chunk() != Some(b"PK\x03\x04") {
            return Err(malformed("no local header"));
        }
        let name_bytes = u64::from(directory::u16_at(&header, 26));
        let extra = u64::from(directory::u16_at(&header, 28));
        let mut name = vec![0; usize::try_from(name_bytes).unwrap_or_default()];
        read_exact(src, &mut name, at + LOCAL_BYTES as u64)?;
        if directory::text(&name) != self.name {
            return Err(malformed("local header of another file"));
        }
        let offset = at + LOCAL_BYTES as u64 + name_bytes + extra;
        let fits = offset.checked_add(self.packed).is_some_and(|end| end <= size);
        if fits { Ok(offset) } else { Err(malformed("a file beyond the end of the archive")) }
    }

    /// Opens the file in an archive of `size` bytes.
    ///
    /// # Errors
    ///
    /// As for [`data_offset`](Self::data_offset).
    pub fn open(&self, src: &Shared, size: u64) -> Result<ZipData, ZipError> {
        let offset = self.data_offset(&**src, size)?;
        let bytes = SourceAt::new(Shared::clone(src), offset, offset + self.packed);
        let data = match self.method {
            Method::Deflated => Data::Deflated(Box::new(DeflateDecoder::new(bytes))),
            _ => Data::Stored(bytes),
        };
        Ok(ZipData { data, left: self.size, crc: self.crc, hasher: Hasher::new() })
    }
}

fn read_exact(src: &(impl ReadAt + ?Sized), buf: &mut [u8], at: u64) -> Result<(), ZipError> {
    let mut done = 0;
    while let Some(free) = buf.get_mut(done..).filter(|free| !free.is_empty()) {
        match src.read_at(free, at.saturating_add(done as u64)) {
            Ok(0) => return Err(ZipError::Malformed { at, what: "the archive ends" }),
            Ok(read) => done += read,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err.into()),
        }
    }
    Ok(())
}

enum Data {
    Stored(SourceAt),
    Deflated(Box<DeflateDecoder<SourceAt>>),
}

/// The bytes of one file. The last of them come only if the file's checksum is right.
pub struct ZipData {
    data: Data,
    left: u64,
    crc: u32,
    hasher: Hasher,
}

impl std::fmt::Debug for ZipData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZipData").field("left", &self.left).finish_non_exhaustive()
    }
}

impl Read for ZipData {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        let buf = buf.get_mut(..most).unwrap_or_default();
        let read = match &mut self.data {
            Data::Stored(stored) => stored.read(buf)?,
            Data::Deflated(deflated) => deflated.read(buf)?,
        };
        let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
        if read == 0 {
            return Err(damaged("malformed zip archive: a file is shorter than it claims"));
        }
        self.hasher.update(buf.get(..read).unwrap_or_default());
        self.left -= read as u64;
        if self.left == 0 && std::mem::take(&mut self.hasher).finalize() != self.crc {
            return Err(damaged("malformed zip archive: the checksum of a file is wrong"));
        }
        Ok(read)
    }
}
