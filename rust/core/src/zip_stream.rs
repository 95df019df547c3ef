//! Zip archives written front to back: every entry stored, its sizes behind its data.
//!
//! The writer holds the directory only. What an entry's data adds up to is told when it ends, so nothing
//! has to be known, or read twice, before the first byte leaves. Zip64 records are written where a number
//! needs them and nowhere else.

use crc32fast::Hasher;

/// Data follows its header without a length there; the name is UTF-8.
const FLAGS: u16 = 1 << 3 | 1 << 11;
/// Version that reads plain entries, and the one that reads zip64.
const PLAIN_VERSION: u16 = 20;
const ZIP64_VERSION: u16 = 45;
/// First day of the format's calendar.
const EPOCH_DATE: u16 = 1 << 5 | 1;
/// Regular file, mode 0644, in the upper half of the external attributes.
const ATTRIBUTES: u32 = 0o100_644 << 16;
/// Made on Unix.
const MADE_BY: u16 = 3 << 8 | ZIP64_VERSION;
const FULL_16: u16 = u16::MAX;
const FULL_32: u32 = u32::MAX;
/// Longest name of an entry in bytes.
pub const MAX_NAME_BYTES: usize = u16::MAX as usize;

/// An entry whose data is on its way.
#[derive(Debug)]
struct Open {
    name: Vec<u8>,
    at: u64,
    crc: Hasher,
    size: u64,
}

/// The state of an archive being written.
#[derive(Debug, Default)]
pub struct ZipWriter {
    /// Bytes written.
    at: u64,
    entries: u64,
    directory: Vec<u8>,
    open: Option<Open>,
}

impl ZipWriter {
    /// Goes on with an archive of `entries` whose directory, which is `directory`, began at `at`.
    pub fn resume(at: u64, entries: u64, directory: Vec<u8>) -> Self {
        Self { at, entries, directory, open: None }
    }

    /// Starts an entry; returns what precedes its data. An entry that was open is not closed by this.
    ///
    /// Names longer than [`MAX_NAME_BYTES`] are cut, which keeps the archive readable.
    pub fn begin(&mut self, name: &str) -> Vec<u8> {
        let name = name.as_bytes();
        let name = name.get(..MAX_NAME_BYTES).unwrap_or(name);
        let mut out = Vec::with_capacity(30 + name.len());
        put32(&mut out, 0x0403_4b50);
        put16(&mut out, PLAIN_VERSION);
        put16(&mut out, FLAGS);
        put16(&mut out, 0);
        put16(&mut out, 0);
        put16(&mut out, EPOCH_DATE);
        for _ in 0..3 {
            put32(&mut out, 0);
        }
        put16(&mut out, short(name.len()));
        put16(&mut out, 0);
        out.extend_from_slice(name);
        self.open = Some(Open { name: name.to_vec(), at: self.at, crc: Hasher::new(), size: 0 });
        self.at += out.len() as u64;
        out
    }

    /// Counts data of the entry that was begun last.
    pub fn data(&mut self, bytes: &[u8]) {
        if let Some(open) = &mut self.open {
            open.crc.update(bytes);
            open.size += bytes.len() as u64;
            self.at += bytes.len() as u64;
        }
    }

    /// Ends the entry; returns what follows its data, nothing when none was begun.
    pub fn end(&mut self) -> Vec<u8> {
        let Some(Open { name, at, crc, size }) = self.open.take() else { return Vec::new() };
        let crc = crc.finalize();
        let mut out = Vec::with_capacity(24);
        put32(&mut out, 0x0807_4b50);
        put32(&mut out, crc);
        match u32::try_from(size) {
            Ok(small) if small != FULL_32 => {
                put32(&mut out, small);
                put32(&mut out, small);
            }
            _ => {
                put64(&mut out, size);
                put64(&mut out, size);
            }
        }
        self.at += out.len() as u64;
        self.entries += 1;
        record(&mut self.directory, &name, at, crc, size);
        out
    }

    /// The directory, which ends the archive; `comment` is for people and kept short.
    pub fn finish(self, comment: &str) -> Vec<u8> {
        let Self { at, entries, directory: mut out, .. } = self;
        let length = out.len() as u64;
        let small = (u16::try_from(entries), u32::try_from(length), u32::try_from(at));
        let fits =
            matches!(small, (Ok(n), Ok(l), Ok(a)) if n != FULL_16 && l != FULL_32 && a != FULL_32);
        if !fits {
            put32(&mut out, 0x0606_4b50);
            put64(&mut out, 44);
            put16(&mut out, MADE_BY);
            put16(&mut out, ZIP64_VERSION);
            put32(&mut out, 0);
            put32(&mut out, 0);
            for value in [entries, entries, length, at] {
                put64(&mut out, value);
            }
            put32(&mut out, 0x0706_4b50);
            put32(&mut out, 0);
            put64(&mut out, at + length);
            put32(&mut out, 1);
        }
        let comment = comment.as_bytes();
        let comment = comment.get(..usize::from(FULL_16)).unwrap_or(comment);
        put32(&mut out, 0x0605_4b50);
        put32(&mut out, 0);
        for _ in 0..2 {
            put16(&mut out, small.0.unwrap_or(FULL_16));
        }
        put32(&mut out, small.1.unwrap_or(FULL_32));
        put32(&mut out, small.2.unwrap_or(FULL_32));
        put16(&mut out, short(comment.len()));
        out.extend_from_slice(comment);
        out
    }
}

/// Appends an entry's record of the directory; its comment repeats the name.
fn record(out: &mut Vec<u8>, name: &[u8], at: u64, crc: u32, size: u64) {
    let full = |value: u64| u32::try_from(value).unwrap_or(FULL_32);
    let mut extra = Vec::new();
    if full(size) == FULL_32 {
        put64(&mut extra, size);
        put64(&mut extra, size);
    }
    if full(at) == FULL_32 {
        put64(&mut extra, at);
    }
    let is_large = !extra.is_empty();
    put32(out, 0x0201_4b50);
    put16(out, MADE_BY);
    put16(out, if is_large { ZIP64_VERSION } else { PLAIN_VERSION });
    put16(out, FLAGS);
    put16(out, 0);
    put16(out, 0);
    put16(out, EPOCH_DATE);
    put32(out, crc);
    put32(out, full(size));
    put32(out, full(size));
    put16(out, short(name.len()));
    put16(out, if is_large { short(extra.len() + 4) } else { 0 });
    put16(out, short(name.len()));
    put16(out, 0);
    put16(out, 0);
    put32(out, ATTRIBUTES);
    put32(out, full(at));
    out.extend_from_slice(name);
    if is_large {
        put16(out, 1);
        put16(out, short(extra.len()));
        out.extend_from_slice(&extra);
    }
    out.extend_from_slice(name);
}

fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(FULL_16)
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, &[u8])], comment: &str) -> Vec<u8> {
        let mut writer = ZipWriter::default();
        let mut out = Vec::new();
        for (name, data) in entries {
            out.extend(writer.begin(name));
            for piece in data.chunks(3) {
                writer.data(piece);
                out.extend_from_slice(piece);
            }
            out.extend(writer.end());
        }
        out.extend(writer.finish(comment));
        out
    }

    #[test]
    fn an_archive_byte_for_byte() {
        let got = archive(&[("a", b"hello")], "c");
        let mut expected = b"PK\x03\x04\x14\0\x08\x08\0\0\0\0\x21\0".to_vec();
        expected.extend([0; 12]);
        expected.extend(b"\x01\0\0\0ahello");
        expected.extend(b"PK\x07\x08\x86\xa6\x10\x36\x05\0\0\0\x05\0\0\0");
        expected.extend(b"PK\x01\x02\x2d\x03\x14\0\x08\x08\0\0\0\0\x21\0\x86\xa6\x10\x36");
        expected.extend(b"\x05\0\0\0\x05\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\xa4\x81\0\0\0\0aa");
        expected.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x30\0\0\0\x34\0\0\0\x01\0c");
        assert_eq!(got, expected);
    }

    #[test]
    fn the_directory_says_where_entries_begin() {
        let got = archive(&[("a/b", b"123"), ("ü", b""), ("z", &[7; 1000])], "");
        let end = got.len() - 22;
        let number = |at: usize| u32::from_le_bytes(got[at..at + 4].try_into().unwrap());
        assert_eq!(got[end + 8..end + 12], [3, 0, 3, 0]);
        let (length, mut at) = (number(end + 12), usize::try_from(number(end + 16)).unwrap());
        assert_eq!(at + usize::try_from(length).unwrap(), end);
        for name in ["a/b", "ü", "z"] {
            let local = usize::try_from(number(at + 42)).unwrap();
            assert_eq!(number(local), 0x0403_4b50);
            assert_eq!(&got[local + 30..local + 30 + name.len()], name.as_bytes());
            at += 46 + 2 * name.len();
        }
    }

    #[test]
    fn numbers_too_large_for_the_plain_format_go_into_zip64_records() {
        let mut out = Vec::new();
        record(&mut out, b"n", 1 << 33, 9, 1 << 34);
        assert_eq!(out[6..8], [45, 0]);
        assert_eq!(out[20..28], [0xff; 8]);
        assert_eq!(out[42..46], [0xff; 4]);
        let extra = &out[47..out.len() - 1];
        assert_eq!(extra[..4], [1, 0, 24, 0]);
        assert_eq!(extra[4..12], (1_u64 << 34).to_le_bytes());
        assert_eq!(extra[20..28], (1_u64 << 33).to_le_bytes());

        let mut many = ZipWriter::default();
        for _ in 0..70_000 {
            many.begin("n");
            many.end();
        }
        let tail = many.finish("");
        let end = tail.len() - 22;
        assert_eq!(tail[end + 8..end + 12], [0xff; 4]);
        assert_eq!(tail[end - 20..end - 16], 0x0706_4b50_u32.to_le_bytes());
        assert_eq!(tail[end - 76 + 24..end - 76 + 32], 70_000_u64.to_le_bytes());
    }
}
