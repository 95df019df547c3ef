//! Appending to objects.
//!
//! Each append session is one growing file, `ais/appends/<bucket id>-<digest of the object>-<session>`, on
//! the mountpath where the object belonged when the session began. A mark beside it tells how many bytes
//! were acknowledged; what lies beyond is a torn append and is cut off by the next step. The caller's handle
//! carries the same number: a handle of an earlier append is refused, so that of several callers with one
//! handle only one is told that it appended. The last append may be sent again with the handle it had. To flush a
//! session, its file gets a trailer and becomes the object's blob: an entry under the reserved bucket id 0
//! says so first, and is rolled forward after a crash.

mod busy;
mod files;
mod flush;
mod intent;
pub(crate) mod marks;
mod vacate;

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use aistore_core::checksum::{ChecksumType, Hasher};

use crate::durability::Promise;
use crate::error::StoreError;
use crate::files::Dir;
use crate::identity::random_u64;
use crate::mountpath::SharedMountpath;
use crate::reader::ObjectReader;
use crate::store::{Store, check_name};
pub(crate) use busy::Appends;
use busy::Busy;
use files::{OpenSession, conflict, find, path_of};
pub(crate) use files::{bids, remove_where};
pub(crate) use intent::{parts_of_entry, roll_forward};
use marks::Mark;
pub(crate) use vacate::{any_on, vacate};

/// Bytes copied at a time when a session begins with what the object has.
const COPY_BYTES: usize = 256 * 1024;
/// How often the free space is looked at, in bytes written.
const SPACE_CHECK_BYTES: u64 = 16 * 1024 * 1024;

/// Identity of an append session: 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AppendId(u64);

impl AppendId {
    /// Parses what its display form says; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let digits = Some(text).filter(|text| text.len() == 16 && lower)?;
        u64::from_str_radix(digits, 16).ok().map(Self)
    }
}

impl fmt::Display for AppendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Where a session stands: what a handle carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendState {
    /// The session.
    pub id: AppendId,
    /// Bytes acknowledged.
    pub size: u64,
    /// Type of the checksum that is computed while bytes arrive.
    pub checksum: ChecksumType,
}

/// An append in progress. Dropping it takes the bytes back.
pub struct AppendWriter {
    state: AppendState,
    promise: Promise,
    mountpath: SharedMountpath,
    path: PathBuf,
    file: File,
    hasher: Option<Hasher>,
    /// crc32c of the session, as far as it is known.
    crc32c: Option<u32>,
    checked: u64,
    busy: Busy,
    /// Where this append begins.
    before: u64,
    /// Where the session ends, if what comes may only be what was appended last.
    again: Option<u64>,
    /// Whether the session has begun with this append: it ends with it unless that succeeds.
    fresh: bool,
    done: bool,
}

impl fmt::Debug for AppendWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppendWriter").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Store {
    /// Starts a session, with what the object has now if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] as for a put; those of reading and writing.
    pub fn begin_append(
        &self,
        (bid, uname, name): (u64, &str, &str),
        checksum: ChecksumType,
    ) -> Result<AppendWriter, StoreError> {
        check_name(bid, name)?;
        let shared = &self.shared;
        let present = self.open_object(bid, uname, name)?;
        let open = shared.enter()?;
        let mountpath = Arc::clone(shared.set().own(uname));
        mountpath.check_writable()?;
        mountpath
            .space
            .check(&mountpath.files, present.as_ref().map_or(0, |one| one.meta().size))?;
        let id = AppendId(random_u64()?);
        let busy = shared.appends.enter(id.0)?;
        let path = path_of(&mountpath, bid, uname, id.0);
        let file = files::create(&path)?;
        step!("append: session begun");
        drop(open);
        let state = AppendState { id, size: 0, checksum };
        let mut writer = AppendWriter::new((bid, state), (mountpath, path), file, busy);
        writer.hasher = Some(Hasher::new(checksum));
        writer.crc32c = Some(0);
        writer.fresh = true;
        if let Some(present) = present {
            writer.copy(&present)?;
            writer.before = writer.state.size;
        }
        Ok(writer)
    }

    /// Continues a session from where its handle says; what was written beyond is cut off. With the handle
    /// that the last append had, the writer takes exactly the same bytes again, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownAppend`]; [`StoreError::Busy`] while another request works on the session;
    /// [`StoreError::AppendConflict`] for an older handle.
    pub fn continue_append(
        &self,
        (bid, uname): (u64, &str),
        state: AppendState,
    ) -> Result<AppendWriter, StoreError> {
        let shared = &self.shared;
        let _open = shared.enter()?;
        let busy = shared.appends.enter(state.id.0)?;
        let (mountpath, path) = find(shared, bid, uname, state.id.0)?;
        mountpath.check_writable()?;
        let OpenSession { file, again, crc32c } = files::open_at(&mountpath, &path, state)?;
        let hasher = if again.is_none() { shared.appends.take_hasher(state) } else { None };
        let mut writer = AppendWriter::new((bid, state), (mountpath, path), file, busy);
        (writer.hasher, writer.again, writer.crc32c) = (hasher, again, crc32c);
        Ok(writer)
    }
}

impl AppendWriter {
    /// Goes on with a session of a bucket where it stands.
    fn new(
        (bid, state): (u64, AppendState),
        (mountpath, path): (SharedMountpath, PathBuf),
        file: File,
        busy: Busy,
    ) -> Self {
        Self {
            state,
            promise: mountpath.policies.promise(bid),
            mountpath,
            path,
            file,
            hasher: None,
            crc32c: None,
            checked: state.size,
            busy,
            before: state.size,
            again: None,
            fresh: false,
            done: false,
        }
    }

    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSpace`], [`StoreError::ReadOnly`] or [`StoreError::Io`];
    /// [`StoreError::AppendConflict`] when the session went on with other bytes. Drop the writer then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let end = self.state.size + bytes.len() as u64;
        if let Some(stands_at) = self.again {
            if end > stands_at || !self.has(bytes)? {
                return Err(self.conflict(stands_at));
            }
            self.state.size = end;
            return Ok(());
        }
        if end > self.checked {
            self.mountpath.space.check(&self.mountpath.files, SPACE_CHECK_BYTES)?;
            self.checked = end + SPACE_CHECK_BYTES;
        }
        let written = self.file.write_all_at(bytes, self.state.size);
        written.map_err(|source| StoreError::io(&self.path, "write to", source))?;
        step!("append: bytes written");
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.crc32c = self.crc32c.map(|crc| crc32c::crc32c_append(crc, bytes));
        self.state.size = end;
        Ok(())
    }

    /// Bytes of the session, this append included.
    pub fn size(&self) -> u64 {
        self.state.size
    }

    /// Ends the append. On return its bytes survive the end of the process.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write); then the session stands where it stood.
    pub fn finish(mut self) -> Result<AppendState, StoreError> {
        match self.again {
            Some(stands_at) if stands_at != self.state.size => {
                return Err(self.conflict(stands_at));
            }
            // Written again: who wrote it first may have ended before it was on the disk.
            Some(_) => {
                let mark = marks::read(&self.path)?;
                self.write_mark(mark.unwrap_or_else(|| self.mark()))?;
            }
            None => {
                self.write_mark(self.mark())?;
                step!("append: mark written");
                self.busy.keep_hasher(self.state, self.hasher.take());
            }
        }
        self.done = true;
        Ok(self.state)
    }

    fn mark(&self) -> Mark {
        Mark { before: self.before, size: self.state.size, crc32c: self.crc32c }
    }

    /// Writes the mark; on return it and the bytes are as durable as the policy of the bucket says.
    fn write_mark(&self, mark: Mark) -> Result<(), StoreError> {
        if self.promise.is_immediate() {
            return self.write_through(mark);
        }
        self.mountpath.note_loose(self.promise)?;
        let written = marks::write(&self.path, mark, false)?;
        let (id, file) = (self.state.id.0, self.file.try_clone().ok());
        self.mountpath.unsynced.session(id, file, written, self.promise);
        Ok(())
    }

    /// Writes the mark, and brings the bytes, the mark and the names of both to the disk.
    fn write_through(&self, mark: Mark) -> Result<(), StoreError> {
        let mountpath = &self.mountpath;
        // Sent again, it would seem to be on the disk: the system forgets what it could not write.
        let note = |error: &StoreError| mountpath.note_failure(error);
        mountpath.unsynced.count_sync();
        let synced = self.file.sync_data();
        synced.map_err(|source| StoreError::io(&self.path, "sync", source)).inspect_err(note)?;
        let marked = marks::write(&self.path, mark, true);
        marked.inspect_err(|error| mountpath.note_failed_sync(error))?;
        mountpath.unsynced.count_sync();
        mountpath.files.sync_dir(Dir::Appends).inspect_err(note)
    }

    /// Whether the session has these bytes where this append stands.
    fn has(&self, bytes: &[u8]) -> Result<bool, StoreError> {
        let mut buffer = vec![0; COPY_BYTES.min(bytes.len())];
        let mut at = self.state.size;
        for piece in bytes.chunks(COPY_BYTES) {
            let known = buffer.get_mut(..piece.len()).unwrap_or_default();
            let read = self.file.read_exact_at(known, at);
            read.map_err(|source| StoreError::io(&self.path, "read", source))?;
            if *known != *piece {
                return Ok(false);
            }
            at += piece.len() as u64;
        }
        Ok(true)
    }

    fn conflict(&self, stands_at: u64) -> StoreError {
        conflict(AppendState { size: self.before, ..self.state }, stands_at)
    }

    fn copy(&mut self, present: &ObjectReader) -> Result<(), StoreError> {
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            let read = present.read_at(&mut buffer, self.state.size);
            let read =
                read.map_err(|source| StoreError::io(present.mountpath(), "read from", source))?;
            match buffer.get(..read) {
                Some(bytes) if !bytes.is_empty() => self.write(bytes)?,
                _ => return Ok(()),
            }
        }
    }
}

impl Drop for AppendWriter {
    fn drop(&mut self) {
        if !self.done && self.fresh {
            // Nobody got a handle for it. What a continued session has too much is cut off later.
            files::remove(&self.path);
        }
    }
}
