use std::os::unix::fs::FileExt as _;

use super::*;
use crate::config::MAX_SEGMENT_BYTES;
use crate::meta::BlobId;

fn open(dir: &Path, clean: bool) -> Segments {
    let limits = Limits { descriptors: 8, segment_bytes: MAX_SEGMENT_BYTES, ..Limits::default() };
    Segments::open(dir.join("segments"), clean, limits).unwrap()
}

fn append(segments: &Segments, blob: u64, payload: &[u8], trailer: &[u8]) -> Location {
    let mut placed = None;
    segments.append(BlobId(blob), payload, trailer, |at| placed = Some(at)).unwrap();
    placed.unwrap()
}

fn content(segments: &Segments, location: Location) -> Vec<u8> {
    let file = segments.file(location.segment).unwrap().unwrap();
    let mut bytes = vec![0; location.length as usize];
    file.read_exact_at(&mut bytes, u64::from(location.offset) + HEADER_BYTES as u64).unwrap();
    bytes
}

fn records(segments: &Segments, number: u32) -> Vec<(u64, u32)> {
    let file = segments.file(number).unwrap().unwrap();
    let mut scan = Scan::new(&file).unwrap();
    let mut found = Vec::new();
    while let Some(record) = scan.next().unwrap() {
        found.push((record.header.blob.0, record.offset));
    }
    found
}

#[test]
fn what_was_appended_is_read_back_before_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut known = Vec::new();
    for run in 0..3_u64 {
        let segments = open(dir.path(), true);
        for blob in run * 100..run * 100 + 100 {
            let payload =
                vec![u8::try_from(blob % 256).unwrap(); usize::try_from(blob * 7).unwrap()];
            let location = append(&segments, blob, &payload, b"trailer");
            known.push((blob, location, [&payload[..], b"trailer"].concat()));
        }
        for (_, location, bytes) in &known {
            assert_eq!(content(&segments, *location), *bytes);
        }
        assert_eq!(segments.fills().len(), 1, "one segment is filled before the next");
    }
    let segments = open(dir.path(), true);
    let expected: Vec<_> = known.iter().map(|(blob, at, _)| (*blob, at.offset)).collect();
    assert_eq!(records(&segments, known[0].1.segment), expected);
}

#[test]
fn after_a_crash_nothing_is_written_where_something_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("segments/00000000.segment");
    let segments = open(dir.path(), true);
    let first = append(&segments, 1, b"first", b"t");
    let second = append(&segments, 2, &[2; 500], b"t");
    drop(segments);
    let length = fs::metadata(&path).unwrap().len();
    // Ended in order, but a byte is missing, or the last run was killed: another segment is begun.
    for (clean, length) in
        [(false, length), (true, length - 1), (false, u64::from(second.offset) + 40)]
    {
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(length).unwrap();
        let segments = open(dir.path(), clean);
        let third = append(&segments, 3, &[2; 500], b"t");
        assert!(third.segment > 0, "{length}");
        assert_eq!(records(&segments, 0)[0], (1, first.offset));
        segments.remove(third.segment).unwrap();
    }
    let segments = open(dir.path(), true);
    segments.pass_over(7);
    assert_eq!(append(&segments, 4, b"x", b"t").segment, 8);
}

#[test]
fn damage_in_the_middle_costs_one_record() {
    let dir = tempfile::tempdir().unwrap();
    let segments = open(dir.path(), true);
    let places: Vec<_> = (0..5).map(|n| append(&segments, n, &[9; 300], b"t")).collect();
    let path = dir.path().join("segments/00000000.segment");
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&[0xff; 8], u64::from(places[2].offset) + 4).unwrap();
    let found: Vec<_> = records(&segments, 0).into_iter().map(|(blob, _)| blob).collect();
    assert_eq!(found, [0, 1, 3, 4]);
}

#[test]
fn stored_bytes_that_look_like_records_are_not_taken_for_some() {
    let dir = tempfile::tempdir().unwrap();
    let segments = open(dir.path(), true);
    let victim = append(&segments, 1, &[1; 64], b"t");
    let path = dir.path().join("segments/00000000.segment");
    // Somebody stores what would be a record, did he know the salt; then the header before it is damaged.
    let header = Header { blob: BlobId(666), payload: 8, trailer: 0, crc32c: 0 };
    let forged = [&header.encode(0)[..], &[0; 40]].concat();
    let bait = append(&segments, 2, &forged, b"t");
    let last = append(&segments, 3, b"x", b"t");
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0], u64::from(bait.offset)).unwrap();
    assert_eq!(records(&segments, 0), [(1, victim.offset), (3, last.offset)]);
}

#[test]
fn dead_bytes_are_counted_and_remembered_and_never_inherited() {
    let dir = tempfile::tempdir().unwrap();
    let segments = open(dir.path(), true);
    let places: Vec<_> = (0..4).map(|n| append(&segments, n, &[1; 100], b"t")).collect();
    segments.mark_dead(places[1]);
    segments.mark_dead(places[3]);
    let expected = Fill { number: 0, bytes: 16 + 4 * stride(101), dead: 2 * stride(101) };
    assert_eq!(segments.fills(), [expected]);
    drop(segments);
    let segments = open(dir.path(), true);
    assert_eq!(segments.fills(), [expected]);
    assert_eq!(segments.dead_of(0).unwrap().len(), 2);
    drop(segments);
    fs::remove_file(dir.path().join("segments/00000000.segment")).unwrap();
    let segments = open(dir.path(), false);
    append(&segments, 9, b"new", b"t");
    assert!(segments.dead_of(0).unwrap().is_empty());
}

#[test]
fn full_segments_are_left_and_removed_ones_stay_readable_for_who_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let segments = open(dir.path(), true);
    let payload = vec![3; 60 << 10];
    let mut places = Vec::new();
    for blob in 0..1200 {
        places.push(append(&segments, blob, &payload, b"t"));
    }
    assert!(segments.fills().iter().all(|fill| fill.bytes <= MAX_SEGMENT_BYTES));
    let [full] = segments.full()[..] else { panic!("one is full, one is not") };
    let reader = segments.file(full.number).unwrap().unwrap();
    segments.remove(full.number).unwrap();
    assert!(segments.file(full.number).unwrap().is_none());
    let mut byte = [0];
    reader.read_exact_at(&mut byte, 100).unwrap();
    assert_eq!(byte, [3]);
    drop(segments);
    let segments = open(dir.path(), true);
    let next = append(&segments, 5000, b"x", b"t");
    assert_eq!(next.segment, places[1199].segment);
}

#[test]
fn after_a_crash_the_number_of_a_lost_segment_is_not_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let segments = open(dir.path(), true);
    assert!(!segments.is_numbered());
    let lost = append(&segments, 1, b"payload", b"trailer").segment;
    drop(segments);
    std::fs::remove_file(dir.path().join(format!("segments/{lost:08x}.segment"))).unwrap();
    let segments = open(dir.path(), false);
    assert!(segments.is_numbered());
    let next = append(&segments, 2, b"payload", b"trailer").segment;
    assert!(next > lost);
    drop(segments);
    // A run that ended in order has lost nothing: its numbers go on.
    let segments = open(dir.path(), true);
    assert_eq!(append(&segments, 3, b"payload", b"trailer").segment, next);
}

#[test]
fn a_segment_that_power_left_without_its_first_bytes_holds_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("segment");
    std::fs::write(&path, vec![0; 4096]).unwrap();
    let file = File::open(&path).unwrap();
    let mut scan = Scan::new(&file).unwrap();
    assert!(scan.next().unwrap().is_none() && !scan.was_sound());
    std::fs::write(&path, "something that is no segment").unwrap();
    assert!(Scan::new(&File::open(&path).unwrap()).is_err());
}

#[test]
fn a_dead_record_that_no_list_can_take_is_noted_once_one_can() {
    let dir = tempfile::tempdir().unwrap();
    let segments = open(dir.path(), true);
    let [first, second] = [1, 2].map(|blob| append(&segments, blob, b"payload", b"trailer"));
    let list = segments.list_path(first.segment);
    std::fs::create_dir(&list).unwrap();
    segments.mark_dead(first);
    assert!(!segments.settle_lists(), "a start must look for it");
    std::fs::remove_dir(&list).unwrap();
    segments.mark_dead(second);
    assert_eq!(segments.dead_of(first.segment).unwrap(), HashSet::from([second.offset]));
    assert!(segments.settle_lists());
    let both = HashSet::from([first.offset, second.offset]);
    assert_eq!(segments.dead_of(first.segment).unwrap(), both);
}

#[test]
fn nothing_follows_a_torn_entry_of_a_list() {
    let dir = tempfile::tempdir().unwrap();
    let segments = open(dir.path(), true);
    let [first, second] = [1, 2].map(|blob| append(&segments, blob, b"payload", b"trailer"));
    segments.mark_dead(first);
    let list = segments.list_path(first.segment);
    let torn = [std::fs::read(&list).unwrap(), vec![1, 2, 3]].concat();
    std::fs::write(&list, torn).unwrap();
    // As after an append that failed.
    segments.table().close_list(first.segment);
    segments.mark_dead(second);
    let both = HashSet::from([first.offset, second.offset]);
    assert_eq!(segments.dead_of(first.segment).unwrap(), both);
}
