use super::*;

#[test]
fn write_buffers_are_handed_over_when_full_however_fast_they_fill() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(&dir.path().join("index"), 1 << 20).ok().unwrap();
    let value = vec![7; 4096];
    let set = |n: u32| Change::Set { key: n.to_be_bytes().repeat(4), value: value.clone() };
    for n in 0..4_000 {
        index.apply(vec![set(n)], false).unwrap();
        assert!(index.buffered[0].load(Ordering::Relaxed) < WRITE_BUFFER_BYTES);
    }
    let flushed = || index.objects.table_count() > 0 && index.objects.sealed_memtable_count() == 0;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !flushed() {
        assert!(std::time::Instant::now() < deadline, "the engine flushes nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!((0..4_000_u32).all(|n| index.get(&n.to_be_bytes().repeat(4)).unwrap().is_some()));
}

fn set(n: u32, value: u8) -> Change {
    Change::Set { key: n.to_be_bytes().repeat(4), value: vec![value; 50] }
}

fn read(index: &Index, n: u32) -> Option<u8> {
    index.get(&n.to_be_bytes().repeat(4)).unwrap().map(|value| value[0])
}

fn journal_bytes(path: &Path) -> u64 {
    let files = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let journals = files.filter(|file| file.path().extension().is_some_and(|end| end == "jnl"));
    journals.map(|file| file.metadata().unwrap().len()).sum()
}

#[test]
fn a_settled_index_needs_no_journal_and_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let open = || Index::open(&path, 1 << 20).ok().unwrap();
    let mut expected = [0; 300];
    for round in 1..6_u8 {
        let index = open();
        for n in 0..300 {
            assert_eq!(read(&index, n).unwrap_or(0), expected[n as usize], "round {round}, {n}");
        }
        for n in (0..300).filter(|n| n % u32::from(round) == 0) {
            index.apply(vec![set(n, round)], false).unwrap();
            expected[n as usize] = round;
        }
        if round == 3 {
            // Not settled: what comes next is replayed, over what was settled before.
            continue;
        }
        let settled = index.settle().unwrap();
        drop(index);
        assert!(journal_bytes(&path) > 0);
        Index::empty_journals(&path, &settled);
        assert_eq!(journal_bytes(&path), 0);
        // Of another time.
        Index::empty_journals(&path, &settled);
    }
    let index = open();
    assert!((0..300).all(|n| read(&index, n) == Some(expected[n as usize])));
    let mut buckets =
        index.range((Bound::Unbounded, Bound::Unbounded)).map(|entry| entry.unwrap().1[0]);
    assert!(expected.iter().all(|value| buckets.next() == Some(*value)));
}

#[test]
fn journals_that_changed_are_not_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let index = Index::open(&path, 1 << 20).ok().unwrap();
    index.apply(vec![set(1, 1)], false).unwrap();
    let settled = index.settle().unwrap();
    index.apply(vec![set(2, 2)], false).unwrap();
    drop(index);
    Index::empty_journals(&path, &settled);
    let index = Index::open(&path, 1 << 20).ok().unwrap();
    assert_eq!((read(&index, 1), read(&index, 2)), (Some(1), Some(2)));
}
