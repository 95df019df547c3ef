//! Listing: single pages through the gateway, or everything from all targets at once.

mod scan;
mod stream;

use aistore_core::bucket::Bucket;
use aistore_core::list::{FLAG_ARCH_DIR, FLAG_CACHED, ListEntry, ListMsg, ListPage, MAX_PAGE_SIZE};
use aistore_core::wire::ActionMsg;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE};

use crate::buckets::bucket_call;
use crate::client::Client;
use crate::error::ClientError;
use crate::request::{ListOptions, Reply};
use crate::routing::STALE_MAP_RETRIES;

use self::scan::ScanError;
pub use self::stream::ListStream;

const MSGPACK: &str = "application/msgpack";

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
        let direct = listed_by_targets(bucket, &options);
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
        let mut merge = self.open_scan(bucket, options).await?;
        let mut all = Vec::new();
        let limit = if options.limit == 0 { usize::MAX } else { options.limit };
        merge.fill(&mut all, limit).await?;
        Ok(all)
    }
}

/// Whether the targets themselves can be asked.
fn listed_by_targets(bucket: &Bucket, options: &ListOptions) -> bool {
    // Members of archives are not in byte order, and remote buckets have their own listing.
    options.flags & FLAG_ARCH_DIR == 0 && (!bucket.is_remote() || options.flags & FLAG_CACHED != 0)
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
