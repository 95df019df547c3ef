//! Entries on a peer, read as a stream of frames strictly in request order.
//!
//! What the peer reads ahead waits in the connection's buffers; nothing is buffered here beyond the
//! piece being decoded, so a slow client slows the peers down and memory stays bounded.

use std::collections::VecDeque;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aistore_client::Away;
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

/// Asks those who own what is left of a share, from the given entry on; nobody if the map is empty.
pub(crate) type Again =
    Box<dyn Fn(usize) -> Pin<Box<dyn Future<Output = Vec<Part>> + Send>> + Send + Sync>;

/// Part of what is left of a share.
pub(crate) struct Part {
    /// The node, in messages.
    pub(crate) name: String,
    pub(crate) opening: Opening,
    /// Its entries, counted from the first one left.
    pub(crate) entries: Vec<usize>,
}

/// How long a share waits for its node, or for its successor, without any entry arriving.
const PATIENCE: Duration = Duration::from_secs(5);
/// Waits between two tries.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 50..=250;

/// The entries that one peer holds, read to their end wherever they have gone meanwhile.
pub(crate) struct PeerEntries {
    streams: Vec<PeerStream>,
    /// Stream of each entry still to come.
    order: VecDeque<usize>,
    /// Stream of the entry that came last.
    current: usize,
    /// The entry that comes next.
    position: usize,
    entries: usize,
    wait: Duration,
    /// How to go on, and where to note that it was in vain.
    going: Option<(Again, Arc<Away>, String)>,
    /// Since when nothing has come.
    lost: Option<Instant>,
    /// All further entries fail alike.
    failed: Option<ApiError>,
    patience: Duration,
}

struct PeerStream {
    name: String,
    state: State,
    /// Index that the next frame must have.
    next: u32,
    wait: Duration,
}

enum State {
    Opening(Opening),
    Reading(FrameReader),
    /// Nothing more comes.
    Ended,
}

/// What the peer says about an entry.
pub(crate) enum PeerItem {
    /// So many payload bytes follow: fetch them all with [`PeerEntries::data`].
    Data(u64),
    /// The peer does not have it, or the peer itself failed.
    Failed(ApiError),
}

/// Whether another try may go well: the node or its connection is gone, busy, or knows another map.
fn is_passing(error: &ApiError) -> bool {
    matches!(error.status, 421 | 429 | 502 | 503)
}

impl PeerEntries {
    /// The `entries` entries of the peer that is called `name` in messages.
    ///
    /// `wait` is the longest wait for the peer's next bytes.
    pub(crate) fn new(name: String, opening: Opening, entries: usize, wait: Duration) -> Self {
        Self {
            streams: vec![PeerStream { name, state: State::Opening(opening), next: 0, wait }],
            order: std::iter::repeat_n(0, entries).collect(),
            current: 0,
            position: 0,
            entries,
            wait,
            going: None,
            lost: None,
            failed: None,
            patience: PATIENCE,
        }
    }

    /// The same, with a way to go on when the peer, which is `node` in `away`, is gone.
    pub(crate) fn going_on(self, again: Again, away: Arc<Away>, node: &str) -> Self {
        let patience = if away.is(node) { Duration::ZERO } else { PATIENCE };
        Self { going: Some((again, away, node.to_owned())), patience, ..self }
    }

    /// The next entry; payload of the one before must have been read. A peer's failure fails the
    /// entry, and all that follow, not the call.
    pub(crate) async fn next(&mut self) -> PeerItem {
        loop {
            if let Some(error) = &self.failed {
                return PeerItem::Failed(error.clone());
            }
            let at = self.order.front().copied();
            let outcome = match at.and_then(|at| self.streams.get_mut(at)) {
                Some(stream) => stream.try_next().await,
                None => Err(ApiError::unavailable("no node owns the entry")),
            };
            match outcome {
                Ok(item) => {
                    self.current = self.order.pop_front().unwrap_or_default();
                    self.position += 1;
                    if matches!(item, PeerItem::Failed(_) | PeerItem::Data(0)) {
                        self.arrived();
                    }
                    return item;
                }
                Err(error) if self.go_on_after(&error).await => {}
                Err(error) => return PeerItem::Failed(self.fail(&error)),
            }
        }
    }

    /// A non-empty piece of the current payload, of which `left` bytes remain.
    pub(crate) async fn data(&mut self, left: u64) -> Result<Bytes, ApiError> {
        let Some(stream) = self.streams.get_mut(self.current) else {
            return Err(ApiError::internal("batch: no entry is being read"));
        };
        let piece = stream.reader().await?.data(left).await?;
        self.arrived();
        Ok(piece)
    }

    fn arrived(&mut self) {
        let was_away = std::mem::replace(&mut self.patience, PATIENCE).is_zero();
        if (self.lost.take().is_some() || was_away)
            && let Some((_, away, node)) = &self.going
        {
            away.remove(node);
        }
    }

    /// Goes back to the entry whose payload broke off, if it is worth another try: ask for the next one then.
    pub(crate) async fn retry(&mut self, error: &ApiError) -> bool {
        if self.position == 0 {
            return false;
        }
        self.position -= 1;
        let goes_on = self.go_on_after(error).await;
        if !goes_on {
            self.position += 1;
        }
        goes_on
    }

    /// Waits a little and asks for what is left; false when that is of no use.
    async fn go_on_after(&mut self, error: &ApiError) -> bool {
        let Some((again, away, node)) = self.going.as_ref().filter(|_| is_passing(error)) else {
            return false;
        };
        let since = *self.lost.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.patience {
            away.add(node);
            return false;
        }
        tracing::debug!(error = %error, position = self.position, "batch: asking for the rest");
        self.streams.clear();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(PAUSE_MS))).await;
        let parts = again(self.position).await;
        let mut order = vec![usize::MAX; self.entries.saturating_sub(self.position)];
        for Part { name, opening, entries } in parts {
            for entry in entries {
                if let Some(place) = order.get_mut(entry) {
                    *place = self.streams.len();
                }
            }
            let state = State::Opening(opening);
            self.streams.push(PeerStream { name, state, next: 0, wait: self.wait });
        }
        self.order = order.into();
        true
    }

    /// Remembers the first failure, with the peer's name.
    pub(crate) fn fail(&mut self, error: &ApiError) -> ApiError {
        let at = self.order.front().copied().unwrap_or(self.current);
        let name = self.streams.get(at).map_or("its owner", |stream| stream.name.as_str());
        let message = format!("batch read from {name} failed: {}", error.message);
        tracing::warn!(peer = name, error = %error, "batch: peer failed");
        let named = ApiError::new(error.status, &error.tcode, message);
        self.failed.get_or_insert(named).clone()
    }
}

impl PeerStream {
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

    async fn reader(&mut self) -> Result<&mut FrameReader, ApiError> {
        if let State::Opening(_) = &self.state
            && let State::Opening(opening) = std::mem::replace(&mut self.state, State::Ended)
        {
            let opened = opening.await.map_err(|err| ApiError::internal(err.to_string()))?;
            let (chunk, wait) = (Bytes::new(), self.wait);
            self.state = State::Reading(FrameReader { stream: opened?, chunk, wait });
        }
        match &mut self.state {
            State::Reading(reader) => Ok(reader),
            _ => Err(ApiError::internal("the peer failed before")),
        }
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
            let early = || ApiError::new(502, "", "its stream ended too early");
            self.chunk = next.ok_or_else(early)??;
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
        let opening = AbortOnDropHandle::new(opening);
        PeerEntries::new("t[peer]".into(), opening, 1000, Duration::from_secs(15))
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

    fn opening(stream: Result<Vec<u8>, ApiError>) -> Opening {
        AbortOnDropHandle::new(tokio::spawn(async move {
            let stream: ByteStream = Box::pin(futures_util::stream::iter([Ok(stream?.into())]));
            Ok(stream)
        }))
    }

    async fn read(peer: &mut PeerEntries) -> Result<Vec<u8>, ApiError> {
        loop {
            let size = match peer.next().await {
                PeerItem::Data(size) => usize::try_from(size).unwrap(),
                PeerItem::Failed(error) => return Err(error),
            };
            let mut data = Vec::new();
            let error = loop {
                if data.len() == size {
                    return Ok(data);
                }
                match peer.data((size - data.len()) as u64).await {
                    Ok(piece) => data.extend_from_slice(&piece),
                    Err(error) => break error,
                }
            };
            if !peer.retry(&error).await {
                return Err(peer.fail(&error));
            }
        }
    }

    #[tokio::test]
    async fn what_is_left_is_asked_of_its_new_owners() {
        // Five entries; the second breaks off in its middle, and the node refuses at first to go on.
        let mut broken = frame(0, b"zero");
        broken.extend_from_slice(&frame(1, b"one")[..17]);
        let tries = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let again: Again = Box::new(move |from| {
            assert_eq!(from, 1);
            let tries = tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Box::pin(async move {
                let part = |name: &str, entries: &[usize], stream| Part {
                    name: name.to_owned(),
                    opening: opening(stream),
                    entries: entries.to_vec(),
                };
                if tries == 0 {
                    let refusal = Err(ApiError::new(502, "", "cannot be reached"));
                    return vec![part("t[same]", &[0, 1, 2, 3], refusal)];
                }
                let first = [frame(0, b"one"), frame(1, b"three")].concat();
                let second = [frame(0, b"two"), frame(1, b"")].concat();
                vec![part("t[a]", &[0, 2], Ok(first)), part("t[b]", &[1, 3], Ok(second))]
            })
        });
        let (away, wait) = (Arc::new(Away::default()), Duration::from_secs(15));
        let peer = PeerEntries::new("t[peer]".into(), opening(Ok(broken)), 5, wait);
        let mut peer = peer.going_on(again, Arc::clone(&away), "peer");
        for expected in ["zero", "one", "two", "three", ""] {
            assert_eq!(read(&mut peer).await.unwrap(), expected.as_bytes());
        }
        assert!(!away.is("peer"));
    }

    #[tokio::test]
    async fn a_node_that_was_waited_for_in_vain_fails_its_entries_at_once() {
        let away = Arc::new(Away::default());
        away.add("peer");
        let again: Again = Box::new(|_| unreachable!("not waited for again"));
        let refusal = Err(ApiError::new(502, "", "cannot be reached"));
        let wait = Duration::from_secs(15);
        let peer = PeerEntries::new("t[peer]".into(), opening(refusal), 2, wait);
        let mut peer = peer.going_on(again, Arc::clone(&away), "peer");
        for _ in 0..2 {
            let error = read(&mut peer).await.unwrap_err();
            assert!(error.status == 502 && error.message.contains("t[peer]"), "{error}");
        }
        assert!(away.is("peer"));
    }

    #[tokio::test]
    async fn frames_out_of_order_are_a_failure() {
        let mut peer = peer(Ok(frame(1, b"x")), 64);
        let PeerItem::Failed(error) = peer.next().await else { panic!("order") };
        assert!(error.message.contains("frame 1 came, 0 was due"), "{error}");
    }
}
