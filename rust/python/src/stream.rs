//! An object's bytes as they arrive.

use aistore_client::{ClientError, ObjectStream as Inner};
use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::crossing::wait;
use crate::memory;
use crate::response::pairs;
use crate::runtime::ForkBound;

/// One object's bytes as they arrive; leaving `with` early drops the connection.
#[pyclass(module = "aistore._native")]
pub(crate) struct ObjectStream {
    status: u16,
    headers: HeaderMap,
    source: ForkBound<Source>,
}

/// The rest of the answer: what has arrived and was not asked for yet, and what is to come.
struct Source {
    inner: Inner,
    pending: Bytes,
    given: u64,
}

impl Source {
    /// Makes sure that something is pending; false at the end.
    async fn fill(&mut self) -> Result<bool, ClientError> {
        while self.pending.is_empty() {
            match self.inner.next().await? {
                Some(piece) => self.pending = piece,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn take(&mut self, at_most: usize) -> Bytes {
        let piece = self.pending.split_to(self.pending.len().min(at_most));
        self.given += piece.len() as u64;
        piece
    }

    /// Bytes still to be given out, if the server announced a length.
    fn left(&self) -> Option<u64> {
        Some(self.inner.content_length()?.saturating_sub(self.given))
    }
}

impl ObjectStream {
    pub(crate) fn new(inner: Inner) -> Self {
        let (status, headers) = (inner.status(), inner.headers().clone());
        let source = Source { inner, pending: Bytes::new(), given: 0 };
        Self { status, headers, source: ForkBound::new(source) }
    }
}

#[pymethods]
impl ObjectStream {
    #[getter]
    fn status(&self) -> u16 {
        self.status
    }

    #[getter]
    fn headers(&self) -> Vec<(&str, String)> {
        pairs(&self.headers)
    }

    /// Up to `size` bytes, exactly `size` unless the end comes first; -1 = the rest.
    #[pyo3(signature = (size = -1))]
    fn read<'py>(&mut self, py: Python<'py>, size: i64) -> PyResult<Bound<'py, PyBytes>> {
        let source = self.source.open("stream")?;
        read(py, source, u64::try_from(size).ok())
    }

    /// The next chunk, as large as it arrived but at most `max_bytes`; empty = end.
    fn next_chunk<'py>(
        &mut self,
        py: Python<'py>,
        max_bytes: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let source = self.source.open("stream")?;
        if source.pending.is_empty() {
            wait(py, source.fill())?;
        }
        let piece = source.take(max_bytes.max(1));
        memory::copy(py, &piece)
    }

    fn close(&mut self) {
        self.source.close();
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&mut self, _exception: &Bound<'_, pyo3::types::PyTuple>) {
        self.close();
    }
}

/// Reads up to `size` bytes (`None` = all) straight into a `bytes` object where the length is known.
fn read<'py>(
    py: Python<'py>,
    source: &mut Source,
    size: Option<u64>,
) -> PyResult<Bound<'py, PyBytes>> {
    let Some(left) = source.left() else { return read_unknown(py, source, size) };
    let length = size.unwrap_or(u64::MAX).min(left);
    let all = memory::receive(py, length, |room| {
        wait(py, async {
            while room.left() > 0 && source.fill().await? {
                let copied = room.push(&source.pending);
                source.pending.advance(copied);
                source.given += copied as u64;
            }
            Ok(())
        })?;
        Ok(room.left() == 0)
    })?;
    // The stream itself reports an end before the announced length.
    all.map_or_else(|| Ok(PyBytes::new(py, b"")), Ok)
}

fn read_unknown<'py>(
    py: Python<'py>,
    source: &mut Source,
    size: Option<u64>,
) -> PyResult<Bound<'py, PyBytes>> {
    let limit = size.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let whole = wait(py, async {
        let mut whole = Vec::new();
        while whole.len() < limit && source.fill().await? {
            whole.extend_from_slice(&source.take(limit - whole.len()));
        }
        Ok(whole)
    })?;
    memory::copy(py, &whole)
}

/// Reads a whole answer.
pub(crate) fn read_all(py: Python<'_>, inner: Inner) -> PyResult<Bound<'_, PyBytes>> {
    let mut source = ForkBound::new(Source { inner, pending: Bytes::new(), given: 0 });
    read(py, source.open("stream")?, None)
}
