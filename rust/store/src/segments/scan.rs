//! Reading the records of a segment one after the other, without their payloads.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::record::{ALIGNMENT, HEADER_BYTES, Header, PREAMBLE, PREAMBLE_BYTES, salt_of};

/// Read at once: the trailer of a record lies before the header of the next, so one read brings both.
const WINDOW_BYTES: usize = 1024;
/// Read at once where records are so small that reading past their payloads saves nothing.
const WIDE_WINDOW_BYTES: usize = 256 << 10;
/// Records of up to this size are small: a page or two each.
const SMALL_STRIDE: u64 = 4096;

/// One record, and where it starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub(crate) offset: u32,
    pub(crate) header: Header,
}

/// Goes through the records of a segment. Bytes that are no record, as damage or a crash leaves them, are
/// passed over.
pub(crate) struct Scan<'f> {
    file: &'f File,
    salt: u32,
    length: u64,
    next: u64,
    skipped: u64,
    window: Vec<u8>,
    window_at: u64,
    /// Bytes of the last record.
    stride: u64,
}

impl<'f> Scan<'f> {
    pub(crate) fn new(file: &'f File) -> io::Result<Self> {
        let mut length = file.metadata()?.len();
        let mut preamble = [0; PREAMBLE];
        // One that was torn off when it was made holds nothing.
        let salt = if length >= PREAMBLE_BYTES {
            file.read_exact_at(&mut preamble, 0)?;
            if preamble == [0; PREAMBLE] {
                // Power was lost before it was first brought to the disk: what followed may be anything.
                length = 0;
                0
            } else {
                salt_of(&preamble)?
            }
        } else {
            0
        };
        Ok(Self {
            file,
            salt,
            length,
            next: PREAMBLE_BYTES,
            skipped: 0,
            window: Vec::new(),
            window_at: 0,
            stride: u64::MAX,
        })
    }

    /// Begins at `offset`, or at the next record after it.
    pub(crate) fn starting_at(mut self, offset: u64) -> Self {
        self.next = offset.next_multiple_of(ALIGNMENT).max(PREAMBLE_BYTES);
        self
    }

    /// Where the record that comes next begins, if there is one right there.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    /// Whether bytes were passed over that are no record.
    pub(crate) fn has_skipped(&self) -> bool {
        self.skipped > 0
    }

    /// The salt of this segment's headers.
    pub(crate) fn salt(&self) -> u32 {
        self.salt
    }

    /// Whether everything up to the end of the file was a record, once [`next`](Self::next) has returned `None`.
    pub(crate) fn was_sound(&self) -> bool {
        self.skipped == 0 && self.next == self.length
    }

    /// The next record.
    pub(crate) fn next(&mut self) -> io::Result<Option<Record>> {
        while self.next + HEADER_BYTES as u64 <= self.length {
            let start = self.next;
            let salt = self.salt;
            let bytes = self.bytes(start, HEADER_BYTES)?;
            let header = bytes.as_array::<HEADER_BYTES>().and_then(|h| Header::decode(h, salt));
            if let Some(header) = header
                && let end = start.saturating_add(header.stride())
                && end <= self.length
                && let Ok(offset) = u32::try_from(start)
            {
                self.next = end;
                self.stride = header.stride();
                return Ok(Some(Record { offset, header }));
            }
            self.next = start + ALIGNMENT;
            self.skipped += ALIGNMENT;
        }
        Ok(None)
    }

    /// The trailer of a record, mostly read already.
    pub(crate) fn trailer(&mut self, record: &Record) -> io::Result<&[u8]> {
        let start =
            u64::from(record.offset) + HEADER_BYTES as u64 + u64::from(record.header.payload);
        self.bytes(start, record.header.trailer as usize)
    }

    /// `length` bytes from `offset` on, which lie within the file. Reads some more behind them.
    fn bytes(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let held = offset.checked_sub(self.window_at).and_then(|n| usize::try_from(n).ok());
        let held = held.filter(|start| start.saturating_add(length) <= self.window.len());
        let start = if let Some(start) = held {
            start
        } else {
            let left = usize::try_from(self.length - offset).unwrap_or(usize::MAX);
            let ahead = if self.stride > SMALL_STRIDE { WINDOW_BYTES } else { WIDE_WINDOW_BYTES };
            self.window.resize(length.max(ahead).min(left), 0);
            self.window_at = offset;
            if let Err(error) = self.file.read_exact_at(&mut self.window, offset) {
                self.window.clear();
                return Err(error);
            }
            0
        };
        self.window
            .get(start..start + length)
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }
}
