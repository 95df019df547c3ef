//! Serving bytes of a stored payload: what may be read at once is read at once, the rest off the workers.
//!
//! An [`Extent`] says which bytes; [`ExtentBody`] sends copies of them. A plain connection can take the
//! extent instead and send it from the file, see [`sendfile`](crate::sendfile).

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aistore_store::ObjectReader;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use super::buffers::{BufferPool, Pieces, Space, least};
use crate::memory::{Permit, Purpose};
use crate::sendfile::resident;

/// How far ahead the system is asked to read where a read had to wait for the disk.
const READ_AHEAD_BYTES: u64 = 2 << 20;

/// A part of one stored payload.
#[derive(Clone)]
pub(crate) struct Extent {
    reader: Arc<ObjectReader>,
    offset: u64,
    length: u64,
    /// Bytes from here on that were in memory when somebody looked just now.
    warm: u64,
}

impl Extent {
    /// The whole payload.
    pub(crate) fn whole(reader: Arc<ObjectReader>) -> Self {
        let length = reader.meta().size;
        Self { reader, offset: 0, length, warm: 0 }
    }

    /// `length` bytes from `offset` of this extent on, clipped to it.
    pub(crate) fn part(&self, offset: u64, length: u64) -> Self {
        let offset = offset.min(self.length);
        let length = length.min(self.length - offset);
        Self { reader: Arc::clone(&self.reader), offset: self.offset + offset, length, warm: 0 }
    }

    /// Bytes left.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The open file with the next bytes, where in it they start, and how many of them it has.
    pub(crate) fn in_file(&self) -> Option<(Arc<File>, u64, u64)> {
        let (file, offset, available) = self.reader.locate(self.offset)?;
        Some((file, offset, available.min(self.length)))
    }

    /// Whether the next `length` bytes can be sent without waiting for the disk. Looks once: those who decide how
    /// to answer ask, and then whoever sends.
    pub(crate) fn starts_in_memory(&mut self, length: u64) -> bool {
        let Some((file, offset, available)) = self.in_file() else { return false };
        let length = available.min(length);
        if self.warm < length && resident(&file, offset, length) {
            self.warm = length;
        }
        self.warm >= length
    }

    /// Skips `read` bytes, which must not be none.
    pub(crate) fn advance(&mut self, read: usize) -> io::Result<()> {
        if read == 0 && self.length > 0 {
            return Err(truncated(&self.reader));
        }
        self.offset += read as u64;
        self.length -= read as u64;
        self.warm = self.warm.saturating_sub(read as u64);
        Ok(())
    }

    /// Fills `buffer` completely and advances. Blocks on the disk.
    pub(crate) fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let mut rest = buffer;
        while !rest.is_empty() {
            let n = self.reader.read_at(rest, self.offset)?;
            self.advance(n)?;
            rest = rest.get_mut(n..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads the next piece into `space` if that needs no disk, else gives the space back.
    pub(crate) fn read_now(&mut self, mut space: Space) -> io::Result<Result<Bytes, Space>> {
        Ok(match self.fill_now(space.bytes())? {
            Some(n) => Ok(space.freeze(n)),
            None => Err(space),
        })
    }

    /// The first piece of an answer, if neither disk nor memory has to be waited for, and the buffers for the
    /// rest.
    pub(crate) fn first_now(&mut self, pool: &BufferPool) -> Option<(Bytes, Pieces)> {
        let permit = pool.budget().try_take(Purpose::Replies, pool.need(self.length))?;
        let pieces = Pieces::new(pool, Purpose::Replies, permit);
        let first = self.read_now(pieces.try_space(self.length)?).ok()?.ok()?;
        Some((first, pieces))
    }

    /// The first piece of an answer, whatever it takes, and the buffers for the rest. `permit` is as
    /// `memory_for_reply` takes it. Blocks on the disk.
    pub(crate) fn first_blocking(
        &mut self,
        pool: &BufferPool,
        mut permit: Permit,
    ) -> io::Result<(Bytes, Pieces)> {
        permit.shrink(least(self.length, permit.bytes()));
        let pieces = Pieces::new(pool, Purpose::Replies, permit);
        let first = self.read_blocking(pieces.any_space(self.length))?;
        Ok((first, pieces))
    }

    /// Reads into `space` and advances, if that needs no disk.
    fn fill_now(&mut self, space: &mut [u8]) -> io::Result<Option<usize>> {
        match self.reader.read_at_nowait(space, self.offset)? {
            // Nothing where something must be: the blocking read will tell what is the matter.
            None | Some(0) => Ok(None),
            Some(n) => {
                self.advance(n)?;
                Ok(Some(n))
            }
        }
    }

    /// Asks the system to have the next bytes in memory soon. A hint: failure costs speed only.
    pub(crate) fn will_need(&self) {
        self.reader.will_need(self.offset, self.length.min(READ_AHEAD_BYTES));
    }

    /// Fills `space` with the next piece, whatever it takes. Blocks on the disk; empty when nothing is left.
    pub(crate) fn read_blocking(&mut self, mut space: Space) -> io::Result<Bytes> {
        let bytes = space.bytes();
        let wanted = bytes.len();
        self.read_exact(bytes)?;
        self.will_need();
        Ok(space.freeze(wanted))
    }

    /// Reads the next piece, on this worker if it is in memory, else on the blocking pool. Empty at the
    /// end. For who waited for room in `pieces`. Not cancel safe: a dropped call loses the piece.
    pub(crate) async fn next(&mut self, pieces: &Pieces) -> io::Result<Bytes> {
        if self.length == 0 {
            return Ok(Bytes::new());
        }
        match self.read_now(pieces.any_space(self.length))? {
            Ok(bytes) => Ok(bytes),
            Err(space) => {
                let mut cold = Some(cold_read(self.clone(), space));
                poll_fn(|cx| poll_cold(&mut cold, self, cx)).await
            }
        }
    }
}

fn truncated(reader: &ObjectReader) -> io::Error {
    let message = format!(
        "the stored payload of blob {} on {} is shorter than its index entry says",
        reader.meta().blob,
        reader.mountpath().display()
    );
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}

/// A read on its way on the blocking pool, and where the extent stands after it.
pub(crate) type ColdRead = JoinHandle<io::Result<(Extent, Bytes)>>;

/// Reads the next piece on the blocking pool.
pub(crate) fn cold_read(mut extent: Extent, space: Space) -> ColdRead {
    tokio::task::spawn_blocking(move || {
        let bytes = extent.read_blocking(space)?;
        Ok((extent, bytes))
    })
}

/// The piece of a cold read under way, which is over then; `extent` is behind it. Pending where there is none.
pub(crate) fn poll_cold(
    cold: &mut Option<ColdRead>,
    extent: &mut Extent,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Bytes>> {
    let Some(reading) = cold else { return Poll::Pending };
    let done = ready!(Pin::new(reading).poll(cx));
    *cold = None;
    Poll::Ready(done.map_err(io::Error::other).flatten().map(|(after, bytes)| {
        *extent = after;
        bytes
    }))
}

/// The buffers of an answer that may have begun without any: then they are asked for when the first is needed.
pub(crate) struct Supply {
    pool: BufferPool,
    /// Most bytes that are read.
    length: u64,
    pieces: Option<Pieces>,
    asking: Option<Asking>,
}

type Asking = Pin<Box<dyn Future<Output = io::Result<Pieces>> + Send>>;

impl Supply {
    /// Buffers for an answer that reads `length` bytes, in one extent or in several.
    pub(crate) fn new(pool: BufferPool, length: u64, pieces: Option<Pieces>) -> Self {
        Self { pool, length, pieces, asking: None }
    }

    /// Space for the next piece of `left` bytes. An error when the node has no memory for long: the answer
    /// cannot go on.
    pub(crate) fn poll_space(
        &mut self,
        left: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Space>> {
        loop {
            if let Some(pieces) = &self.pieces {
                return pieces.poll_space(left, cx).map(Ok);
            }
            let asking =
                self.asking.get_or_insert_with(|| Box::pin(ask(self.pool.clone(), self.length)));
            self.pieces = Some(ready!(asking.as_mut().poll(cx))?);
            self.asking = None;
        }
    }
}

async fn ask(pool: BufferPool, length: u64) -> io::Result<Pieces> {
    let taken = pool.budget().take_late(Purpose::Replies, pool.need(length), "an answer under way");
    let permit = taken.await.map_err(io::Error::other)?;
    Ok(Pieces::new(&pool, Purpose::Replies, permit))
}

/// Response body that sends an extent, a buffer at a time.
///
/// An I/O error ends the stream with an error, so the connection closes and the client sees a short
/// body, never wrong bytes. Dropping it stops reading.
pub(crate) struct ExtentBody {
    /// First piece, read by whoever looked the object up.
    first: Option<Bytes>,
    extent: Extent,
    supply: Supply,
    cold: Option<ColdRead>,
}

impl ExtentBody {
    /// Sends `first`, then `extent`.
    pub(crate) fn new(first: Bytes, extent: Extent, supply: Supply) -> Self {
        Self { first: Some(first).filter(|b| !b.is_empty()), extent, supply, cold: None }
    }

    /// The buffers, for another extent of the same answer.
    pub(crate) fn into_supply(self) -> Supply {
        self.supply
    }

    /// Bytes still to be sent. The extent is advanced only when a piece is handed out.
    fn left(&self) -> u64 {
        self.first.as_ref().map_or(0, |b| b.len() as u64) + self.extent.length()
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if self.cold.is_none() {
            if self.extent.length() == 0 {
                return Poll::Ready(None);
            }
            let space = ready!(self.supply.poll_space(self.extent.length(), cx))?;
            match self.extent.read_now(space)? {
                Ok(bytes) => return Poll::Ready(Some(Ok(bytes))),
                Err(space) => self.cold = Some(cold_read(self.extent.clone(), space)),
            }
        }
        poll_cold(&mut self.cold, &mut self.extent, cx).map(Some)
    }
}

impl http_body::Body for ExtentBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.poll_piece(cx).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

#[cfg(test)]
mod tests {
    use aistore_store::{PutOptions, Store, StoreConfig};
    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::*;

    fn extent(bytes: &[u8]) -> (Extent, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(StoreConfig::new(vec![directory.path().to_owned()])).unwrap();
        let mut writer = store.begin_put(1, "u", "o", PutOptions::default()).unwrap();
        writer.write(bytes).unwrap();
        writer.finish().unwrap();
        let reader = store.open_object(1, "u", "o").unwrap().unwrap();
        (Extent::whole(Arc::new(reader)), directory)
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|i| u8::try_from(i % 253).unwrap()).collect()
    }

    #[tokio::test]
    async fn bodies_announce_and_send_exactly_their_bytes() {
        let bytes = pattern(1_000_003);
        let (whole, _directory) = extent(&bytes);
        let pieces = Pieces::unlimited();
        for (offset, length) in [(0, 1_000_003), (1, 262_144), (700_000, 300_003), (5, 17_000)] {
            let mut part = whole.part(offset, length);
            let first = part.read_blocking(pieces.any_space(length)).unwrap();
            let supply = Supply::new(BufferPool::default(), 1 << 20, None);
            let body = ExtentBody::new(first, part, supply);
            assert_eq!(body.size_hint().exact(), Some(length));
            assert!(!body.is_end_stream());
            let sent = body.collect().await.unwrap().to_bytes();
            let at = usize::try_from(offset).unwrap();
            assert!(sent == bytes[at..at + usize::try_from(length).unwrap()]);
        }
    }

    #[tokio::test]
    async fn parts_are_clipped_and_empty_ones_are_fine() {
        let (whole, _directory) = extent(b"0123456789");
        assert_eq!(whole.part(4, 100).length(), 6);
        let pieces = Pieces::unlimited();
        let mut inner = whole.part(2, 6).part(1, 3);
        assert_eq!(&inner.next(&pieces).await.unwrap()[..], b"345");
        assert!(inner.next(&pieces).await.unwrap().is_empty());
        assert_eq!(whole.part(10, 0).read_blocking(pieces.any_space(0)).unwrap().len(), 0);
    }

    #[tokio::test]
    async fn a_truncated_file_ends_the_body_with_an_error() {
        let bytes = pattern(600_000);
        let (whole, directory) = extent(&bytes);
        let blobs = directory.path().join("ais/blobs");
        let shard =
            |dir: std::path::PathBuf| std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
        let files: Vec<_> = shard(blobs).filter(|d| d.is_dir()).flat_map(shard).collect();
        let [file] = files.as_slice() else { panic!("{files:?}") };
        std::fs::File::options().write(true).open(file).unwrap().set_len(300_000).unwrap();
        let supply = Supply::new(BufferPool::default(), 1 << 20, None);
        let body = ExtentBody::new(Bytes::new(), whole, supply);
        assert_eq!(body.collect().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
