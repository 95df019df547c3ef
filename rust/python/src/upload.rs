//! Uploads of files and of many objects, with progress reported on the calling thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use aistore_client::{Client, ClientError, Content as Whole, PartOptions, ProgressFn, Reply};
use aistore_core::bucket::Bucket;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::stream;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::arguments::Pairs;
use crate::crossing::wait_reporting;
use crate::response::Response;

/// Most uploads at once, whatever is asked for: each holds a connection and a megabyte of read-ahead.
const MAX_CONCURRENCY: usize = 256;

/// What to upload.
#[derive(FromPyObject)]
pub(crate) enum Content {
    /// A file's content.
    Path(PathBuf),
    /// The content itself.
    Bytes(PyBackedBytes),
}

pub(crate) fn put_file(
    py: Python<'_>,
    client: &Client,
    bucket: &Bucket,
    name: &str,
    path: &Path,
    progress: Option<&Py<PyAny>>,
    query: &Pairs,
) -> PyResult<Response> {
    reporting(py, progress, |count| client.put_file_with(bucket, name, path, Some(count), query))
}

/// Uploads in parts; `query` as for any request to the object.
#[expect(clippy::too_many_arguments, reason = "the parts of one request, passed on as they are")]
pub(crate) fn put_multipart(
    py: Python<'_>,
    client: &Client,
    bucket: &Bucket,
    name: &str,
    content: Content,
    options: PartOptions,
    query: &Pairs,
    progress: Option<&Py<PyAny>>,
) -> PyResult<Response> {
    match content {
        Content::Path(path) => reporting(py, progress, |count| {
            let content = Whole::File(&path);
            client.put_multipart(bucket, name, content, options, query, Some(count))
        }),
        Content::Bytes(bytes) => reporting(py, progress, |count| {
            let content = Whole::Bytes(Bytes::from_owner(bytes));
            client.put_multipart(bucket, name, content, options, query, Some(count))
        }),
    }
}

/// Runs an upload, and tells `progress` the bytes sent so far on this thread.
fn reporting<F>(
    py: Python<'_>,
    progress: Option<&Py<PyAny>>,
    upload: impl FnOnce(ProgressFn) -> F,
) -> PyResult<Response>
where
    F: Future<Output = Result<Reply, ClientError>> + Send,
{
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let count: ProgressFn = Box::new(move |bytes| counter.store(bytes, Ordering::Relaxed));
    let mut reported = 0;
    let mut report = |py: Python<'_>| match progress {
        Some(progress) if sent.load(Ordering::Relaxed) != reported => {
            reported = sent.load(Ordering::Relaxed);
            progress.call1(py, (reported,)).map(drop)
        }
        _ => Ok(()),
    };
    let reply = wait_reporting(py, upload(count), &mut report)?;
    report(py)?;
    Response::new(py, reply)
}

pub(crate) fn put_many(
    py: Python<'_>,
    client: &Client,
    bucket: &Bucket,
    items: Vec<(String, Content)>,
    concurrency: usize,
    progress: Option<&Py<PyAny>>,
) -> PyResult<()> {
    let counts = Arc::new((AtomicU64::new(0), AtomicI64::new(0)));
    let uploads = items.into_iter().map(|(name, content)| {
        let counts = counts.clone();
        async move {
            put_one(client, bucket, &name, content, &counts).await?;
            counts.0.fetch_add(1, Ordering::Relaxed);
            Ok::<_, ClientError>(())
        }
    });
    let all = stream::iter(uploads.map(Ok))
        .try_for_each_concurrent(concurrency.clamp(1, MAX_CONCURRENCY), |upload| upload);
    let mut reported = (0, 0);
    let mut report = |py: Python<'_>| {
        let now = (counts.0.load(Ordering::Relaxed), counts.1.load(Ordering::Relaxed));
        match progress {
            Some(progress) if now != reported => {
                reported = now;
                progress.call1(py, now).map(drop)
            }
            _ => Ok(()),
        }
    };
    wait_reporting(py, all, &mut report)?;
    report(py)
}

async fn put_one(
    client: &Client,
    bucket: &Bucket,
    name: &str,
    content: Content,
    counts: &Arc<(AtomicU64, AtomicI64)>,
) -> Result<(), ClientError> {
    match content {
        Content::Bytes(content) => {
            let length = i64::try_from(content.len()).unwrap_or_default();
            client.put(bucket, name, Bytes::from_owner(content)).await?;
            counts.1.fetch_add(length, Ordering::Relaxed);
        }
        Content::Path(path) => {
            let counts = counts.clone();
            let before = AtomicI64::new(0);
            // The difference is negative when an upload starts again.
            let count: ProgressFn = Box::new(move |sent| {
                let sent = i64::try_from(sent).unwrap_or_default();
                let change = sent - before.swap(sent, Ordering::Relaxed);
                counts.1.fetch_add(change, Ordering::Relaxed);
            });
            client.put_file(bucket, name, &path, Some(count)).await?;
        }
    }
    Ok(())
}
