//! The files of an archive in order, whatever its format.

use std::io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
use std::io::{self, Read};

use super::Format;
use super::source::{Shared, Unpacked};
use super::zip::{ZipData, ZipError, ZipMember, read_directory};
use crate::tar::{TarError, Walker};

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name as stored.
    pub name: String,
    /// Bytes of data.
    pub size: u64,
    /// Seconds since the epoch.
    pub mtime_s: u64,
}

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// As a TAR.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// As a ZIP.
    #[error(transparent)]
    Zip(#[from] ZipError),
}

impl ArchiveError {
    /// Whether the archive is at fault, not the source that it is read from.
    ///
    /// Decoders report damage as errors of the source: those are the archive's too.
    pub fn is_damage(&self) -> bool {
        let (Self::Tar(TarError::Io(err)) | Self::Zip(ZipError::Io(err))) = self else {
            return true;
        };
        err.raw_os_error().is_none()
            && matches!(err.kind(), InvalidData | InvalidInput | Other | UnexpectedEof)
    }
}

/// Goes through an archive; reads the data of the current file.
pub struct Walk(Kind);

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::Tar(walker) => walker.fmt(f),
            Kind::Zip { members, .. } => write!(f, "Zip({} to come)", members.len()),
        }
    }
}

enum Kind {
    Tar(Walker<Unpacked>),
    Zip { src: Shared, size: u64, members: std::vec::IntoIter<ZipMember>, current: Current },
}

/// A file of a ZIP, opened when it is read.
#[derive(Debug)]
enum Current {
    None,
    Next(Box<ZipMember>),
    Open(ZipData),
}

impl Walk {
    /// Starts with the first file of an archive of `size` bytes.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`] for a ZIP whose directory cannot be read.
    pub fn open(src: Shared, size: u64, format: Format) -> Result<Self, ArchiveError> {
        Ok(Self(if format == Format::Zip {
            let members = read_directory(&*src, size)?.into_iter();
            Kind::Zip { src, size, members, current: Current::None }
        } else {
            // The end of compressed input proves nothing: it may have been cut off.
            Kind::Tar(Walker::new(Unpacked::new(src, size, format), format == Format::Tar))
        }))
    }

    /// The next file; what was not read of the one before is passed over. `None` at the end.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`] when the archive is damaged; the walk is over then.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        match &mut self.0 {
            Kind::Tar(walker) => {
                let head = walker.next_member()?;
                Ok(head.map(|h| Entry { name: h.name, size: h.size, mtime_s: h.mtime_s }))
            }
            Kind::Zip { members, current, .. } => {
                let Some(member) = members.next() else {
                    *current = Current::None;
                    return Ok(None);
                };
                let entry =
                    Entry { name: member.name.clone(), size: member.size, mtime_s: member.mtime_s };
                *current = Current::Next(Box::new(member));
                Ok(Some(entry))
            }
        }
    }
}

impl Read for Walk {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Tar(walker) => walker.read(buf),
            Kind::Zip { src, size, current, .. } => {
                if let Current::Next(member) = current {
                    *current = Current::Open(member.open(src, *size).map_err(io::Error::other)?);
                }
                match current {
                    Current::Open(data) => data.read(buf),
                    _ => Ok(0),
                }
            }
        }
    }
}
