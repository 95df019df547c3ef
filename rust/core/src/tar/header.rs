//! Header blocks and extended records, shared by the two readers.

use super::{BLOCK, MAX_RECORD_BYTES, TarError};

/// Largest number in an 11-digit octal field: 8 GiB less one.
pub(super) const MAX_OCTAL_11: u64 = 0o777_7777_7777;
/// Largest size accepted, so that offsets never overflow.
const MAX_SIZE: u64 = 1 << 62;

/// A field of a header block.
#[derive(Clone, Copy)]
pub(super) struct Field {
    start: usize,
    /// Length in bytes.
    pub(super) len: usize,
}

impl Field {
    pub(super) const NAME: Self = Self { start: 0, len: 100 };
    pub(super) const MODE: Self = Self { start: 100, len: 8 };
    pub(super) const UID: Self = Self { start: 108, len: 8 };
    pub(super) const GID: Self = Self { start: 116, len: 8 };
    pub(super) const SIZE: Self = Self { start: 124, len: 12 };
    pub(super) const MTIME: Self = Self { start: 136, len: 12 };
    pub(super) const CHECKSUM: Self = Self { start: 148, len: 8 };
    pub(super) const KIND: Self = Self { start: 156, len: 1 };
    pub(super) const MAGIC: Self = Self { start: 257, len: 8 };
    pub(super) const PREFIX: Self = Self { start: 345, len: 155 };

    /// Writes `value` at the start of the field; the rest of the field stays.
    pub(super) fn write(self, block: &mut [u8; BLOCK], value: &[u8]) {
        let field = block.iter_mut().skip(self.start).take(self.len);
        field.zip(value).for_each(|(slot, byte)| *slot = *byte);
    }

    fn read(self, block: &[u8; BLOCK]) -> &[u8] {
        block.get(self.start..self.start + self.len).unwrap_or_default()
    }

    /// The field up to its first NUL.
    fn text(self, block: &[u8; BLOCK]) -> &[u8] {
        self.read(block).split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// An octal number, or the base-256 form for large ones; `None` when it is neither.
    fn number(self, block: &[u8; BLOCK]) -> Option<u64> {
        let bytes = self.read(block);
        match bytes.split_first() {
            Some((first, rest)) if first & 0x80 != 0 => {
                // Bit 6 of the first byte is the sign.
                let start = (first & 0x40 == 0).then_some(u64::from(first & 0x3f))?;
                rest.iter()
                    .try_fold(start, |value, byte| Some(value.checked_mul(256)? | u64::from(*byte)))
            }
            _ => {
                let text = std::str::from_utf8(self.text(block)).ok()?.trim_matches(' ');
                let digits = text.bytes().all(|b| (b'0'..=b'7').contains(&b));
                match text {
                    "" => Some(0),
                    _ if digits => u64::from_str_radix(text, 8).ok(),
                    _ => None,
                }
            }
        }
    }
}

/// Sums of a header block's bytes, its checksum field counted as blanks: unsigned, and signed as some old
/// writers did it.
pub(super) fn checksum_of(block: &[u8; BLOCK]) -> (u64, i64) {
    // Two plain sums and a correction vectorise; a test per byte would not.
    let unsigned = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let signed = |bytes: &[u8]| bytes.iter().map(|byte| i32::from(byte.cast_signed())).sum::<i32>();
    let (field, blanks) = (Field::CHECKSUM.read(block), [b' '; Field::CHECKSUM.len]);
    let all = u64::from(unsigned(block) + unsigned(&blanks) - unsigned(field));
    (all, i64::from(signed(block) + signed(&blanks) - signed(field)))
}

/// What follows a header block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A regular file with its data.
    Entry { name: String, size: u64, mtime_s: u64 },
    /// So many bytes of a record that [`Headers::record`] wants to see.
    Record { kind: RecordKind, size: u64 },
    /// So many bytes without meaning for us.
    Skip { size: u64 },
    /// End of the archive.
    End,
}

/// Records that change the header after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordKind {
    /// PAX extended header.
    Pax,
    /// GNU long name.
    LongName,
}

/// Interprets header blocks in order; keeps what extended records said about the next member.
#[derive(Debug, Default)]
pub(super) struct Headers {
    name: Option<String>,
    size: Option<u64>,
    mtime_s: Option<u64>,
    sparse: bool,
}

impl Headers {
    /// Reads one header block found at offset `at`.
    pub(super) fn block(&mut self, block: &[u8; BLOCK], at: u64) -> Result<Step, TarError> {
        let malformed = |what| TarError::Malformed { at, what };
        if block.iter().all(|byte| *byte == 0) {
            return Ok(Step::End);
        }
        let stored = Field::CHECKSUM.number(block).ok_or(malformed("checksum is no number"))?;
        let (unsigned, signed) = checksum_of(block);
        if stored != unsigned && i64::try_from(stored).ok() != Some(signed) {
            return Err(malformed("header checksum mismatch (damaged, or not a tar archive)"));
        }
        let size = Field::SIZE.number(block).ok_or(malformed("size is no number"))?;
        let kind = Field::KIND.read(block).first().copied().unwrap_or_default();
        if let b'x' | b'L' = kind {
            let kind = if kind == b'x' { RecordKind::Pax } else { RecordKind::LongName };
            if size > MAX_RECORD_BYTES {
                return Err(TarError::Limit { at, what: "extended header larger than 1 MiB" });
            }
            return Ok(Step::Record { kind, size });
        }
        if let b'g' | b'K' = kind {
            // Global headers and long link targets say nothing about the content of regular files; they
            // stand between a member's records and its header, so those stay.
            return Ok(Step::Skip {
                size: bounded(size).ok_or(malformed("size is out of bounds"))?,
            });
        }
        let said = std::mem::take(self);
        let size = bounded(said.size.unwrap_or(size)).ok_or(malformed("size is out of bounds"))?;
        let name = said.name.unwrap_or_else(|| header_name(block));
        // Old writers marked a directory only by a slash.
        let old_directory = kind == 0 && name.ends_with('/');
        match kind {
            // Only the size of sparse files differs from what is stored, so they cannot be served as is.
            b'S' => Err(TarError::Sparse { name }),
            b'0' | b'7' | 0 if said.sparse => Err(TarError::Sparse { name }),
            b'0' | b'7' | 0 if !old_directory => {
                // A time that cannot be read is no reason to refuse the content.
                let mtime_s = said.mtime_s.or(Field::MTIME.number(block)).unwrap_or_default();
                Ok(Step::Entry { name, size, mtime_s })
            }
            // Links, devices, directories and pipes never have data, whatever their size field says.
            b'1'..=b'6' | 0 => Ok(Step::Skip { size: 0 }),
            _ => Ok(Step::Skip { size }),
        }
    }

    /// Reads the body of a record whose header was at offset `at`.
    pub(super) fn record(
        &mut self,
        kind: RecordKind,
        body: &[u8],
        at: u64,
    ) -> Result<(), TarError> {
        match kind {
            RecordKind::LongName => {
                let name = body.split(|byte| *byte == 0).next().unwrap_or_default();
                self.name = Some(text(name));
                Ok(())
            }
            RecordKind::Pax => {
                let malformed = || TarError::Malformed { at, what: "PAX record is not valid" };
                let mut rest = body;
                while let Some((key, value, next)) = pax_record(rest).map_err(|()| malformed())? {
                    rest = next;
                    self.pax(key, value).ok_or_else(malformed)?;
                }
                Ok(())
            }
        }
    }

    /// Applies one PAX record; an empty value takes back what was said before.
    fn pax(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let number = |value: &[u8]| std::str::from_utf8(value).ok()?.parse::<u64>().ok();
        match key {
            b"path" => self.name = (!value.is_empty()).then(|| text(value)),
            b"size" if value.is_empty() => self.size = None,
            b"size" => self.size = Some(number(value)?),
            b"mtime" => {
                // Fractions are cut off; times before the epoch count as the epoch.
                let whole = value.split(|byte| *byte == b'.').next().unwrap_or_default();
                self.mtime_s = (!value.is_empty()).then(|| number(whole).unwrap_or_default());
            }
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {}
        }
        Some(())
    }
}

/// Key, value and the bytes after the record.
type PaxRecord<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Splits off the first `length key=value\n`; `None` at the end.
fn pax_record(body: &[u8]) -> Result<Option<PaxRecord<'_>>, ()> {
    // Some writers pad with NULs.
    if body.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let blank = body.iter().take(20).position(|byte| *byte == b' ').ok_or(())?;
    let digits = body.get(..blank).and_then(|d| std::str::from_utf8(d).ok()).ok_or(())?;
    let length: usize = digits.parse().map_err(|_| ())?;
    let record = body.get(blank + 1..length).ok_or(())?;
    let (newline, record) = record.split_last().ok_or(())?;
    let equals = record.iter().position(|byte| *byte == b'=').ok_or(())?;
    let (key, value) = record.split_at(equals);
    let value = value.get(1..).unwrap_or_default();
    let rest = body.get(length..).unwrap_or_default();
    if *newline == b'\n' { Ok(Some((key, value, rest))) } else { Err(()) }
}

/// Name from the header block itself.
fn header_name(block: &[u8; BLOCK]) -> String {
    let name = Field::NAME.text(block);
    // GNU's own format keeps times where ustar has the prefix; its magic ends in blanks.
    let prefix = match Field::MAGIC.read(block) {
        [b'u', b's', b't', b'a', b'r', 0, ..] => Field::PREFIX.text(block),
        _ => &[],
    };
    if prefix.is_empty() { text(name) } else { format!("{}/{}", text(prefix), text(name)) }
}

/// Names are UTF-8 in practice; others keep their place in the order and lose only the odd bytes.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn bounded(size: u64) -> Option<u64> {
    (size <= MAX_SIZE).then_some(size)
}
