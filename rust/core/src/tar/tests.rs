use bytes::Bytes;
use proptest::prelude::*;

use super::*;

type File = (String, Vec<u8>);

fn archive(files: &[File]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, data) in files {
        out.extend(encode_header(name, data.len() as u64, 7));
        out.extend(data);
        out.resize(out.len() + padding(data.len() as u64), 0);
    }
    out.extend(END);
    out
}

/// Decodes with the input cut into pieces of the given sizes, repeated.
fn decode(bytes: &[u8], cuts: &[usize]) -> Result<Vec<File>, TarError> {
    let (mut decoder, mut files) = (StreamDecoder::new(), Vec::new());
    let (mut rest, mut cuts, mut open) = (bytes, cuts.iter().cycle(), false);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*cuts.next().unwrap_or(&1)).clamp(1, rest.len()));
        rest = after;
        let mut piece = Bytes::copy_from_slice(piece);
        while let Some(event) = decoder.push(&mut piece)? {
            match event {
                Event::Entry { name, .. } => {
                    assert!(!open);
                    open = true;
                    files.push((name, Vec::new()));
                }
                Event::Data(data) => {
                    assert!(open && !data.is_empty());
                    files.last_mut().unwrap().1.extend(data);
                }
                Event::EntryEnd => {
                    assert!(open);
                    open = false;
                }
                Event::End => {}
            }
        }
        assert!(piece.is_empty(), "input is used up");
    }
    decoder.finish()?;
    Ok(files)
}

fn index(bytes: &[u8]) -> Result<Vec<File>, TarError> {
    let members = index_members(bytes, bytes.len() as u64)?;
    let at = |n: u64| usize::try_from(n).unwrap();
    Ok(members
        .into_iter()
        .map(|m| (m.name, bytes[at(m.offset)..at(m.offset + m.size)].to_vec()))
        .collect())
}

/// A header block of any type, with a valid checksum.
fn raw(name: &str, size: u64, kind: u8) -> Vec<u8> {
    block("", name, size, 0, kind).to_vec()
}

fn padded(mut body: Vec<u8>) -> Vec<u8> {
    body.resize(body.len() + padding(body.len() as u64), 0);
    body
}

fn both(bytes: &[u8]) -> Vec<File> {
    let files = decode(bytes, &[333]).unwrap();
    assert_eq!(index(bytes).unwrap(), files);
    files
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,10}(/[a-z0-9._ -]{1,30}){0,12}",
        "[a-z]{95,105}",
        "[a-z]{150,160}/[a-z]{95,105}",
        ".{1,60}",
        "[äß日本/]{1,300}",
    ]
    .prop_filter("a name", |n| !n.is_empty())
}

fn files() -> impl Strategy<Value = Vec<File>> {
    prop::collection::vec((name(), prop::collection::vec(any::<u8>(), 0..1500)), 0..6)
}

proptest! {
    #[test]
    fn names_and_content_come_back_however_the_stream_is_cut(
        files in files(), cuts in prop::collection::vec(1..2000_usize, 1..8)
    ) {
        let bytes = archive(&files);
        prop_assert_eq!(bytes.len() % BLOCK, 0);
        prop_assert_eq!(&decode(&bytes, &cuts).unwrap(), &files);
        prop_assert_eq!(&index(&bytes).unwrap(), &files);
    }

    #[test]
    fn a_cut_archive_is_an_error_in_a_stream_and_never_a_longer_list(files in files(), cut in any::<prop::sample::Index>()) {
        let bytes = archive(&files);
        // Without its second end block the archive is still whole.
        let cut = cut.index(bytes.len() - BLOCK);
        let part = &bytes[..cut];
        prop_assert!(decode(part, &[997]).is_err());
        if let Ok(found) = index(part) {
            prop_assert!(files.starts_with(&found));
        }
    }

    #[test]
    fn damage_never_panics(files in files(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = archive(&files);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = (decode(&bytes, &[700]), index(&bytes));
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let _ = (decode(&bytes, &[100, 1]), index(&bytes));
    }

    #[test]
    fn valid_headers_of_any_kind_and_size_never_panic(
        kind in any::<u8>(), size in any::<u64>(), body in prop::collection::vec(any::<u8>(), 0..1200)
    ) {
        let mut bytes = block("", "n", 0, 0, kind);
        let mut field = [0x80_u8; 12];
        field[4..].copy_from_slice(&size.to_be_bytes());
        field[1..4].fill(0);
        Field::SIZE.write(&mut bytes, &field);
        Field::CHECKSUM.write(&mut bytes, b"        ");
        let sum = checksum_of(&bytes).0;
        Field::CHECKSUM.write(&mut bytes, format!("{sum:06o}\0 ").as_bytes());
        let bytes = [&bytes[..], &body].concat();
        let _ = (decode(&bytes, &[511]), index(&bytes));
    }

    #[test]
    fn pax_bodies_of_any_shape_never_panic(body in "[0-9]{0,3} ?(path|size|mtime|x)?=?.{0,20}\n?[0-9]{0,22}.{0,10}") {
        let bytes = [raw("x", body.len() as u64, b'x'), padded(body.into_bytes()), raw("f", 0, b'0')].concat();
        let _ = (decode(&bytes, &[512]), index(&bytes));
    }
}

#[test]
fn short_names_stay_plain_ustar() {
    let header = encode_header("a/b.txt", 5, 0o1234);
    assert_eq!(header.len(), BLOCK);
    assert_eq!(&header[257..265], b"ustar\x0000");
    assert_eq!(&header[100..108], b"0000644\0");
    assert_eq!(&header[136..148], b"00000001234\0");
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(100));
    assert_eq!(encode_header(&long, 0, 0).len(), BLOCK, "prefix and name");
    assert_eq!(encode_header(&"f".repeat(101), 0, 0).len(), 3 * BLOCK, "PAX");
    assert_eq!(encode_header("f", 8 << 30, 0).len(), 3 * BLOCK, "PAX size");
}

#[test]
fn sizes_over_eight_gib_and_far_times_survive() {
    let (size, mtime) = ((8_u64 << 30) + 5, 1 << 40);
    let mut input = Bytes::from(encode_header("ü", size, mtime));
    let event = StreamDecoder::new().push(&mut input).unwrap();
    assert_eq!(event, Some(Event::Entry { name: "ü".into(), size, mtime_s: mtime }));
}

#[test]
fn gnu_long_names_win_over_the_header() {
    let name = "g".repeat(300);
    let bytes = [
        raw("././@LongLink", 301, b'L'),
        padded(format!("{name}\0").into_bytes()),
        raw("cut", 3, b'0'),
        padded(b"abc".to_vec()),
        END.to_vec(),
    ]
    .concat();
    assert_eq!(both(&bytes), [(name, b"abc".to_vec())]);
}

#[test]
fn everything_but_regular_files_is_passed_over() {
    let global = b"19 comment=abcdefg\n".to_vec();
    let pax = b"12 path=yes\n".to_vec();
    let bytes = [
        raw("pax_global_header", global.len() as u64, b'g'),
        padded(global),
        raw("dir/", 0, b'5'),
        raw("link", 700, b'2'),
        raw("hard", 700, b'1'),
        raw("old-dir/", 0, 0),
        raw("vendor", 4, b'V'),
        padded(b"text".to_vec()),
        raw("x", pax.len() as u64, b'x'),
        padded(pax),
        raw("no", 2, b'0'),
        padded(b"ok".to_vec()),
        raw("old", 1, 0),
        padded(b"1".to_vec()),
        END.to_vec(),
    ]
    .concat();
    assert_eq!(
        both(&bytes),
        [("yes".to_owned(), b"ok".to_vec()), ("old".to_owned(), b"1".to_vec())]
    );
}

#[test]
fn a_wrong_header_checksum_is_an_error() {
    let mut bytes = archive(&[("a".into(), vec![1])]);
    bytes[0] ^= 1;
    for err in [decode(&bytes, &[512]).unwrap_err(), index(&bytes).unwrap_err()] {
        assert!(matches!(err, TarError::Malformed { at: 0, .. }), "{err}");
    }
}

#[test]
fn records_are_bounded() {
    let bytes = raw("x", MAX_RECORD_BYTES + 1, b'x');
    for err in [decode(&bytes, &[512]).unwrap_err(), index(&bytes).unwrap_err()] {
        assert!(matches!(err, TarError::Limit { .. }), "{err}");
    }
}

#[test]
fn sparse_files_are_refused_not_misread() {
    let pax = b"22 GNU.sparse.major=1\n".to_vec();
    let modern = [raw("x", pax.len() as u64, b'x'), padded(pax), raw("s", 0, b'0')].concat();
    for bytes in [raw("s", 0, b'S'), modern] {
        assert!(matches!(index(&bytes), Err(TarError::Sparse { .. })));
    }
}

#[test]
fn an_archive_without_end_blocks_is_complete_on_disk_but_not_in_a_stream() {
    let files = [("a".to_owned(), vec![7; 600])];
    let bytes = archive(&files);
    let bytes = &bytes[..bytes.len() - END.len()];
    assert_eq!(index(bytes).unwrap(), files);
    assert!(matches!(decode(bytes, &[512]), Err(TarError::Truncated { .. })));
    assert!(index(&[]).unwrap().is_empty());
}

#[test]
fn a_failing_source_is_reported() {
    struct Broken;
    impl ReadAt for Broken {
        fn read_at(&self, _: &mut [u8], _: u64) -> std::io::Result<usize> {
            Err(std::io::Error::other("disk"))
        }
    }
    assert!(matches!(index_members(&Broken, 1024), Err(TarError::Io(_))));
}

#[test]
fn lookups_ignore_leading_slashes_and_dots() {
    assert!(same_member("./a/b", "/a/b") && same_member("a/b", "a/b"));
    assert!(!same_member("a/b", "b") && !same_member(".a", "a"));
}
