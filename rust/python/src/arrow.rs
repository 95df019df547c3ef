//! A listing as an Arrow stream, handed over without a copy through the C data interface.

use std::sync::Arc;

use aistore_client::{Client as Inner, ListOptions, ListStream};
use aistore_core::bucket::Bucket;
use aistore_core::list::ListEntry;
use arrow_array::builder::StringBuilder;
use arrow_array::ffi::FFI_ArrowSchema;
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, RecordBatchReader, UInt32Array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::crossing::wait;
use crate::runtime::ForkBound;

/// Most rows of one batch, whatever is asked for: a batch is held in memory as a whole.
const MAX_BATCH_ROWS: usize = 1 << 20;

/// One column of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Name,
    Size,
    Checksum,
    Atime,
    Version,
    Custom,
    Location,
    Copies,
    Flags,
}

/// Columns by the property that asks for them, in the order in which they come.
const COLUMNS: [(&str, Column); 9] = [
    ("name", Column::Name),
    ("size", Column::Size),
    ("checksum", Column::Checksum),
    ("atime", Column::Atime),
    ("version", Column::Version),
    ("custom", Column::Custom),
    ("location", Column::Location),
    ("copies", Column::Copies),
    ("flags", Column::Flags),
];

/// Properties that come as bits of `flags`.
const IN_FLAGS: [&str; 3] = ["cached", "status", "flags"];
/// Properties that the server does not know.
const NOT_SENT: &str = "flags";

impl Column {
    fn field(self, name: &str) -> Field {
        let (kind, nullable) = match self {
            Self::Name => (DataType::Utf8, false),
            Self::Size => (DataType::Int64, false),
            Self::Copies => (DataType::Int32, true),
            Self::Flags => (DataType::UInt32, false),
            _ => (DataType::Utf8, true),
        };
        Field::new(name, kind, nullable)
    }

    fn array(self, entries: &[ListEntry]) -> ArrayRef {
        match self {
            Self::Name => texts(entries, |entry| Some(entry.name.as_str())),
            Self::Size => {
                let size = |entry: &ListEntry| i64::try_from(entry.size).unwrap_or(i64::MAX);
                Arc::new(Int64Array::from_iter_values(entries.iter().map(size)))
            }
            Self::Checksum => told(entries, |entry| &entry.checksum),
            Self::Atime => told(entries, |entry| &entry.atime),
            Self::Version => told(entries, |entry| &entry.version),
            Self::Custom => told(entries, |entry| &entry.custom),
            Self::Location => told(entries, |entry| &entry.location),
            Self::Copies => {
                let copies = |entry: &ListEntry| (entry.copies > 0).then(|| entry.copies.into());
                Arc::new(entries.iter().map(copies).collect::<Int32Array>())
            }
            Self::Flags => {
                let flags = entries.iter().map(|entry| u32::from(entry.flags));
                Arc::new(UInt32Array::from_iter_values(flags))
            }
        }
    }
}

/// A column of texts where the empty one means that there is none.
fn told(entries: &[ListEntry], text: impl Fn(&ListEntry) -> &String) -> ArrayRef {
    texts(entries, |entry| Some(text(entry).as_str()).filter(|text| !text.is_empty()))
}

fn texts<'a>(
    entries: &'a [ListEntry],
    text: impl Fn(&'a ListEntry) -> Option<&'a str>,
) -> ArrayRef {
    let bytes = entries.iter().filter_map(&text).map(str::len).sum();
    let mut builder = StringBuilder::with_capacity(entries.len(), bytes);
    for entry in entries {
        builder.append_option(text(entry));
    }
    Arc::new(builder.finish())
}

/// The columns that properties ask for, and the properties to ask the server for.
fn select(props: &str) -> PyResult<(Vec<(&'static str, Column)>, String)> {
    let mut asked: Vec<&str> = props.split(',').map(str::trim).filter(|p| !p.is_empty()).collect();
    if asked.is_empty() {
        asked = vec!["name", "size"];
    }
    for prop in &asked {
        let known = COLUMNS.iter().any(|(name, _)| name == prop) || IN_FLAGS.contains(prop);
        if !known {
            let known: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
            let text = format!(
                "property \"{prop}\" has no column: choose from {}, cached, status",
                known.join(", ")
            );
            return Err(PyValueError::new_err(text));
        }
    }
    let flags = asked.iter().any(|prop| IN_FLAGS.contains(prop));
    let wanted = |(name, column): &(&str, Column)| {
        *column == Column::Name || asked.contains(name) || (flags && *column == Column::Flags)
    };
    let columns = COLUMNS.into_iter().filter(wanted).collect();
    asked.retain(|prop| *prop != NOT_SENT);
    if flags && !asked.contains(&"cached") {
        asked.push("cached");
    }
    if !asked.contains(&"name") {
        asked.insert(0, "name");
    }
    Ok((columns, asked.join(",")))
}

/// A listing that hands itself over as an Arrow stream; each time it is asked, it lists anew.
#[pyclass(frozen, module = "aistore._native")]
pub(crate) struct ArrowListing {
    client: ForkBound<Inner>,
    bucket: Bucket,
    options: ListOptions,
    columns: Vec<(&'static str, Column)>,
    batch_rows: usize,
}

impl ArrowListing {
    pub(crate) fn new(
        client: Inner,
        bucket: Bucket,
        mut options: ListOptions,
        batch_rows: usize,
    ) -> PyResult<Self> {
        if !(1..=MAX_BATCH_ROWS).contains(&batch_rows) {
            let text = format!("batch_size {batch_rows}: expected 1 to {MAX_BATCH_ROWS}");
            return Err(PyValueError::new_err(text));
        }
        let (columns, props) = select(&options.props)?;
        options.props = props;
        Ok(Self { client: ForkBound::new(client), bucket, options, columns, batch_rows })
    }

    fn schema(&self) -> SchemaRef {
        let fields: Vec<_> = self.columns.iter().map(|(name, c)| c.field(name)).collect();
        Arc::new(Schema::new(fields))
    }
}

#[pymethods]
impl ArrowListing {
    /// The columns, as an `arrow_schema` capsule.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema =
            FFI_ArrowSchema::try_from(self.schema().as_ref()).map_err(|error| refused(&error))?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }

    /// The stream, as an `arrow_array_stream` capsule. A requested schema is not converted to.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The protocol leaves conversion to the consumer.
        drop(requested_schema);
        let client = self.client.shared("listing")?;
        let batches = Batches {
            stream: ForkBound::new(client.list_stream(&self.bucket, self.options.clone())),
            schema: self.schema(),
            columns: self.columns.clone(),
            rows: self.batch_rows,
        };
        let stream = FFI_ArrowArrayStream::new(Box::new(batches));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }

    fn __repr__(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        format!("<ArrowListing of {}: {}>", self.bucket, names.join(", "))
    }
}

fn refused(error: &ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Batches, each listed when it is asked for.
struct Batches {
    stream: ForkBound<ListStream>,
    schema: SchemaRef,
    columns: Vec<(&'static str, Column)>,
    rows: usize,
}

impl Batches {
    fn entries(&mut self) -> Result<Vec<ListEntry>, ArrowError> {
        let rows = self.rows;
        // Asked from any thread, with the interpreter lock or without.
        let listed = Python::try_attach(|py| {
            let stream = self.stream.open("listing")?;
            wait(py, stream.next(rows))
        });
        match listed {
            Some(Ok(entries)) => Ok(entries),
            Some(Err(error)) => Err(ArrowError::ExternalError(Box::new(error))),
            None => Err(ArrowError::ComputeError("the interpreter is ending".to_owned())),
        }
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entries = match self.entries() {
            Ok(entries) if entries.is_empty() => return None,
            Ok(entries) => entries,
            Err(error) => return Some(Err(error)),
        };
        let arrays = self.columns.iter().map(|(_, column)| column.array(&entries)).collect();
        Some(RecordBatch::try_new(self.schema.clone(), arrays))
    }
}

impl RecordBatchReader for Batches {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
