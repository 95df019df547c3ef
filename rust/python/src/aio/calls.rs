//! Single requests.

use std::path::PathBuf;
use std::sync::Arc;

use aistore_client::{Client as Inner, ClientError, ObjectStream};
use bytes::Bytes;
use pyo3::BoundObject as _;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::streams::{AioBatch, AioListing, AioStream};
use super::{AioTask, start};
use crate::arguments::{
    Pairs, batch_request, get_options, list_options, make_call, parse_bucket, parse_method,
};
use crate::memory;
use crate::response::{Response, pairs};
use crate::runtime::ForkBound;

/// Most memory that is set aside at once for an answer of announced length.
const RESERVE_BYTES: u64 = 64 << 20;

/// A client whose calls do not block, and of which a bounded number is under way at a time.
#[pyclass(frozen, module = "aistore._native")]
pub(crate) struct AioClient {
    inner: ForkBound<Shared>,
}

#[derive(Clone)]
struct Shared {
    client: Inner,
    calls: Arc<Semaphore>,
}

impl Shared {
    async fn turn(&self) -> Result<OwnedSemaphorePermit, ClientError> {
        let closed = |_| ClientError::Invalid("the client is closed".to_owned());
        self.calls.clone().acquire_owned().await.map_err(closed)
    }
}

impl AioClient {
    pub(crate) fn new(client: Inner, max_calls: usize) -> PyResult<Self> {
        if !(1..=Semaphore::MAX_PERMITS).contains(&max_calls) {
            let text = format!("max_concurrency {max_calls}: expected at least 1");
            return Err(PyValueError::new_err(text));
        }
        let calls = Arc::new(Semaphore::new(max_calls));
        Ok(Self { inner: ForkBound::new(Shared { client, calls }) })
    }

    fn shared(&self) -> PyResult<Shared> {
        self.inner.shared("client").cloned()
    }
}

/// Reads the rest of an answer.
async fn read_all(mut stream: ObjectStream) -> Result<Vec<u8>, ClientError> {
    let announced = stream.content_length().unwrap_or_default().min(RESERVE_BYTES);
    let mut whole = Vec::with_capacity(usize::try_from(announced).unwrap_or_default());
    while let Some(piece) = stream.next().await? {
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

fn into_any<'py, T: IntoPyObject<'py>>(py: Python<'py>, value: T) -> PyResult<Py<PyAny>> {
    let object = value.into_pyobject(py).map_err(Into::into)?;
    Ok(object.into_bound().into_any().unbind())
}

#[pymethods]
#[expect(
    clippy::too_many_arguments,
    reason = "arguments of the Python signatures, extracted into values of their own"
)]
impl AioClient {
    #[pyo3(signature = (callback, method, path, params = vec![], headers = vec![], body = None, *, base_url = None, timeout = None))]
    fn request(
        &self,
        callback: Py<PyAny>,
        method: &str,
        path: &str,
        params: Pairs,
        headers: Pairs,
        body: Option<PyBackedBytes>,
        base_url: Option<String>,
        timeout: Option<f64>,
    ) -> PyResult<AioTask> {
        let call = make_call(method, path, params, headers, body, base_url, timeout)?;
        let shared = self.shared()?;
        let work = async move {
            let _turn = shared.turn().await?;
            shared.client.call(call).await
        };
        start(callback, work, |py, reply| into_any(py, Response::new(py, reply)?))
    }

    #[pyo3(signature = (callback, method, bucket_uname, name, params = vec![], headers = vec![], body = None))]
    fn object(
        &self,
        callback: Py<PyAny>,
        method: &str,
        bucket_uname: &str,
        name: String,
        params: Pairs,
        headers: Pairs,
        body: Option<PyBackedBytes>,
    ) -> PyResult<AioTask> {
        let bucket = parse_bucket(bucket_uname)?;
        let method = parse_method(method)?;
        let shared = self.shared()?;
        let work = async move {
            let _turn = shared.turn().await?;
            let client = &shared.client;
            match body {
                Some(body) => {
                    let body = Bytes::from_owner(body);
                    client.put_with(&bucket, &name, body, &params, &headers).await
                }
                None => client.object_call(method, &bucket, &name, &params, &headers).await,
            }
        };
        start(callback, work, |py, reply| into_any(py, Response::new(py, reply)?))
    }

    #[pyo3(signature = (callback, bucket_uname, name, params = vec![], headers = vec![]))]
    fn get(
        &self,
        callback: Py<PyAny>,
        bucket_uname: &str,
        name: String,
        params: Pairs,
        headers: Pairs,
    ) -> PyResult<AioTask> {
        let bucket = parse_bucket(bucket_uname)?;
        let shared = self.shared()?;
        let options = get_options(params, headers);
        let work = async move {
            let _turn = shared.turn().await?;
            let stream = shared.client.get(&bucket, &name, options).await?;
            let (status, headers) = (stream.status(), stream.headers().clone());
            Ok((status, headers, read_all(stream).await?))
        };
        start(callback, work, |py, (status, headers, body)| {
            into_any(py, (status, pairs(&headers), memory::copy(py, &body)?))
        })
    }

    #[pyo3(signature = (callback, bucket_uname, name, params = vec![], headers = vec![]))]
    fn open(
        &self,
        callback: Py<PyAny>,
        bucket_uname: &str,
        name: String,
        params: Pairs,
        headers: Pairs,
    ) -> PyResult<AioTask> {
        let bucket = parse_bucket(bucket_uname)?;
        let shared = self.shared()?;
        let options = get_options(params, headers);
        // The turn ends with the head of the answer: streams that are read one inside the other must
        // not wait for each other.
        let work = async move {
            let _turn = shared.turn().await?;
            shared.client.get(&bucket, &name, options).await
        };
        start(callback, work, |py, stream| into_any(py, AioStream::new(stream)))
    }

    #[pyo3(signature = (callback, bucket_uname, name, path, params = vec![]))]
    fn put_file(
        &self,
        callback: Py<PyAny>,
        bucket_uname: &str,
        name: String,
        path: PathBuf,
        params: Pairs,
    ) -> PyResult<AioTask> {
        let bucket = parse_bucket(bucket_uname)?;
        let shared = self.shared()?;
        let work = async move {
            let _turn = shared.turn().await?;
            shared.client.put_file_with(&bucket, &name, &path, None, &params).await
        };
        start(callback, work, |py, reply| into_any(py, Response::new(py, reply)?))
    }

    #[pyo3(signature = (bucket_uname, prefix = "", props = "", flags = 0, start_after = ""))]
    fn list(
        &self,
        bucket_uname: &str,
        prefix: &str,
        props: &str,
        flags: u64,
        start_after: &str,
    ) -> PyResult<AioListing> {
        let bucket = parse_bucket(bucket_uname)?;
        let options = list_options(prefix, props, flags, start_after, 0);
        Ok(AioListing::new(self.shared()?.client.list_stream(&bucket, options)))
    }

    fn batch(
        &self,
        callback: Py<PyAny>,
        default_bucket_uname: Option<&str>,
        request: &str,
    ) -> PyResult<AioTask> {
        let (bucket, request) = batch_request(default_bucket_uname, request)?;
        let shared = self.shared()?;
        let work = async move {
            let _turn = shared.turn().await?;
            shared.client.batch(request, bucket).await
        };
        start(callback, work, |py, stream| into_any(py, AioBatch::new(stream)))
    }
}
