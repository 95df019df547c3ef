//! GetBatch: entries of many objects from all their owners at once, handed out in request order.
//!
//! The batch is split by owner, so no byte crosses the cluster twice. Every owner's answer is read ahead
//! by a task of its own, within a budget of bytes, and the order is restored by taking the next entry
//! from the task that has it. Servers without the frame protocol get one request for a TAR stream.

mod frames;
mod moss;
mod peer;
mod share;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::moss::{BatchError, DEFAULT_MAX_SOFT_ERRORS, MossReq, Wanted, is_soft_error};
use aistore_core::placement;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;

use self::peer::{Answer, OpenError, Peer, ReadAhead};
pub use self::share::Away;
use self::share::Share;
use crate::client::Client;
use crate::error::ClientError;
use crate::routing::STALE_MAP_RETRIES;

/// Bytes read ahead of the consumer, over all owners.
pub const READ_AHEAD_BYTES: usize = 64 << 20;
/// Bytes read ahead per owner, at least.
pub const READ_AHEAD_MIN_BYTES: usize = 4 << 20;

/// One entry of a batch.
#[derive(Debug, Clone)]
pub struct BatchItem {
    /// Position in the request.
    pub index: usize,
    /// Content, or why it is missing (only when the request continues on errors).
    pub data: Result<Bytes, ApiError>,
}

/// Entries that a reading task has decoded, in the order of its share of the request.
struct Run {
    items: VecDeque<Result<Bytes, ApiError>>,
    /// Keeps the budget occupied until the last of the items is taken.
    _permit: Option<OwnedSemaphorePermit>,
}

/// What a reading task sends: entries, or the failure that ends it.
type Message = Result<Run, ClientError>;

/// The consumer's end of one reading task.
struct Lane {
    url: String,
    runs: mpsc::Receiver<Message>,
    current: Option<Run>,
}

/// What is to be had from a lane without waiting.
enum Taken {
    Item(Result<Bytes, ApiError>),
    /// Nothing yet.
    Empty,
}

impl Lane {
    fn new(url: &str, runs: mpsc::Receiver<Message>) -> Self {
        Self { url: url.to_owned(), runs, current: None }
    }

    fn take_ready(&mut self) -> Result<Taken, ClientError> {
        loop {
            if let Some(item) = self.current.as_mut().and_then(|run| run.items.pop_front()) {
                return Ok(Taken::Item(item));
            }
            self.current = None;
            match self.runs.try_recv() {
                Ok(run) => self.current = Some(run?),
                Err(mpsc::error::TryRecvError::Empty) => return Ok(Taken::Empty),
                Err(mpsc::error::TryRecvError::Disconnected) => return Err(self.cut()),
            }
        }
    }

    async fn take(&mut self) -> Result<Result<Bytes, ApiError>, ClientError> {
        loop {
            if let Taken::Item(item) = self.take_ready()? {
                return Ok(item);
            }
            self.current = Some(self.runs.recv().await.ok_or_else(|| self.cut())??);
        }
    }

    fn cut(&self) -> ClientError {
        ClientError::Truncated { url: self.url.clone(), expected: None, got: 0 }
    }
}

/// How many missing entries a batch may have: what the cluster says, as soon as a node has answered.
#[derive(Debug)]
struct SoftLimit(AtomicI64);

impl Default for SoftLimit {
    fn default() -> Self {
        Self(AtomicI64::new(i64::from(DEFAULT_MAX_SOFT_ERRORS)))
    }
}

impl SoftLimit {
    /// `None` without a limit.
    fn get(&self) -> Option<u64> {
        u64::try_from(self.0.load(Ordering::Relaxed)).ok()
    }

    fn learn(&self, answer: &Answer) {
        if let Some(limit) = answer.max_soft_errors() {
            self.0.store(limit, Ordering::Relaxed);
        }
    }
}

/// Entries of one batch, in request order. Dropping it early ends the transfer.
pub struct BatchStream {
    lanes: Vec<Lane>,
    /// Lane of each entry still to come.
    order: std::vec::IntoIter<u16>,
    position: usize,
    continue_on_error: bool,
    soft_errors: u64,
    limit: Arc<SoftLimit>,
    /// Whether any number of entries may be missing.
    is_patient: bool,
    failed: bool,
    /// Aborts the reading tasks when the stream is dropped.
    _tasks: JoinSet<()>,
}

impl std::fmt::Debug for BatchStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let left = self.order.len();
        f.debug_struct("BatchStream").field("left", &left).finish_non_exhaustive()
    }
}

impl BatchStream {
    /// Hands out every entry that failed, however many they are.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.is_patient = true;
        self
    }

    /// Entries still to come.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether no entries are to come.
    pub fn is_empty(&self) -> bool {
        self.order.len() == 0
    }

    /// The next entry, `None` at the end. Cancel safe.
    ///
    /// After an error the stream is at its end.
    pub async fn next(&mut self) -> Result<Option<BatchItem>, ClientError> {
        let Some(lane) = self.lane() else { return Ok(None) };
        let taken = match self.lanes.get_mut(lane) {
            Some(lane) => lane.take().await,
            None => return Ok(None),
        };
        self.accept(taken).map(Some)
    }

    /// The next entry if it is there already; `None` also at the end.
    pub fn next_ready(&mut self) -> Result<Option<BatchItem>, ClientError> {
        let Some(lane) = self.lane() else { return Ok(None) };
        let taken = match self.lanes.get_mut(lane).map(Lane::take_ready) {
            Some(Ok(Taken::Item(item))) => Ok(item),
            Some(Err(error)) => Err(error),
            Some(Ok(Taken::Empty)) | None => return Ok(None),
        };
        self.accept(taken).map(Some)
    }

    /// Lane of the next entry.
    fn lane(&self) -> Option<usize> {
        if self.failed {
            return None;
        }
        self.order.as_slice().first().map(|lane| usize::from(*lane))
    }

    fn accept(
        &mut self,
        taken: Result<Result<Bytes, ApiError>, ClientError>,
    ) -> Result<BatchItem, ClientError> {
        let outcome = taken.and_then(|data| {
            let Some(lane) = self.order.next() else {
                return Err(ClientError::Invalid("batch is at its end".to_owned()));
            };
            if let Err(error) = &data {
                self.judge(error, usize::from(lane))?;
            }
            let index = self.position;
            self.position += 1;
            Ok(BatchItem { index, data })
        });
        self.failed = outcome.is_err();
        outcome
    }

    /// Decides whether an error ends the batch.
    fn judge(&mut self, error: &ApiError, lane: usize) -> Result<(), ClientError> {
        let url = self.lanes.get(lane).map_or("", |lane| lane.url.as_str());
        let fatal = |error: ApiError| Err(ClientError::api(error, "GET", url));
        if !self.continue_on_error || !is_soft_error(error) {
            return fatal(error.clone());
        }
        self.soft_errors += 1;
        match self.limit.get().filter(|_| !self.is_patient) {
            Some(max) if self.soft_errors > max => fatal(ApiError::bad_request(format!(
                "batch exceeded soft-errors limit: {} (max: {max}); the last one: {}",
                self.soft_errors, error.message
            ))),
            _ => Ok(()),
        }
    }
}

fn refuse(error: &BatchError) -> ClientError {
    ClientError::api(ApiError::bad_request(error.to_string()), "GET", "/v1/ml/moss")
}

impl Client {
    /// Reads many objects, files in shards and ranges, in order.
    ///
    /// Missing entries are an error with the server's message; when the request continues on errors they
    /// are handed out as such, up to the cluster's limit of soft errors.
    pub async fn batch(
        &self,
        request: MossReq,
        default_bucket: Option<Bucket>,
    ) -> Result<BatchStream, ClientError> {
        if request.entries.is_empty() {
            return Err(refuse(&BatchError::Empty));
        }
        let wanted = request
            .entries
            .iter()
            .map(|entry| entry.resolve(default_bucket.as_ref()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| refuse(&e))?;
        let mut stale = STALE_MAP_RETRIES;
        loop {
            match self.scatter(&request, &wanted, stale > 0).await {
                Ok(stream) => return Ok(stream),
                Err(OpenError::Unknown) => {
                    return self.moss(request, &wanted, default_bucket).await;
                }
                Err(OpenError::Stale(_)) if stale > 0 => stale -= 1,
                Err(
                    OpenError::Failed(error) | OpenError::Stale(error) | OpenError::Lost(error),
                ) => return Err(error),
            }
            self.refresh_map().await;
        }
    }

    async fn scatter(
        &self,
        request: &MossReq,
        wanted: &[Wanted],
        plan_again: bool,
    ) -> Result<BatchStream, OpenError> {
        let continue_on_error = request.continue_on_error.unwrap_or(false);
        let map = self.smap(false).await.map_err(OpenError::Failed)?;
        let mut peers: Vec<Peer> = Vec::new();
        let mut order = Vec::with_capacity(wanted.len());
        for entry in wanted {
            let uname = entry.bucket.object_uname(&entry.object);
            let Some(owner) = placement::owner(&map, &uname) else {
                return Err(OpenError::Failed(self.no_targets()));
            };
            let known = peers.iter().position(|peer| peer.url() == owner.url());
            let lane = known.unwrap_or_else(|| {
                peers.push(Peer::new(owner.url(), map.version));
                peers.len() - 1
            });
            if let Some(peer) = peers.get_mut(lane) {
                peer.add(entry.clone());
            }
            order.push(u16::try_from(lane).unwrap_or(u16::MAX));
        }
        // All heads first: what is wrong with the request shows before any entry is out.
        let opened = peers.iter().map(|peer| async {
            match peer.open(self, 0).await {
                Ok(answer) => Ok(Ok(Some(answer))),
                // With a new map the whole is planned anew; who disagrees still is left to its own share,
                // as is a node that may come back.
                Err(OpenError::Stale(error)) if plan_again => Err(OpenError::Stale(error)),
                Err(OpenError::Stale(_) | OpenError::Lost(_)) => Ok(Ok(None)),
                // Nobody waits a whole timeout twice.
                Err(OpenError::Failed(error @ ClientError::Timeout { .. }))
                    if continue_on_error =>
                {
                    Ok(Err(error))
                }
                Err(error) => Err(error),
            }
        });
        let opened = futures_util::future::try_join_all(opened).await?;
        let budget = (READ_AHEAD_BYTES / peers.len().max(1)).max(READ_AHEAD_MIN_BYTES);
        let mut tasks = JoinSet::new();
        let mut lanes = Vec::with_capacity(peers.len());
        let limit = Arc::new(SoftLimit::default());
        for (peer, answer) in peers.into_iter().zip(opened) {
            let (sender, receiver) = mpsc::channel(peer::RUNS_AHEAD);
            lanes.push(Lane::new(peer.url(), receiver));
            match answer {
                Ok(answer) => {
                    let lane = ReadAhead::new(budget, sender);
                    let mark = continue_on_error;
                    let share = Share::new(self.clone(), peer, lane, limit.clone(), mark);
                    tasks.spawn(share.read(answer));
                }
                Err(error) => {
                    tasks.spawn(async move { peer.mark_rest(0, &error, &sender).await });
                }
            }
        }
        Ok(BatchStream {
            lanes,
            order: order.into_iter(),
            position: 0,
            continue_on_error,
            soft_errors: 0,
            limit,
            is_patient: false,
            failed: false,
            _tasks: tasks,
        })
    }
}
