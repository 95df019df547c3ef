//! Puts a batch together: every entry in request order, wherever it is read.

use std::sync::Arc;

use aistore_core::error::ApiError;
use aistore_core::moss::is_soft_error;
use bytes::Bytes;

use super::cuts::Made;
use super::layout::Layout;
use super::local::{Data, Item, LocalEntries, Located};
use super::outbox::{Outbox, Page};
use super::peer::{PeerEntries, PeerItem};
use super::plan::{Entry, Plan, Route};
use crate::target::buffers::{BUFFER_BYTES, Pieces};

/// Entries from peers up to this size are complete before their header is sent, so that a peer's end
/// costs the entry and not the batch. With prefix and suffix it fits a page.
const WHOLE_ENTRY_BYTES: u64 = 128 << 10;

/// Most buffers that one step takes: a group read ahead, the end of a page and the start of the next.
const STEP_BUFFERS: u64 = 3;
/// Memory of a batch: what the assembler itself may hold when it waits (a run, a group, two being read, a page, two
/// ready), and one more step.
pub(crate) const BATCH_BYTES: u64 = (7 + STEP_BUFFERS) * BUFFER_BYTES as u64;

/// What a failed entry does to the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// It is reported in its place, and counts nothing: the reader decides.
    Report,
    /// It ends the batch.
    Abort,
    /// It is marked in its place, up to this many times; negative means any number.
    Mark(i64),
}

/// How one entry ended, for the description of a buffered answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntryResult {
    pub(crate) bytes: u64,
    pub(crate) error: Option<String>,
}

/// A batch in the making: a pull-driven stream of bytes.
pub(crate) struct Assembler {
    plan: Arc<Plan>,
    layout: Layout,
    on_failure: OnFailure,
    pieces: Pieces,
    local: LocalEntries,
    peers: Vec<PeerEntries>,
    outbox: Outbox,
    next: usize,
    streaming: Option<Streaming>,
    ended: bool,
    failures: i64,
    results: Vec<EntryResult>,
}

/// A large entry whose header is out.
struct Streaming {
    source: Source,
    suffix: &'static [u8],
}

enum Source {
    Local { data: Data, position: usize },
    Peer { peer: usize, left: u64 },
}

impl Assembler {
    pub(crate) fn new(
        plan: Arc<Plan>,
        layout: Layout,
        on_failure: OnFailure,
        pieces: Pieces,
        local: LocalEntries,
        peers: Vec<PeerEntries>,
    ) -> Self {
        Self {
            results: Vec::with_capacity(plan.entries.len()),
            outbox: Outbox::new(pieces.clone()),
            plan,
            layout,
            on_failure,
            pieces,
            local,
            peers,
            next: 0,
            streaming: None,
            ended: false,
            failures: 0,
        }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn shared_plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan)
    }

    /// How the entries ended so far, in request order.
    pub(crate) fn results(&self) -> &[EntryResult] {
        &self.results
    }

    /// The next piece of the stream, `None` after its end. After an error the stream is void, and what
    /// was handed out is an archive cut short. Not cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            if let Some(piece) = self.outbox.pop() {
                return Ok(Some(piece));
            }
            if self.ended {
                return Ok(None);
            }
            // What was handed out is on its way to the client; its memory comes back when it is sent.
            self.pieces.room(STEP_BUFFERS).await;
            if let Some(streaming) = self.streaming.take() {
                self.stream_on(streaming).await?;
                continue;
            }
            let plan = Arc::clone(&self.plan);
            let Some(entry) = plan.entries.get(self.next) else {
                self.outbox.push_slice(&self.layout.end());
                self.outbox.flush();
                self.ended = true;
                continue;
            };
            match entry.route {
                Route::Here => self.take_local(entry).await?,
                Route::Peer(peer) => self.take_from_peer(entry, peer).await?,
            }
            self.next += 1;
        }
    }

    async fn take_local(&mut self, entry: &Entry) -> Result<(), ApiError> {
        match self.local.next().await? {
            Item::Encoded(bytes, range, size) => {
                self.outbox.push_run(&bytes, range);
                self.succeed(size);
            }
            Item::Open(Located { data, mtime_s }) => {
                let (position, size) = (self.next, data.length());
                let prefix = self.layout.prefix(position, &entry.wanted, size, mtime_s);
                self.outbox.push_slice(&prefix);
                let source = Source::Local { data, position };
                self.streaming = Some(Streaming { source, suffix: self.layout.suffix(size) });
                self.succeed(size);
            }
            Item::Cut(Made { bytes, mtime_s }) => {
                let size = bytes.len() as u64;
                self.outbox.push_slice(&self.layout.prefix(
                    self.next,
                    &entry.wanted,
                    size,
                    mtime_s,
                ));
                self.outbox.push(&bytes);
                self.outbox.push_slice(self.layout.suffix(size));
                self.succeed(size);
            }
            Item::Failed(error) => self.fail(entry, error)?,
        }
        Ok(())
    }

    async fn take_from_peer(&mut self, entry: &Entry, peer: usize) -> Result<(), ApiError> {
        let Some(stream) = self.peers.get_mut(peer) else {
            return Err(ApiError::internal(
                "batch: an entry is routed to a peer that was not asked",
            ));
        };
        loop {
            let size = match stream.next().await {
                PeerItem::Data(size) => size,
                PeerItem::Failed(error) => return self.fail(entry, error),
            };
            // Access times do not travel between nodes.
            let prefix = self.layout.prefix(self.next, &entry.wanted, size, 0);
            let suffix = self.layout.suffix(size);
            if size > WHOLE_ENTRY_BYTES {
                self.outbox.push_slice(&prefix);
                self.streaming =
                    Some(Streaming { source: Source::Peer { peer, left: size }, suffix });
                self.succeed(size);
                return Ok(());
            }
            let length = usize::try_from(size).unwrap_or_default();
            let page = self.outbox.open_page(prefix.len() + length + suffix.len());
            let from = page.at();
            page.put(&prefix);
            let Err(error) = read_whole(stream, size, page).await else {
                page.put(suffix);
                self.outbox.settle();
                self.succeed(size);
                return Ok(());
            };
            page.cut(from);
            self.outbox.settle();
            if !stream.retry(&error).await {
                let error = stream.fail(&error);
                return self.fail(entry, error);
            }
        }
    }

    /// Sends one more piece of a large entry, then its suffix.
    async fn stream_on(&mut self, mut streaming: Streaming) -> Result<(), ApiError> {
        let left = match &mut streaming.source {
            Source::Local { data, position } => {
                let entry = self.plan.entries.get(*position);
                let cname = entry.map(|e| e.wanted.bucket.object_cname(&e.wanted.object));
                let piece = data.next(&self.pieces, &cname.unwrap_or_default()).await?;
                self.outbox.push(&piece);
                data.length()
            }
            Source::Peer { peer, left } => {
                let Some(stream) = self.peers.get_mut(*peer) else {
                    return Err(ApiError::internal("batch: unknown peer"));
                };
                let piece = stream.data(*left).await.map_err(|error| stream.fail(&error))?;
                *left -= piece.len() as u64;
                self.outbox.push(&piece);
                *left
            }
        };
        if left > 0 {
            self.streaming = Some(streaming);
        } else {
            self.outbox.push_slice(streaming.suffix);
        }
        Ok(())
    }

    fn succeed(&mut self, bytes: u64) {
        self.results.push(EntryResult { bytes, error: None });
    }

    fn fail(&mut self, entry: &Entry, error: ApiError) -> Result<(), ApiError> {
        match self.on_failure {
            OnFailure::Report => {}
            OnFailure::Abort => return Err(error),
            OnFailure::Mark(_) if !is_soft_error(&error) => return Err(error),
            OnFailure::Mark(most) => {
                self.failures += 1;
                if most >= 0 && self.failures > most {
                    return Err(ApiError::bad_request(format!(
                        "batch exceeded soft-errors limit: {} (max: {most}); the last was: {}",
                        self.failures, error.message
                    )));
                }
            }
        }
        self.outbox.push_slice(&self.layout.failed(self.next, &entry.wanted, &error));
        self.results.push(EntryResult { bytes: 0, error: Some(error.message) });
        Ok(())
    }
}

/// Reads the payload of an entry that fits the page.
async fn read_whole(stream: &mut PeerEntries, size: u64, page: &mut Page) -> Result<(), ApiError> {
    let mut left = size;
    while left > 0 {
        let piece = stream.data(left).await?;
        page.put(&piece);
        left -= piece.len() as u64;
    }
    Ok(())
}
