//! Columns and metadata of a snapshot file.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};

/// Rows of a record batch; all batches but the last have as many.
pub(super) const BATCH_ROWS: usize = 1 << 16;
/// Version of the format; a reader refuses others.
pub(super) const FORMAT: &str = "1";

/// Metadata keys.
pub(super) const META_FORMAT: &str = "aistore.snapshot";
pub(super) const META_BUCKET: &str = "aistore.bucket";
pub(super) const META_ROWS: &str = "aistore.rows";
pub(super) const META_BATCH_ROWS: &str = "aistore.batch_rows";
pub(super) const META_ID: &str = "aistore.id";

/// Columns by place.
pub(super) const KEY: usize = 0;
pub(super) const OBJECT: usize = 1;
pub(super) const MEMBERS: usize = 2;
pub(super) const START: usize = 3;
pub(super) const LENGTH: usize = 4;
pub(super) const SIZE: usize = 5;

/// The type of `members`.
pub(super) fn member_field() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Utf8, false))
}

/// The columns of samples in a bucket.
pub(super) fn schema(bucket: &str) -> SchemaRef {
    let fields = vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("object", DataType::Utf8, false),
        Field::new("members", DataType::List(member_field()), true),
        Field::new("start", DataType::Int64, true),
        Field::new("length", DataType::Int64, true),
        Field::new("size", DataType::Int64, false),
    ];
    let metadata: HashMap<String, String> = [(META_FORMAT, FORMAT), (META_BUCKET, bucket)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    Arc::new(Schema::new_with_metadata(fields, metadata))
}
