//! Doors for the fuzz targets in `fuzz/`, which cannot see private parsers. Only built with `--cfg fuzzing`.

use crate::appends::marks::Mark;
use crate::codec::{decode_entry, decode_place, encode_entry, split_key};
use crate::identity::{Format, RunState};
use crate::meta::BlobId;
use crate::segments::{self, Header, Scan};
use crate::trailer;

/// An index key and an index value.
///
/// # Panics
///
/// When an accepted value does not survive being written again.
pub fn index(bytes: &[u8]) {
    let _ = split_key(bytes);
    let Some((role, meta)) = decode_entry(bytes) else { return };
    assert_eq!(decode_place(bytes), Some((meta.blob, meta.size)));
    let again = decode_entry(&encode_entry(role, &meta));
    assert_eq!(again, Some((role, meta)));
}

/// The body of a blob's trailer. Its checksum is not asked for: no fuzzer would guess one.
pub fn trailer(bytes: &[u8]) {
    let _ = trailer::decode(bytes);
}

/// A segment whose first record has a header with these bytes and a right checksum, and whose rest is as given:
/// a scan ends, and stays within the file.
///
/// # Panics
///
/// When a record reaches beyond the file, or the memory file that holds the segment cannot be written.
#[expect(clippy::expect_used, reason = "a fuzz target reports by panicking")]
pub fn segment(bytes: &[u8]) {
    const SALT: u32 = 7;
    let Some((head, rest)) = bytes.split_first_chunk::<16>() else { return };
    let field =
        |at: usize| head.iter().skip(at).take(4).fold(0, |n, byte| n << 8 | u32::from(*byte));
    let header =
        Header { blob: BlobId(1), payload: field(0) % 70_000, trailer: field(4), crc32c: field(8) };
    let content = [&segments::preamble(SALT)[..], &header.encode(SALT), rest].concat();
    let file = rustix::fs::memfd_create("segment", rustix::fs::MemfdFlags::CLOEXEC);
    let file = std::fs::File::from(file.expect("a memory file"));
    std::os::unix::fs::FileExt::write_all_at(&file, &content, 0).expect("room for a segment");
    let mut scan = Scan::new(&file).expect("a segment");
    while let Some(record) = scan.next().expect("a readable file") {
        let end = u64::from(record.offset) + record.header.stride();
        assert!(end <= content.len() as u64, "a record within the file");
        let length = record.header.payload.saturating_add(record.header.trailer);
        let _ =
            trailer::of_record(scan.trailer(&record).expect("a trailer within the file"), length);
    }
}

/// The small files beside the blobs: marker, state of the last run, list of dead records, bound of segment numbers,
/// mark of an append session.
///
/// # Panics
///
/// When an accepted file does not survive being written again, or counts more than it has.
#[expect(clippy::expect_used, reason = "a fuzz target reports by panicking")]
pub fn small_files(bytes: &[u8]) {
    if let Ok(format) = Format::parse(bytes) {
        let again = serde_json::to_vec(&format).expect("a marker that can be written");
        assert_eq!(Format::parse(&again), Ok(format));
    }
    if let Ok(run) = RunState::parse(bytes) {
        let again = serde_json::to_vec(&run).expect("a state that can be written");
        assert_eq!(RunState::parse(&again), Ok(run));
    }
    let (offsets, total) = segments::dead::parse(bytes);
    assert!(offsets.len() <= bytes.len() / 8 && total <= bytes.len() as u64 * u64::from(u32::MAX));
    let _ = segments::numbers::parse(bytes);
    if let Some(mark) = Mark::decode(bytes) {
        assert_eq!(Mark::decode(&mark.encode()), Some(mark));
    }
}
