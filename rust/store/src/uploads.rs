//! Uploads in several parts.

#[allow(dead_code, reason = "the uploads that use it follow")]
pub(crate) mod record;

pub(crate) use record::parts_of_entry;
