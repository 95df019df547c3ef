//! The directory of a ZIP archive, plain and zip64.

use super::{Method, ZipError, ZipMember, read_exact};
use crate::tar::ReadAt;

/// End-of-directory record without its comment, longest comment, zip64 locator and record.
const END_BYTES: u64 = 22;
const MAX_COMMENT: u64 = 65_535;
const LOCATOR_BYTES: u64 = 20;
const END64_BYTES: u64 = 56;
/// Directory record before its name.
const RECORD_BYTES: usize = 46;
/// Bytes of the directory read at once; no record is longer.
const WINDOW_BYTES: usize = 256 << 10;
/// Memory that a directory may take once it is read.
pub const MAX_INDEX_BYTES: usize = 256 << 20;
const FULL_16: u16 = u16::MAX;
const FULL_32: u32 = u32::MAX;

/// Where the directory lies.
struct Directory {
    at: u64,
    length: u64,
    entries: u64,
    /// Bytes before the archive proper, which its offsets do not count.
    shift: u64,
}

/// Reads the directory of an archive of `size` bytes: its files in the order of the directory, directories left out.
///
/// # Errors
///
/// [`ZipError`] when there is none, when it is damaged, and when files overlap.
pub fn read_directory(src: &(impl ReadAt + ?Sized), size: u64) -> Result<Vec<ZipMember>, ZipError> {
    let directory = find(src, size)?;
    let (mut at, end) = (directory.at, directory.at + directory.length);
    let (mut window, mut from) = (Vec::new(), at);
    let (mut members, mut memory) = (Vec::new(), 0_usize);
    for _ in 0..directory.entries {
        let malformed = |what| ZipError::Malformed { at, what };
        let skip = usize::try_from(at - from).unwrap_or(usize::MAX);
        let mut rest = window.get(skip..).unwrap_or_default();
        if record_length(rest).is_none_or(|length| rest.len() < length) {
            let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            window.resize(most, 0);
            read_exact(src, &mut window, at)?;
            from = at;
            rest = &window;
        }
        let length = record_length(rest).ok_or(malformed("directory ends too early"))?;
        let record = rest.get(..length).ok_or(malformed("directory record is cut off"))?;
        let member = parse(record, directory.shift).map_err(malformed)?;
        if let Some(member) = member {
            memory += member.name.len() + size_of::<ZipMember>();
            if memory > MAX_INDEX_BYTES {
                return Err(ZipError::Limit("its directory takes more than 256 MiB"));
            }
            members.push(member);
        }
        at += length as u64;
    }
    check_overlap(&members, directory.at)?;
    Ok(members)
}

/// The directory of an archive of `size` bytes as it is: where it begins, how many files it has, its bytes.
///
/// # Errors
///
/// [`ZipError`] when there is none, and when something was put in front of the archive.
pub fn raw_directory(
    src: &(impl ReadAt + ?Sized),
    size: u64,
) -> Result<(u64, u64, Vec<u8>), ZipError> {
    let Directory { at, length, entries, shift } = find(src, size)?;
    if shift > 0 {
        return Err(ZipError::Malformed { at: 0, what: "foreign bytes before the archive" });
    }
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_INDEX_BYTES);
    let length = length.ok_or(ZipError::Limit("its directory takes more than 256 MiB"))?;
    let mut directory = vec![0; length];
    read_exact(src, &mut directory, at)?;
    Ok((at, entries, directory))
}

/// Length of the record at the start, if it is one.
fn record_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.get(..RECORD_BYTES)?;
    let parts = [28, 30, 32].map(|at| usize::from(u16_at(head, at)));
    Some(RECORD_BYTES + parts.iter().sum::<usize>())
}

/// Files that share bytes are how small archives claim to be enormous.
fn check_overlap(members: &[ZipMember], directory_at: u64) -> Result<(), ZipError> {
    let spans = members.iter().map(|m| {
        let least = super::LOCAL_BYTES as u64 + m.name.len() as u64;
        (m.header_at, m.header_at.saturating_add(least).saturating_add(m.packed))
    });
    let mut spans: Vec<(u64, u64)> = spans.collect();
    spans.sort_unstable();
    let starts = spans.iter().skip(1).map(|(start, _)| *start).chain([directory_at]);
    for ((at, end), next) in spans.iter().zip(starts) {
        if *end > next {
            return Err(ZipError::Malformed { at: *at, what: "overlapping files" });
        }
    }
    Ok(())
}

/// Looks for the end of the directory, backwards from the end of the archive.
fn find(src: &(impl ReadAt + ?Sized), size: u64) -> Result<Directory, ZipError> {
    let tail_at = size.saturating_sub(END_BYTES + MAX_COMMENT);
    let mut tail = vec![0; usize::try_from(size - tail_at).unwrap_or_default()];
    read_exact(src, &mut tail, tail_at)?;
    let is_end = |at: &usize| {
        let Some(record) = tail.get(*at..) else { return false };
        let comment = usize::from(u16_at(record, 20));
        record.starts_with(b"PK\x05\x06") && record.len() >= 22 + comment
    };
    let last = tail.len().checked_sub(22).ok_or(ZipError::NoDirectory)?;
    let at = (0..=last).rev().find(is_end).ok_or(ZipError::NoDirectory)?;
    let record = tail.get(at..).unwrap_or_default();
    let end_at = tail_at + at as u64;
    let (entries, length, start) = (u16_at(record, 10), u32_at(record, 12), u32_at(record, 16));
    let needs64 = entries == FULL_16 || length == FULL_32 || start == FULL_32;
    let directory = if needs64 { find64(src, end_at)? } else { None };
    if let Some(directory) = directory {
        return Ok(directory);
    }
    place(u64::from(entries), u64::from(length), u64::from(start), end_at)
}

fn find64(src: &(impl ReadAt + ?Sized), end_at: u64) -> Result<Option<Directory>, ZipError> {
    let Some(locator_at) = end_at.checked_sub(LOCATOR_BYTES) else { return Ok(None) };
    let mut locator = [0; 20];
    read_exact(src, &mut locator, locator_at)?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    // Where the locator says, or right before it when something was put in front of the archive.
    let said = u64_at(&locator, 8);
    for at in [Some(said), locator_at.checked_sub(END64_BYTES)].into_iter().flatten() {
        let mut record = [0; 56];
        if at >= locator_at || read_exact(src, &mut record, at).is_err() {
            continue;
        }
        if record.starts_with(b"PK\x06\x06") {
            let (entries, length) = (u64_at(&record, 32), u64_at(&record, 40));
            return place(entries, length, u64_at(&record, 48), at).map(Some);
        }
    }
    Err(ZipError::Malformed { at: locator_at, what: "no zip64 end-of-directory record" })
}

/// The directory ends where its end record begins.
fn place(entries: u64, length: u64, start: u64, end_at: u64) -> Result<Directory, ZipError> {
    let malformed = |what| ZipError::Malformed { at: end_at, what };
    let at = end_at.checked_sub(length).ok_or(malformed("directory longer than the archive"))?;
    let shift = at.checked_sub(start).ok_or(malformed("directory beyond its end"))?;
    if entries.checked_mul(RECORD_BYTES as u64).is_none_or(|least| least > length) {
        return Err(malformed("more files than the directory has room for"));
    }
    Ok(Directory { at, length, entries, shift })
}

/// Reads one record; `None` for a directory.
fn parse(record: &[u8], shift: u64) -> Result<Option<ZipMember>, &'static str> {
    if !record.starts_with(b"PK\x01\x02") {
        return Err("no directory record");
    }
    let name_bytes = usize::from(u16_at(record, 28));
    let extra_bytes = usize::from(u16_at(record, 30));
    let name = record.get(RECORD_BYTES..RECORD_BYTES + name_bytes).unwrap_or_default();
    let extra = RECORD_BYTES + name_bytes;
    let extra = record.get(extra..extra + extra_bytes).unwrap_or_default();
    let (packed, size) = (u32_at(record, 20), u32_at(record, 24));
    let header_at = u32_at(record, 42);
    let mut large = zip64(extra);
    let mut wide = |small: u32| -> Result<u64, &'static str> {
        if small != FULL_32 {
            return Ok(u64::from(small));
        }
        let (value, rest) = large.split_at_checked(8).ok_or("zip64 number is missing")?;
        large = rest;
        Ok(u64_at(value, 0))
    };
    // In this order, and only those that do not fit.
    let (size, packed, header_at) = (wide(size)?, wide(packed)?, wide(header_at)?);
    let name = text(name);
    if name.ends_with('/') {
        return Ok(None);
    }
    let method = match (u16_at(record, 8) & 1, u16_at(record, 10)) {
        (1, _) => Method::Encrypted,
        (_, 0) => Method::Stored,
        (_, 8) => Method::Deflated,
        _ => Method::Other,
    };
    let header_at = header_at.checked_add(shift).ok_or("offset out of bounds")?;
    let mtime_s = time(u16_at(record, 14), u16_at(record, 12));
    Ok(Some(ZipMember { name, header_at, packed, size, crc: u32_at(record, 16), method, mtime_s }))
}

/// The zip64 numbers among extra fields.
fn zip64(mut extra: &[u8]) -> &[u8] {
    while let Some((head, rest)) = extra.split_at_checked(4) {
        let length = usize::from(u16_at(head, 2)).min(rest.len());
        let (value, next) = rest.split_at(length);
        if u16_at(head, 0) == 1 {
            return value;
        }
        extra = next;
    }
    &[]
}

/// Seconds since the epoch of a DOS date and time.
fn time(date: u16, clock: u16) -> u64 {
    let (month, day) = (u64::from(date >> 5 & 15).clamp(1, 12), u64::from(date & 31).max(1));
    // As in `civil`, turned around: years begin in March.
    let year = 1980 + u64::from(date >> 9) - u64::from(month <= 2);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = u64::from(clock >> 11) * 3600 + u64::from(clock >> 5 & 63) * 60;
    days * 86_400 + seconds + u64::from(clock & 31) * 2
}

/// Names are UTF-8 in practice; others keep their place and lose only the odd bytes.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}
