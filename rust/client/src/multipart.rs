//! Large content in parts, several at a time; it becomes an object when all of them are there.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use aistore_core::bucket::Bucket;
use aistore_core::wire::ActionMsg;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::body::Source;
use crate::client::{Client, no_body, reply};
use crate::error::ClientError;
use crate::objects::{check_names, pair};
use crate::request::{ProgressFn, Reply};
use crate::retry::{Budget, Repeat};
use crate::routing::ObjectRequest;
use crate::transport::Failure;

/// Highest number of a part.
pub const MAX_PARTS: u64 = 9_999;
/// Most parts on their way at a time, whatever is asked for.
pub const MAX_PARALLEL_PARTS: usize = 64;
/// Longest wait for an upload that failed to be given up.
const ABORT_WAIT: Duration = Duration::from_secs(5);

/// What is uploaded in parts.
#[derive(Debug, Clone)]
pub enum Content<'a> {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A file, read while it is sent.
    File(&'a Path),
}

/// How content is cut into parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartOptions {
    /// Bytes of a part; more if it took over [`MAX_PARTS`] of them otherwise.
    pub part_bytes: u64,
    /// Parts on their way at a time, at most [`MAX_PARALLEL_PARTS`].
    pub parallel: usize,
}

/// An upload that is given up unless it is completed.
struct Upload {
    client: Client,
    bucket: Bucket,
    name: String,
    query: Vec<(String, String)>,
    /// Where to give up from when the caller is gone.
    runtime: Option<Handle>,
}

impl Upload {
    async fn act(&self, method: Method, action: &str, value: Value) -> Result<Reply, ClientError> {
        act(&self.client, method, &self.bucket, &self.name, &self.query, action, value).await
    }

    async fn abort(&self) {
        let abort = self.act(Method::DELETE, "mpt-abort", Value::Null);
        match tokio::time::timeout(ABORT_WAIT, abort).await {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => tracing::debug!(name = self.name, error = %e, "upload not given up"),
            Err(_) => tracing::debug!(name = self.name, "upload not given up in time"),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let left = Self {
            client: self.client.clone(),
            bucket: self.bucket.clone(),
            name: std::mem::take(&mut self.name),
            query: std::mem::take(&mut self.query),
            runtime: None,
        };
        runtime.spawn(async move { left.abort().await });
    }
}

/// Starts or gives up an upload: both may be done twice. One that was started in vain holds nothing and
/// is removed in time.
async fn act(
    client: &Client,
    method: Method,
    bucket: &Bucket,
    name: &str,
    query: &[(String, String)],
    action: &str,
    value: Value,
) -> Result<Reply, ClientError> {
    let body = serde_json::to_vec(&ActionMsg::new(action, value))
        .map_err(|e| ClientError::Invalid(format!("{action}: {e}")))?;
    let headers = [pair(CONTENT_TYPE.as_str(), "application/json")];
    check_names(&method, bucket, name)?;
    let body = &Source::Bytes(Bytes::from(body));
    let (headers, repeat) = (&headers[..], Repeat::Busy);
    let request =
        ObjectRequest { method, bucket, name, query, headers, body, via_gateway: false, repeat };
    reply(client.object(&request).await?).await
}

impl Client {
    /// Stores content as an object, in parts that are sent several at a time.
    ///
    /// The object appears when all parts are there; until then, and when a part fails for good, the
    /// name holds what it held. A part whose connection breaks is sent again. `progress` gets the bytes
    /// sent so far. Empty content goes out as it is: there is no empty part.
    pub async fn put_multipart(
        &self,
        bucket: &Bucket,
        name: &str,
        content: Content<'_>,
        options: PartOptions,
        query: &[(String, String)],
        progress: Option<ProgressFn>,
    ) -> Result<Reply, ClientError> {
        let source = match content {
            Content::Bytes(bytes) => Source::Bytes(bytes),
            Content::File(path) => Source::file(path, None)?,
        };
        let length = source.length();
        if length == 0 {
            return self.object_reply(Method::PUT, bucket, name, query, &[], &no_body()).await;
        }
        let started =
            act(self, Method::POST, bucket, name, query, "mpt-upload", Value::Null).await?;
        let id = String::from_utf8_lossy(&started.body).trim().trim_matches('"').to_owned();
        if id.is_empty() {
            let message = "the answer names no upload".to_owned();
            return Err(ClientError::Protocol { url: started.url, message });
        }
        let mut upload = Upload {
            client: self.clone(),
            bucket: bucket.clone(),
            name: name.to_owned(),
            query: query.iter().cloned().chain([pair("uploadId", &id)]).collect(),
            runtime: Some(Handle::current()),
        };
        let outcome = upload.send(&source, options, progress).await;
        upload.runtime = None;
        if outcome.is_err() {
            upload.abort().await;
        }
        outcome
    }
}

impl Upload {
    async fn send(
        &self,
        source: &Source,
        options: PartOptions,
        progress: Option<ProgressFn>,
    ) -> Result<Reply, ClientError> {
        let length = source.length();
        let part_bytes = options.part_bytes.max(length.div_ceil(MAX_PARTS)).max(1);
        let count = length.div_ceil(part_bytes);
        let total = Arc::new(Total { sent: AtomicU64::new(0), report: progress });
        let parts = (0..count).map(|index| {
            let report = total.clone().of_part();
            let part = source.part(index * part_bytes, part_bytes, Some(report));
            let total = total.clone();
            async move {
                self.send_part(index + 1, &part).await?;
                if let Source::Bytes(bytes) = &part {
                    total.add(i64::try_from(bytes.len()).unwrap_or_default());
                }
                Ok::<_, ClientError>(())
            }
        });
        let parallel = options.parallel.clamp(1, MAX_PARALLEL_PARTS);
        stream::iter(parts).buffer_unordered(parallel).try_collect::<()>().await?;
        let list: Vec<_> =
            (1..=count).map(|number| json!({"part-number": number, "etag": ""})).collect();
        self.complete(&Value::Array(list), length).await
    }

    /// Makes the object; asks again when the answer was lost.
    async fn complete(&self, parts: &Value, length: u64) -> Result<Reply, ClientError> {
        let client = &self.client;
        let body = serde_json::to_vec(&ActionMsg::new("mpt-complete", parts.clone()))
            .map_err(|e| ClientError::Invalid(format!("mpt-complete: {e}")))?;
        let headers = [pair(CONTENT_TYPE.as_str(), "application/json")];
        let request = ObjectRequest {
            method: Method::POST,
            bucket: &self.bucket,
            name: &self.name,
            query: &self.query,
            headers: &headers,
            body: &Source::Bytes(Bytes::from(body)),
            via_gateway: false,
            repeat: Repeat::Unsent,
        };
        let mut budget = Budget::new(client.config());
        let mut lost = false;
        loop {
            let outcome = match client.object(&request).await {
                Ok(opened) => reply(opened).await,
                Err(error) => Err(error),
            };
            let error = match outcome {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let silent = matches!(
                error,
                ClientError::Connect { .. }
                    | ClientError::Timeout { .. }
                    | ClientError::Truncated { .. }
            );
            if lost && error.status() == Some(404) {
                // An earlier try may have done it: then the upload is gone and the object is there.
                return self.found(length).await.ok_or(error);
            }
            let failure = Failure::from(error);
            if !silent && !budget.applies(Repeat::Busy, &failure) {
                return Err(failure.error);
            }
            lost = lost || silent;
            budget.spend(failure).await?;
            client.refresh_map().await;
        }
    }

    /// The object's properties, if it has the size that was uploaded.
    async fn found(&self, length: u64) -> Option<Reply> {
        let query = [pair("props", "size")];
        let head = self
            .client
            .object_call(Method::HEAD, &self.bucket, &self.name, &query, &[])
            .await
            .ok()?;
        let size: Option<u64> = head.header("content-length").and_then(|text| text.parse().ok());
        (size == Some(length)).then_some(head)
    }

    async fn send_part(&self, number: u64, part: &Source) -> Result<(), ClientError> {
        let mut query = self.query.clone();
        query.push(pair("partNumber", &number.to_string()));
        let mut left = self.client.config().attempts.max(1);
        loop {
            left -= 1;
            let put = Method::PUT;
            match self.client.object_reply(put, &self.bucket, &self.name, &query, &[], part).await {
                Ok(_) => return Ok(()),
                // Broken connections and busy nodes are tried again below already.
                Err(ClientError::Timeout { .. } | ClientError::Truncated { .. }) if left > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Bytes sent of all parts together.
struct Total {
    sent: AtomicU64,
    report: Option<ProgressFn>,
}

impl Total {
    fn add(&self, change: i64) {
        let before = self.sent.fetch_add(change.cast_unsigned(), Ordering::Relaxed);
        if let Some(report) = &self.report {
            report(before.wrapping_add_signed(change));
        }
    }

    /// A report for one part: it starts from 0 again when the part is sent again.
    fn of_part(self: Arc<Self>) -> ProgressFn {
        let before = AtomicI64::new(0);
        Box::new(move |sent| {
            let sent = i64::try_from(sent).unwrap_or_default();
            self.add(sent - before.swap(sent, Ordering::Relaxed));
        })
    }
}
