//! Doors for the fuzz targets in `fuzz/`, which cannot see private parsers. Only built with `--cfg fuzzing`.

use crate::codec::{decode_entry, decode_place, encode_entry, split_key};
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
