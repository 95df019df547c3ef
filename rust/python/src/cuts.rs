//! Cuts of recordings: manifests read, and turned into batches.

use std::fs::File;
use std::sync::{Mutex, PoisonError};

use aistore_core::cut::CutFormat;
use aistore_core::cuts::{CutSpec, Lines};
use aistore_core::moss::{MossIn, MossReq};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

/// Lines of a manifest file, plain or compressed.
#[pyclass(frozen, module = "aistore._native")]
pub(crate) struct CutLines {
    lines: Mutex<Lines>,
    path: String,
}

#[pymethods]
impl CutLines {
    #[new]
    fn new(py: Python<'_>, path: String) -> PyResult<Self> {
        let lines = py.detach(|| Lines::new(File::open(&path)?))?;
        Ok(Self { lines: Mutex::new(lines), path })
    }

    /// The next lines, at most so many; none = end.
    fn take(&self, py: Python<'_>, most: usize) -> PyResult<Vec<Vec<u8>>> {
        py.detach(|| {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = lines.by_ref().take(most).map(|line| line.map(|(_, text)| text));
            taken.collect::<Result<_, _>>()
        })
        .map_err(|err| PyValueError::new_err(format!("{}: {err}", self.path)))
    }
}

/// Cuts of one batch, read and checked.
#[pyclass(frozen, module = "aistore._native")]
pub(crate) struct CutBatch {
    specs: Vec<Result<CutSpec, Fault>>,
    /// Entries grouped by recording, and cut and part of each.
    entries: Vec<MossIn>,
    places: Vec<(usize, usize)>,
    /// What the entries are called in an archive.
    names: Vec<String>,
}

impl CutBatch {
    /// What to ask the cluster for.
    pub(crate) fn request(&self) -> MossReq {
        MossReq {
            entries: self.entries.clone(),
            continue_on_error: Some(true),
            streaming: true,
            ..MossReq::default()
        }
    }
}

#[pymethods]
impl CutBatch {
    /// Reads cuts, each a JSON document. With the number of the `first` they stay in order and have file names, else
    /// they are grouped by recording.
    #[new]
    #[pyo3(signature = (lines, format = "npy", rate = None, first = None))]
    fn new(
        py: Python<'_>,
        lines: Vec<PyBackedBytes>,
        format: &str,
        rate: Option<u32>,
        first: Option<u64>,
    ) -> PyResult<Self> {
        let format = match format {
            "npy" => CutFormat::Npy,
            "wav" => CutFormat::Wav,
            other => {
                let text = format!("format \"{other}\": expected \"npy\" or \"wav\"");
                return Err(PyValueError::new_err(text));
            }
        };
        Ok(py.detach(|| read(lines, (format, rate), first)))
    }

    /// (name, frames or nothing, parts, nothing or what is wrong) of each cut.
    fn cuts(&self) -> Vec<Row<'_>> {
        self.specs.iter().map(row).collect()
    }

    /// File name of each entry, for cuts that were numbered.
    fn file_names(&self) -> Vec<String> {
        self.names.clone()
    }

    /// (cut, part) of each entry.
    fn places(&self) -> Vec<(usize, usize)> {
        self.places.clone()
    }
}

/// Name of a cut, and what is wrong with it.
type Fault = (String, String);
type Row<'a> = (&'a str, Option<u64>, usize, Option<&'a str>);

fn row(spec: &Result<CutSpec, Fault>) -> Row<'_> {
    match spec {
        Ok(spec) => (&spec.id, spec.frames(), spec.parts.len(), None),
        Err((id, error)) => (id, None, 0, Some(error)),
    }
}

/// The name in a line that is no good cut, if it has one.
fn name(line: &[u8]) -> String {
    let value = serde_json::from_slice::<serde_json::Value>(line).unwrap_or_default();
    value.get("id").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

fn read(
    lines: Vec<PyBackedBytes>,
    (format, rate): (CutFormat, Option<u32>),
    first: Option<u64>,
) -> CutBatch {
    let parse =
        |line: PyBackedBytes| CutSpec::parse(&line).map_err(|err| (name(&line), err.to_string()));
    let specs: Vec<_> = lines.into_iter().map(parse).collect();
    let mut asked = Vec::new();
    let mut names = Vec::new();
    for (cut, spec) in specs.iter().enumerate() {
        let Ok(spec) = spec else { continue };
        if let Some(first) = first {
            names.extend(spec.file_names(first.saturating_add(cut as u64)));
        }
        for (part, entry) in spec.entries(format, rate).into_iter().enumerate() {
            asked.push((entry, (cut, part)));
        }
    }
    if first.is_none() {
        // Cuts of a recording follow each other, and find it in memory.
        asked.sort_by(|(a, _), (b, _)| {
            (&a.uname, &a.object, &a.archpath).cmp(&(&b.uname, &b.object, &b.archpath))
        });
    }
    let (entries, places) = asked.into_iter().unzip();
    CutBatch { specs, entries, places, names }
}
