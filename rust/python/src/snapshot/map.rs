//! A file mapped into memory, as an Arrow buffer. All unsafe code of snapshots is here.

#![expect(unsafe_code, reason = "memory maps are raw memory")]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow_buffer::Buffer;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A mapping that ends with the last buffer over it.
struct Mapping {
    address: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory is read-only and not bound to a thread.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this address and length, and no buffer refers to it any more.
        // A failure leaves address space behind, which cannot be helped here.
        let _ = unsafe { munmap(self.address.as_ptr().cast::<c_void>(), self.length) };
    }
}

/// Maps a file whole. Its pages are shared by all processes that map it.
///
/// The file must not change or shrink while it is mapped: snapshots are written beside their place and
/// moved there, so that theirs never do.
pub(super) fn map_file(path: &Path) -> io::Result<Buffer> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len())
        .map_err(|_| io::Error::other("the file does not fit into the address space"))?;
    if length == 0 {
        return Ok(Buffer::from(Vec::<u8>::new()));
    }
    // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
    let address =
        unsafe { mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, &file, 0) }?;
    let address =
        NonNull::new(address.cast::<u8>()).ok_or_else(|| io::Error::other("mapped at 0"))?;
    let mapping = Arc::new(Mapping { address, length });
    // SAFETY: the mapping is `length` bytes long and lives as long as the buffer, which owns it.
    Ok(unsafe { Buffer::from_custom_allocation(address, length, mapping) })
}
