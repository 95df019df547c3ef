//! Rows under way to a record batch.

use std::sync::Arc;

use aistore_core::checksum::{ChecksumType, Hasher};
use arrow_array::builder::{Float64Builder, Int64Builder, ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};

use crate::schema::member_field;

/// Most bytes of names in one batch: Arrow counts them in 32 bits with a sign.
const MAX_TEXT_BYTES: usize = 1 << 30;
/// Characters of a snapshot's identity, out of a SHA-256.
const ID_CHARS: usize = 32;

/// What of an object a sample is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part {
    /// First byte and number of bytes.
    Bytes(u64, u64),
    /// First second of a recording and number of seconds, `None` for the rest.
    Seconds(f64, Option<f64>),
}

/// One sample.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Names the sample; `None` for the name of the object.
    pub key: Option<&'a str>,
    /// Object or shard.
    pub object: &'a str,
    /// Files inside the shard; `None` for the object itself.
    pub members: Option<&'a [String]>,
    /// What of it; `None` for all.
    pub part: Option<Part>,
    /// Bytes of the sample, 0 if unknown.
    pub size: u64,
}

/// Columns under way, and the hash of all rows.
pub(crate) struct Columns {
    key: StringBuilder,
    object: StringBuilder,
    members: ListBuilder<StringBuilder>,
    start: Int64Builder,
    length: Int64Builder,
    size: Int64Builder,
    at_second: Float64Builder,
    seconds: Float64Builder,
    rows: usize,
    text_bytes: usize,
    hasher: Hasher,
}

impl Columns {
    pub(crate) fn new() -> Self {
        Self {
            key: StringBuilder::new(),
            object: StringBuilder::new(),
            members: ListBuilder::new(StringBuilder::new()).with_field(member_field()),
            start: Int64Builder::new(),
            length: Int64Builder::new(),
            size: Int64Builder::new(),
            at_second: Float64Builder::new(),
            seconds: Float64Builder::new(),
            rows: 0,
            text_bytes: 0,
            hasher: Hasher::new(ChecksumType::Sha256),
        }
    }

    /// Rows since the last batch.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// The names of a batch are too long together.
    pub(crate) fn push(&mut self, row: &Row<'_>) -> Result<(), ArrowError> {
        let members: usize = row.members.unwrap_or_default().iter().map(String::len).sum();
        self.text_bytes += row.key.map_or(0, str::len) + row.object.len() + members;
        if self.text_bytes > MAX_TEXT_BYTES {
            return Err(ArrowError::InvalidArgumentError(format!(
                "the names of {} samples before \"{}\" take more than {} GiB: use shorter names, or fewer files per sample",
                self.rows,
                row.object,
                MAX_TEXT_BYTES >> 30
            )));
        }
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.key.append_option(row.key);
        self.object.append_value(row.object);
        for member in row.members.unwrap_or_default() {
            self.members.values().append_value(member);
        }
        self.members.append(row.members.is_some());
        let (bytes, time) = match row.part {
            None => (None, None),
            Some(Part::Bytes(start, length)) => (Some((start, length)), None),
            Some(Part::Seconds(start, length)) => (None, Some((start, length))),
        };
        self.start.append_option(bytes.map(|(start, _)| signed(start)));
        self.length.append_option(bytes.map(|(_, length)| signed(length)));
        self.at_second.append_option(time.map(|(start, _)| start));
        self.seconds.append_option(time.and_then(|(_, length)| length));
        self.size.append_value(signed(row.size));
        self.rows += 1;
        self.digest(row);
        Ok(())
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
        let (start, length) = match row.part {
            Some(Part::Bytes(start, length)) => (start, length),
            _ => (u64::MAX, u64::MAX),
        };
        for number in [members.len() as u64, start, length, row.size] {
            self.hasher.update(&number.to_le_bytes());
        }
        if let Some(Part::Seconds(start, length)) = row.part {
            self.hasher.update(b"seconds");
            for number in [Some(start), length] {
                self.hasher.update(&number.unwrap_or(f64::NAN).to_bits().to_le_bytes());
            }
        }
    }

    pub(crate) fn batch(&mut self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        (self.rows, self.text_bytes) = (0, 0);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.key.finish()),
            Arc::new(self.object.finish()),
            Arc::new(self.members.finish()),
            Arc::new(self.start.finish()),
            Arc::new(self.length.finish()),
            Arc::new(self.size.finish()),
            Arc::new(self.at_second.finish()),
            Arc::new(self.seconds.finish()),
        ];
        RecordBatch::try_new(schema.clone(), columns)
    }

    /// Identity of all rows.
    pub(crate) fn into_id(self) -> String {
        let mut id = self.hasher.finish();
        id.truncate(ID_CHARS);
        id
    }
}
