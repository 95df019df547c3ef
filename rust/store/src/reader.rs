//! Reading one object.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::error::StoreError;
use crate::faults::{self, Tried};
use crate::heal::open_copy;
use crate::meta::ObjectMeta;
use crate::payload::Payload;
use crate::shared::Shared;

/// An open object. Keeps reading the version it was opened on, whatever happens to the object's name.
#[derive(Debug, Clone)]
pub struct ObjectReader {
    meta: ObjectMeta,
    payload: Payload,
    mountpath: Arc<Path>,
    copies: Option<Arc<Copies>>,
}

/// Where to look when the disk fails.
#[derive(Debug)]
struct Copies {
    shared: Arc<Shared>,
    key: Vec<u8>,
    /// Opened on the first failure.
    copy: OnceLock<Option<ObjectReader>>,
}

impl ObjectReader {
    pub(crate) fn new(meta: ObjectMeta, payload: Payload, mountpath: Arc<Path>) -> Self {
        Self { meta, payload, mountpath, copies: None }
    }

    /// The same reader, which reads from a copy of the object under `key` where its own disk fails.
    pub(crate) fn with_copies(mut self, shared: Arc<Shared>, key: Vec<u8>) -> Self {
        self.copies = Some(Arc::new(Copies { shared, key, copy: OnceLock::new() }));
        self
    }

    /// The same reader without its copies; an error when it already reads one in place of the object.
    pub(crate) fn own_disk(&self) -> Result<Self, StoreError> {
        if self.copies.is_none() && !self.meta.copies.is_empty() {
            let reason = "the object is lost here".to_owned();
            return Err(StoreError::Corrupt { path: self.mountpath.to_path_buf(), reason });
        }
        Ok(Self { copies: None, ..self.clone() })
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
        let read = match &self.payload {
            Payload::Whole(stored) => {
                let read = stored.read_exact_at(buf, offset);
                read.inspect_err(|error| faults::note(&self.mountpath, Tried::Read, error))
            }
            Payload::Parts(parts) => parts.read_exact_at(buf, offset),
        };
        let Err(error) = read else { return Ok(wanted) };
        let Some(copies) = &self.copies else { return Err(error) };
        let copy = copies.copy.get_or_init(|| {
            tracing::error!(mountpath = %self.mountpath.display(), %error,
                "an object cannot be read: its copy is");
            open_copy(&copies.shared, &copies.key, &self.meta)
        });
        copy.as_ref().ok_or(error)?.read_at(buf, offset)
    }

    /// As [`read_at`](Self::read_at), but never waits for the disk: `None` when nothing can be read
    /// without. May return fewer bytes than are left: those that are cached, and of one part.
    pub fn read_at_nowait(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        let buf = self.within(buf, offset);
        if buf.is_empty() {
            return Ok(Some(0));
        }
        match &self.payload {
            Payload::Whole(stored) => stored.read_nowait(buf, offset),
            Payload::Parts(parts) => match parts.locate(offset) {
                Some((part, within)) => match part.cached() {
                    Some(stored) => stored.read_nowait(part.clip(buf, within), within),
                    None => Ok(None),
                },
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            },
        }
    }

    /// Asks the system to have `length` bytes from `offset` on in memory soon. A hint: failure costs
    /// speed only, and what lies in a part that is not open yet is passed over.
    pub fn will_need(&self, offset: u64, length: u64) {
        match &self.payload {
            Payload::Whole(stored) => stored.will_need(offset, length),
            Payload::Parts(parts) => {
                if let Some((part, within)) = parts.locate(offset)
                    && let Some(stored) = part.cached()
                {
                    stored.will_need(within, length.min(part.size() - within));
                }
            }
        }
    }

    /// Whether the file that holds the payload was removed meanwhile: reading goes on, but keeps its space
    /// from others.
    pub fn is_stale(&self) -> bool {
        matches!(&self.payload, Payload::Whole(stored) if stored.is_unlinked())
    }

    /// Whether the object is a small one that shares its file with others.
    pub fn shares_file(&self) -> bool {
        matches!(&self.payload, Payload::Whole(stored) if stored.shares_file())
    }

    /// The open file of a payload in one piece.
    pub fn file(&self) -> Option<&Arc<File>> {
        match &self.payload {
            Payload::Whole(stored) => Some(stored.file()),
            Payload::Parts(_) => None,
        }
    }

    /// The open file that holds payload byte `offset`, where in it that byte lies, and how many bytes of
    /// payload follow there; what comes after those is not for clients. `None` past the end, and while
    /// the part of a payload in several is not open.
    pub fn locate(&self, offset: u64) -> Option<(Arc<File>, u64, u64)> {
        let left = self.meta.size.checked_sub(offset).filter(|left| *left > 0)?;
        match &self.payload {
            Payload::Whole(stored) => {
                let (file, at) = stored.locate(offset);
                Some((file, at, left))
            }
            Payload::Parts(parts) => {
                let (part, within) = parts.locate(offset)?;
                let (file, at) = part.cached()?.locate(within);
                Some((file, at, part.size() - within))
            }
        }
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
