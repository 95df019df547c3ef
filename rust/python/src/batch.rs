//! Batches: entries in request order.

use aistore_client::{BatchItem, BatchStream as Inner};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::crossing::{raise, wait};
use crate::memory;
use crate::runtime::ForkBound;

/// Bytes handed out at once by `next_many`, unless one entry is larger.
const MANY_BYTES: usize = 32 << 20;

/// Index, content or nothing, nothing or error message.
pub(crate) type Item<'py> = (usize, Option<Bound<'py, PyBytes>>, Option<String>);

/// Entries of one GetBatch, in request order.
#[pyclass(module = "aistore._native")]
pub(crate) struct BatchStream {
    inner: ForkBound<Inner>,
    /// Came after entries that were good; raised by the next call.
    error: Option<PyErr>,
}

impl BatchStream {
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: ForkBound::new(inner), error: None }
    }
}

#[pymethods]
impl BatchStream {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Item<'py>>> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let inner = self.inner.open("batch")?;
        next(py, inner)?.map(|item| cross(py, item)).transpose()
    }

    /// Waits for one entry, then returns all that are ready, at most `max_entries`; empty = end.
    fn next_many<'py>(&mut self, py: Python<'py>, max_entries: usize) -> PyResult<Vec<Item<'py>>> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let inner = self.inner.open("batch")?;
        let mut items = Vec::new();
        let mut bytes = 0;
        let mut item = next(py, inner)?;
        while let Some(ready) = item {
            bytes += ready.data.as_ref().map_or(0, bytes::Bytes::len);
            items.push(cross(py, ready)?);
            if items.len() >= max_entries || bytes >= MANY_BYTES {
                break;
            }
            item = match inner.next_ready() {
                Ok(item) => item,
                Err(error) => {
                    self.error = Some(raise(py, &error));
                    break;
                }
            };
        }
        Ok(items)
    }

    fn close(&mut self) {
        self.inner.close();
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&mut self, _exception: &Bound<'_, pyo3::types::PyTuple>) {
        self.close();
    }
}

fn next(py: Python<'_>, inner: &mut Inner) -> PyResult<Option<BatchItem>> {
    match inner.next_ready() {
        Ok(None) if inner.is_empty() => Ok(None),
        Ok(None) => wait(py, inner.next()),
        Ok(ready) => Ok(ready),
        Err(error) => Err(raise(py, &error)),
    }
}

pub(crate) fn cross(py: Python<'_>, item: BatchItem) -> PyResult<Item<'_>> {
    Ok(match item.data {
        Ok(content) => (item.index, Some(memory::copy(py, &content)?), None),
        Err(error) => (item.index, None, Some(error.message)),
    })
}
