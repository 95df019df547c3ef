//! Listing: single pages through the gateway, or everything from all targets at once.

use std::cmp::Ordering;

use aistore_core::bucket::Bucket;
use aistore_core::headers::SMAP_VERSION;
use aistore_core::list::{FLAG_ARCH_DIR, FLAG_CACHED, ListEntry, ListMsg, ListPage, MAX_PAGE_SIZE};
use aistore_core::wire::ActionMsg;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::buckets::bucket_call;
use crate::client::Client;
use crate::error::ClientError;
use crate::request::{Call, ListOptions, Reply};
use crate::retry::{Budget, Repeat};
use crate::routing::STALE_MAP_RETRIES;

/// Pages that are fetched ahead of the merge, per target.
const PAGES_AHEAD: usize = 2;
const MSGPACK: &str = "application/msgpack";

/// Why a target cannot be listed directly.
enum ScanError {
    /// It does not know the request: a server of another make, or an older one.
    Unknown,
    /// Its map differs from ours.
    Stale,
    Failed(ClientError),
}

impl Client {
    /// One page of a listing through the gateway.
    pub async fn list_page(
        &self,
        bucket: &Bucket,
        message: &ListMsg,
    ) -> Result<ListPage, ClientError> {
        self.list_page_with(bucket, message, &[]).await
    }

    /// One page of a listing through the gateway, with further headers.
    pub async fn list_page_with(
        &self,
        bucket: &Bucket,
        message: &ListMsg,
        headers: &[(String, String)],
    ) -> Result<ListPage, ClientError> {
        let value = serde_json::to_value(message)
            .map_err(|e| ClientError::Invalid(format!("list message: {e}")))?;
        let mut call = bucket_call(Method::GET, bucket)?
            .header(ACCEPT.as_str(), MSGPACK)
            .json(&ActionMsg::new("list", value))?;
        call.headers.extend_from_slice(headers);
        let reply = self.call(call).await?;
        decode(&reply)
    }

    /// All names, byte-wise sorted, read from all targets in parallel.
    ///
    /// Directly from the targets where they offer it, else page by page through the gateway. The result
    /// is held in memory: some 200 bytes per entry.
    pub async fn list_all(
        &self,
        bucket: &Bucket,
        options: ListOptions,
    ) -> Result<Vec<ListEntry>, ClientError> {
        // Members of archives are not in byte order, and remote buckets have their own listing.
        let direct = options.flags & FLAG_ARCH_DIR == 0
            && (!bucket.is_remote() || options.flags & FLAG_CACHED != 0);
        for _ in 0..=STALE_MAP_RETRIES {
            if !direct {
                break;
            }
            match self.scan_all(bucket, &options).await {
                Ok(entries) => return Ok(entries),
                Err(ScanError::Failed(error)) => return Err(error),
                Err(ScanError::Stale) => self.refresh_map().await,
                Err(ScanError::Unknown) => break,
            }
        }
        self.page_all(bucket, &options).await
    }

    async fn page_all(
        &self,
        bucket: &Bucket,
        options: &ListOptions,
    ) -> Result<Vec<ListEntry>, ClientError> {
        let mut message = first_message(options);
        let mut all = Vec::new();
        loop {
            let page = self.list_page(bucket, &message).await?;
            all.extend(page.entries);
            if options.limit > 0 && all.len() >= options.limit {
                all.truncate(options.limit);
                break;
            }
            if page.continuation_token.is_empty() {
                break;
            }
            if page.continuation_token == message.continuation_token {
                let message = "listing does not move on".to_owned();
                return Err(ClientError::Protocol { url: self.endpoint().to_owned(), message });
            }
            message.uuid = page.uuid;
            message.continuation_token = page.continuation_token;
            message.start_after.clear();
        }
        all.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Ok(all)
    }

    async fn scan_all(
        &self,
        bucket: &Bucket,
        options: &ListOptions,
    ) -> Result<Vec<ListEntry>, ScanError> {
        let map = self.smap(false).await.map_err(ScanError::Failed)?;
        // Aborts the fetchers when the merge ends early.
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
        merge(sources, options.limit).await
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
        let mut budget = Budget::new(self.config().attempts);
        loop {
            let failure = match self.open_call(&call).await {
                Ok(opened) => {
                    let reply = crate::client::reply(opened).await.map_err(ScanError::Failed)?;
                    return decode(&reply).map_err(ScanError::Failed);
                }
                Err(failure) => failure,
            };
            if Budget::applies(Repeat::Busy, &failure) {
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

fn first_message(options: &ListOptions) -> ListMsg {
    ListMsg {
        prefix: options.prefix.clone(),
        props: options.props.clone(),
        flags: options.flags,
        start_after: options.start_after.clone(),
        page_size: match options.page_size {
            0 => MAX_PAGE_SIZE as u64,
            n => n,
        },
        ..ListMsg::default()
    }
}

fn decode(reply: &Reply) -> Result<ListPage, ClientError> {
    if reply.header(CONTENT_TYPE.as_str()).is_some_and(|kind| kind.starts_with("application/json"))
    {
        return reply.json();
    }
    ListPage::from_msgpack(&reply.body)
        .map_err(|e| ClientError::Protocol { url: reply.url.clone(), message: e.to_string() })
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
async fn merge(mut sources: Vec<Source>, limit: usize) -> Result<Vec<ListEntry>, ScanError> {
    let mut all: Vec<ListEntry> = Vec::new();
    for source in &mut sources {
        source.advance().await?;
    }
    sources.retain(|source| source.head.is_some());
    while limit == 0 || all.len() < limit {
        // Few sources: looking at each costs less than keeping a heap.
        let order = |a: &Source, b: &Source| match (&a.head, &b.head) {
            (Some(a), Some(b)) => a.name.as_bytes().cmp(b.name.as_bytes()),
            _ => Ordering::Equal,
        };
        let Some((at, _)) = sources.iter().enumerate().min_by(|(_, a), (_, b)| order(a, b)) else {
            break;
        };
        let Some(source) = sources.get_mut(at) else { break };
        if let Some(entry) = source.head.take()
            && all.last().is_none_or(|last| last.name != entry.name)
        {
            all.push(entry);
        }
        source.advance().await?;
        if source.head.is_none() {
            sources.swap_remove(at);
        }
    }
    Ok(all)
}
