//! Space for large blobs, taken when their length is announced: a disk that has no room says so before the bytes
//! come, and the file lies in few pieces however many are written beside it.

use std::fs::File;
use std::io;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// Below, the file system's own delayed allocation does as well without a call.
const LEAST_BYTES: u64 = 4 << 20;

/// Takes space for `bytes` in an empty file, which stays empty. Whether it did: not for few bytes, and not where the
/// file system cannot.
pub(crate) fn reserve(file: &File, bytes: u64) -> io::Result<bool> {
    if bytes < LEAST_BYTES {
        return Ok(false);
    }
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        Ok(()) => Ok(true),
        Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::IO)) => Err(error.into()),
        // Not supported, interrupted, too large for the file system: writing decides.
        Err(_) => Ok(false),
    }
}

/// Gives back what [`reserve`] took beyond the end of the file, where less than announced came.
pub(crate) fn trim(file: &File, announced: u64, size: u64) -> io::Result<()> {
    if announced < LEAST_BYTES || size >= announced { Ok(()) } else { file.set_len(size) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn bytes(file: &File) -> (u64, u64) {
        let metadata = file.metadata().unwrap();
        (metadata.len(), metadata.blocks() * 512)
    }

    #[test]
    fn space_is_taken_without_a_size_and_what_is_not_used_is_given_back() {
        // In the build folder: on a disk, like the blobs.
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        assert!(!reserve(&file, LEAST_BYTES - 1).unwrap());
        if !reserve(&file, 2 * LEAST_BYTES).unwrap() {
            return; // A file system that cannot.
        }
        let (size, taken) = bytes(&file);
        assert!(size == 0 && taken >= 2 * LEAST_BYTES, "{size} {taken}");
        file.write_all(&[1; 10_000]).unwrap();
        trim(&file, 2 * LEAST_BYTES, 10_000).unwrap();
        let (size, taken) = bytes(&file);
        assert!(size == 10_000 && taken < LEAST_BYTES, "{size} {taken}");
    }
}
