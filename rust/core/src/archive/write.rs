//! Writing archives: files in order, in any format.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};

use super::source::{Shared, SourceAt, Unpacked};
use super::zip::{ZipError, raw_directory, read_directory};
use super::{ArchiveError, Format};
use crate::tar::{self, Walker};
use crate::zip_stream::ZipWriter;

/// Fast: archives hold media and tensors that hardly shrink.
const GZIP_LEVEL: u32 = 1;

/// Bytes copied at once.
const COPY_BYTES: usize = 128 << 10;

/// Why an archive cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum ExtendError {
    /// It cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The new one cannot be written.
    #[error(transparent)]
    Output(io::Error),
}

enum Out<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
    Lz4(Box<FrameEncoder<W>>),
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(buf),
            Self::Gzip(out) => out.write(buf),
            Self::Lz4(out) => out.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gzip(out) => out.flush(),
            Self::Lz4(out) => out.flush(),
        }
    }
}

/// Writes one archive.
pub struct Writer<W: Write> {
    out: Out<W>,
    zip: Option<ZipWriter>,
    /// Announced size of the current file, and what came of it.
    size: u64,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Starts an archive.
    pub fn new(out: W, format: Format) -> Self {
        let out = match format {
            Format::TarGz => Out::Gzip(GzEncoder::new(out, Compression::new(GZIP_LEVEL))),
            Format::TarLz4 => {
                let info = FrameInfo::new().block_size(BlockSize::Max256KB);
                Out::Lz4(Box::new(FrameEncoder::with_frame_info(info, out)))
            }
            Format::Tar | Format::Zip => Out::Plain(out),
        };
        let zip = (format == Format::Zip).then(ZipWriter::default);
        Self { out, zip, size: 0, written: 0 }
    }

    /// Starts with all that an archive of `size` bytes has, for more to follow. Nothing of it is lost: what is no
    /// regular file, what a ZIP has compressed, and what files have beside name and time stays as it is.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`] when the archive cannot be read to its end, and those of the output.
    pub fn extend(out: W, src: &Shared, size: u64, format: Format) -> Result<Self, ExtendError> {
        let mut writer = Self::new(out, format);
        if format == Format::Zip {
            // Only to a sound archive is anything added.
            read_directory(&**src, size).map_err(ArchiveError::from)?;
            let (at, entries, directory) =
                raw_directory(&**src, size).map_err(ArchiveError::from)?;
            writer.copy(SourceAt::new(Shared::clone(src), 0, at), at)?;
            writer.zip = Some(ZipWriter::resume(at, entries, directory));
            return Ok(writer);
        }
        let unpacked = || Unpacked::new(Shared::clone(src), size, format);
        let mut walker = Walker::new(unpacked(), format == Format::Tar);
        while walker.next_member().map_err(ArchiveError::from)?.is_some() {}
        let end = walker.position();
        writer.copy(unpacked(), end)?;
        let zeros = tar::END.get(..tar::padding(end)).unwrap_or_default();
        writer.out.write_all(zeros).map_err(ExtendError::Output)?;
        Ok(writer)
    }

    /// Writes `length` bytes as they come.
    fn copy(&mut self, from: impl Read, length: u64) -> Result<(), ExtendError> {
        let (mut from, mut left) = (from.take(length), length);
        let mut buffer = vec![0; COPY_BYTES];
        while left > 0 {
            let read = match from.read(&mut buffer) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                read => read,
            };
            let read = read.map_err(|err| ArchiveError::from(ZipError::Io(err)))?;
            left -= read as u64;
            let bytes = buffer.get(..read).unwrap_or_default();
            self.out.write_all(bytes).map_err(ExtendError::Output)?;
        }
        Ok(())
    }

    /// Starts a file of `size` bytes.
    ///
    /// # Errors
    ///
    /// Those of the output.
    pub fn begin(&mut self, name: &str, size: u64, mtime_s: u64) -> io::Result<()> {
        (self.size, self.written) = (size, 0);
        match &mut self.zip {
            Some(zip) => self.out.write_all(&zip.begin(name)),
            None => self.out.write_all(&tar::encode_header(name, size, mtime_s)),
        }
    }

    /// Writes data of the current file.
    ///
    /// # Errors
    ///
    /// Those of the output, and more data than announced.
    pub fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        if self.written > self.size {
            return Err(io::Error::other("a file has more bytes than it was said to have"));
        }
        if let Some(zip) = &mut self.zip {
            zip.data(bytes);
        }
        self.out.write_all(bytes)
    }

    /// Ends the current file.
    ///
    /// # Errors
    ///
    /// Those of the output, and less data than announced.
    pub fn end(&mut self) -> io::Result<()> {
        if self.written != self.size {
            return Err(io::Error::other("a file has fewer bytes than it was said to have"));
        }
        if let Some(zip) = &mut self.zip {
            return self.out.write_all(&zip.end());
        }
        self.out.write_all(tar::END.get(..tar::padding(self.size)).unwrap_or_default())
    }

    /// Ends the archive.
    ///
    /// # Errors
    ///
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<W> {
        match self.zip.take() {
            Some(zip) => self.out.write_all(&zip.finish(""))?,
            None => self.out.write_all(&tar::END)?,
        }
        match self.out {
            Out::Plain(out) => Ok(out),
            Out::Gzip(out) => out.finish(),
            Out::Lz4(out) => out.finish().map_err(io::Error::other),
        }
    }
}
