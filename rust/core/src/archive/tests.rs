use std::io::Read;
use std::sync::Arc;

use proptest::prelude::*;

use super::write::Writer;
use super::zip::read_directory;
use super::*;
use crate::tar::ReadAt;

const FORMATS: [Format; 4] = [Format::Tar, Format::TarGz, Format::Zip, Format::TarLz4];

struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.0[..].read_at(buf, offset)
    }
}

type Files = Vec<(String, Vec<u8>)>;

fn pack(files: &Files, format: Format) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), format);
    for (name, data) in files {
        writer.begin(name, data.len() as u64, 7).unwrap();
        data.chunks(1000).for_each(|piece| writer.data(piece).unwrap());
        writer.end().unwrap();
    }
    writer.finish().unwrap()
}

/// All files, or what is wrong.
fn unpack(bytes: &[u8], format: Format) -> Result<Files, String> {
    let (src, size) = (Arc::new(Bytes(bytes.to_vec())), bytes.len() as u64);
    let mut walk = Walk::open(src, size, format).map_err(|err| err.to_string())?;
    let mut files = Vec::new();
    while let Some(entry) = walk.next_entry().map_err(|err| err.to_string())? {
        let mut data = Vec::new();
        walk.read_to_end(&mut data).map_err(|err| err.to_string())?;
        assert_eq!(data.len() as u64, entry.size);
        files.push((entry.name, data));
    }
    Ok(files)
}

fn files() -> impl Strategy<Value = Files> {
    let name = prop_oneof!["[a-z]{1,10}", "[a-zäö日/]{1,300}[a-z]"];
    let data = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2000),
        (0_usize..300_000).prop_map(|n| vec![7; n])
    ];
    prop::collection::vec((name, data), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn what_is_written_is_read_back(files in files()) {
        for format in FORMATS {
            prop_assert_eq!(&unpack(&pack(&files, format), format).unwrap(), &files);
        }
    }

    #[test]
    fn damage_is_an_error_or_goes_unnoticed_but_never_panics(
        files in files(), at in any::<prop::sample::Index>(), to in any::<u8>()
    ) {
        for format in FORMATS {
            let mut bytes = pack(&files, format);
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = unpack(&bytes, format);
        }
    }

    #[test]
    fn garbage_is_no_archive(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        for format in FORMATS {
            let _ = unpack(&bytes, format);
        }
    }
}

#[test]
fn an_archive_cut_anywhere_is_refused() {
    let files = vec![("a".to_owned(), vec![1; 700]), ("b/c".to_owned(), b"xyz".to_vec())];
    for format in FORMATS {
        let whole = pack(&files, format);
        for length in 0..whole.len() {
            let got = unpack(&whole[..length], format);
            // A plain TAR whose length is known may lack its end, not a part of a file.
            if let Ok(got) = got {
                assert!(files.starts_with(&got), "{format:?} {length}");
                assert!(
                    format == Format::Tar || got == files,
                    "{format:?} cut to {length} of {}",
                    whole.len()
                );
            }
        }
    }
}

#[test]
fn a_zip_may_have_something_in_front_and_a_comment() {
    let files = vec![("a".to_owned(), b"hello".to_vec())];
    let mut bytes = [b"#!self extracting\n".to_vec(), pack(&files, Format::Zip)].concat();
    assert_eq!(unpack(&bytes, Format::Zip).unwrap(), files);
    let end = bytes.len();
    bytes[end - 2] = 3;
    bytes.extend(b"abc");
    assert_eq!(unpack(&bytes, Format::Zip).unwrap(), files);
}

#[test]
fn zip_directories_that_lie_are_refused() {
    let files = vec![("a".to_owned(), vec![5; 100]), ("b".to_owned(), vec![6; 100])];
    let whole = pack(&files, Format::Zip);
    let second = whole.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    let patched = |at: usize, with: &[u8]| {
        let mut bytes = whole.clone();
        bytes[second + at..second + at + with.len()].copy_from_slice(with);
        unpack(&bytes, Format::Zip).unwrap_err()
    };
    assert!(patched(42, &[0; 4]).contains("overlapping"), "the first file's header");
    assert!(patched(42, &[0xf0; 4]).contains("overlapping"), "beyond the end");
    assert!(patched(20, &[0xff; 4]).contains("zip64"), "no zip64 number");
    assert!(patched(16, &[1, 2, 3, 4]).contains("checksum"));
    assert!(patched(24, &[99]).contains("two sizes"));
    assert!(patched(8, &[1]).contains("encrypted"));
    assert!(patched(10, &[93]).contains("unknown method"));
    assert!(patched(46, b"x").contains("another file"));
    let mut many = whole.clone();
    let end = many.len() - 22;
    many[end + 8..end + 12].fill(0xfe);
    assert!(unpack(&many, Format::Zip).unwrap_err().contains("more files"));
}

#[test]
fn huge_claims_cost_nothing() {
    // A zip64 directory of 2^60 files, and a TAR member of 2^60 bytes.
    let mut zip = b"PK\x06\x06".to_vec();
    zip.extend([0; 28]);
    zip.extend((1_u64 << 60).to_le_bytes());
    zip.extend([0xff; 8]);
    zip.extend([0; 8]);
    zip.extend(b"PK\x06\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0");
    zip.extend(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
    assert!(read_directory(&zip[..], zip.len() as u64).is_err());
    let tar = crate::tar::encode_header("big", 1 << 60, 0);
    assert!(unpack(&tar, Format::Tar).unwrap_err().contains("truncated"));
}

#[test]
fn archives_are_gone_on_with() {
    let old = vec![("a".to_owned(), vec![1; 700]), ("b".to_owned(), Vec::new())];
    let new = ("c".to_owned(), b"new".to_vec());
    for format in FORMATS {
        let mut bytes = pack(&old, format);
        let mut files = old.clone();
        for _ in 0..3 {
            let (size, src): (u64, Shared) = (bytes.len() as u64, Arc::new(Bytes(bytes)));
            let mut writer = Writer::extend(Vec::new(), &src, size, format).unwrap();
            writer.begin(&new.0, 3, 0).unwrap();
            writer.data(&new.1).unwrap();
            writer.end().unwrap();
            bytes = writer.finish().unwrap();
            files.push(new.clone());
            assert_eq!(unpack(&bytes, format).unwrap(), files, "{format:?}");
        }
        let cut = bytes[..(bytes.len() / 2) | 7].to_vec();
        let (size, cut): (u64, Shared) = (cut.len() as u64, Arc::new(Bytes(cut)));
        assert!(Writer::extend(Vec::new(), &cut, size, format).is_err(), "{format:?}");
    }
}
