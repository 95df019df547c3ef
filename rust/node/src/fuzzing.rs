//! Doors for the fuzz targets in `fuzz/`, which cannot see private parsers. Only built with `--cfg fuzzing`.

/// The handle of an append session.
///
/// # Panics
///
/// When an accepted handle does not survive being written again.
pub fn append_handle(text: &str) {
    crate::target::fuzz_append_handle(text);
}
