//! Entries on a peer, read as a stream of frames strictly in request order.
//!
//! What the peer reads ahead waits in the connection's buffers; nothing is buffered here beyond the
//! piece being decoded, so a slow client slows the peers down and memory stays bounded.

use std::fmt::Display;
use std::pin::Pin;
use std::time::Duration;

use aistore_core::error::ApiError;
use aistore_core::frames::{HEADER_BYTES, Header};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// A peer's frames as they arrive.
pub(crate) type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, ApiError>> + Send>>;
/// A request to a peer under way.
pub(crate) type Opening = AbortOnDropHandle<Result<ByteStream, ApiError>>;

/// The entries that one peer holds.
pub(crate) struct PeerEntries {
    name: String,
    state: State,
    /// Index that the next frame must have.
    next: u32,
    wait: Duration,
}

enum State {
    Opening(Opening),
    Reading(FrameReader),
    /// All further entries fail alike.
    Failed(ApiError),
}

/// What the peer says about an entry.
pub(crate) enum PeerItem {
    /// So many payload bytes follow: fetch them all with [`PeerEntries::data`].
    Data(u64),
    /// The peer does not have it, or the peer itself failed.
    Failed(ApiError),
}

impl PeerEntries {
    /// Entries of the peer that is called `name` in messages.
    ///
    /// `wait` is the longest wait for the peer's next bytes.
    pub(crate) fn new(name: String, opening: Opening, wait: Duration) -> Self {
        Self { name, state: State::Opening(opening), next: 0, wait }
    }

    /// The next entry; payload of the one before must have been read. A peer's failure fails the
    /// entry, and all that follow, not the call.
    pub(crate) async fn next(&mut self) -> PeerItem {
        match self.try_next().await {
            Ok(item) => item,
            Err(error) => PeerItem::Failed(self.fail(&error)),
        }
    }

    async fn try_next(&mut self) -> Result<PeerItem, ApiError> {
        let expected = self.next;
        self.next = self.next.saturating_add(1);
        let reader = self.reader().await?;
        let header = reader.header().await?;
        if header.index != expected {
            return Err(ApiError::internal(format!(
                "frame {} came, {expected} was due",
                header.index
            )));
        }
        if header.status == 0 {
            return Ok(PeerItem::Data(header.length));
        }
        let mut message = BytesMut::new();
        let mut left = header.length;
        while left > 0 {
            let piece = reader.data(left).await?;
            left -= piece.len() as u64;
            message.extend_from_slice(&piece);
        }
        let message = String::from_utf8_lossy(&message).into_owned();
        let tcode = if header.status == 404 { "ErrNotFound" } else { "" };
        Ok(PeerItem::Failed(ApiError::new(header.status, tcode, message)))
    }

    /// A non-empty piece of the current payload, of which `left` bytes remain.
    pub(crate) async fn data(&mut self, left: u64) -> Result<Bytes, ApiError> {
        let read = match self.reader().await {
            Ok(reader) => reader.data(left).await,
            Err(error) => Err(error),
        };
        read.map_err(|error| self.fail(&error))
    }

    async fn reader(&mut self) -> Result<&mut FrameReader, ApiError> {
        if let State::Opening(opening) = &mut self.state {
            let opened = opening.await.map_err(|err| ApiError::internal(err.to_string()))?;
            self.state = State::Reading(FrameReader {
                stream: opened?,
                chunk: Bytes::new(),
                wait: self.wait,
            });
        }
        match &mut self.state {
            State::Reading(reader) => Ok(reader),
            State::Failed(error) => Err(error.clone()),
            // Replaced above.
            State::Opening(_) => Err(ApiError::internal("the request to the peer was not sent")),
        }
    }

    /// Remembers the first failure, with the peer's name.
    fn fail(&mut self, error: &ApiError) -> ApiError {
        if let State::Failed(first) = &self.state {
            return first.clone();
        }
        let message = format!("batch read from {} failed: {}", self.name, error.message);
        tracing::warn!(peer = self.name, error = %error, "batch: peer failed");
        let named = ApiError::new(error.status, &error.tcode, message);
        self.state = State::Failed(named.clone());
        named
    }
}

struct FrameReader {
    stream: ByteStream,
    chunk: Bytes,
    wait: Duration,
}

impl FrameReader {
    async fn refill(&mut self) -> Result<(), ApiError> {
        while self.chunk.is_empty() {
            let next = timeout(self.wait, self.stream.next()).await.map_err(|_| {
                ApiError::internal(format!("no byte came for {} s", self.wait.as_secs()))
            })?;
            self.chunk = next.ok_or_else(|| ApiError::internal("its stream ended too early"))??;
        }
        Ok(())
    }

    async fn header(&mut self) -> Result<Header, ApiError> {
        let mut bytes = [0; HEADER_BYTES];
        let mut filled = 0;
        while let Some(space) = bytes.get_mut(filled..).filter(|space| !space.is_empty()) {
            self.refill().await?;
            let piece = self.chunk.split_to(space.len().min(self.chunk.len()));
            space.iter_mut().zip(&piece).for_each(|(to, from)| *to = *from);
            filled += piece.len();
        }
        Header::decode(&bytes).map_err(malformed)
    }

    async fn data(&mut self, left: u64) -> Result<Bytes, ApiError> {
        self.refill().await?;
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        Ok(self.chunk.split_to(most.min(self.chunk.len())))
    }
}

fn malformed(err: impl Display) -> ApiError {
    ApiError::internal(err.to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A peer that answers with `stream`, cut into chunks of `chunk` bytes.
    pub(crate) fn peer(stream: Result<Vec<u8>, ApiError>, chunk: usize) -> PeerEntries {
        let opening = tokio::spawn(async move {
            let stream = stream?;
            let chunks: Vec<_> =
                stream.chunks(chunk).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let stream: ByteStream = Box::pin(futures_util::stream::iter(chunks));
            Ok(stream)
        });
        PeerEntries::new("t[peer]".into(), AbortOnDropHandle::new(opening), Duration::from_secs(15))
    }

    pub(crate) fn frame(index: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Header::data(index, payload.len() as u64).encode().to_vec();
        out.extend_from_slice(payload);
        out
    }

    #[tokio::test]
    async fn frames_are_decoded_however_the_chunks_fall() {
        for chunk in [1, 3, 16, 17, 1000] {
            let mut stream = frame(0, b"hello");
            let error = Header { index: 1, status: 404, length: 4 }.encode();
            stream.extend_from_slice(&error);
            stream.extend_from_slice(b"gone");
            stream.extend_from_slice(&frame(2, b""));
            let mut peer = peer(Ok(stream), chunk);
            let PeerItem::Data(5) = peer.next().await else { panic!("data") };
            let mut data = Vec::new();
            while data.len() < 5 {
                data.extend_from_slice(&peer.data(5 - data.len() as u64).await.unwrap());
            }
            assert_eq!(data, b"hello");
            let PeerItem::Failed(error) = peer.next().await else { panic!("missing") };
            assert_eq!((error.status, error.message.as_str()), (404, "gone"));
            assert!(matches!(peer.next().await, PeerItem::Data(0)));
            let PeerItem::Failed(error) = peer.next().await else { panic!("cut") };
            assert!(
                error.message.contains("t[peer]") && error.message.contains("too early"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_refused_request_fails_every_entry() {
        let mut peer = peer(Err(ApiError::unavailable("busy")), 1);
        for _ in 0..2 {
            let PeerItem::Failed(error) = peer.next().await else { panic!("refused") };
            assert_eq!(
                (error.status, error.message.as_str()),
                (503, "batch read from t[peer] failed: busy")
            );
        }
    }

    #[tokio::test]
    async fn frames_out_of_order_are_a_failure() {
        let mut peer = peer(Ok(frame(1, b"x")), 64);
        let PeerItem::Failed(error) = peer.next().await else { panic!("order") };
        assert!(error.message.contains("frame 1 came, 0 was due"), "{error}");
    }
}
