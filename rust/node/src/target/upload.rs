//! Receiving the bytes of a PUT into the store, in bounded memory.
//!
//! No thread waits for the network: pieces are gathered here, and a piece at a time visits the blocking
//! pool while the next one arrives. A task per upload would let a few hundred slow clients hold every
//! blocking thread, and with them all reads.

use std::fmt::Display;
use std::sync::Arc;

use aistore_core::error::ApiError;
use aistore_store::{ObjectMeta, ObjectWriter, PutOptions, StoreError};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::buffers::{BUFFER_BYTES, Buffer, Pieces};
use super::failure::store_failure;
use super::objects::{ObjectRef, Objects};
use crate::http::request::BODY_IDLE_TIMEOUT;
use crate::memory::Purpose;
use crate::tasks::lost_task;

/// Bodies announced to be no longer are kept as they came and written in a single visit to the blocking pool.
const SMALL_BYTES: u64 = 64 << 10;
/// Buffers of one upload: one that fills from the socket while the other is written.
const BUFFERS: u64 = 2;
/// What the store holds back of an object, for each copy of it.
const HELD_BACK_BYTES: u64 = 64 << 10;

/// What the connection holds of a body: see `RECEIVE_BYTES` of the plain one.
const RECEIVED_BYTES: u64 = 64 << 10;

/// Memory of an upload: two buffers of 256 KiB, what the connection and the store hold, or a few times the body
/// where that is small.
pub(super) fn upload_bytes(length: Option<u64>, copies: u64) -> u64 {
    let held_back = RECEIVED_BYTES + HELD_BACK_BYTES.saturating_mul(copies.max(1));
    let buffer = BUFFER_BYTES as u64;
    match length {
        // As it came, and held back by each copy.
        Some(length) if length <= SMALL_BYTES => length.saturating_mul(copies.max(1) + 1),
        // Less than a buffer: whoever fills it meets the end of the body.
        Some(length) if length < buffer => buffer + held_back,
        _ => BUFFERS * buffer + held_back,
    }
}

/// Where the bytes of a body go.
pub(super) trait Sink: Send + 'static {
    /// Takes in bytes; blocks on the disk.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;
}

impl Sink for ObjectWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        Self::write(self, bytes)
    }
}

/// Receives a whole body and stores it as `object`; `length` is the announced one.
///
/// Nothing is stored unless the body is complete. Dropping the future aborts, except when the last
/// step is already under way: then the object exists without an acknowledgement.
pub(crate) async fn receive<B>(
    objects: Arc<Objects>,
    object: ObjectRef,
    options: PutOptions,
    body: &mut B,
    length: Option<u64>,
) -> Result<ObjectMeta, ApiError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let cname = object.cname();
    let memory = memory_for(&objects, &cname, length, options.copies as u64).await?;
    let shared = Arc::new((objects, object));
    let begin = {
        let shared = Arc::clone(&shared);
        move || begin(&shared.0, &shared.1, options)
    };
    let finish = move |writer| finish(&shared.0, &shared.1, writer);
    receive_into((&cname, memory), begin, finish, body, length).await
}

/// Takes the memory of an upload.
pub(super) async fn memory_for(
    objects: &Objects,
    cname: &str,
    length: Option<u64>,
    copies: u64,
) -> Result<Pieces, ApiError> {
    let (pool, bytes) = (&objects.pool, upload_bytes(length, copies));
    let permit = pool.budget().take(Purpose::Uploads, bytes, cname).await?;
    Ok(Pieces::new(pool, Purpose::Uploads, permit))
}

/// Receives a whole body into what `begin` opens, and ends with `finish`; both block on the disk. `cname`
/// is for messages; `memory` was taken for the upload, see [`upload_bytes`]. Dropping the future, or a body that
/// breaks off, drops what was opened.
pub(super) async fn receive_into<B, S, T>(
    (cname, memory): (&str, Pieces),
    begin: impl FnOnce() -> Result<S, ApiError> + Send + 'static,
    finish: impl FnOnce(S) -> Result<T, ApiError> + Send + 'static,
    body: &mut B,
    length: Option<u64>,
) -> Result<T, ApiError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Display,
    S: Sink,
    T: Send + 'static,
{
    let shared: Arc<str> = cname.into();
    if length.is_some_and(|length| length <= SMALL_BYTES) {
        let whole = gather(body, cname, length).await?;
        let stored = tokio::task::spawn_blocking(move || {
            let mut sink = begin()?;
            let written = whole.iter().try_for_each(|bytes| sink.write(bytes));
            written.map_err(|err| store_failure(&err, &shared))?;
            let done = finish(sink);
            drop(memory);
            done
        });
        return stored.await.map_err(|err| lost_task(&err))?;
    }
    let mut filling = Filling { buffer: memory.buffer(), filled: 0, rest: Bytes::new() };
    let mut total = 0;
    let mut more = filling.fill(body, cname).await?;
    let (full, filled) = (filling.buffer, filling.filled);
    total += filled as u64;
    let mut rest = filling.rest;
    if !more || length.is_some_and(|length| length < total) {
        check_length(total, length, cname)?;
        let stored = tokio::task::spawn_blocking(move || {
            let sink = write(begin()?, &full, filled, &shared)?;
            finish(sink)
        });
        return stored.await.map_err(|err| lost_task(&err))?;
    }
    let mut writing = {
        let cname = Arc::clone(&shared);
        tokio::task::spawn_blocking(move || {
            let sink = write(begin()?, &full, filled, &cname)?;
            Ok((sink, full))
        })
    };
    let mut spare = Some(memory.buffer());
    while more {
        let buffer = spare.take().unwrap_or_else(|| memory.buffer());
        let mut filling = Filling { buffer, filled: 0, rest };
        more = match filling.fill(body, cname).await {
            Ok(more) => more,
            Err(err) => {
                abandon(writing).await;
                return Err(err);
            }
        };
        let (full, filled) = (filling.buffer, filling.filled);
        rest = filling.rest;
        total += filled as u64;
        // Not faster than the disk: this is where a sender is held up.
        let (sink, written) = joined(writing).await?;
        spare = Some(written);
        let cname = Arc::clone(&shared);
        writing = tokio::task::spawn_blocking(move || {
            let sink = write(sink, &full, filled, &cname)?;
            Ok((sink, full))
        });
    }
    if let Err(err) = check_length(total, length, cname) {
        abandon(writing).await;
        return Err(err);
    }
    let (sink, _) = joined(writing).await?;
    let stored = tokio::task::spawn_blocking(move || finish(sink));
    stored.await.map_err(|err| lost_task(&err))?
}

/// A buffer that fills from a body.
struct Filling {
    buffer: Buffer,
    filled: usize,
    /// What came and did not fit into the buffer before.
    rest: Bytes,
}

impl Filling {
    /// Fills the buffer; the flag tells whether there may be more.
    ///
    /// Copies, once and while the bytes are in the processor's cache: what hyper received is given back to it at
    /// once, so it receives into the same memory again instead of asking the system for more; and the disk
    /// gets one aligned write for each buffer.
    async fn fill<B>(&mut self, body: &mut B, cname: &str) -> Result<bool, ApiError>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        loop {
            let space = self.buffer.space().get_mut(self.filled..).unwrap_or_default();
            let taken = self.rest.split_to(space.len().min(self.rest.len()));
            if let Some(to) = space.get_mut(..taken.len()) {
                to.copy_from_slice(&taken);
            }
            self.filled += taken.len();
            if !self.rest.is_empty() {
                return Ok(true);
            }
            if body.is_end_stream() {
                return Ok(false);
            }
            if self.filled == BUFFER_BYTES {
                return Ok(true);
            }
            match next_frame(body, cname).await? {
                Some(data) => self.rest = data,
                None => return Ok(false),
            }
        }
    }
}

type Writing<S> = JoinHandle<Result<(S, Buffer), ApiError>>;

async fn joined<S>(writing: Writing<S>) -> Result<(S, Buffer), ApiError> {
    writing.await.map_err(|err| lost_task(&err))?
}

/// Drops the sink where its clean-up may block.
async fn abandon<S: Send + 'static>(writing: Writing<S>) {
    if let Ok(Ok((sink, _))) = writing.await {
        let _ = tokio::task::spawn_blocking(move || drop(sink)).await;
    }
}

fn begin(
    objects: &Objects,
    object: &ObjectRef,
    options: PutOptions,
) -> Result<ObjectWriter, ApiError> {
    let begun = objects.store.begin_put(object.bid, &object.uname, &object.name, options);
    begun.map_err(|err| store_failure(&err, &object.cname()))
}

/// Writes the first `filled` bytes of a buffer.
fn write<S: Sink>(mut sink: S, buffer: &Buffer, filled: usize, cname: &str) -> Result<S, ApiError> {
    let bytes = buffer.as_ref().get(..filled).unwrap_or_default();
    sink.write(bytes).map_err(|err| store_failure(&err, cname))?;
    Ok(sink)
}

fn finish(
    objects: &Objects,
    object: &ObjectRef,
    writer: ObjectWriter,
) -> Result<ObjectMeta, ApiError> {
    let done = writer.finish();
    // Also after a failure: whether the index took the new version is not known then.
    objects.readers.invalidate(&object.uname);
    done.map_err(|err| store_failure(&err, &object.cname()))
}

fn check_length(total: u64, length: Option<u64>, cname: &str) -> Result<(), ApiError> {
    if length.is_some_and(|length| length != total) {
        return Err(short_body(cname, length, total));
    }
    Ok(())
}

fn short_body(cname: &str, length: Option<u64>, total: u64) -> ApiError {
    ApiError::bad_request(format!(
        "upload of {cname} is incomplete: {total} of {} bytes came; nothing was stored, send it again",
        length.map_or("an unknown number of".to_owned(), |length| length.to_string())
    ))
}

/// The next bytes of a body; `None` after its end.
async fn next_frame<B>(body: &mut B, cname: &str) -> Result<Option<Bytes>, ApiError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    loop {
        let frame = timeout(BODY_IDLE_TIMEOUT, body.frame()).await.map_err(|_| {
            let idle = BODY_IDLE_TIMEOUT.as_secs();
            ApiError::new(
                408,
                "",
                format!(
                    "upload of {cname} was given up: no byte came for {idle} s; nothing was stored"
                ),
            )
        })?;
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame.map_err(|err| {
            ApiError::bad_request(format!("upload of {cname} broke off: {err}; nothing was stored"))
        })?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

/// A whole body that is announced to be small, as it came.
async fn gather<B>(body: &mut B, cname: &str, length: Option<u64>) -> Result<Vec<Bytes>, ApiError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let (mut whole, mut total) = (Vec::with_capacity(1), 0);
    while !body.is_end_stream()
        && let Some(data) = next_frame(body, cname).await?
    {
        total += data.len() as u64;
        whole.push(data);
        if length.is_some_and(|length| total > length) {
            break;
        }
    }
    check_length(total, length, cname)?;
    Ok(whole)
}

/// Reads a body that is not wanted to its end; errors as for one that is.
pub(super) async fn read_off<B>(body: &mut B, cname: &str) -> Result<(), ApiError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    while !body.is_end_stream() && next_frame(body, cname).await?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use aistore_core::bucket::Bucket;
    use aistore_core::checksum::ChecksumType;
    use aistore_store::{Store, StoreConfig};
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn fixture() -> (Arc<Objects>, ObjectRef, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let config = StoreConfig::new(vec![directory.path().join("m")]);
        let objects = Arc::new(Objects::new(Arc::new(Store::open(config).unwrap())));
        let bucket = Bucket::ais("b");
        let uname = bucket.object_uname("o");
        let object = ObjectRef { bucket, name: "o".into(), bid: 1, uname };
        (objects, object, directory)
    }

    /// A body of `pieces` that then ends, or breaks.
    async fn put(
        objects: &Arc<Objects>,
        object: &ObjectRef,
        options: PutOptions,
        pieces: &[Vec<u8>],
        broken: bool,
        length: Option<u64>,
    ) -> Result<ObjectMeta, ApiError> {
        let frames = pieces.iter().map(|piece| Ok(Frame::data(Bytes::from(piece.clone()))));
        let end = broken.then(|| Err("connection reset".to_owned()));
        let mut body = StreamBody::new(stream::iter(frames.chain(end).collect::<Vec<_>>()));
        receive(Arc::clone(objects), object.clone(), options, &mut body, length).await
    }

    fn stored(objects: &Objects, object: &ObjectRef) -> Option<Vec<u8>> {
        let reader = objects.open(object).unwrap()?;
        let mut bytes = vec![0; usize::try_from(reader.meta().size).unwrap()];
        reader.read_at(&mut bytes, 0).unwrap();
        Some(bytes)
    }

    #[tokio::test]
    async fn small_and_large_bodies_arrive_whole_and_replace_what_was_cached() {
        let (objects, object, _directory) = fixture();
        for sizes in [vec![], vec![5], vec![300_000], vec![1, 200_000, 0, 400_000, 7]] {
            let pieces: Vec<Vec<u8>> =
                sizes.iter().map(|n| vec![u8::try_from(n % 250).unwrap(); *n]).collect();
            let length = pieces.concat().len() as u64;
            for announced in [Some(length), None] {
                let meta = put(&objects, &object, PutOptions::default(), &pieces, false, announced);
                assert_eq!(meta.await.unwrap().size, length);
                assert_eq!(stored(&objects, &object).unwrap(), pieces.concat());
                assert!(objects.readers.get(1, &object.uname).is_some());
            }
        }
    }

    #[tokio::test]
    async fn an_upload_holds_no_more_than_it_took_and_gives_all_of_it_back() {
        let (objects, object, _directory) = fixture();
        let shares = crate::memory::Shares::of(Some(64 << 20), 1).unwrap();
        let budget = crate::memory::Budget::new(shares);
        let store = Arc::clone(&objects.store);
        let objects = Arc::new(Objects::within(store, budget.clone()));
        let used = || budget.report()["purposes"]["uploads"]["used"].as_u64().unwrap();
        for size in [1_000_u64, 65_536, 65_537, 262_144, 262_145, 5_000_000] {
            for length in [Some(size), None] {
                let (most, left) = (std::cell::Cell::new(0), std::cell::Cell::new(size));
                let frames = std::iter::from_fn(|| {
                    // Asked for a frame while others are on their way to the disk. Lending more than what
                    // was taken panics in tests.
                    most.set(most.get().max(used()));
                    let next = left.get().min(30_011);
                    left.set(left.get() - next);
                    let frame = Bytes::from(vec![1; usize::try_from(next).unwrap()]);
                    (next > 0).then(|| Ok::<_, String>(Frame::data(frame)))
                });
                let mut body = StreamBody::new(stream::iter(frames));
                let options = PutOptions::default();
                let put = receive(Arc::clone(&objects), object.clone(), options, &mut body, length);
                assert_eq!(put.await.unwrap().size, size);
                assert_eq!(most.get(), upload_bytes(length, 1).next_multiple_of(1024), "{size}");
                assert!(most.get() <= 640 << 10);
                assert_eq!(used(), 0, "{size}");
            }
        }
    }

    #[tokio::test]
    async fn broken_short_and_wrong_uploads_leave_the_object_as_it_was() {
        let (objects, object, directory) = fixture();
        let old = vec![b"old".to_vec()];
        put(&objects, &object, PutOptions::default(), &old, false, Some(3)).await.unwrap();
        for size in [10, 700_000] {
            let piece = [vec![1; size]];
            let broken = put(&objects, &object, PutOptions::default(), &piece, true, None).await;
            let broken = broken.unwrap_err();
            assert!(
                broken.status == 400 && broken.message.contains("connection reset"),
                "{broken}"
            );
            let length = Some(size as u64 + 1);
            let short = put(&objects, &object, PutOptions::default(), &piece, false, length).await;
            let short = short.unwrap_err();
            assert!(short.status == 400 && short.message.contains("incomplete"), "{short}");
            let expected = Some((ChecksumType::Md5, "00".repeat(16)));
            let options = PutOptions { expected, ..PutOptions::default() };
            let wrong = put(&objects, &object, options, &piece, false, None).await.unwrap_err();
            assert_eq!(wrong.status, 500);
            assert!(wrong.message.starts_with("BAD DATA CHECKSUM: md5(0000"), "{wrong}");
            assert!(wrong.message.ends_with("(context: ais://b/o)"), "{wrong}");
        }
        assert_eq!(stored(&objects, &object).unwrap(), b"old");
        let left = std::fs::read_dir(directory.path().join("m/ais/tmp")).unwrap().count();
        assert_eq!(left, 0, "temporary files");
    }
}
