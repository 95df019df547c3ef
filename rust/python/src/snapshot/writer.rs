//! Writes a snapshot file, row by row or straight from a listing.

use std::collections::HashSet;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;

use aistore_core::checksum::{ChecksumType, Hasher};
use aistore_core::list::{
    ENTRY_IN_ARCHIVE, ENTRY_IS_DIR, ENTRY_STATUS_MASK, FLAG_ARCH_DIR, ListEntry,
};
use arrow_array::builder::{Int64Builder, ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, SchemaRef};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use super::group::Groups;
use super::schema::{BATCH_ROWS, META_BATCH_ROWS, META_ID, META_ROWS, member_field, schema};
use crate::arguments::{list_options, parse_bucket};
use crate::client::Client;
use crate::crossing::wait;

/// Entries taken from a listing at a time.
const LIST_AT_ONCE: usize = 16 << 10;
/// Characters of a snapshot's identity, out of a SHA-256.
const ID_CHARS: usize = 32;

/// Which objects of a listing become samples.
struct Filter {
    suffixes: Vec<String>,
    min_size: u64,
    max_size: u64,
    skip_prefix: String,
    /// Only these; those seen are taken out.
    names: Option<HashSet<String>>,
    predicate: Option<Py<PyAny>>,
}

impl Filter {
    fn takes(&mut self, py: Python<'_>, entry: &ListEntry) -> PyResult<bool> {
        if !self.fits(entry) {
            return Ok(false);
        }
        if let Some(names) = &mut self.names
            && !names.remove(&entry.name)
        {
            return Ok(false);
        }
        match &self.predicate {
            Some(asked) => asked.bind(py).call1((&entry.name, entry.size))?.is_truthy(),
            None => Ok(true),
        }
    }

    fn fits(&self, entry: &ListEntry) -> bool {
        entry.flags & (ENTRY_IS_DIR | ENTRY_STATUS_MASK) == 0
            && (self.min_size..=self.max_size).contains(&entry.size)
            && (self.skip_prefix.is_empty() || !entry.name.starts_with(&self.skip_prefix))
            && (self.suffixes.is_empty()
                || self.suffixes.iter().any(|suffix| entry.name.ends_with(suffix)))
    }
}

/// One row to be.
struct Row<'a> {
    key: Option<&'a str>,
    object: &'a str,
    members: Option<&'a [String]>,
    range: Option<(u64, u64)>,
    size: u64,
}

/// Columns under way, and the hash of all rows.
struct Columns {
    key: StringBuilder,
    object: StringBuilder,
    members: ListBuilder<StringBuilder>,
    start: Int64Builder,
    length: Int64Builder,
    size: Int64Builder,
    rows: usize,
    hasher: Hasher,
}

impl Columns {
    fn new() -> Self {
        Self {
            key: StringBuilder::new(),
            object: StringBuilder::new(),
            members: ListBuilder::new(StringBuilder::new()).with_field(member_field()),
            start: Int64Builder::new(),
            length: Int64Builder::new(),
            size: Int64Builder::new(),
            rows: 0,
            hasher: Hasher::new(ChecksumType::Sha256),
        }
    }

    fn push(&mut self, row: &Row<'_>) {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.key.append_option(row.key);
        self.object.append_value(row.object);
        for member in row.members.unwrap_or_default() {
            self.members.values().append_value(member);
        }
        self.members.append(row.members.is_some());
        self.start.append_option(row.range.map(|(start, _)| signed(start)));
        self.length.append_option(row.range.map(|(_, length)| signed(length)));
        self.size.append_value(signed(row.size));
        self.rows += 1;
        self.digest(row);
    }

    /// Every field with its length before it, so that no two lists of rows read the same.
    fn digest(&mut self, row: &Row<'_>) {
        let mut text = |text: &str| {
            self.hasher.update(&(text.len() as u64).to_le_bytes());
            self.hasher.update(text.as_bytes());
        };
        text(row.key.unwrap_or_default());
        text(row.object);
        let members = row.members.unwrap_or_default();
        for member in members {
            text(member);
        }
        let (start, length) = row.range.unwrap_or((u64::MAX, u64::MAX));
        for number in [members.len() as u64, start, length, row.size] {
            self.hasher.update(&number.to_le_bytes());
        }
    }

    fn batch(&mut self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.key.finish()),
            Arc::new(self.object.finish()),
            Arc::new(self.members.finish()),
            Arc::new(self.start.finish()),
            Arc::new(self.length.finish()),
            Arc::new(self.size.finish()),
        ];
        RecordBatch::try_new(schema.clone(), columns)
    }
}

/// Writes a snapshot file.
#[pyclass(module = "aistore._native")]
pub(crate) struct SnapshotWriter {
    file: Option<FileWriter<BufWriter<File>>>,
    path: PathBuf,
    schema: SchemaRef,
    columns: Columns,
    total: u64,
}

impl SnapshotWriter {
    fn failed(&self, error: &ArrowError) -> PyErr {
        PyOSError::new_err(format!("{}: {error}", self.path.display()))
    }

    fn push(&mut self, row: &Row<'_>) -> Result<(), ArrowError> {
        self.columns.push(row);
        self.total += 1;
        if self.columns.rows >= BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ArrowError> {
        let Some(file) = self.file.as_mut() else {
            return Err(ArrowError::InvalidArgumentError("already finished".to_owned()));
        };
        if self.columns.rows == 0 {
            return Ok(());
        }
        let batch = self.columns.batch(&self.schema)?;
        file.write(&batch)
    }

    fn push_whole(&mut self, entry: &ListEntry, range_bytes: u64) -> Result<(), ArrowError> {
        let object = entry.name.as_str();
        if range_bytes == 0 {
            let row = Row { key: None, object, members: None, range: None, size: entry.size };
            return self.push(&row);
        }
        let mut start = 0;
        while start < entry.size {
            let length = range_bytes.min(entry.size - start);
            let key = format!("{object}@{start}");
            let range = Some((start, length));
            self.push(&Row { key: Some(&key), object, members: None, range, size: length })?;
            start += length;
        }
        Ok(())
    }

    fn push_groups(&mut self, shard: &str, groups: &mut Groups) -> Result<(), ArrowError> {
        for group in groups.take() {
            let key = format!("{shard}/{}", group.key);
            self.push(&Row {
                key: Some(&key),
                object: shard,
                members: Some(&group.members),
                range: None,
                size: group.size,
            })?;
        }
        Ok(())
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
        let schema = schema(bucket_uname);
        let failed = |error: String| PyOSError::new_err(format!("{}: {error}", path.display()));
        let file = File::create(&path).map_err(|error| failed(error.to_string()))?;
        let file = FileWriter::try_new_buffered(file, &schema)
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { file: Some(file), path, schema, columns: Columns::new(), total: 0 })
    }

    /// Adds a sample.
    #[pyo3(signature = (object, key = None, members = None, start = None, length = None, size = 0))]
    fn add(
        &mut self,
        object: &str,
        key: Option<&str>,
        members: Option<Vec<String>>,
        start: Option<u64>,
        length: Option<u64>,
        size: u64,
    ) -> PyResult<()> {
        let range = match (start, length) {
            (None, None) => None,
            (Some(start), Some(length)) if members.is_none() => Some((start, length)),
            _ => {
                let text = format!(
                    "sample of {object}: start and length go together, and not with members"
                );
                return Err(PyValueError::new_err(text));
            }
        };
        let members = members.as_deref();
        let row = Row { key, object, members, range, size };
        self.push(&row).map_err(|error| self.failed(&error))
    }

    /// Adds what a listing gives: objects, byte ranges of them, or the files in shards by key.
    ///
    /// Gives those of `names` that are not there or not wanted.
    #[pyo3(signature = (
        client, bucket_uname, prefix = "", *, members = false, range_bytes = 0, suffixes = vec![],
        min_size = 0, max_size = u64::MAX, skip_prefix = "", names = None, predicate = None,
    ))]
    fn add_listing(
        &mut self,
        py: Python<'_>,
        client: PyRef<'_, Client>,
        bucket_uname: &str,
        prefix: &str,
        members: bool,
        range_bytes: u64,
        suffixes: Vec<String>,
        min_size: u64,
        max_size: u64,
        skip_prefix: &str,
        names: Option<HashSet<String>>,
        predicate: Option<Py<PyAny>>,
    ) -> PyResult<Vec<String>> {
        let bucket = parse_bucket(bucket_uname)?;
        let flags = if members { FLAG_ARCH_DIR } else { 0 };
        let options = list_options(prefix, "name,size", flags, "", 0);
        let skip_prefix = skip_prefix.to_owned();
        let mut filter = Filter { suffixes, min_size, max_size, skip_prefix, names, predicate };
        let mut listing = client.open_inner(py)?.list_stream(&bucket, options);
        let (mut shard, mut groups) = (String::new(), Groups::default());
        loop {
            let entries = wait(py, listing.next(LIST_AT_ONCE))?;
            if entries.is_empty() {
                break;
            }
            for entry in &entries {
                let pushed = if entry.flags & ENTRY_IN_ARCHIVE == 0 {
                    let done = self.push_groups(&shard, &mut groups);
                    shard.clear();
                    if !filter.takes(py, entry)? {
                        done
                    } else if members {
                        shard.clone_from(&entry.name);
                        done
                    } else {
                        self.push_whole(entry, range_bytes)
                    }
                } else {
                    if let Some(member) = inside(&entry.name, &shard) {
                        groups.add(member, entry.size);
                    }
                    Ok(())
                };
                pushed.map_err(|error| self.failed(&error))?;
            }
        }
        self.push_groups(&shard, &mut groups).map_err(|error| self.failed(&error))?;
        let mut missing: Vec<_> = filter.names.into_iter().flatten().collect();
        missing.sort_unstable();
        Ok(missing)
    }

    /// Completes the file. Gives the number of samples and the identity of the list.
    fn finish(&mut self) -> PyResult<(u64, String)> {
        self.flush().map_err(|error| self.failed(&error))?;
        let mut hasher = Hasher::new(ChecksumType::Sha256);
        std::mem::swap(&mut hasher, &mut self.columns.hasher);
        let mut id = hasher.finish();
        id.truncate(ID_CHARS);
        let Some(mut file) = self.file.take() else {
            return Err(PyValueError::new_err("already finished"));
        };
        file.write_metadata(META_ROWS, self.total.to_string());
        file.write_metadata(META_BATCH_ROWS, BATCH_ROWS.to_string());
        file.write_metadata(META_ID, id.clone());
        let finished = file.finish().and_then(|()| file.flush());
        finished.map_err(|error| self.failed(&error))?;
        Ok((self.total, id))
    }
}

/// The name inside a shard.
fn inside<'a>(name: &'a str, shard: &str) -> Option<&'a str> {
    if shard.is_empty() {
        return None;
    }
    name.strip_prefix(shard)?.strip_prefix('/').filter(|member| !member.is_empty())
}
