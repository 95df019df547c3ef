//! Listing from all targets at once: one reading task per target, and a merge by name.

use std::cmp::Ordering;

use aistore_core::bucket::Bucket;
use aistore_core::headers::SMAP_VERSION;
use aistore_core::list::{ListEntry, ListMsg, ListPage};
use http::Method;
use http::header::ACCEPT;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{MSGPACK, decode, first_message};
use crate::client::Client;
use crate::error::ClientError;
use crate::request::{Call, ListOptions};
use crate::retry::{Budget, Repeat};

/// Pages that are fetched ahead of the merge, per target.
const PAGES_AHEAD: usize = 2;

/// Why a target cannot be listed directly.
pub(super) enum ScanError {
    /// It does not know the request: a server of another make, or an older one.
    Unknown,
    /// Its map differs from ours.
    Stale,
    Failed(ClientError),
}

impl Client {
    /// Starts reading from all targets.
    pub(super) async fn open_scan(
        &self,
        bucket: &Bucket,
        options: &ListOptions,
    ) -> Result<Merge, ScanError> {
        let map = self.smap(false).await.map_err(ScanError::Failed)?;
        let mut fetchers = JoinSet::new();
        let mut sources = Vec::new();
        for node in map.tmap.values() {
            let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
            sources.push(Source {
                pages: receiver,
                url: node.url().to_owned(),
                current: Vec::new().into_iter(),
                last: false,
                head: None,
            });
            let (client, bucket) = (self.clone(), bucket.clone());
            let (url, version) = (node.url().to_owned(), map.version);
            let message = first_message(options);
            fetchers.spawn(async move {
                client.scan_target(&bucket, &url, version, message, sender).await;
            });
        }
        if sources.is_empty() {
            return Err(ScanError::Failed(self.no_targets()));
        }
        for source in &mut sources {
            source.advance().await?;
        }
        sources.retain(|source| source.head.is_some());
        Ok(Merge { sources, last: None, _fetchers: fetchers })
    }

    async fn scan_target(
        &self,
        bucket: &Bucket,
        url: &str,
        version: u64,
        mut message: ListMsg,
        sender: mpsc::Sender<Result<ScanPage, ScanError>>,
    ) {
        // The scan has no state on the server: the token is the last name.
        message.continuation_token = std::mem::take(&mut message.start_after);
        loop {
            let page = match self.scan_page(bucket, url, version, &message).await {
                Ok(page) => page,
                Err(error) => {
                    let _ = sender.send(Err(error)).await;
                    return;
                }
            };
            if !page.continuation_token.is_empty()
                && page.continuation_token <= message.continuation_token
            {
                let text = "listing does not move on".to_owned();
                let error = ClientError::Protocol { url: url.to_owned(), message: text };
                let _ = sender.send(Err(ScanError::Failed(error))).await;
                return;
            }
            message.continuation_token = page.continuation_token;
            let last = message.continuation_token.is_empty();
            if sender.send(Ok(ScanPage { entries: page.entries, last })).await.is_err() || last {
                return;
            }
        }
    }

    async fn scan_page(
        &self,
        bucket: &Bucket,
        url: &str,
        version: u64,
        message: &ListMsg,
    ) -> Result<ListPage, ScanError> {
        let mut call = Call::new(Method::POST, format!("/v1/scan/{}", bucket.name))
            .base(url)
            .query("provider", bucket.provider.as_str())
            .header(SMAP_VERSION, &version.to_string())
            .header(ACCEPT.as_str(), MSGPACK)
            .json(message)
            .map_err(ScanError::Failed)?;
        if !bucket.namespace.is_global() {
            call = call.query("namespace", &bucket.namespace.to_string());
        }
        // Reads only, though a POST.
        let mut budget = Budget::new(self.config());
        loop {
            let failure = match self.open_call(&call).await {
                Ok(opened) => {
                    let reply = crate::client::reply(opened).await.map_err(ScanError::Failed)?;
                    return decode(&reply).map_err(ScanError::Failed);
                }
                Err(failure) => failure,
            };
            if budget.applies(Repeat::Busy, &failure) {
                budget.spend(failure).await.map_err(ScanError::Failed)?;
                continue;
            }
            return Err(match failure.error.status() {
                Some(400 | 404 | 405) => ScanError::Unknown,
                Some(421) => ScanError::Stale,
                _ => ScanError::Failed(failure.error),
            });
        }
    }
}

struct ScanPage {
    entries: Vec<ListEntry>,
    /// Without it a fetcher that died would look like the end of the listing.
    last: bool,
}

/// One target's share of the listing.
struct Source {
    pages: mpsc::Receiver<Result<ScanPage, ScanError>>,
    url: String,
    current: std::vec::IntoIter<ListEntry>,
    last: bool,
    head: Option<ListEntry>,
}

impl Source {
    /// Moves to the next entry.
    async fn advance(&mut self) -> Result<(), ScanError> {
        loop {
            self.head = self.current.next();
            if self.head.is_some() || self.last {
                return Ok(());
            }
            let Some(page) = self.pages.recv().await else {
                let (url, expected) = (self.url.clone(), None);
                return Err(ScanError::Failed(ClientError::Truncated { url, expected, got: 0 }));
            };
            let page = page?;
            self.last = page.last;
            self.current = page.entries.into_iter();
        }
    }
}

/// Merges sorted sources; of entries with the same name (virtual directories, copies in transit) the
/// first stays.
pub(super) struct Merge {
    sources: Vec<Source>,
    /// Last name given.
    last: Option<String>,
    /// Aborts the reading tasks when the merge ends early.
    _fetchers: JoinSet<()>,
}

impl Merge {
    /// Adds entries until there are `limit` of them or no more; what was added stays after an error.
    pub(super) async fn fill(
        &mut self,
        all: &mut Vec<ListEntry>,
        limit: usize,
    ) -> Result<(), ScanError> {
        let mut before = self.last.take();
        while all.len() < limit {
            // Few sources: looking at each costs less than keeping a heap.
            let order = |a: &Source, b: &Source| match (&a.head, &b.head) {
                (Some(a), Some(b)) => a.name.as_bytes().cmp(b.name.as_bytes()),
                _ => Ordering::Equal,
            };
            let first = self.sources.iter().enumerate().min_by(|(_, a), (_, b)| order(a, b));
            let Some((at, _)) = first else { break };
            let Some(source) = self.sources.get_mut(at) else { break };
            if let Some(entry) = source.head.take() {
                let last = all.last().map(|last| &last.name).or(before.as_ref());
                if last.is_none_or(|last| *last != entry.name) {
                    all.push(entry);
                    before = None;
                }
            }
            source.advance().await?;
            if source.head.is_none() {
                self.sources.swap_remove(at);
            }
        }
        self.last = all.last().map(|last| last.name.clone()).or(before);
        Ok(())
    }
}
