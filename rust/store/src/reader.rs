//! Reading one object.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::io::{Errno, ReadWriteFlags};

use crate::meta::ObjectMeta;

/// An open object. Keeps reading the version it was opened on, whatever happens to the object's name.
#[derive(Debug, Clone)]
pub struct ObjectReader {
    meta: ObjectMeta,
    file: Arc<File>,
    mountpath: Arc<Path>,
}

impl ObjectReader {
    pub(crate) fn new(meta: ObjectMeta, file: Arc<File>, mountpath: Arc<Path>) -> Self {
        Self { meta, file, mountpath }
    }

    /// Metadata of the version being read.
    pub fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    /// Mountpath that holds the object.
    pub fn mountpath(&self) -> &Path {
        &self.mountpath
    }

    /// Reads payload bytes from `offset` on, filling `buf` but for the end of the payload; 0 past it.
    ///
    /// # Errors
    ///
    /// Those of the file, and `UnexpectedEof` when the blob is shorter than its description.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let buf = self.within(buf, offset);
        let wanted = buf.len();
        self.file.read_exact_at(buf, offset)?;
        Ok(wanted)
    }

    /// As [`read_at`](Self::read_at), but never waits for the disk: `None` when nothing can be read
    /// without. May return fewer bytes than are left: those that are cached.
    pub fn read_at_nowait(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        let buf = self.within(buf, offset);
        if buf.is_empty() {
            return Ok(Some(0));
        }
        let mut slices = [IoSliceMut::new(buf)];
        match rustix::io::preadv2(&self.file, &mut slices, offset, ReadWriteFlags::NOWAIT) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => Ok(Some(read)),
            // Not cached, or a file system or kernel that cannot tell.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR | Errno::INVAL) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The file and the offset of the payload in it; the payload's length is the size in
    /// [`meta`](Self::meta), and what follows it is not for clients.
    pub fn file(&self) -> (&File, u64) {
        (&self.file, 0)
    }

    /// The part of `buf` that payload from `offset` on can fill.
    fn within<'b>(&self, buf: &'b mut [u8], offset: u64) -> &'b mut [u8] {
        let left = self.meta.size.saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        buf.get_mut(..length).unwrap_or_default()
    }
}

impl aistore_core::tar::ReadAt for ObjectReader {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        Self::read_at(self, buf, offset)
    }
}
