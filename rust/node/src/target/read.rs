//! Serving bytes of a stored payload: what may be read at once is read at once, the rest off the workers.
//!
//! An [`Extent`] says which bytes; [`ExtentBody`] sends copies of them. A plain connection can take the
//! extent instead and send it from the file, see [`sendfile`](crate::sendfile).

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aistore_store::ObjectReader;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use super::buffers::{BUFFER_BYTES, BufferPool};
use crate::sendfile::resident;

/// Payloads up to this size are read into memory of their own; the pool's buffers would be mostly empty.
const SMALL_BYTES: usize = 16 << 10;

/// How far ahead the system is asked to read where a read had to wait for the disk.
const READ_AHEAD_BYTES: u64 = 2 << 20;

/// A part of one stored payload.
#[derive(Clone)]
pub(crate) struct Extent {
    reader: Arc<ObjectReader>,
    offset: u64,
    length: u64,
}

impl Extent {
    /// The whole payload.
    pub(crate) fn whole(reader: Arc<ObjectReader>) -> Self {
        let length = reader.meta().size;
        Self { reader, offset: 0, length }
    }

    /// `length` bytes from `offset` of this extent on, clipped to it.
    pub(crate) fn part(&self, offset: u64, length: u64) -> Self {
        let offset = offset.min(self.length);
        let length = length.min(self.length - offset);
        Self { reader: Arc::clone(&self.reader), offset: self.offset + offset, length }
    }

    /// Bytes left.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Most bytes that one read into a buffer of `space` bytes can bring.
    fn wanted(&self, space: usize) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX).min(space)
    }

    /// The open file with the next bytes, where in it they start, and how many of them it has.
    pub(crate) fn in_file(&self) -> Option<(Arc<File>, u64, u64)> {
        let (file, offset, available) = self.reader.locate(self.offset)?;
        Some((file, offset, available.min(self.length)))
    }

    /// Whether the next `length` bytes can be sent without waiting for the disk.
    pub(crate) fn starts_in_memory(&self, length: u64) -> bool {
        let Some((file, offset, available)) = self.in_file() else { return false };
        resident(&file, offset, available.min(length))
    }

    /// Skips `read` bytes, which must not be none.
    pub(crate) fn advance(&mut self, read: usize) -> io::Result<()> {
        if read == 0 && self.length > 0 {
            return Err(truncated(&self.reader));
        }
        self.offset += read as u64;
        self.length -= read as u64;
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

    /// Reads the next piece if that needs no disk; `None` when it would, or when nothing is left.
    pub(crate) fn read_now(&mut self, pool: &BufferPool) -> io::Result<Option<Bytes>> {
        if self.length == 0 {
            return Ok(None);
        }
        let wanted = self.wanted(BUFFER_BYTES);
        if wanted <= SMALL_BYTES {
            let mut memory = vec![0; wanted];
            let Some(n) = self.fill_now(&mut memory)? else { return Ok(None) };
            memory.truncate(n);
            return Ok(Some(memory.into()));
        }
        let mut buffer = pool.lend();
        let read = self.fill_now(buffer.space().get_mut(..wanted).unwrap_or_default())?;
        Ok(read.map(|n| buffer.freeze(n)))
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

    /// Reads the next piece, whatever it takes. Blocks on the disk; empty when nothing is left.
    pub(crate) fn read_blocking(&mut self, pool: &BufferPool) -> io::Result<Bytes> {
        let wanted = self.wanted(BUFFER_BYTES);
        if wanted <= SMALL_BYTES {
            let mut memory = vec![0; wanted];
            self.read_exact(&mut memory)?;
            return Ok(memory.into());
        }
        let mut buffer = pool.lend();
        self.read_exact(buffer.space().get_mut(..wanted).unwrap_or_default())?;
        self.will_need();
        Ok(buffer.freeze(wanted))
    }

    /// Reads the next piece, on this worker if it is in memory, else on the blocking pool. Empty at the
    /// end. Not cancel safe: a dropped call loses the piece.
    pub(crate) async fn next(&mut self, pool: &BufferPool) -> io::Result<Bytes> {
        if self.length == 0 {
            return Ok(Bytes::new());
        }
        if let Some(bytes) = self.read_now(pool)? {
            return Ok(bytes);
        }
        let (extent, bytes) =
            cold_read(self.clone(), pool.clone()).await.map_err(io::Error::other)??;
        *self = extent;
        Ok(bytes)
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
pub(crate) fn cold_read(mut extent: Extent, pool: BufferPool) -> ColdRead {
    tokio::task::spawn_blocking(move || {
        let bytes = extent.read_blocking(&pool)?;
        Ok((extent, bytes))
    })
}

/// Response body that sends an extent, [`BUFFER_BYTES`] at a time.
///
/// An I/O error ends the stream with an error, so the connection closes and the client sees a short
/// body, never wrong bytes. Dropping it stops reading.
pub(crate) struct ExtentBody {
    /// First piece, read by whoever looked the object up.
    first: Option<Bytes>,
    extent: Extent,
    pool: BufferPool,
    cold: Option<ColdRead>,
}

impl ExtentBody {
    /// Sends `first`, then `extent`.
    pub(crate) fn new(first: Bytes, extent: Extent, pool: BufferPool) -> Self {
        Self { first: Some(first).filter(|b| !b.is_empty()), extent, pool, cold: None }
    }

    /// Bytes still to be sent. The extent is advanced only when a piece is handed out.
    fn left(&self) -> u64 {
        self.first.as_ref().map_or(0, |b| b.len() as u64) + self.extent.length()
    }
}

impl http_body::Body for ExtentBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        loop {
            if let Some(cold) = &mut this.cold {
                let Poll::Ready(done) = Pin::new(cold).poll(cx) else { return Poll::Pending };
                this.cold = None;
                let piece = done.map_err(io::Error::other).flatten().map(|(extent, bytes)| {
                    this.extent = extent;
                    Frame::data(bytes)
                });
                return Poll::Ready(Some(piece));
            }
            if this.extent.length() == 0 {
                return Poll::Ready(None);
            }
            match this.extent.read_now(&this.pool) {
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Ok(None) => this.cold = Some(cold_read(this.extent.clone(), this.pool.clone())),
                Err(err) => return Poll::Ready(Some(Err(err))),
            }
        }
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
        let pool = BufferPool::default();
        for (offset, length) in [(0, 1_000_003), (1, 262_144), (700_000, 300_003), (5, 17_000)] {
            let mut part = whole.part(offset, length);
            let first = part.read_blocking(&pool).unwrap();
            let body = ExtentBody::new(first, part, pool.clone());
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
        let pool = BufferPool::default();
        let mut inner = whole.part(2, 6).part(1, 3);
        assert_eq!(&inner.next(&pool).await.unwrap()[..], b"345");
        assert!(inner.next(&pool).await.unwrap().is_empty());
        assert_eq!(whole.part(10, 0).read_blocking(&pool).unwrap().len(), 0);
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
        let body = ExtentBody::new(Bytes::new(), whole, BufferPool::default());
        assert_eq!(body.collect().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
