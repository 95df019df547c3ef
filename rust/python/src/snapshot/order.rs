//! The order of an epoch, as Python sees it.

use aistore_core::order::{Order as Inner, Shuffle};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;

/// Positions that `slice` gives at most: what is asked for is held in memory.
const MAX_SLICE: u64 = 1 << 24;

/// A permutation of `[0, len)`, computed.
#[pyclass(frozen, module = "aistore._native")]
pub(crate) struct Order {
    inner: Inner,
}

#[pymethods]
impl Order {
    #[new]
    #[pyo3(signature = (length, shuffle, seed = 0, epoch = 0, chunk = 0, window = 0))]
    fn new(
        length: u64,
        shuffle: &str,
        seed: u64,
        epoch: u64,
        chunk: u64,
        window: u64,
    ) -> PyResult<Self> {
        if length > 1 << 62 {
            let text = format!("length {length}: expected at most {}", 1_u64 << 62);
            return Err(PyValueError::new_err(text));
        }
        let shuffle = match shuffle {
            "none" => Shuffle::None,
            "full" => Shuffle::Full,
            "windowed" => Shuffle::Windowed { chunk, window },
            other => {
                let text = format!("shuffle \"{other}\": expected none, full or windowed");
                return Err(PyValueError::new_err(text));
            }
        };
        Ok(Self { inner: Inner::new(length, seed, epoch, shuffle) })
    }

    fn __len__(&self) -> usize {
        usize::try_from(self.inner.len()).unwrap_or(usize::MAX)
    }

    fn __getitem__(&self, position: u64) -> PyResult<u64> {
        self.inner.get(position).ok_or_else(|| {
            let text = format!("position {position}: the order has {} samples", self.inner.len());
            PyIndexError::new_err(text)
        })
    }

    /// The samples at positions start, start + stride, … below stop.
    #[pyo3(signature = (start, stop, stride = 1))]
    fn slice(&self, start: u64, stop: u64, stride: u64) -> PyResult<Vec<u64>> {
        let stop = stop.min(self.inner.len());
        let stride = stride.max(1);
        if stop.saturating_sub(start).div_ceil(stride) > MAX_SLICE {
            let text = format!("a slice of more than {MAX_SLICE} positions: take several");
            return Err(PyValueError::new_err(text));
        }
        let stride = usize::try_from(stride).unwrap_or(usize::MAX);
        Ok((start..stop).step_by(stride).filter_map(|at| self.inner.get(at)).collect())
    }

    /// (rank correlation, mean displacement relative to a full shuffle), from `most` positions.
    fn quality(&self, py: Python<'_>, most: u64) -> (f64, f64) {
        let quality = py.detach(|| self.inner.quality(most));
        (quality.correlation, quality.displacement)
    }
}
