//! Where the bytes of an open object come from.

use std::io;
use std::sync::Arc;

use crate::error::StoreError;
use crate::faults::Tried;
use crate::meta::{BlobId, ObjectMeta, Place};
use crate::mountpath::SharedMountpath;
use crate::pins::PinGuard;
use crate::shared::Shared;
use crate::stored::Stored;

/// The payload of an open object.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    /// All of it in one blob.
    Whole(Stored),
    /// In several, opened as they are read.
    Parts(Arc<Parts>),
}

/// What came of opening a payload.
pub(crate) enum Opened {
    Payload(Payload),
    /// A blob is not there: the object changed since it was looked up, or the blob is lost.
    Missing(String),
}

/// Payload in several blobs, which stay while this exists.
#[derive(Debug)]
pub(crate) struct Parts {
    pieces: Vec<Piece>,
    _pins: PinGuard,
}

/// One part.
#[derive(Debug)]
pub(crate) struct Piece {
    start: u64,
    size: u64,
    blob: BlobId,
    mountpath: SharedMountpath,
    /// Where else the same bytes lie.
    others: Vec<(BlobId, SharedMountpath)>,
}

impl Payload {
    /// Opens what `meta` names. With several parts, the caller must look the object up again before it
    /// relies on the result: what was discarded before it was pinned may go any moment.
    pub(crate) fn open(
        shared: &Shared,
        home: &SharedMountpath,
        meta: &ObjectMeta,
        cache: bool,
    ) -> Result<Opened, StoreError> {
        match meta.parts.as_slice() {
            [] => open_whole(home, meta.blob, cache),
            [one] => {
                let mut missing = String::new();
                for place in &one.places {
                    match shared.by_digest(place.mountpath) {
                        Some(mountpath) => match open_whole(&mountpath, place.blob, cache)? {
                            Opened::Missing(what) => missing = what,
                            opened @ Opened::Payload(_) => return Ok(opened),
                        },
                        None => missing = absent(*place),
                    }
                }
                Ok(Opened::Missing(missing))
            }
            _ => open_parts(shared, meta),
        }
    }
}

fn open_whole(
    mountpath: &SharedMountpath,
    blob: BlobId,
    cache: bool,
) -> Result<Opened, StoreError> {
    if let Some(stored) = mountpath.open_blob(blob, cache)? {
        return Ok(Opened::Payload(Payload::Whole(stored)));
    }
    Ok(Opened::Missing(mountpath.whereabouts(blob)))
}

fn open_parts(shared: &Shared, meta: &ObjectMeta) -> Result<Opened, StoreError> {
    let all = meta.parts.iter().flat_map(|part| part.places.iter().copied()).collect();
    let pins = shared.pins.pin(all);
    let mut pieces = Vec::with_capacity(meta.parts.len());
    let mut start = 0_u64;
    for part in &meta.parts {
        let mut missing = String::new();
        let mut found = Vec::new();
        for place in &part.places {
            let Some(mountpath) = shared.by_digest(place.mountpath) else {
                missing = absent(*place);
                continue;
            };
            if mountpath.has_blob(place.blob)? {
                found.push((place.blob, mountpath));
                continue;
            }
            missing = mountpath.whereabouts(place.blob);
        }
        let mut found = found.into_iter();
        let Some((blob, mountpath)) = found.next() else { return Ok(Opened::Missing(missing)) };
        let others = found.collect();
        pieces.push(Piece { start, size: part.size, blob, mountpath, others });
        start = start.saturating_add(part.size);
    }
    Ok(Opened::Payload(Payload::Parts(Arc::new(Parts { pieces, _pins: pins }))))
}

fn absent(place: Place) -> String {
    format!("blob {} lies on a mountpath that is not attached", place.blob)
}

impl Parts {
    /// The part that holds payload byte `offset`, and the offset in it.
    pub(crate) fn locate(&self, offset: u64) -> Option<(&Piece, u64)> {
        let after = self.pieces.partition_point(|piece| piece.start <= offset);
        // Of several parts with one start, all but the last are empty.
        let piece = self.pieces.get(after.checked_sub(1)?)?;
        let within = offset - piece.start;
        (within < piece.size).then_some((piece, within))
    }

    pub(crate) fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            let (piece, within) =
                self.locate(offset).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            let room = usize::try_from(piece.size - within).unwrap_or(usize::MAX).min(buf.len());
            let (now, later) = buf.split_at_mut(room);
            piece.read_exact_at(now, within)?;
            offset += room as u64;
            buf = later;
        }
        Ok(())
    }
}

impl Piece {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// What of `buf` this part can fill from `within` on.
    pub(crate) fn clip<'b>(&self, buf: &'b mut [u8], within: u64) -> &'b mut [u8] {
        let room = usize::try_from(self.size - within).unwrap_or(usize::MAX).min(buf.len());
        buf.get_mut(..room).unwrap_or_default()
    }

    /// The blob, if its file is open. Of a blob in a segment that is not known without asking the index.
    pub(crate) fn cached(&self) -> Option<Stored> {
        self.mountpath.descriptors.get(self.blob).map(Stored::whole)
    }

    fn read_exact_at(&self, buf: &mut [u8], within: u64) -> io::Result<()> {
        let read = self.open().and_then(|blob| blob.read_exact_at(buf, within));
        let Err(error) = read else { return Ok(()) };
        self.mountpath.faults.note(Tried::Read, &error);
        for (blob, mountpath) in &self.others {
            let other = mountpath.open_blob(*blob, false).ok().flatten();
            if other.is_some_and(|other| other.read_exact_at(buf, within).is_ok()) {
                return Ok(());
            }
        }
        Err(error)
    }

    fn open(&self) -> io::Result<Stored> {
        // Kept open: a discarded blob is forgotten there, so an open part does not hold its space.
        let opened = self.mountpath.open_blob(self.blob, true).map_err(io::Error::other)?;
        opened.ok_or_else(|| {
            let path = self.mountpath.files.blob_path(self.blob);
            let message = format!("part {} of an object is missing", path.display());
            io::Error::new(io::ErrorKind::NotFound, message)
        })
    }
}
