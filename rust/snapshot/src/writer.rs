//! Writes a snapshot file, row by row.

use std::io::Write;

use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, SchemaRef};

use crate::rows::{Columns, Row};
use crate::schema::{BATCH_ROWS, META_BATCH_ROWS, META_ID, META_ROWS, schema};

/// Most samples: some 400 GB of file.
const MAX_ROWS: u64 = 1 << 32;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Number of samples.
    pub rows: u64,
    /// Identity of the list: the same samples in the same order have the same.
    pub id: String,
}

/// Writes from front to back, so that the bytes may go anywhere.
pub struct SnapshotWriter<W: Write> {
    file: FileWriter<W>,
    schema: SchemaRef,
    columns: Columns,
    total: u64,
}

impl<W: Write> SnapshotWriter<W> {
    /// A snapshot of samples in the bucket of that uname.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn new(out: W, bucket_uname: &str) -> Result<Self, ArrowError> {
        let schema = schema(bucket_uname);
        let file = FileWriter::try_new(out, &schema)?;
        Ok(Self { file, schema, columns: Columns::new(), total: 0 })
    }

    /// Samples so far.
    pub fn rows(&self) -> u64 {
        self.total
    }

    /// Adds a sample.
    ///
    /// # Errors
    ///
    /// Those of writing, and too many samples.
    pub fn push(&mut self, row: &Row<'_>) -> Result<(), ArrowError> {
        if self.total == MAX_ROWS {
            return Err(ArrowError::InvalidArgumentError(format!(
                "a snapshot has at most {MAX_ROWS} samples: raise range_bytes, or make several"
            )));
        }
        self.columns.push(row)?;
        self.total += 1;
        if self.columns.rows() >= BATCH_ROWS { self.write_batch() } else { Ok(()) }
    }

    fn write_batch(&mut self) -> Result<(), ArrowError> {
        let batch = self.columns.batch(&self.schema)?;
        self.file.write(&batch)
    }

    /// Completes the file, and gives it back.
    ///
    /// # Errors
    ///
    /// Those of writing.
    pub fn finish(mut self) -> Result<(Made, W), ArrowError> {
        if self.columns.rows() > 0 {
            self.write_batch()?;
        }
        let made = Made { rows: self.total, id: self.columns.into_id() };
        self.file.write_metadata(META_ROWS, made.rows.to_string());
        self.file.write_metadata(META_BATCH_ROWS, BATCH_ROWS.to_string());
        self.file.write_metadata(META_ID, made.id.clone());
        self.file.finish()?;
        Ok((made, self.file.into_inner()?))
    }
}
