//! Bytes on disk: index keys and values, blob trailers, segments.

use aistore_store::fuzzing;

/// Damage is refused, never a panic; what is accepted comes back the same.
pub fn stored(data: &[u8]) {
    fuzzing::index(data);
    fuzzing::trailer(data);
    fuzzing::segment(data);
}
