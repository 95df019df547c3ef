//! Archives written to files.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use aistore_core::archive::{Format, write::Writer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

type Open = Writer<BufWriter<File>>;

/// An archive in the making.
#[pyclass(frozen, module = "aistore._native")]
pub(crate) struct ArchiveWriter {
    /// `None` after its end, and after an error.
    writer: Mutex<Option<Open>>,
    path: PathBuf,
}

#[pymethods]
impl ArchiveWriter {
    /// Begins the file `path`, in the format that `name` has by its end.
    #[new]
    fn new(py: Python<'_>, path: PathBuf, name: &str) -> PyResult<Self> {
        let format = Format::by_name(name).ok_or_else(|| {
            PyValueError::new_err(format!(
                "archive \"{name}\": name it with .tar, .tar.gz, .tgz, .tar.lz4 or .zip"
            ))
        })?;
        let file = py.detach(|| File::create(&path)).map_err(|err| named(&path, &err))?;
        let writer = Mutex::new(Some(Writer::new(BufWriter::new(file), format)));
        Ok(Self { writer, path })
    }

    /// Adds a file.
    #[expect(clippy::needless_pass_by_value, reason = "how Python hands over bytes")]
    fn add(&self, py: Python<'_>, name: &str, content: PyBackedBytes) -> PyResult<()> {
        self.work(py, |mut writer| {
            writer.begin(name, content.len() as u64, 0)?;
            writer.data(&content)?;
            writer.end()?;
            Ok(Some(writer))
        })
    }

    /// Writes what is still to be written.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        self.work(py, |writer| writer.finish()?.flush().map(|()| None))
    }
}

impl ArchiveWriter {
    fn work(
        &self,
        py: Python<'_>,
        work: impl FnOnce(Open) -> io::Result<Option<Open>> + Send,
    ) -> PyResult<()> {
        let done = py.detach(|| {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let open = writer.take().ok_or_else(|| io::Error::other("it has ended"))?;
            *writer = work(open)?;
            Ok(())
        });
        done.map_err(|err| named(&self.path, &err))
    }
}

fn named(path: &std::path::Path, err: &io::Error) -> PyErr {
    io::Error::new(err.kind(), format!("{}: {err}", path.display())).into()
}
