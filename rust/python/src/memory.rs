//! Bytes that arrive straight in Python's memory. All unsafe code of the data path is here.

#![expect(
    unsafe_code,
    reason = "uninitialised bytes objects and caller-owned memory are filled here"
)]

use std::mem::MaybeUninit;

use aistore_client::quick::{Answer, Download, Received};
use aistore_client::{Client, ClientError};
use aistore_core::bucket::Bucket;
use aistore_core::checksum::ChecksumType;
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::crossing::blocking;

/// Content of this size and more is copied with the interpreter lock released.
const COPY_DETACHED_BYTES: usize = 1 << 20;
/// Smallest object for which huge pages are asked for.
const ADVISE_BYTES: usize = 8 << 20;
/// Unit of memory advice; larger pages elsewhere only make the kernel refuse.
const PAGE_BYTES: usize = 4 << 10;

/// Makes a `bytes` object of `length` bytes that `fill` writes; `None` when `fill` returns false.
///
/// The memory is not cleared first: pages that are never written are never occupied either, so a wrong
/// length that some server announced costs address space, or a `MemoryError`, and nothing else.
///
/// # Safety
///
/// `fill` may return `Ok(true)` only after it has written every byte.
unsafe fn build(
    py: Python<'_>,
    length: u64,
    fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> PyResult<bool>,
) -> PyResult<Option<Bound<'_, PyBytes>>> {
    let too_large = || PyMemoryError::new_err(format!("{length} bytes do not fit into memory"));
    let size = ffi::Py_ssize_t::try_from(length).map_err(|_| too_large())?;
    let count = usize::try_from(length).map_err(|_| too_large())?;
    // SAFETY: a null source asks for an uninitialised object; ownership of the result passes to `object`.
    let object = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), size))
    }?;
    // SAFETY: the object is a `bytes` of `count` bytes, nobody else has a reference to it yet, and it
    // lives until after `fill`.
    let memory = unsafe {
        let start = ffi::PyBytes_AsString(object.as_ptr()).cast::<MaybeUninit<u8>>();
        std::slice::from_raw_parts_mut(start, count)
    };
    advise_huge(memory);
    // The empty object is shared by all; an empty slice of it can do no harm.
    if !fill(memory)? {
        return Ok(None);
    }
    // SAFETY: the object is a `bytes`, and `fill` has written all of it, as the caller promises.
    Ok(Some(unsafe { object.cast_into_unchecked() }))
}

/// Asks for huge pages where much memory is about to be written for the first time: half the time of
/// receiving 64 MiB was page faults (100 ms without, 30 to 55 ms with, in a virtual machine).
fn advise_huge(memory: &mut [MaybeUninit<u8>]) {
    if memory.len() < ADVISE_BYTES {
        return;
    }
    let skip = memory.as_ptr().addr().wrapping_neg() % PAGE_BYTES;
    let length = (memory.len() - skip) / PAGE_BYTES * PAGE_BYTES;
    // SAFETY: the range lies within `memory`, and the advice does not change its content.
    // A kernel without huge pages refuses, which does no harm.
    let _ = unsafe {
        rustix::mm::madvise(
            memory.as_mut_ptr().add(skip).cast(),
            length,
            rustix::mm::Advice::LinuxHugepage,
        )
    };
}

/// Makes a `bytes` object of `length` bytes; `None` unless `receive` fills all of its room and returns true.
pub(crate) fn receive(
    py: Python<'_>,
    length: u64,
    receive: impl FnOnce(&mut Room<'_>) -> PyResult<bool>,
) -> PyResult<Option<Bound<'_, PyBytes>>> {
    let fill = |memory: &mut [MaybeUninit<u8>]| {
        let mut room = Room { memory, filled: 0 };
        let complete = receive(&mut room)?;
        Ok(complete && room.filled == room.memory.len())
    };
    // SAFETY: `Room` counts what was written, and the count is compared with the length.
    unsafe { build(py, length, fill) }
}

/// Memory being filled from its start.
pub(crate) struct Room<'a> {
    memory: &'a mut [MaybeUninit<u8>],
    filled: usize,
}

impl Room<'_> {
    /// Bytes still missing.
    pub(crate) fn left(&self) -> usize {
        self.memory.len() - self.filled
    }

    /// Copies as much as fits; returns how much that was.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> usize {
        let count = self.left().min(bytes.len());
        let target = self.memory.get_mut(self.filled..self.filled + count);
        if let (Some(target), Some(source)) = (target, bytes.get(..count)) {
            target.write_copy_of_slice(source);
            self.filled += count;
        }
        count
    }

    /// Lends all that is left to `write`, which says whether it wrote all of it.
    ///
    /// # Safety
    ///
    /// `write` may say so only if it is true.
    unsafe fn lend(
        &mut self,
        write: impl FnOnce(&mut [MaybeUninit<u8>]) -> PyResult<bool>,
    ) -> PyResult<bool> {
        let all = write(self.memory.get_mut(self.filled..).unwrap_or_default())?;
        if all {
            self.filled = self.memory.len();
        }
        Ok(all)
    }
}

/// Receives what a download announced; `None` when it has to be started again.
pub(crate) fn receive_download<'py>(
    py: Python<'py>,
    client: &Client,
    mut download: Download<'_>,
    bucket: &Bucket,
    name: &str,
) -> PyResult<Result<Option<Bound<'py, PyBytes>>, ClientError>> {
    if let Some(ready) = download.ready() {
        let object = copy(py, ready)?;
        download.finish_ready();
        return Ok(Ok(Some(object)));
    }
    let mut failed = None;
    let received = receive(py, download.size(), |room| {
        // SAFETY: `quick_receive` has written everything when it returns `Received::All`.
        unsafe {
            room.lend(|memory| {
                let outcome = blocking(py, |tick| {
                    client.quick_receive(download, bucket, name, memory, tick)
                })?;
                Ok(outcome.map_err(|error| failed = Some(error)).ok() == Some(Received::All))
            })
        }
    })?;
    Ok(failed.map_or(Ok(received), Err))
}

/// Receives the rest of an answer.
pub(crate) fn receive_answer<'py>(
    py: Python<'py>,
    mut answer: Answer<'_>,
) -> PyResult<Result<Option<Bound<'py, PyBytes>>, ClientError>> {
    if answer.ready().len() as u64 == answer.remaining() {
        let object = copy(py, answer.ready())?;
        answer.finish_ready();
        return Ok(Ok(Some(object)));
    }
    let mut failed = None;
    let received = receive(py, answer.remaining(), |room| {
        // SAFETY: `read` has written everything when it returns `Ok`.
        unsafe {
            room.lend(|memory| {
                let outcome = blocking(py, |tick| answer.read(memory, tick))?;
                Ok(outcome.map_err(|error| failed = Some(error)).is_ok())
            })
        }
    })?;
    Ok(failed.map_or(Ok(received), Err))
}

/// A `bytes` object with a copy of `content`.
pub(crate) fn copy<'py>(py: Python<'py>, content: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    if content.len() < COPY_DETACHED_BYTES {
        return Ok(PyBytes::new(py, content));
    }
    let copied = receive(py, content.len() as u64, |room| {
        Ok(py.detach(|| room.push(content)) == content.len())
    })?;
    copied.ok_or_else(|| PyMemoryError::new_err("out of memory"))
}

/// The caller's memory at `address`, which Python code keeps alive and to itself until the call returns.
fn callers<'a>(address: usize, length: usize) -> PyResult<&'a mut [u8]> {
    if length == 0 {
        return Ok(&mut []);
    }
    if address == 0 || isize::try_from(length).is_err() {
        return Err(PyValueError::new_err(format!("no memory of {length} bytes at {address:#x}")));
    }
    // SAFETY: the stub makes it the caller's duty that `length` writable bytes are there, alive and used
    // by nobody else until this returns; the package takes both numbers from a buffer that it holds.
    Ok(unsafe {
        std::slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut(address), length)
    })
}

/// Reads into the caller's memory.
pub(crate) fn get_into(
    py: Python<'_>,
    client: &Client,
    bucket: &Bucket,
    name: &str,
    (address, length): (usize, usize),
    how: (u64, usize),
) -> PyResult<usize> {
    if length == 0 {
        return Ok(0);
    }
    crate::download::get_into(py, client, bucket, name, callers(address, length)?, how)
}

/// Lends the caller's memory to `fill`.
pub(crate) fn lend<T>(
    address: usize,
    length: usize,
    fill: impl FnOnce(&mut [u8]) -> PyResult<T>,
) -> PyResult<T> {
    fill(callers(address, length)?)
}

/// The checksum of the caller's memory, as hexadecimal digits.
#[pyfunction]
pub(crate) fn checksum(
    py: Python<'_>,
    kind: &str,
    address: usize,
    length: usize,
) -> PyResult<String> {
    let kind = ChecksumType::parse(kind).map_err(|err| PyValueError::new_err(err.to_string()))?;
    let memory = callers(address, length)?;
    Ok(py.detach(|| aistore_core::checksum::checksum(kind, memory)))
}
