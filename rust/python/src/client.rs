//! The client as Python sees it.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use aistore_client::quick::Ask;
use aistore_client::tls::TlsOptions;
use aistore_client::{Client as Inner, ClientConfig, PartOptions};
use aistore_core::bucket::Bucket;
use aistore_core::list::ListMsg;
use bytes::Bytes;
use http::Method;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::aio::AioClient;
use crate::arguments::{
    Pairs, batch_request, duration, get_options, list_options, make_call, parse, parse_bucket,
};
use crate::arrow::ArrowListing;
use crate::batch::BatchStream;
use crate::crossing::{raise, wait};
use crate::cuts::CutBatch;
use crate::entries::Entries;
use crate::quick::quick_reply;
use crate::response::{Response, pairs};
use crate::runtime::ForkBound;
use crate::stream::ObjectStream;
use crate::upload::{self, Content};
use crate::{download, memory};

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
    pub(crate) fn open_inner(&self, py: Python<'_>) -> PyResult<Inner> {
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
        max_pool_size = 10, user_agent = None, attempts = 5, answered_attempts = None,
        skip_verify = false, ca_cert = None, client_cert = None, backoff = 0.05, backoff_max = 2.0, retry_statuses = None,
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
        answered_attempts: Option<u32>,
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
        config.answered_attempts = answered_attempts;
        config.repeat_timeouts = true;
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

    #[pyo3(signature = (bucket_uname, name, address, length, offset = 0, parallel = 0))]
    fn get_into(
        &self,
        py: Python<'_>,
        bucket_uname: &str,
        name: &str,
        address: usize,
        length: usize,
        offset: u64,
        parallel: usize,
    ) -> PyResult<usize> {
        let bucket = parse_bucket(bucket_uname)?;
        let client = self.open_inner(py)?;
        memory::get_into(py, &client, &bucket, name, (address, length), (offset, parallel))
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
        let options = get_options(params, headers);
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
        let options = list_options(prefix, props, flags, start_after, page_size);
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
        let options = list_options(prefix, props, flags, start_after, 0);
        ArrowListing::new(self.open_inner(py)?, bucket, options, batch_size)
    }

    fn batch(
        &self,
        py: Python<'_>,
        default_bucket_uname: Option<&str>,
        request: &str,
    ) -> PyResult<BatchStream> {
        let (bucket, request) = batch_request(default_bucket_uname, request)?;
        let client = self.open_inner(py)?;
        Ok(BatchStream::new(wait(py, client.batch(request, bucket))?))
    }

    /// Cuts of recordings; each that cannot be had is handed out as such.
    fn load_cuts(
        &self,
        py: Python<'_>,
        default_bucket_uname: Option<&str>,
        cuts: &CutBatch,
    ) -> PyResult<BatchStream> {
        let bucket = default_bucket_uname.map(parse_bucket).transpose()?;
        let client = self.open_inner(py)?;
        let stream = wait(py, client.batch(cuts.request(), bucket))?;
        Ok(BatchStream::new(stream.patient()))
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
