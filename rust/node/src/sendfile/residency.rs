//! Whether a part of a file is in memory, so that sending it cannot make a worker wait for the disk.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::AsRawFd as _;

use rustix::io::ReadWriteFlags;

const PAGE: u64 = 4096;
/// Number of the system call, the same on every architecture; Linux 6.5 and newer.
const SYS_CACHESTAT: libc::c_long = 451;
/// Where the system cannot count cached pages, one byte of every so many is probed instead.
const PROBE_EVERY: u64 = 64 << 10;

/// Whether all of `length` bytes from `offset` on are cached.
///
/// Both questions are needed. The count includes pages whose read from the disk is still under way; the
/// probes see that, but only where they look.
pub(crate) fn resident(file: &File, offset: u64, length: u64) -> bool {
    let Some(last) = length.checked_sub(1) else { return true };
    if !probe(file, offset) || !probe(file, offset + last) {
        return false;
    }
    match cached_pages(file, offset, length) {
        Some(cached) => cached > (offset + last) / PAGE - offset / PAGE,
        None => (1..length.div_ceil(PROBE_EVERY)).all(|n| probe(file, offset + n * PROBE_EVERY)),
    }
}

/// Whether the byte at `offset` can be read without waiting.
fn probe(file: &File, offset: u64) -> bool {
    let mut byte = [0];
    let mut slices = [IoSliceMut::new(&mut byte)];
    rustix::io::preadv2(file, &mut slices, offset, ReadWriteFlags::NOWAIT) == Ok(1)
}

#[repr(C)]
struct Range {
    offset: u64,
    length: u64,
}

#[repr(C)]
#[derive(Default)]
struct Stat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

#[expect(unsafe_code, reason = "cachestat has no safe binding")]
fn cached_pages(file: &File, offset: u64, length: u64) -> Option<u64> {
    let range = Range { offset, length };
    let mut stat = Stat::default();
    // SAFETY: the call reads one `Range` and writes one `Stat`, both laid out as the kernel's and alive
    // until it returns; the descriptor is open as long as `file` is borrowed.
    let done = unsafe {
        libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut stat, 0)
    };
    (done == 0).then_some(stat.cached)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::num::NonZeroU64;

    use super::*;

    #[test]
    fn what_was_just_written_is_resident_and_what_was_dropped_is_not() {
        // In the build folder: a file system in memory cannot drop pages.
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let length = 3 << 20;
        file.write_all(&vec![1; length]).unwrap();
        let length = length as u64;
        assert!(resident(&file, 0, length));
        assert!(resident(&file, 12_345, 70_001));
        assert!(resident(&file, 5, 0));
        file.sync_all().unwrap();
        let dropped = rustix::fs::fadvise(
            &file,
            1 << 20,
            NonZeroU64::new(1 << 20),
            rustix::fs::Advice::DontNeed,
        );
        if dropped.is_ok() && cached_pages(&file, 0, length).is_some_and(|n| n < length / PAGE) {
            assert!(!resident(&file, 0, length));
            assert!(!resident(&file, 1 << 20, 1 << 20));
            assert!(resident(&file, 0, 1 << 20), "only the middle was dropped");
        }
    }

    #[test]
    fn past_the_end_nothing_is_resident() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        assert!(!resident(&file, 5, 10));
    }
}
