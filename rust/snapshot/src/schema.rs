//! Columns and metadata of a snapshot file.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};

/// Rows of a record batch; all batches but the last have as many.
pub const BATCH_ROWS: usize = 1 << 16;
/// Version of the format; a reader refuses others.
pub const FORMAT: &str = "1";

/// Metadata key of the format's version.
pub const META_FORMAT: &str = "aistore.snapshot";
/// Metadata key of the bucket's uname.
pub const META_BUCKET: &str = "aistore.bucket";
/// Metadata key of the number of rows.
pub const META_ROWS: &str = "aistore.rows";
/// Metadata key of the rows of a full record batch.
pub const META_BATCH_ROWS: &str = "aistore.batch_rows";
/// Metadata key of the list's identity.
pub const META_ID: &str = "aistore.id";

/// Place of the column of keys.
pub const KEY: usize = 0;
/// Place of the column of objects.
pub const OBJECT: usize = 1;
/// Place of the column of lists of files.
pub const MEMBERS: usize = 2;
/// Place of the column of first bytes.
pub const START: usize = 3;
/// Place of the column of numbers of bytes.
pub const LENGTH: usize = 4;
/// Place of the column of sizes.
pub const SIZE: usize = 5;

/// Place of the column of first seconds.
pub const AT_SECOND: usize = 6;
/// Place of the column of numbers of seconds.
pub const SECONDS: usize = 7;

/// The type of `members`.
#[must_use]
pub fn member_field() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Utf8, false))
}

/// The columns of samples in a bucket.
#[must_use]
pub fn schema(bucket: &str) -> SchemaRef {
    let fields = vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("object", DataType::Utf8, false),
        Field::new("members", DataType::List(member_field()), true),
        Field::new("start", DataType::Int64, true),
        Field::new("length", DataType::Int64, true),
        Field::new("size", DataType::Int64, false),
        Field::new("at_second", DataType::Float64, true),
        Field::new("seconds", DataType::Float64, true),
    ];
    let metadata: HashMap<String, String> = [(META_FORMAT, FORMAT), (META_BUCKET, bucket)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    Arc::new(Schema::new_with_metadata(fields, metadata))
}
