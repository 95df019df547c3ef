//! Where a file of a shard lies, and how to read it.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aistore_core::archive::zip::Method;
use aistore_core::archive::{Format, Shared, Walk};
use aistore_core::error::ApiError;
use aistore_core::tar::{ReadAt, same_member};
use aistore_store::ObjectReader;
use tokio::sync::OwnedSemaphorePermit;

use super::super::failure::read_failure;
use super::super::members::{Place, archive_failure};
use super::super::objects::{ObjectRef, Objects};
use super::super::read::Extent;

/// Tells work on the blocking pool that nobody waits for it any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gone(Arc<AtomicBool>);

impl Gone {
    /// An error once nobody waits any more.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the client went away"));
        }
        Ok(())
    }
}

/// Whoever waits holds this; dropping it ends the work.
#[derive(Debug)]
pub(crate) struct Watch(Gone);

impl Watch {
    /// The two ends.
    pub(crate) fn new() -> (Self, Gone) {
        let gone = Gone::default();
        (Self(gone.clone()), gone)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// A shard that fails to be read once nobody waits.
pub(crate) struct Watched {
    reader: Arc<ObjectReader>,
    gone: Gone,
}

impl Watched {
    pub(crate) fn shared(reader: &Arc<ObjectReader>, gone: &Gone) -> Shared {
        Arc::new(Self { reader: Arc::clone(reader), gone: gone.clone() })
    }
}

impl ReadAt for Watched {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.gone.check()?;
        self.reader.read_at(buf, offset)
    }
}

/// A file of a shard.
pub(crate) enum Found {
    /// Lies in the shard as it is.
    Plain(Extent),
    /// Is unpacked while it is read.
    Packed(Packed),
}

/// A file that is unpacked while it is read; reading blocks on the disk and on the processor.
pub(crate) struct Packed {
    /// Bytes of the file.
    pub(crate) size: u64,
    /// The file: exactly so many bytes, or an error before the last of them.
    pub(crate) data: Box<dyn Read + Send>,
}

/// The format that request and name promise; `None` when only the bytes can tell.
pub(super) fn promised(object: &ObjectRef, mime: &str) -> Result<Option<Format>, ApiError> {
    if mime.is_empty() { Ok(Format::by_name(&object.name)) } else { Format::parse(mime).map(Some) }
}

/// The format of a shard. Blocks on the disk where neither `mime` nor the name tells.
pub(crate) fn shard_format(
    reader: &ObjectReader,
    object: &ObjectRef,
    mime: &str,
) -> Result<Format, ApiError> {
    if let Some(format) = promised(object, mime)? {
        return Ok(format);
    }
    let cname = object.cname();
    let mut head = [0; Format::MAGIC_BYTES];
    let read = reader.read_at(&mut head, 0).map_err(|err| read_failure(&err, &cname))?;
    Format::by_magic(head.get(..read).unwrap_or_default()).ok_or_else(|| {
        ApiError::bad_request(format!(
            "unrecognized or unsupported file format: {cname} is no archive that files can be read from"
        ))
    })
}

fn not_there(path: &str, object: &ObjectRef, node: &str) -> ApiError {
    ApiError::not_found(format!("{node}: file \"{path}\" in {} does not exist", object.cname()))
}

/// Finds a file in an open shard, of whatever format. Blocks on the disk, and for compressed TARs until the file
/// comes by.
///
/// `node` is the display form of this node, `mime` overrides the format that the name suggests, `gone` ends a search
/// that nobody waits for.
pub(crate) fn member_of(
    objects: &Objects,
    reader: &Arc<ObjectReader>,
    object: &ObjectRef,
    (path, mime): (&str, &str),
    node: &str,
    gone: &Gone,
) -> Result<Found, ApiError> {
    let format = shard_format(reader, object, mime)?;
    let shard = Watched::shared(reader, gone);
    if format.is_packed() {
        let index = objects.members.ready(reader, format);
        if index.is_some_and(|index| index.find(path).is_none()) {
            return Err(not_there(path, object, node));
        }
        return search(shard, reader.meta().size, format, object, path)?
            .map(Found::Packed)
            .ok_or_else(|| not_there(path, object, node));
    }
    let cname = object.cname();
    let index = match objects.members.ready(reader, format) {
        Some(index) => index,
        None => objects.members.get(reader, &shard, format, &cname)?,
    };
    let place = index.find(path).ok_or_else(|| not_there(path, object, node))?;
    let failure = |err| archive_failure(&err, format, &cname);
    if format == Format::Tar {
        let (offset, size) = place.range();
        return Ok(Found::Plain(Extent::whole(Arc::clone(reader)).part(offset, size)));
    }
    zip_file(reader, &shard, place).map_err(|err| failure(err.into()))
}

fn zip_file(
    reader: &Arc<ObjectReader>,
    shard: &Shared,
    place: &Place,
) -> Result<Found, aistore_core::archive::zip::ZipError> {
    let (member, size) = (place.zip_member(), reader.meta().size);
    if member.method == Method::Stored {
        let offset = member.data_offset(&**shard, size)?;
        return Ok(Found::Plain(Extent::whole(Arc::clone(reader)).part(offset, member.size)));
    }
    let data = Box::new(member.open(shard, size)?);
    Ok(Found::Packed(Packed { size: member.size, data }))
}

/// Goes through a compressed TAR until the file comes by.
fn search(
    shard: Shared,
    size: u64,
    format: Format,
    object: &ObjectRef,
    path: &str,
) -> Result<Option<Packed>, ApiError> {
    let cname = object.cname();
    let failure = |err| archive_failure(&err, format, &cname);
    let mut walk = Walk::open(shard, size, format).map_err(failure)?;
    while let Some(entry) = walk.next_entry().map_err(failure)? {
        if same_member(&entry.name, path) {
            return Ok(Some(Packed { size: entry.size, data: Box::new(walk) }));
        }
    }
    Ok(None)
}

/// As [`member_of`], without a search: `None` for a file that is only found by going through its shard.
pub(crate) fn locate(
    objects: &Objects,
    reader: &Arc<ObjectReader>,
    object: &ObjectRef,
    path: &str,
    node: &str,
) -> Result<Option<Found>, ApiError> {
    let format = shard_format(reader, object, "")?;
    if format.is_packed() {
        let index = objects.members.ready(reader, format);
        let is_missing = index.is_some_and(|index| index.find(path).is_none());
        return if is_missing { Err(not_there(path, object, node)) } else { Ok(None) };
    }
    member_of(objects, reader, object, (path, ""), node, &Gone::default()).map(Some)
}

impl Packed {
    /// `length` bytes of the file from `start` on, which lie within it. Reads what comes before: blocks.
    pub(crate) fn part(mut self, start: u64, length: u64) -> io::Result<Self> {
        let skipped = io::copy(&mut Read::by_ref(&mut self.data).take(start), &mut io::sink())?;
        if skipped < start {
            let text = "a file of the archive is shorter than it claims";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        Ok(Self { size: length, data: self.data })
    }
}

impl Objects {
    /// The right to unpack a recording into memory.
    pub(crate) async fn unpacking(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.unpackings).acquire_owned().await.ok()
    }

    /// The right to search a shard: what it holds up is a thread, and a processor.
    pub(crate) async fn searching(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed.
        Arc::clone(&self.searches).acquire_owned().await.ok()
    }
}
