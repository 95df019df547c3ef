//! Batches: entries in request order.

use aistore_client::{BatchItem, BatchStream as Inner};
use pyo3::exceptions::PyValueError;
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
    /// An entry that `fill` had no room for.
    left: Option<BatchItem>,
}

impl BatchStream {
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: ForkBound::new(inner), error: None, left: None }
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

    /// Waits for entries and copies their contents into memory at `address`, one after the other, as long as
    /// they fit: (index, bytes, error) of each. Empty = end.
    fn fill(
        &mut self,
        py: Python<'_>,
        address: usize,
        length: usize,
    ) -> PyResult<Vec<(usize, usize, Option<String>)>> {
        let inner = self.inner.open("batch")?;
        memory::lend(address, length, |memory| fill(py, inner, &mut self.left, memory))
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

fn fill(
    py: Python<'_>,
    inner: &mut Inner,
    left: &mut Option<BatchItem>,
    mut memory: &mut [u8],
) -> PyResult<Vec<(usize, usize, Option<String>)>> {
    let mut filled = Vec::new();
    loop {
        let item = match left.take() {
            Some(item) => item,
            None => match next(py, inner)? {
                Some(item) => item,
                None => return Ok(filled),
            },
        };
        let content = match &item.data {
            Ok(content) => content,
            Err(error) => {
                filled.push((item.index, 0, Some(error.message.clone())));
                continue;
            }
        };
        let size = content.len();
        let Some((now, later)) = std::mem::take(&mut memory).split_at_mut_checked(size) else {
            if filled.is_empty() {
                return Err(PyValueError::new_err(format!(
                    "entry {} has {size} bytes, more than the buffer: give a larger one",
                    item.index
                )));
            }
            *left = Some(item);
            return Ok(filled);
        };
        py.detach(|| now.copy_from_slice(content));
        memory = later;
        filled.push((item.index, size, None));
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
