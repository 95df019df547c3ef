//! Writes a snapshot file on this host, row by row or straight from a listing.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use aistore_core::cut::Seconds;
use aistore_core::list::{FLAG_ARCH_DIR, ListEntry};
use aistore_snapshot::{Filler, Made, Part, Row, Selection, SnapshotWriter as Inner};
use arrow_schema::ArrowError;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::arguments::{list_options, parse_bucket};
use crate::client::Client;
use crate::crossing::wait;

/// Entries taken from a listing at a time.
const LIST_AT_ONCE: usize = 16 << 10;

/// Writes a snapshot file.
#[pyclass(module = "aistore._native")]
pub(crate) struct SnapshotWriter {
    file: Option<Inner<BufWriter<File>>>,
    path: PathBuf,
}

/// Why rows could not be added.
enum Failure {
    Asked(PyErr),
    Write(ArrowError),
}

impl From<ArrowError> for Failure {
    fn from(error: ArrowError) -> Self {
        Self::Write(error)
    }
}

impl SnapshotWriter {
    fn open(&mut self) -> PyResult<&mut Inner<BufWriter<File>>> {
        self.file.as_mut().ok_or_else(|| PyValueError::new_err("already finished"))
    }

    /// Takes in what a listing gives.
    fn fill(
        &mut self,
        py: Python<'_>,
        filler: &mut Filler,
        entries: &[ListEntry],
        predicate: Option<&Py<PyAny>>,
    ) -> PyResult<()> {
        let asked = |entry: &ListEntry| match predicate {
            Some(asked) => asked
                .bind(py)
                .call1((&entry.name, entry.size))
                .and_then(|answer| answer.is_truthy())
                .map_err(Failure::Asked),
            None => Ok(true),
        };
        let taken = filler.take(self.open()?, entries, asked);
        taken.map_err(|failure| match failure {
            Failure::Asked(error) => error,
            Failure::Write(error) => failed(&self.path, &error),
        })
    }
}

#[pymethods]
#[expect(
    clippy::too_many_arguments,
    clippy::needless_pass_by_value,
    reason = "arguments of the Python signatures, extracted into values of their own"
)]
impl SnapshotWriter {
    #[new]
    fn new(path: PathBuf, bucket_uname: &str) -> PyResult<Self> {
        let file = File::create(&path).map_err(ArrowError::from);
        let file = file.and_then(|file| Inner::new(BufWriter::new(file), bucket_uname));
        Ok(Self { file: Some(file.map_err(|error| failed(&path, &error))?), path })
    }

    /// Adds a sample.
    #[pyo3(signature = (
        object, key = None, members = None, start = None, length = None, size = 0, at_second = None, seconds = None,
    ))]
    fn add(
        &mut self,
        object: &str,
        key: Option<&str>,
        members: Option<Vec<String>>,
        start: Option<u64>,
        length: Option<u64>,
        size: u64,
        at_second: Option<f64>,
        seconds: Option<f64>,
    ) -> PyResult<()> {
        let files = members.as_ref().map_or(0, Vec::len);
        let refused = |text| Err(PyValueError::new_err(format!("sample of {object}: {text}")));
        let part = match ((start, length), (at_second, seconds)) {
            ((None, None), (None, None)) => None,
            ((Some(start), Some(length)), (None, None)) if members.is_none() => {
                Some(Part::Bytes(start, length))
            }
            ((None, None), (Some(start), length)) if files <= 1 => {
                if [Some(start), length]
                    .into_iter()
                    .flatten()
                    .any(|n| Seconds::try_from(n).is_err())
                {
                    return refused("at_second and seconds are numbers of at least 0");
                }
                Some(Part::Seconds(start, length))
            }
            ((None, None), _) => {
                return refused("seconds go with at_second, and with one file of a shard at most");
            }
            _ => return refused("start and length go together, and not with members or seconds"),
        };
        let row = Row { key, object, members: members.as_deref(), part, size };
        let pushed = self.open()?.push(&row);
        pushed.map_err(|error| failed(&self.path, &error))
    }

    /// Adds what a listing gives: objects, byte ranges of them, or the files in shards by key.
    ///
    /// Gives those of `names` that are not there or not wanted.
    #[pyo3(signature = (
        client, bucket_uname, prefix = "", *, shards = false, range_bytes = 0, suffixes = vec![],
        min_size = 0, max_size = u64::MAX, skip_prefix = "", names = None, predicate = None,
    ))]
    fn add_listing(
        &mut self,
        py: Python<'_>,
        client: PyRef<'_, Client>,
        bucket_uname: &str,
        prefix: &str,
        shards: bool,
        range_bytes: u64,
        suffixes: Vec<String>,
        min_size: u64,
        max_size: u64,
        skip_prefix: &str,
        names: Option<HashSet<String>>,
        predicate: Option<Py<PyAny>>,
    ) -> PyResult<Vec<String>> {
        let bucket = parse_bucket(bucket_uname)?;
        let flags = if shards { FLAG_ARCH_DIR } else { 0 };
        let options = list_options(prefix, "name,size", flags, "", 0);
        let mut filler = Filler::new(Selection {
            prefix: prefix.to_owned(),
            objnames: names,
            suffixes,
            min_size,
            max_size,
            skip_prefix: skip_prefix.to_owned(),
            range_bytes,
            shards,
        });
        let mut listing = client.open_inner(py)?.list_stream(&bucket, options);
        loop {
            let entries = wait(py, listing.next(LIST_AT_ONCE))?;
            if entries.is_empty() {
                break;
            }
            self.fill(py, &mut filler, &entries, predicate.as_ref())?;
        }
        let missing = filler.finish(self.open()?);
        missing.map_err(|error| failed(&self.path, &error))
    }

    /// Completes the file. Gives the number of samples and the identity of the list.
    fn finish(&mut self) -> PyResult<(u64, String)> {
        self.open()?;
        let Some(file) = self.file.take() else { return Ok((0, String::new())) };
        let (Made { rows, id }, mut file) =
            file.finish().map_err(|error| failed(&self.path, &error))?;
        file.flush().map_err(|error| failed(&self.path, &error.into()))?;
        Ok((rows, id))
    }
}

fn failed(path: &Path, error: &ArrowError) -> PyErr {
    PyOSError::new_err(format!("{}: {error}", path.display()))
}
