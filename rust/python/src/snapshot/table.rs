//! Reads a snapshot file from a memory map: any row in constant time, nothing copied until asked for.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use aistore_core::cut::{Cut, Seconds};
use aistore_core::moss::{MossIn, MossReq};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{FileDecoder, read_footer_length};
use arrow_ipc::{Block, root_as_footer};
use arrow_schema::Schema;
use pyo3::exceptions::{PyIndexError, PyOSError, PyValueError};
use pyo3::prelude::*;

use super::map::map_file;
use crate::arguments::parse_bucket;
use crate::batch::BatchStream;
use crate::client::Client;
use crate::crossing::wait;
use aistore_snapshot::schema::{
    AT_SECOND, FORMAT, KEY, LENGTH, MEMBERS, META_BATCH_ROWS, META_BUCKET, META_FORMAT, META_ID,
    META_ROWS, OBJECT, SECONDS, SIZE, START, schema,
};

/// Bytes at the end of an Arrow file: the length of the footer and the magic.
const TRAILER_BYTES: usize = 10;

/// Key, object, members, start, length, size, first second, seconds.
type Row =
    (String, String, Option<Vec<String>>, Option<i64>, Option<i64>, i64, Option<f64>, Option<f64>);
/// Key and members of a sample that is read.
type Head = (String, Option<Vec<String>>);

/// A snapshot file, mapped.
#[pyclass(frozen, module = "aistore._native")]
pub(crate) struct SnapshotTable {
    path: PathBuf,
    buffer: Buffer,
    decoder: FileDecoder,
    // Decoded on first use; what is kept points into the map.
    batches: Vec<(Block, OnceLock<RecordBatch>)>,
    batch_rows: u64,
    rows: u64,
    id: String,
    bucket: String,
}

/// Why a file is no snapshot.
type Fault = String;

impl SnapshotTable {
    fn open(path: &Path) -> Result<Self, Fault> {
        let buffer = map_file(path).map_err(|error| error.to_string())?;
        let footer = footer_bytes(&buffer)?;
        let footer = root_as_footer(footer).map_err(|error| error.to_string())?;
        let found = footer.schema().ok_or("the footer has no schema")?;
        let found = try_fb_to_schema(found).map_err(|error| error.to_string())?;
        let bucket = check_schema(&found)?;
        let pairs = footer.custom_metadata();
        let meta = |wanted: &str| -> Result<&str, Fault> {
            pairs
                .iter()
                .flatten()
                .find(|pair| pair.key() == Some(wanted))
                .and_then(|pair| pair.value())
                .ok_or_else(|| format!("{wanted} is missing in the footer"))
        };
        let number = |wanted: &str| -> Result<u64, Fault> {
            meta(wanted)?.parse().map_err(|error| format!("{wanted}: {error}"))
        };
        let (rows, batch_rows) = (number(META_ROWS)?, number(META_BATCH_ROWS)?.max(1));
        let id = meta(META_ID)?.to_owned();
        let batches: Vec<_> = footer
            .recordBatches()
            .iter()
            .flatten()
            .map(|block| (*block, OnceLock::new()))
            .collect();
        if rows.div_ceil(batch_rows) != batches.len() as u64 {
            return Err(format!("{rows} rows do not fit {} record batches", batches.len()));
        }
        let decoder =
            FileDecoder::new(Arc::new(found), footer.version()).with_require_alignment(true);
        let path = path.to_owned();
        Ok(Self { path, buffer, decoder, batches, batch_rows, rows, id, bucket })
    }

    fn fault(&self, fault: &str) -> PyErr {
        broken(&self.path, fault)
    }

    fn decode(&self, block: &Block) -> Result<RecordBatch, Fault> {
        let span = || {
            let start = usize::try_from(block.offset()).ok()?;
            let head = usize::try_from(block.metaDataLength()).ok()?;
            let length = head.checked_add(usize::try_from(block.bodyLength()).ok()?)?;
            let end = start.checked_add(length)?;
            // The message begins with two words that the decoder looks at unasked.
            (head >= 8 && end <= self.buffer.len()).then_some((start, length))
        };
        let (start, length) = span().ok_or("a record batch lies outside of the file")?;
        let part = self.buffer.slice_with_length(start, length);
        let batch = self.decoder.read_record_batch(block, &part).map_err(|e| e.to_string())?;
        batch.ok_or_else(|| "a record batch is empty".to_owned())
    }

    /// The record batch of a row, and its place there.
    fn locate(&self, index: u64) -> PyResult<(&RecordBatch, usize)> {
        let out_of_range = || {
            let text = format!("index {index}: the snapshot has {} samples", self.rows);
            PyIndexError::new_err(text)
        };
        if index >= self.rows {
            return Err(out_of_range());
        }
        let number = usize::try_from(index / self.batch_rows).map_err(|_| out_of_range())?;
        let (block, slot) = self.batches.get(number).ok_or_else(out_of_range)?;
        let batch = if let Some(batch) = slot.get() {
            batch
        } else {
            let batch = self.decode(block).map_err(|fault| self.fault(&fault))?;
            slot.get_or_init(|| batch)
        };
        let place = usize::try_from(index % self.batch_rows).map_err(|_| out_of_range())?;
        if place >= batch.num_rows() {
            return Err(self.fault("a record batch is shorter than announced"));
        }
        Ok((batch, place))
    }

    fn get(&self, index: u64) -> PyResult<Row> {
        let (batch, at) = self.locate(index)?;
        let text = |column| batch.column(column).as_string::<i32>();
        let number = |column| {
            let array = batch.column(column).as_primitive::<Int64Type>();
            array.is_valid(at).then(|| array.value(at))
        };
        let object = text(OBJECT).value(at).to_owned();
        let key = text(KEY);
        let key = if key.is_valid(at) { key.value(at).to_owned() } else { object.clone() };
        let members = batch.column(MEMBERS).as_list::<i32>();
        let members = members.is_valid(at).then(|| {
            let names = members.value(at);
            names.as_string::<i32>().iter().flatten().map(str::to_owned).collect()
        });
        let time = |column| {
            let array = batch.column(column).as_primitive::<Float64Type>();
            array.is_valid(at).then(|| array.value(at))
        };
        let (start, length, size) = (number(START), number(LENGTH), number(SIZE).unwrap_or(0));
        Ok((key, object, members, start, length, size, time(AT_SECOND), time(SECONDS)))
    }

    fn request(&self, indices: &[u64]) -> PyResult<(MossReq, Vec<Head>)> {
        let mut entries = Vec::with_capacity(indices.len());
        let mut heads = Vec::with_capacity(indices.len());
        for index in indices {
            let (key, object, members, start, length, _, at_second, seconds) = self.get(*index)?;
            let cut = cut(at_second, seconds).map_err(|fault| self.fault(&fault))?;
            match &members {
                None => entries.push(MossIn { object, start, length, cut, ..MossIn::default() }),
                Some(names) => entries.extend(names.iter().map(|name| MossIn {
                    object: object.clone(),
                    archpath: Some(name.clone()),
                    cut: cut.clone(),
                    ..MossIn::default()
                })),
            }
            heads.push((key, members));
        }
        let request = MossReq { entries, continue_on_error: Some(false), ..MossReq::default() };
        Ok((request, heads))
    }
}

#[pymethods]
impl SnapshotTable {
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "extracted into a value of its own")]
    fn new(path: PathBuf) -> PyResult<Self> {
        Self::open(&path).map_err(|fault| broken(&path, &fault))
    }

    fn __len__(&self) -> usize {
        usize::try_from(self.rows).unwrap_or(usize::MAX)
    }

    /// Identity of the list: the same samples in the same order have the same.
    #[getter]
    fn id(&self) -> &str {
        &self.id
    }

    /// Uname of the bucket that the samples are in.
    #[getter]
    fn bucket(&self) -> &str {
        &self.bucket
    }

    /// (key, object, members or None, start or None, length or None, size, first second or None, seconds or None).
    fn row(&self, index: u64) -> PyResult<Row> {
        self.get(index)
    }

    /// Opens a batch of samples: its stream, and (key, members or None) of each sample.
    #[expect(clippy::needless_pass_by_value, reason = "extracted into values of their own")]
    fn read(
        &self,
        py: Python<'_>,
        client: PyRef<'_, Client>,
        indices: Vec<u64>,
    ) -> PyResult<(BatchStream, Vec<Head>)> {
        let (request, heads) = self.request(&indices)?;
        if request.entries.is_empty() {
            return Err(PyValueError::new_err("no samples to read: give at least one index"));
        }
        let bucket = parse_bucket(&self.bucket)?;
        let inner = client.open_inner(py)?;
        let stream = wait(py, inner.batch(request, Some(bucket)))?;
        Ok((BatchStream::new(stream), heads))
    }
}

/// What a batch is asked for, for a part of a recording.
fn cut(start: Option<f64>, length: Option<f64>) -> Result<Option<Box<Cut>>, Fault> {
    let Some(start) = start else { return Ok(None) };
    let (start, duration) = (Seconds::try_from(start)?, length.map(Seconds::try_from).transpose()?);
    Ok(Some(Box::new(Cut { start, duration, ..Cut::default() })))
}

/// The footer of an Arrow file.
fn footer_bytes(buffer: &Buffer) -> Result<&[u8], Fault> {
    let short = || "too short for an Arrow file".to_owned();
    let trailer_at = buffer.len().checked_sub(TRAILER_BYTES).ok_or_else(short)?;
    let trailer = buffer.get(trailer_at..).and_then(|bytes| bytes.try_into().ok());
    let length = read_footer_length(trailer.ok_or_else(short)?).map_err(|e| e.to_string())?;
    let start = trailer_at.checked_sub(length).ok_or_else(short)?;
    buffer.get(start..trailer_at).ok_or_else(short)
}

/// Gives the bucket if the columns are those of a snapshot.
fn check_schema(found: &Schema) -> Result<String, Fault> {
    let format = found.metadata().get(META_FORMAT).ok_or("this Arrow file is not a snapshot")?;
    if format != FORMAT {
        return Err(format!("format {format}: this version reads {FORMAT}"));
    }
    let bucket = found.metadata().get(META_BUCKET).ok_or("no bucket is named")?;
    if found.fields() != schema(bucket).fields() {
        return Err("its columns are not those of a snapshot".to_owned());
    }
    Ok(bucket.clone())
}

fn broken(path: &Path, fault: &str) -> PyErr {
    PyOSError::new_err(format!("snapshot file {}: {fault}", path.display()))
}
