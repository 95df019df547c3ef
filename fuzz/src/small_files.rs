//! The small files of a mountpath: whoever can write there may have written anything.

/// Reads the input as each of them.
pub fn small_files(data: &[u8]) {
    aistore_store::fuzzing::small_files(data);
}
