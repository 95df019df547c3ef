//! Handles of append sessions, which clients send back.

/// Refused, or the same when it is written again.
pub fn append_handle(data: &[u8]) {
    if let Some(text) = crate::text(data) {
        aistore_node::fuzzing::append_handle(text);
    }
}
