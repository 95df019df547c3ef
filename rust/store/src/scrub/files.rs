//! The part of a pass that reads blobs which are files.

use std::fmt;
use std::io;
use std::sync::Arc;

use aistore_core::checksum::Hasher;

use super::check::{self, Wrong};
use super::cursor::Position;
use super::source::Source;
use super::{Fault, Scrubbed, Scrubber, Suspect};
use crate::codec;
use crate::copying::compare;
use crate::error::StoreError;
use crate::files::{parse_blob_name, read_dir};
use crate::meta::BlobId;
use crate::mountpath::{Mountpath, SharedMountpath};
use crate::stored::Stored;
use crate::trailer::{self, Description};

/// Bytes read at once.
const PIECE_BYTES: u64 = 256 << 10;
/// The end of a file is looked at first: so much of it.
const TAIL_BYTES: u64 = 512;

impl Scrubber {
    /// Goes on with the blob that is being read, or takes up the next one of the directory.
    pub(super) fn files(
        &mut self,
        mountpath: &SharedMountpath,
        (dir, after): (u8, BlobId),
        budget: u64,
        done: &mut Scrubbed,
        suspects: &mut Vec<Suspect>,
    ) -> Result<(), StoreError> {
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => match self.next_file(mountpath, (dir, after), done)? {
                Some(reading) => reading,
                None => return Ok(()),
            },
        };
        let before = reading.offset;
        let read = reading.read(budget);
        done.cost += (reading.offset - before).max(1);
        done.bytes += reading.offset - before;
        let outcome = match read {
            Ok(None) => {
                self.reading = Some(reading);
                return Ok(());
            }
            Ok(Some(outcome)) => outcome,
            Err(error) => Err(Wrong::new(Fault::Unreadable, error.to_string())),
        };
        done.blobs += 1;
        self.cursor.position = Position::Files { dir, after: reading.blob.0 };
        if let Err(Wrong { description, .. }) = outcome {
            let described = description.or(reading.description.map(Box::new));
            let hint = described.map(|found| codec::key(found.bid, &found.name));
            suspects.push(Suspect { at: Arc::clone(mountpath), blob: reading.blob, hint });
        }
        Ok(())
    }

    fn next_file(
        &mut self,
        mountpath: &Mountpath,
        (dir, after): (u8, BlobId),
        done: &mut Scrubbed,
    ) -> Result<Option<Reading>, StoreError> {
        let queue = match &mut self.queue {
            Some(queue) => queue,
            none => none.insert(list(mountpath, dir, after)?),
        };
        let Some(blob) = queue.pop() else {
            self.queue = None;
            self.cursor.position = match dir.checked_add(1) {
                Some(dir) => Position::Files { dir, after: 0 },
                None => Position::Entries { bid: 0, name: String::new() },
            };
            done.cost += 1;
            return Ok(None);
        };
        Reading::open(mountpath, blob)
    }
}

/// Blobs of a directory above `after`, the first ones last.
fn list(mountpath: &Mountpath, dir: u8, after: BlobId) -> Result<Vec<BlobId>, StoreError> {
    let path = mountpath.files.path("blobs").join(format!("{dir:02x}"));
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in read_dir(&path)? {
        let entry = entry.map_err(|source| StoreError::io(&path, "list", source))?;
        found.extend(parse_blob_name(&entry.file_name()).filter(|blob| *blob > after));
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// A blob in a file that is being compared.
pub(super) struct Reading {
    pub(super) blob: BlobId,
    pub(super) description: Option<Description>,
    source: Source,
    hasher: Option<Hasher>,
    offset: u64,
    length: u64,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { blob, offset, length, .. } = self;
        write!(f, "Reading({blob}, {offset} of {length} bytes)")
    }
}

impl Reading {
    /// Opens a blob; `None` when it is gone.
    pub(super) fn open(mountpath: &Mountpath, blob: BlobId) -> Result<Option<Self>, StoreError> {
        let Some(file) = mountpath.files.open_blob(blob)? else { return Ok(None) };
        let source = Source::new(file);
        Ok(Some(Self { blob, description: None, source, hasher: None, offset: 0, length: 0 }))
    }

    /// Has what is read next come from the disk.
    pub(super) fn forget_cached(&self) {
        let _ = rustix::fs::fadvise(self.source.file(), 0, None, rustix::fs::Advice::DontNeed);
    }

    /// Reads about `budget` bytes; at the end, whether all is as it should be.
    pub(super) fn read(&mut self, budget: u64) -> io::Result<Option<Result<(), Wrong>>> {
        if self.hasher.is_none()
            && let Err(wrong) = self.begin()?
        {
            return Ok(Some(Err(wrong)));
        }
        let meta = self.description.as_ref().map(|found| &found.meta);
        let payload = meta.filter(|meta| meta.parts.is_empty()).map_or(0, |meta| meta.size);
        let stop = self.offset.saturating_add(budget.max(1));
        let mut buffer = vec![0; usize::try_from(PIECE_BYTES.min(self.length)).unwrap_or(0)];
        while self.offset < self.length && self.offset < stop {
            let piece = PIECE_BYTES.min(self.length - self.offset);
            let bytes = buffer.get_mut(..usize::try_from(piece).unwrap_or(0)).unwrap_or_default();
            self.source.read(bytes, self.offset)?;
            let left = payload.saturating_sub(self.offset).min(piece);
            let bytes = bytes.get(..usize::try_from(left).unwrap_or(0)).unwrap_or_default();
            if let Some(hasher) = &mut self.hasher {
                hasher.update(bytes);
            }
            self.offset += piece;
        }
        if self.offset < self.length {
            return Ok(None);
        }
        Ok(Some(self.end()))
    }

    /// Looks at the trailer.
    fn begin(&mut self) -> io::Result<Result<(), Wrong>> {
        self.length = self.source.file().metadata()?.len();
        let tail = TAIL_BYTES.min(self.length);
        let mut bytes = vec![0; usize::try_from(tail).unwrap_or(0)];
        self.source.read(&mut bytes, self.length - tail)?;
        let described = trailer::read(&Stored::whole(Arc::clone(self.source.file())))?;
        let description = match described {
            Ok(description) => description,
            Err(reason) => return Ok(Err(Wrong::new(Fault::Description, reason))),
        };
        if let Err(wrong) = check::same_blob(&description, self.blob) {
            return Ok(Err(wrong));
        }
        self.hasher = Some(Hasher::new(description.meta.checksum_type));
        self.description = Some(description);
        Ok(Ok(()))
    }

    fn end(&mut self) -> Result<(), Wrong> {
        let (Some(description), Some(hasher)) = (self.description.take(), self.hasher.take())
        else {
            return Ok(());
        };
        let meta = &description.meta;
        // The payload of a manifest lies elsewhere, and so does what its checksum is about.
        let compared = match meta.parts.as_slice() {
            [] => compare(meta.checksum_type, &meta.checksum, hasher),
            _ => Ok(()),
        };
        compared.map_err(|error| Wrong {
            fault: Fault::Payload,
            reason: error.to_string(),
            description: Some(Box::new(description)),
        })
    }
}
