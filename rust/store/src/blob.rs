//! Writing one blob: payload, then trailer, first under `tmp/`.

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::sync::Arc;

use crate::durability::Promise;
use crate::error::StoreError;
use crate::meta::BlobId;
use crate::mountpath::SharedMountpath;
use crate::preallocate;
use crate::writeback;

/// Payload up to this size is held back until the end, so that a small object is written, trailer
/// included, by one system call.
const BUFFER_BYTES: usize = 64 * 1024;
/// How much a disk is told to write at once, while more is on its way.
const WRITE_BACK_BYTES: u64 = 8 * 1024 * 1024;
/// How often a stream without a size hint looks at the free space, in bytes written.
const SPACE_CHECK_BYTES: u64 = 16 * 1024 * 1024;

/// A blob in progress. Dropping it leaves nothing behind. Memory: at most 64 KiB.
pub(crate) struct BlobWriter {
    mountpath: SharedMountpath,
    buffer: Vec<u8>,
    file: Option<TmpFile>,
    size: u64,
    checked: u64,
    /// Announced payload bytes.
    hint: u64,
    /// Whether it is to be on the disk before a commit names it, whatever the policy of the bucket.
    durable: bool,
    /// Whether the disk begins to write before all is here, because somebody will wait until it has.
    early: bool,
}

impl BlobWriter {
    /// Starts a blob of about `hint` bytes; refused when they do not fit.
    pub(crate) fn new(mountpath: SharedMountpath, hint: u64) -> Result<Self, StoreError> {
        mountpath.check_writable()?;
        mountpath.space.check(&mountpath.files, hint)?;
        let hinted = usize::try_from(hint).unwrap_or(usize::MAX);
        let buffer = Vec::with_capacity(if hinted <= BUFFER_BYTES { hinted } else { 0 });
        let (durable, early) = (false, false);
        Ok(Self { mountpath, buffer, file: None, size: 0, checked: hint, hint, durable, early })
    }

    /// Starts a blob without payload, which describes what is stored already: on a disk that takes nothing
    /// new too.
    pub(crate) fn for_description(mountpath: SharedMountpath) -> Result<Self, StoreError> {
        mountpath.check_writable()?;
        mountpath.space.check_reserve(&mountpath.files, 0)?;
        let buffer = Vec::new();
        let (durable, early) = (false, false);
        Ok(Self { mountpath, buffer, file: None, size: 0, checked: 0, hint: 0, durable, early })
    }

    /// Follows the policy of that bucket while it is written; it is asked again at the end.
    pub(crate) fn for_bucket(mut self, bid: u64) -> Self {
        self.early = self.mountpath.policies.promise(bid).is_immediate();
        self
    }

    /// Makes this blob take the place of what may have been on the disk for long: a bucket's policy is about
    /// changes, not about what the store moves by itself.
    pub(crate) fn durably(mut self) -> Self {
        (self.durable, self.early) = (true, true);
        self
    }

    pub(crate) fn mountpath(&self) -> &SharedMountpath {
        &self.mountpath
    }

    /// Payload bytes so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Appends payload.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.size += bytes.len() as u64;
        if self.buffer.len() + bytes.len() <= BUFFER_BYTES {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        if self.size > self.checked {
            self.mountpath.space.check(&self.mountpath.files, SPACE_CHECK_BYTES)?;
            self.checked = self.size + SPACE_CHECK_BYTES;
        }
        let buffer = std::mem::take(&mut self.buffer);
        let early = self.early;
        let file = self.file()?;
        file.append(&buffer, bytes)?;
        if early {
            file.write_back();
        }
        Ok(())
    }

    /// Moves what was written so far to another mountpath.
    pub(crate) fn relocate(&mut self, home: SharedMountpath) -> Result<(), StoreError> {
        home.check_writable()?;
        home.space.check(&home.files, self.size)?;
        if let Some(written) = self.file.take() {
            let mut file = TmpFile::create(Arc::clone(&home))?;
            written.copy_to(&mut file)?;
            step!("blob: copied to another mountpath");
            self.file = Some(file);
        }
        self.mountpath = home;
        Ok(())
    }

    /// Writes what is held back and the trailer, and gives the file its final name, for a bucket. After this
    /// nothing may be written.
    pub(crate) fn publish(
        &mut self,
        trailer: &[u8],
        (bid, blob): (u64, BlobId),
    ) -> Result<(), StoreError> {
        let buffer = std::mem::take(&mut self.buffer);
        let bytes = (buffer.len() + trailer.len()) as u64;
        let promise =
            if self.durable { Promise::immediate() } else { self.mountpath.policies.promise(bid) };
        self.mountpath.note_loose(promise)?;
        if self.file.is_none() && bytes <= self.mountpath.max_record_bytes {
            return self.mountpath.append_blob((promise, blob), &buffer, trailer);
        }
        let (announced, written) = (self.hint, self.size + trailer.len() as u64);
        let file = self.file()?;
        file.append(&buffer, trailer)?;
        file.trim(announced, written)?;
        step!("blob: written");
        match self.file.take() {
            Some(file) => file.publish(promise, blob),
            None => Ok(()),
        }
    }

    fn file(&mut self) -> Result<&mut TmpFile, StoreError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => TmpFile::create_for(Arc::clone(&self.mountpath), self.hint)?,
        };
        Ok(self.file.insert(file))
    }
}

/// A file under `tmp/`, removed on drop unless published.
struct TmpFile {
    mountpath: SharedMountpath,
    name: Option<String>,
    file: File,
    written: u64,
    /// Of these the disk was told.
    told: u64,
}

impl TmpFile {
    fn create(mountpath: SharedMountpath) -> Result<Self, StoreError> {
        let (name, file) = mountpath.files.create_tmp()?;
        Ok(Self { mountpath, name: Some(name), file, written: 0, told: 0 })
    }

    /// Takes space for so many bytes at once.
    fn create_for(mountpath: SharedMountpath, bytes: u64) -> Result<Self, StoreError> {
        let file = Self::create(mountpath)?;
        preallocate::reserve(&file.file, bytes)
            .map_err(|source| StoreError::io(file.mountpath.path(), "write to", source))?;
        Ok(file)
    }

    /// Gives back what was announced and did not come.
    fn trim(&self, announced: u64, written: u64) -> Result<(), StoreError> {
        let trimmed = preallocate::trim(&self.file, announced, written);
        trimmed.map_err(|source| StoreError::io(self.mountpath.path(), "write to", source))
    }

    fn append(&mut self, first: &[u8], second: &[u8]) -> Result<(), StoreError> {
        write_both(&mut self.file, first, second)
            .map_err(|source| StoreError::io(self.mountpath.path(), "write to", source))?;
        self.written += (first.len() + second.len()) as u64;
        Ok(())
    }

    /// Has the disk begin with what came since the last time, if that is worth it.
    fn write_back(&mut self) {
        let more = self.written - self.told;
        if more >= WRITE_BACK_BYTES {
            writeback::begin(&self.file, self.told, more);
            self.told = self.written;
        }
    }

    /// Appends everything written so far to `other`.
    fn copy_to(&self, other: &mut Self) -> Result<(), StoreError> {
        let Some(name) = &self.name else { return Ok(()) };
        let mut written = self.mountpath.files.open_tmp(name)?;
        io::copy(&mut written, &mut other.file)
            .map_err(|source| StoreError::io(other.mountpath.path(), "write to", source))?;
        Ok(())
    }

    fn publish(mut self, promise: Promise, blob: BlobId) -> Result<(), StoreError> {
        let mountpath = Arc::clone(&self.mountpath);
        let Some(name) = &self.name else { return Ok(()) };
        if promise.is_immediate() {
            // By its own writer rather than by who leads the commit: large files are synced side by side.
            mountpath.unsynced.count_sync();
            let synced = self.file.sync_data();
            let synced = synced.map_err(|source| StoreError::io(mountpath.path(), "sync", source));
            synced.inspect_err(|error| mountpath.note_failed_sync(error))?;
        }
        let changed = mountpath.files.publish(name, blob)?;
        step!("blob: published");
        self.name = None;
        mountpath.unsynced.dirs(changed, promise);
        if !promise.is_immediate() {
            let file = || self.file.try_clone().ok();
            if mountpath.unsynced.file(blob, file, promise) {
                return mountpath.sync_late(&self.file);
            }
        }
        Ok(())
    }
}

impl Drop for TmpFile {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            self.mountpath.files.remove_tmp(name);
        }
    }
}

fn write_both(file: &mut File, mut first: &[u8], mut second: &[u8]) -> io::Result<()> {
    while !first.is_empty() {
        match file.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                second = second.get(written.saturating_sub(first.len())..).unwrap_or_default();
                first = first.get(written..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    file.write_all(second)
}
