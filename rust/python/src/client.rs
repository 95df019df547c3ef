//! The client as Python sees it.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aistore_client::quick::Ask;
use aistore_client::tls::TlsOptions;
use aistore_client::{
    Call, Client as Inner, ClientConfig, ClientError, GetOptions, ListOptions, PartOptions, Reply,
};
use aistore_core::bucket::{Bucket, NameError};
use aistore_core::list::ListMsg;
use aistore_core::moss::MossReq;
use bytes::Bytes;
use http::Method;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::aio::AioClient;
use crate::arrow::ArrowListing;
use crate::batch::BatchStream;
use crate::crossing::{blocking, raise, wait};
use crate::entries::Entries;
use crate::response::{Response, pairs};
use crate::runtime::ForkBound;
use crate::stream::ObjectStream;
use crate::upload::{self, Content};
use crate::{download, memory};

/// Longest answer to a request other than GET that is read on the calling thread.
const MAX_QUICK_REPLY_BYTES: u64 = 1 << 20;

pub(crate) type Pairs = Vec<(String, String)>;
/// Status, headers, body.
type Whole<'py> = (u16, Vec<(String, String)>, Bound<'py, PyBytes>);

/// One connection pool per process on a shared runtime. Not picklable; fork-aware.
#[pyclass(frozen, module = "aistore._native")]
pub(crate) struct Client {
    config: ClientConfig,
    // Locked for moments only and never while the interpreter lock is released, so no other thread can
    // hold it when the process forks.
    inner: Mutex<Option<ForkBound<Inner>>>,
}

impl Client {
    /// This process's connections, opened on first use.
    fn open_inner(&self, py: Python<'_>) -> PyResult<Inner> {
        let mut slot = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = slot.as_mut().and_then(ForkBound::get) {
            return Ok(inner.clone());
        }
        let inner = Inner::new(self.config.clone()).map_err(|error| raise(py, &error))?;
        // What was inherited over a fork is forgotten here, not dropped.
        *slot = Some(ForkBound::new(inner.clone()));
        Ok(inner)
    }

    /// One object request that is safe to repeat: on this thread if possible.
    fn object(
        &self,
        py: Python<'_>,
        method: &Method,
        bucket: &Bucket,
        name: &str,
        params: &Pairs,
        headers: &Pairs,
    ) -> PyResult<Response> {
        let client = self.open_inner(py)?;
        let ask = Ask { method: method.clone(), bucket, name, query: params, headers, body: &[] };
        if let Some(reply) = quick_reply(py, &client, &ask)? {
            return Response::new(py, reply);
        }
        let call = client.object_call(method.clone(), bucket, name, params, headers);
        Response::new(py, wait(py, call)?)
    }
}

/// A short answer to a request on this thread; `None` when it takes the asynchronous client.
fn quick_reply(py: Python<'_>, client: &Inner, ask: &Ask<'_>) -> PyResult<Option<Reply>> {
    learn_map(py, client)?;
    let outcome = blocking(py, |tick| {
        let Some(mut answer) = client.quick(ask, tick)? else { return Ok(None) };
        if answer.remaining() > MAX_QUICK_REPLY_BYTES {
            return Ok(None);
        }
        let mut body = vec![0; usize::try_from(answer.remaining()).unwrap_or_default()];
        answer.read(&mut body, tick)?;
        let (status, url) = (answer.status(), answer.url().to_owned());
        Ok(Some(Reply { status, headers: answer.take_headers(), body: Bytes::from(body), url }))
    })?;
    match outcome {
        Ok(reply) => Ok(reply),
        // The asynchronous client asks again.
        Err(ClientError::Truncated { .. }) => Ok(None),
        Err(error) => Err(raise(py, &error)),
    }
}

/// Fetches the cluster map once, so that requests find the owner on this thread.
pub(crate) fn learn_map(py: Python<'_>, client: &Inner) -> PyResult<()> {
    if client.has_map() { Ok(()) } else { wait(py, client.smap(false)).map(drop) }
}

pub(crate) fn bad_name(error: &NameError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Parses a bucket's uname, with or without its trailing slash.
pub(crate) fn parse_bucket(uname: &str) -> PyResult<Bucket> {
    let (bucket, object) = Bucket::parse_uname(uname).map_err(|error| bad_name(&error))?;
    if object.is_empty() {
        return Ok(bucket);
    }
    Err(bad_name(&NameError::Uname(uname.to_owned())))
}

fn duration(what: &str, seconds: Option<f64>) -> PyResult<Option<Duration>> {
    let Some(seconds) = seconds else { return Ok(None) };
    Duration::try_from_secs_f64(seconds)
        .map(Some)
        .map_err(|e| PyValueError::new_err(format!("{what} {seconds}: {e}")))
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> PyResult<T> {
    serde_json::from_str(text).map_err(|e| PyValueError::new_err(format!("{what}: {e}")))
}

pub(crate) fn make_call(
    method: &str,
    path: &str,
    params: Pairs,
    headers: Pairs,
    body: Option<PyBackedBytes>,
    base_url: Option<String>,
    timeout: Option<f64>,
) -> PyResult<Call> {
    let method = method
        .parse()
        .map_err(|_| PyValueError::new_err(format!("invalid HTTP method \"{method}\"")))?;
    let body = body.map(Bytes::from_owner).unwrap_or_default();
    let timeout = duration("timeout", timeout)?;
    Ok(Call { base: base_url, query: params, headers, body, timeout, ..Call::new(method, path) })
}

#[pymethods]
#[expect(
    clippy::too_many_arguments,
    clippy::needless_pass_by_value,
    reason = "arguments of the Python signatures, extracted into values of their own"
)]
impl Client {
    #[new]
    #[pyo3(signature = (
        endpoint, *, connect_timeout = Some(3.0), read_timeout = Some(20.0), token = None,
        max_pool_size = 10, user_agent = None, attempts = 5, skip_verify = false, ca_cert = None,
        client_cert = None, backoff = 0.05, backoff_max = 2.0, retry_statuses = None,
    ))]
    fn new(
        py: Python<'_>,
        endpoint: String,
        connect_timeout: Option<f64>,
        read_timeout: Option<f64>,
        token: Option<String>,
        max_pool_size: usize,
        user_agent: Option<String>,
        attempts: u32,
        skip_verify: bool,
        ca_cert: Option<PathBuf>,
        client_cert: Option<(PathBuf, PathBuf)>,
        backoff: f64,
        backoff_max: f64,
        retry_statuses: Option<Vec<u16>>,
    ) -> PyResult<Self> {
        let mut config = ClientConfig::new(endpoint);
        config.connect_timeout = duration("connect_timeout", connect_timeout)?;
        config.read_timeout = duration("read_timeout", read_timeout)?;
        config.token = token.filter(|token| !token.is_empty());
        config.max_idle_per_host = max_pool_size;
        config.attempts = attempts;
        config.backoff = duration("backoff", Some(backoff))?.unwrap_or_default();
        config.backoff_max = duration("backoff_max", Some(backoff_max))?.unwrap_or_default();
        if let Some(statuses) = retry_statuses {
            config.retry_statuses = statuses;
        }
        config.tls = TlsOptions { ca: ca_cert, system_too: false, client_cert, skip_verify };
        if let Some(user_agent) = user_agent {
            config.user_agent = user_agent;
        }
        let client = Self { config, inner: Mutex::new(None) };
        // Wrong settings are told here, not by the first request.
        client.open_inner(py)?;
        Ok(client)
    }

    #[pyo3(signature = (method, path, params = vec![], headers = vec![], body = None, *, base_url = None, timeout = None))]
    fn request(
        &self,
        py: Python<'_>,
        method: &str,
        path: &str,
        params: Pairs,
        headers: Pairs,
        body: Option<PyBackedBytes>,
        base_url: Option<String>,
        timeout: Option<f64>,
    ) -> PyResult<Response> {
        let call = make_call(method, path, params, headers, body, base_url, timeout)?;
        let client = self.open_inner(py)?;
        Response::new(py, wait(py, client.call(call))?)
    }

    #[pyo3(signature = (method, path, params = vec![], headers = vec![], body = None, *, base_url = None))]
    fn open_request(
        &self,
        py: Python<'_>,
        method: &str,
        path: &str,
        params: Pairs,
        headers: Pairs,
        body: Option<PyBackedBytes>,
        base_url: Option<String>,
    ) -> PyResult<ObjectStream> {
        let call = make_call(method, path, params, headers, body, base_url, None)?;
        let client = self.open_inner(py)?;
        Ok(ObjectStream::new(wait(py, client.open(call))?))
    }

    #[pyo3(signature = (force = false))]
    fn smap(&self, py: Python<'_>, force: bool) -> PyResult<String> {
        let client = self.open_inner(py)?;
        let map = wait(py, client.smap(force))?;
        serde_json::to_string(&*map).map_err(|e| PyValueError::new_err(e.to_string()))
    }

    #[pyo3(signature = (bucket_uname, name, params = vec![]))]
    fn head(
        &self,
        py: Python<'_>,
        bucket_uname: &str,
        name: &str,
        params: Pairs,
    ) -> PyResult<Response> {
        let bucket = parse_bucket(bucket_uname)?;
        self.object(py, &Method::HEAD, &bucket, name, &params, &vec![])
    }

    #[pyo3(signature = (bucket_uname, name, params = vec![]))]
    fn delete(
        &self,
        py: Python<'_>,
        bucket_uname: &str,
        name: &str,
        params: Pairs,
    ) -> PyResult<Response> {
        let bucket = parse_bucket(bucket_uname)?;
        self.object(py, &Method::DELETE, &bucket, name, &params, &vec![])
    }

    #[pyo3(signature = (bucket_uname, name, params = vec![], headers = vec![]))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        bucket_uname: &str,
        name: &str,
        params: Pairs,
        headers: Pairs,
    ) -> PyResult<Whole<'py>> {
        let bucket = parse_bucket(bucket_uname)?;
        let client = self.open_inner(py)?;
        let (status, headers, body) = download::get(py, &client, &bucket, name, params, headers)?;
        let headers = pairs(&headers).into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        Ok((status, headers, body))
    }

    #[pyo3(signature = (bucket_uname, name, address, length, offset = 0))]
    fn get_into(
        &self,
        py: Python<'_>,
        bucket_uname: &str,
        name: &str,
        address: usize,
        length: usize,
        offset: u64,
    ) -> PyResult<usize> {
        let bucket = parse_bucket(bucket_uname)?;
        let client = self.open_inner(py)?;
        memory::get_into(py, &client, &bucket, name, address, length, offset)
    }

    #[pyo3(signature = (bucket_uname, name, params = vec![], headers = vec![]))]
    fn open(
        &self,
        py: Python<'_>,
        bucket_uname: &str,
        name: &str,
        params: Pairs,
        headers: Pairs,
    ) -> PyResult<ObjectStream> {
        let bucket = parse_bucket(bucket_uname)?;
        let client = self.open_inner(py)?;
        let options = GetOptions { query: params, headers, ..GetOptions::default() };
        Ok(ObjectStream::new(wait(py, client.get(&bucket, name, options))?))
    }

    #[pyo3(signature = (bucket_uname, name, body, params = vec![], headers = vec![]))]
    fn put(
        &self,
        py: Python<'_>,
        bucket_uname: &str,
        name: &str,
        body: PyBackedBytes,
        params: Pairs,
        headers: Pairs,
    ) -> PyResult<Response> {
        let bucket = &parse_bucket(bucket_uname)?;
        let client = self.open_inner(py)?;
        let ask = Ask {
            method: Method::PUT,
            bucket,
            name,
            query: &params,
            headers: &headers,
            body: &body,
        };
        if let Some(reply) = quick_reply(py, &client, &ask)? {
            return Response::new(py, reply);
        }
        let body = Bytes::from_owner(body);
        let reply = wait(py, client.put_with(bucket, name, body, &params, &headers))?;
        Response::new(py, reply)
    }

    #[pyo3(signature = (bucket_uname, name, path, progress = None, params = vec![]))]
    fn put_file(
        &self,
        py: Python<'_>,
        bucket_uname: &str,
        name: &str,
        path: std::path::PathBuf,
        progress: Option<Py<PyAny>>,
        params: Pairs,
    ) -> PyResult<Response> {
        let bucket = parse_bucket(bucket_uname)?;
        let client = self.open_inner(py)?;
        upload::put_file(py, &client, &bucket, name, &path, progress.as_ref(), &params)
    }

    #[pyo3(signature = (bucket_uname, name, content, part_size, concurrency, params = vec![], progress = None))]
    fn put_multipart(
        &self,
        py: Python<'_>,
        bucket_uname: &str,
        name: &str,
        content: Content,
        part_size: u64,
        concurrency: usize,
        params: Pairs,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Response> {
        let bucket = parse_bucket(bucket_uname)?;
        let client = self.open_inner(py)?;
        let options = PartOptions { part_bytes: part_size, parallel: concurrency };
        let progress = progress.as_ref();
        upload::put_multipart(py, &client, &bucket, name, content, options, &params, progress)
    }

    #[pyo3(signature = (bucket_uname, items, concurrency = 8, progress = None))]
    fn put_many(
        &self,
        py: Python<'_>,
        bucket_uname: &str,
        items: Vec<(String, Content)>,
        concurrency: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let bucket = parse_bucket(bucket_uname)?;
        let client = self.open_inner(py)?;
        upload::put_many(py, &client, &bucket, items, concurrency, progress.as_ref())
    }

    #[pyo3(signature = (bucket_uname, message, headers = vec![]))]
    fn list_page(
        &self,
        py: Python<'_>,
        bucket_uname: &str,
        message: &str,
        headers: Pairs,
    ) -> PyResult<(String, String, u32, Entries)> {
        let bucket = parse_bucket(bucket_uname)?;
        let message: ListMsg = parse("list message", message)?;
        let client = self.open_inner(py)?;
        let page = wait(py, client.list_page_with(&bucket, &message, &headers))?;
        Ok((page.uuid, page.continuation_token, page.flags, Entries::new(page.entries)))
    }

    #[pyo3(signature = (bucket_uname, prefix = "", props = "", flags = 0, start_after = "", page_size = 0))]
    fn list_all(
        &self,
        py: Python<'_>,
        bucket_uname: &str,
        prefix: &str,
        props: &str,
        flags: u64,
        start_after: &str,
        page_size: u64,
    ) -> PyResult<Entries> {
        let bucket = parse_bucket(bucket_uname)?;
        let client = self.open_inner(py)?;
        let options = ListOptions {
            prefix: prefix.to_owned(),
            props: props.to_owned(),
            flags,
            start_after: start_after.to_owned(),
            page_size,
            limit: 0,
        };
        Ok(Entries::new(wait(py, client.list_all(&bucket, options))?))
    }

    #[pyo3(signature = (bucket_uname, prefix = "", props = "", flags = 0, start_after = "", batch_size = 16384))]
    fn list_arrow(
        &self,
        py: Python<'_>,
        bucket_uname: &str,
        prefix: &str,
        props: &str,
        flags: u64,
        start_after: &str,
        batch_size: usize,
    ) -> PyResult<ArrowListing> {
        let bucket = parse_bucket(bucket_uname)?;
        let options = ListOptions {
            prefix: prefix.to_owned(),
            props: props.to_owned(),
            flags,
            start_after: start_after.to_owned(),
            ..ListOptions::default()
        };
        ArrowListing::new(self.open_inner(py)?, bucket, options, batch_size)
    }

    fn batch(
        &self,
        py: Python<'_>,
        default_bucket_uname: Option<&str>,
        request: &str,
    ) -> PyResult<BatchStream> {
        let bucket = default_bucket_uname.map(parse_bucket).transpose()?;
        let request: MossReq = parse("batch request", request)?;
        let client = self.open_inner(py)?;
        Ok(BatchStream::new(wait(py, client.batch(request, bucket))?))
    }

    /// The same client for calls that do not block, at most `max_calls` at a time.
    fn aio(&self, py: Python<'_>, max_calls: usize) -> PyResult<AioClient> {
        AioClient::new(self.open_inner(py)?, max_calls)
    }

    /// Closes this process's connections; the next request opens new ones.
    fn close(&self) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn __repr__(&self) -> String {
        format!("<Client of {}>", self.config.endpoint)
    }
}
