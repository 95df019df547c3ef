//! Where the bytes of an open object come from.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use crate::error::StoreError;
use crate::faults::Tried;
use crate::meta::{BlobId, ObjectMeta, Place};
use crate::mountpath::SharedMountpath;
use crate::pins::PinGuard;
use crate::shared::Shared;

/// The payload of an open object.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    /// All of it in one file.
    Whole(Arc<File>),
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
    segments: Vec<Segment>,
    _pins: PinGuard,
}

/// One part.
#[derive(Debug)]
pub(crate) struct Segment {
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
    if let Some(file) = mountpath.descriptors.get(blob) {
        return Ok(Opened::Payload(Payload::Whole(file)));
    }
    let Some(file) = mountpath.files.open_blob(blob)? else {
        let path = mountpath.files.blob_path(blob);
        return Ok(Opened::Missing(format!("{} is missing", path.display())));
    };
    let file = Arc::new(file);
    if cache {
        mountpath.descriptors.insert(blob, &file);
    }
    Ok(Opened::Payload(Payload::Whole(file)))
}

fn open_parts(shared: &Shared, meta: &ObjectMeta) -> Result<Opened, StoreError> {
    let all = meta.parts.iter().flat_map(|part| part.places.iter().copied()).collect();
    let pins = shared.pins.pin(all);
    let mut segments = Vec::with_capacity(meta.parts.len());
    let mut start = 0_u64;
    for part in &meta.parts {
        let mut missing = String::new();
        let mut found = Vec::new();
        for place in &part.places {
            let Some(mountpath) = shared.by_digest(place.mountpath) else {
                missing = absent(*place);
                continue;
            };
            if mountpath.files.has_blob(place.blob)? {
                found.push((place.blob, mountpath));
                continue;
            }
            let path = mountpath.files.blob_path(place.blob);
            missing = format!("{} is missing", path.display());
        }
        let mut found = found.into_iter();
        let Some((blob, mountpath)) = found.next() else { return Ok(Opened::Missing(missing)) };
        let others = found.collect();
        segments.push(Segment { start, size: part.size, blob, mountpath, others });
        start = start.saturating_add(part.size);
    }
    Ok(Opened::Payload(Payload::Parts(Arc::new(Parts { segments, _pins: pins }))))
}

fn absent(place: Place) -> String {
    format!("blob {} lies on a mountpath that is not attached", place.blob)
}

impl Parts {
    /// The part that holds payload byte `offset`, and the offset in it.
    pub(crate) fn locate(&self, offset: u64) -> Option<(&Segment, u64)> {
        let after = self.segments.partition_point(|segment| segment.start <= offset);
        // Of several parts with one start, all but the last are empty.
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let within = offset - segment.start;
        (within < segment.size).then_some((segment, within))
    }

    pub(crate) fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            let (segment, within) =
                self.locate(offset).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            let room = usize::try_from(segment.size - within).unwrap_or(usize::MAX).min(buf.len());
            let (now, later) = buf.split_at_mut(room);
            segment.read_exact_at(now, within)?;
            offset += room as u64;
            buf = later;
        }
        Ok(())
    }
}

impl Segment {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// What of `buf` this part can fill from `within` on.
    pub(crate) fn clip<'b>(&self, buf: &'b mut [u8], within: u64) -> &'b mut [u8] {
        let room = usize::try_from(self.size - within).unwrap_or(usize::MAX).min(buf.len());
        buf.get_mut(..room).unwrap_or_default()
    }

    /// The file, if it is open.
    pub(crate) fn cached(&self) -> Option<Arc<File>> {
        self.mountpath.descriptors.get(self.blob)
    }

    fn read_exact_at(&self, buf: &mut [u8], within: u64) -> io::Result<()> {
        let read = self.open().and_then(|file| file.read_exact_at(buf, within));
        let Err(error) = read else { return Ok(()) };
        self.mountpath.faults.note(Tried::Read, &error);
        for (blob, mountpath) in &self.others {
            let file = mountpath.files.open_blob(*blob).ok().flatten();
            if file.is_some_and(|file| file.read_exact_at(buf, within).is_ok()) {
                return Ok(());
            }
        }
        Err(error)
    }

    fn open(&self) -> io::Result<Arc<File>> {
        if let Some(file) = self.cached() {
            return Ok(file);
        }
        let opened = self.mountpath.files.open_blob(self.blob).map_err(io::Error::other)?;
        let file = Arc::new(opened.ok_or_else(|| {
            let path = self.mountpath.files.blob_path(self.blob);
            let message = format!("part {} of an object is missing", path.display());
            io::Error::new(io::ErrorKind::NotFound, message)
        })?);
        // A discarded blob is forgotten there, so an open part does not hold its space.
        self.mountpath.descriptors.insert(self.blob, &file);
        Ok(file)
    }
}
