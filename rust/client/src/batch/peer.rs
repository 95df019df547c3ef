//! One owner's share of a batch: asking for it, and reading the answer ahead of the consumer.

use std::collections::VecDeque;
use std::sync::Arc;

use aistore_core::error::ApiError;
use aistore_core::headers::SMAP_VERSION;
use aistore_core::moss::Wanted;
use http::Method;
use tokio::sync::{Semaphore, mpsc};

use super::frames::Decoder;
use super::{Message, Run};
use crate::client::Client;
use crate::error::ClientError;
use crate::request::Call;
use crate::retry::{Budget, Repeat};
use crate::transport::{Failure, Opened};

/// Header with the cluster's limit of soft errors.
const MAX_SOFT_ERRORS: &str = "ais-max-soft-errs";
/// Messages from a reading task to the consumer; what they hold is bounded in bytes besides.
pub(super) const RUNS_AHEAD: usize = 64;
/// Why an owner's share could not be opened.
#[derive(Debug)]
pub(super) enum OpenError {
    /// The node does not know the request.
    Unknown,
    /// Its map differs from ours.
    Stale(ClientError),
    /// It cannot be reached.
    Lost(ClientError),
    Failed(ClientError),
}

/// One owner and what is wanted of it.
pub(super) struct Peer {
    url: String,
    map_version: u64,
    wanted: Vec<Wanted>,
}

/// An owner's answer before its frames are read.
pub(super) struct Answer(Opened);

impl Answer {
    pub(super) fn max_soft_errors(&self) -> Option<i64> {
        self.0.response.headers().get(MAX_SOFT_ERRORS)?.to_str().ok()?.parse().ok()
    }
}

impl Peer {
    pub(super) fn new(url: &str, map_version: u64) -> Self {
        Self { url: url.to_owned(), map_version, wanted: Vec::new() }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn set_map_version(&mut self, version: u64) {
        self.map_version = version;
    }

    /// The entries from position `from` on.
    pub(super) fn left(&self, from: usize) -> &[Wanted] {
        self.wanted.get(from..).unwrap_or_default()
    }

    pub(super) fn add(&mut self, wanted: Wanted) {
        self.wanted.push(wanted);
    }

    /// Asks for the entries from position `from` of this share on.
    pub(super) async fn open(&self, client: &Client, from: usize) -> Result<Answer, OpenError> {
        self.try_open(client, from).await.map_err(|failure| {
            let lost = Budget::new(client.config()).applies(Repeat::Busy, &failure);
            let error = failure.error;
            match &error {
                ClientError::Api { error: api, .. } => match api.status {
                    421 => OpenError::Stale(error),
                    // A bucket that is missing is told by class; without one the path is unknown.
                    400 | 404 | 405 if api.tcode.is_empty() || api.tcode == "ErrNotFound" => {
                        OpenError::Unknown
                    }
                    _ if lost => OpenError::Lost(error),
                    _ => OpenError::Failed(error),
                },
                _ if lost => OpenError::Lost(error),
                _ => OpenError::Failed(error),
            }
        })
    }

    async fn try_open(&self, client: &Client, from: usize) -> Result<Answer, Failure> {
        #[derive(serde::Serialize)]
        struct Body<'a> {
            entries: &'a [Wanted],
        }
        let entries = self.left(from);
        let call = Call::new(Method::POST, "/v1/frames")
            .base(&self.url)
            .header(SMAP_VERSION, &self.map_version.to_string())
            .json(&Body { entries })?;
        client.open_call(&call).await.map(Answer)
    }

    /// Reads an answer to its end; `done` counts the entries of the share that were handed over.
    pub(super) async fn read_answer(
        &self,
        answer: Answer,
        lane: &ReadAhead,
        done: &mut usize,
    ) -> Result<(), ClientError> {
        let (_, mut reader) = answer.0.into_reader();
        let total = self.wanted.len();
        let mut decoder = Decoder::new(u32::try_from(total - *done).unwrap_or(u32::MAX - 1));
        while let Some(piece) = reader.next().await? {
            let mut items = VecDeque::new();
            let progress = decoder.push(piece, &mut items);
            *done += items.len();
            let bytes = match &progress {
                Ok(bytes) => usize::try_from(*bytes).unwrap_or(usize::MAX),
                Err(_) => 0,
            };
            if !items.is_empty() && !lane.hand_over(items, bytes).await {
                return Ok(());
            }
            progress.map_err(|e| ClientError::Protocol {
                url: reader.url().to_owned(),
                message: e.to_string(),
            })?;
        }
        if decoder.is_done() {
            return Ok(());
        }
        let (expected, got) = (Some(total as u64), *done as u64);
        Err(ClientError::Truncated { url: self.url.clone(), expected, got })
    }
}

/// Whether a failure means that the node is gone, or as good as that.
pub(super) fn is_lost(error: &ClientError) -> bool {
    match error {
        ClientError::Connect { .. }
        | ClientError::Truncated { .. }
        | ClientError::Timeout { .. } => true,
        ClientError::Api { error, .. } => matches!(error.status, 429 | 502 | 503 | 504),
        _ => false,
    }
}

/// The budget of one lane and its way to the consumer.
pub(super) struct ReadAhead {
    budget: Arc<Semaphore>,
    budget_bytes: usize,
    pub(super) sender: mpsc::Sender<Message>,
}

impl ReadAhead {
    pub(super) fn new(budget_bytes: usize, sender: mpsc::Sender<Message>) -> Self {
        Self { budget: Arc::new(Semaphore::new(budget_bytes)), budget_bytes, sender }
    }

    pub(super) fn budget_bytes(&self) -> usize {
        self.budget_bytes
    }

    /// Waits for room, then hands entries over; false when the consumer is gone.
    pub(super) async fn hand_over(
        &self,
        items: VecDeque<Result<bytes::Bytes, ApiError>>,
        bytes: usize,
    ) -> bool {
        // One entry larger than the budget takes all of it.
        let permits = u32::try_from(bytes.min(self.budget_bytes)).unwrap_or(u32::MAX);
        let permit = tokio::select! {
            permit = self.budget.clone().acquire_many_owned(permits) => permit.ok(),
            () = self.sender.closed() => return false,
        };
        self.sender.send(Ok(Run { items, _permit: permit })).await.is_ok()
    }
}
