//! Answers that are read piece by piece. Dropping one, or closing it, ends the transfer.

use std::sync::Arc;

use aistore_client::{BatchItem, BatchStream, ClientError, ListStream, ObjectStream};
use bytes::Bytes;
use http::HeaderMap;
use pyo3::prelude::*;
use tokio::sync::Mutex;

use super::{AioTask, start};
use crate::entries::Entries;
use crate::memory;
use crate::response::pairs;
use crate::runtime::{ForkBound, runtime};

/// Bytes handed out at once from a batch, unless one entry is larger.
const MANY_BYTES: usize = 32 << 20;

/// Something that is read by one call at a time, until it is closed.
struct Slot<T>(ForkBound<Arc<Mutex<Option<T>>>>);

impl<T> Slot<T> {
    fn new(value: T) -> Self {
        Self(ForkBound::new(Arc::new(Mutex::new(Some(value)))))
    }

    fn share(&self, what: &str) -> PyResult<Arc<Mutex<Option<T>>>> {
        self.0.shared(what).cloned()
    }

    /// Drops the value, at once or when the call that reads it has ended.
    fn close(&self)
    where
        T: Send + 'static,
    {
        let Ok(slot) = self.share("stream") else { return };
        if let Ok(mut value) = slot.try_lock() {
            *value = None;
            return;
        }
        if let Ok(runtime) = runtime() {
            runtime.spawn(async move { *slot.lock().await = None });
        }
    }
}

fn closed(what: &str) -> ClientError {
    ClientError::Invalid(format!("this {what} is closed"))
}

/// One object's bytes as they arrive.
#[pyclass(frozen, module = "aistore._native")]
pub(crate) struct AioStream {
    status: u16,
    headers: HeaderMap,
    source: Slot<(ObjectStream, Bytes)>,
}

impl AioStream {
    pub(super) fn new(stream: ObjectStream) -> Self {
        let (status, headers) = (stream.status(), stream.headers().clone());
        Self { status, headers, source: Slot::new((stream, Bytes::new())) }
    }
}

#[pymethods]
impl AioStream {
    #[getter]
    fn status(&self) -> u16 {
        self.status
    }

    #[getter]
    fn headers(&self) -> Vec<(&str, String)> {
        pairs(&self.headers)
    }

    /// The next chunk: `size` bytes unless the end comes first, or with 0 as large as it arrived.
    fn read(&self, callback: Py<PyAny>, size: usize) -> PyResult<AioTask> {
        let source = self.source.share("stream")?;
        let work = async move {
            let mut guard = source.lock().await;
            let (stream, rest) = guard.as_mut().ok_or_else(|| closed("stream"))?;
            let mut whole: Option<Vec<u8>> = None;
            loop {
                if rest.is_empty() {
                    match stream.next().await {
                        Ok(Some(piece)) => *rest = piece,
                        Ok(None) => break,
                        Err(error) => return Err(error),
                    }
                }
                let have = whole.as_ref().map_or(0, Vec::len);
                let at_most = if size == 0 { usize::MAX } else { size - have };
                let piece = rest.split_to(rest.len().min(at_most));
                if whole.is_none() && (size == 0 || piece.len() == size) {
                    return Ok(piece);
                }
                let whole = whole.get_or_insert_default();
                whole.extend_from_slice(&piece);
                if whole.len() == size {
                    break;
                }
            }
            Ok(Bytes::from(whole.unwrap_or_default()))
        };
        start(callback, work, |py, chunk| Ok(memory::copy(py, &chunk)?.into_any().unbind()))
    }

    fn close(&self) {
        self.source.close();
    }
}

/// A listing, piece by piece.
#[pyclass(frozen, module = "aistore._native")]
pub(crate) struct AioListing(Slot<ListStream>);

impl AioListing {
    pub(super) fn new(stream: ListStream) -> Self {
        Self(Slot::new(stream))
    }
}

#[pymethods]
impl AioListing {
    /// The next entries, about `wanted` of them; none at the end.
    fn next_many(&self, callback: Py<PyAny>, wanted: usize) -> PyResult<AioTask> {
        let source = self.0.share("listing")?;
        let work = async move {
            let mut guard = source.lock().await;
            guard.as_mut().ok_or_else(|| closed("listing"))?.next(wanted).await
        };
        start(callback, work, |py, entries| {
            Ok(Bound::new(py, Entries::new(entries))?.into_any().unbind())
        })
    }

    fn close(&self) {
        self.0.close();
    }
}

/// Entries of one batch, in request order.
#[pyclass(frozen, module = "aistore._native")]
pub(crate) struct AioBatch(Slot<BatchReader>);

struct BatchReader {
    stream: BatchStream,
    /// Came after entries that were good; told by the next call.
    error: Option<ClientError>,
}

impl AioBatch {
    pub(super) fn new(stream: BatchStream) -> Self {
        Self(Slot::new(BatchReader { stream, error: None }))
    }
}

impl BatchReader {
    async fn next_many(&mut self, most: usize) -> Result<Vec<BatchItem>, ClientError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let mut items = Vec::new();
        let mut bytes = 0;
        let mut item = self.stream.next().await?;
        while let Some(ready) = item {
            bytes += ready.data.as_ref().map_or(0, Bytes::len);
            items.push(ready);
            if items.len() >= most || bytes >= MANY_BYTES {
                break;
            }
            item = match self.stream.next_ready() {
                Ok(item) => item,
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            };
        }
        Ok(items)
    }
}

#[pymethods]
impl AioBatch {
    /// Waits for one entry, then gives all that are ready, at most `most`; none at the end.
    fn next_many(&self, callback: Py<PyAny>, most: usize) -> PyResult<AioTask> {
        let source = self.0.share("batch")?;
        let work = async move {
            let mut guard = source.lock().await;
            guard.as_mut().ok_or_else(|| closed("batch"))?.next_many(most).await
        };
        start(callback, work, |py, items| {
            let rows = items
                .into_iter()
                .map(|item| crate::batch::cross(py, item))
                .collect::<PyResult<Vec<_>>>()?;
            Ok(rows.into_pyobject(py)?.into_any().unbind())
        })
    }

    fn close(&self) {
        self.0.close();
    }
}
