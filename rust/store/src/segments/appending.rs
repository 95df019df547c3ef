//! Writing records: one segment at a time is appended to.

use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::record::{self, HEADER_BYTES, Header, PREAMBLE_BYTES};
use super::{Fill, Location, Scan, Segments, numbers};
use crate::error::StoreError;
use crate::meta::BlobId;

/// The segment that is appended to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) number: u32,
    file: Arc<File>,
    salt: u32,
    length: u64,
}

impl Segments {
    /// Goes on with the newest segment, if the last run ended in order and all of it are records. Else it
    /// stays as it is: what a crash tore off is waste, and nothing may come to lie where the index may know
    /// something else.
    pub(super) fn resume(&self, clean: bool) -> Result<(), StoreError> {
        let Some(Fill { number, bytes, .. }) = self.table().newest() else { return Ok(()) };
        if !clean || !(PREAMBLE_BYTES..self.full_bytes).contains(&bytes) {
            return Ok(());
        }
        let path = self.path(number);
        let failed = |source: io::Error| StoreError::io(&path, "open", source);
        let file = File::options().read(true).write(true).open(&path).map_err(failed)?;
        let mut scan = Scan::new(&file).map_err(failed)?;
        let salt = scan.salt();
        while scan.next().map_err(failed)?.is_some() {}
        if scan.was_sound() {
            *self.active() = Some(Active { number, file: Arc::new(file), salt, length: bytes });
        } else {
            tracing::warn!(path = %path.display(), "not all of this segment are records");
        }
        Ok(())
    }

    /// Appends a blob; on return the operating system has it. `placed` is called before the segment can count
    /// as full, so that no compaction finds a record which nothing knows yet.
    pub(crate) fn append(
        &self,
        blob: BlobId,
        payload: &[u8],
        trailer: &[u8],
        placed: impl FnOnce(Location),
    ) -> Result<(), StoreError> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let header = Header {
            blob,
            payload: length(payload),
            trailer: length(trailer),
            crc32c: crc32c::crc32c(payload),
        };
        self.append_record(&header, payload, trailer, placed)
    }

    /// Appends a record with the header that it has.
    pub(crate) fn append_record(
        &self,
        header: &Header,
        payload: &[u8],
        trailer: &[u8],
        placed: impl FnOnce(Location),
    ) -> Result<(), StoreError> {
        let mut active = self.active();
        // One that is empty takes any record.
        let room = |active: &Active| {
            active.length == PREAMBLE_BYTES || active.length + header.stride() <= self.full_bytes
        };
        if !active.as_ref().is_some_and(room) {
            *active = None;
        }
        let current = match &mut *active {
            Some(current) => current,
            none => none.insert(self.start()?),
        };
        let start = current.length;
        match write_record(current, header, payload, trailer) {
            Ok(()) => {
                current.length += header.stride();
                self.table().set_bytes(current.number, current.length);
            }
            Err(source) => {
                // Nothing may follow a torn record: cut it off, or leave this segment as it is.
                if current.file.set_len(start).is_err() {
                    *active = None;
                }
                return Err(StoreError::io(&self.dir, "append to a segment in", source));
            }
        }
        step!("segment: record written");
        let offset = u32::try_from(start).unwrap_or(u32::MAX);
        let length = header.payload.saturating_add(header.trailer);
        placed(Location { segment: current.number, offset, length });
        Ok(())
    }

    /// Makes a new, empty segment.
    fn start(&self) -> Result<Active, StoreError> {
        let number = self.table().next_number();
        // Called by who holds `active`, so by one at a time.
        let bound = numbers::reserve(&self.dir, number, self.bound.load(Ordering::Relaxed))?;
        self.bound.store(bound, Ordering::Relaxed);
        let (path, salt) = (self.path(number), fastrand::u32(..));
        let failed = |source| StoreError::io(&path, "create", source);
        let made = File::options().read(true).write(true).create_new(true).open(&path);
        let file = made.map_err(|source| {
            if source.kind() == io::ErrorKind::AlreadyExists {
                self.pass_over(number);
            }
            failed(source)
        })?;
        let begun = std::os::unix::fs::FileExt::write_all_at(&file, &record::preamble(salt), 0);
        begun.map_err(|source| {
            // Nothing lies in it. One that stays is in the way of the next attempt.
            if fs::remove_file(&path).is_err() {
                self.pass_over(number);
            }
            failed(source)
        })?;
        step!("segment: begun");
        let file = Arc::new(file);
        let mut table = self.table();
        table.add(number, PREAMBLE_BYTES);
        table.keep_open(number, &file);
        Ok(Active { number, file, salt, length: PREAMBLE_BYTES })
    }
}

fn write_record(
    active: &Active,
    header: &Header,
    payload: &[u8],
    trailer: &[u8],
) -> io::Result<()> {
    const ZEROS: [u8; record::PADDING] = [0; record::PADDING];
    let head = header.encode(active.salt);
    let written = HEADER_BYTES + payload.len() + trailer.len();
    let padding = usize::try_from(header.stride()).unwrap_or(usize::MAX).saturating_sub(written);
    let padding = ZEROS.get(..padding).unwrap_or_default();
    let mut slices = [&head[..], payload, trailer, padding].map(IoSlice::new);
    let mut rest = &mut slices[..];
    let mut at = active.length;
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match rustix::io::pwritev(&active.file, rest, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                at += n as u64;
                IoSlice::advance_slices(&mut rest, n);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
