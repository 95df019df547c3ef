//! Writing to the disk while a large blob is still being received, so that the sync at its end finds little to do.

use std::fs::File;
use std::os::fd::AsRawFd as _;

/// Begins to write `bytes` from `offset` on. A hint: what it cannot write, the sync tells.
#[expect(unsafe_code, reason = "no safe wrapper of this call is at hand")]
pub(crate) fn begin(file: &File, offset: u64, bytes: u64) {
    let signed = |number: u64| libc::off64_t::try_from(number).unwrap_or(libc::off64_t::MAX);
    // SAFETY: the call takes numbers only, and the descriptor is open as long as `file` is borrowed.
    unsafe {
        libc::sync_file_range(
            file.as_raw_fd(),
            signed(offset),
            signed(bytes),
            libc::SYNC_FILE_RANGE_WRITE,
        )
    };
}
