//! Appending to objects.

#![allow(clippy::unwrap_used, reason = "in helpers of tests a panic is the report")]

mod support;

use std::io::Write as _;

use aistore_core::checksum::ChecksumType;
use aistore_store::{AppendId, AppendState, ObjectMeta, PutOptions, Store, StoreError};
use support::{BID, Fixture, get, options, put, uname};

fn append(store: &Store, name: &str, state: Option<AppendState>, bytes: &[u8]) -> AppendState {
    let object = uname(BID, name);
    let mut writer = match state {
        None => store.begin_append((BID, &object, name), ChecksumType::Xxhash2).unwrap(),
        Some(state) => store.continue_append((BID, &object), state).unwrap(),
    };
    writer.write(bytes).unwrap();
    writer.finish().unwrap()
}

fn flush(store: &Store, name: &str, state: AppendState) -> Result<ObjectMeta, StoreError> {
    store.flush_append((BID, &uname(BID, name), name), state, &options())
}

#[test]
fn an_object_grows_only_when_it_is_flushed() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    put(&store, "o", b"old").unwrap();
    let first = append(&store, "o", None, b"+one");
    let second = append(&store, "o", Some(first), b"+two");
    assert_eq!((first.size, second.size), (7, 11));
    assert_eq!(get(&store, "o").unwrap(), b"old");
    let meta = flush(&store, "o", second).unwrap();
    assert_eq!((meta.version, meta.checksum_type), (2, ChecksumType::Xxhash2));
    assert_eq!(get(&store, "o").unwrap(), b"old+one+two");
    assert!(fixture.files("appends").is_empty());
    assert_eq!(fixture.blobs().len(), 1);
    let object = uname(BID, "o");
    let gone = store.continue_append((BID, &object), second);
    assert!(matches!(gone, Err(StoreError::UnknownAppend { .. })));
    assert!(matches!(flush(&store, "o", second), Err(StoreError::UnknownAppend { .. })));
    let empty = append(&store, "new", None, b"");
    assert_eq!(flush(&store, "new", empty).unwrap().size, 0);
    assert_eq!(AppendId::parse(&first.id.to_string()), Some(first.id));
}

#[test]
fn a_torn_append_is_cut_off_at_the_handle() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let state = append(&store, "o", None, b"a");
    let object = uname(BID, "o");
    let mut torn = store.continue_append((BID, &object), state).unwrap();
    torn.write(&vec![9; 100_000]).unwrap();
    let busy = store.continue_append((BID, &object), state);
    assert!(matches!(busy, Err(StoreError::Busy(_))));
    drop(torn);
    let state = append(&store, "o", Some(state), b"b");
    let mut paths = fixture.files("appends");
    paths.retain(|path| path.extension().is_none());
    let path = paths.pop().unwrap();
    let mut file = std::fs::File::options().append(true).open(path).unwrap();
    file.write_all(b"garbage").unwrap();
    let other = uname(BID, "other");
    let stolen = store.continue_append((BID, &other), state);
    assert!(matches!(stolen, Err(StoreError::UnknownAppend { .. })));
    flush(&store, "o", state).unwrap();
    assert_eq!(get(&store, "o").unwrap(), b"ab");
}

/// The answer to an append in two pieces.
fn try_append(
    store: &Store,
    state: AppendState,
    first: &[u8],
    second: &[u8],
) -> Result<AppendState, StoreError> {
    let mut writer = store.continue_append((BID, &uname(BID, "o")), state)?;
    writer.write(first)?;
    writer.write(second)?;
    writer.finish()
}

fn is_conflict<T>(done: &Result<T, StoreError>) -> bool {
    matches!(done, Err(StoreError::AppendConflict { .. }))
}

#[test]
fn only_the_last_append_may_be_sent_again_and_only_as_it_was() {
    let fixture = Fixture::new(1);
    let mut store = fixture.open();
    put(&store, "o", b"old").unwrap();
    let long = vec![7; 600_000];
    let first = append(&store, "o", None, b"1");
    let second = append(&store, "o", Some(first), &long);
    for restarted in [false, true] {
        let again = try_append(&store, first, &long[..1000], &long[1000..]).unwrap();
        assert_eq!(again, second, "restarted: {restarted}");
        let mut other = long.clone();
        other[500_000] = 8;
        for (what, first_piece, second_piece) in
            [("other", &other[..], &b""[..]), ("shorter", b"7", b""), ("longer", &long, b"7")]
        {
            let done = try_append(&store, first, first_piece, second_piece);
            assert!(is_conflict(&done), "{what}: {done:?}");
        }
        assert!(is_conflict(&flush(&store, "o", first)));
        if !restarted {
            drop(store);
            store = fixture.open();
        }
    }
    let third = append(&store, "o", Some(second), b"3");
    for size in [0, 3, first.size, third.size + 1, u64::MAX] {
        let handle = AppendState { size, ..third };
        assert!(is_conflict(&try_append(&store, handle, b"x", b"")), "{size}");
        let flushed = flush(&store, "o", handle);
        assert!(is_conflict(&flushed), "{size}");
        let text = flushed.unwrap_err().to_string();
        assert!(text.contains(&format!("stands at {} bytes", third.size)), "{text}");
    }
    flush(&store, "o", third).unwrap();
    assert_eq!(get(&store, "o").unwrap(), [b"old1".to_vec(), long, b"3".to_vec()].concat());
    assert!(fixture.files("appends").is_empty());
}

#[test]
fn of_many_callers_with_one_handle_one_is_told_that_it_appended() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    let state = append(&store, "o", None, b"");
    let done: Vec<_> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8u8)
            .map(|i| {
                scope.spawn({
                    let store = &store;
                    move || try_append(store, state, &[i], b"")
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let won: Vec<_> = done.iter().enumerate().filter(|(_, done)| done.is_ok()).collect();
    assert_eq!(won.len(), 1, "{done:?}");
    let (winner, state) = (won[0].0, *won[0].1.as_ref().unwrap());
    flush(&store, "o", state).unwrap();
    assert_eq!(get(&store, "o").unwrap(), [u8::try_from(winner).unwrap()]);
}

#[test]
fn marks_that_a_crash_left_are_removed_with_old_sessions() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    let state = append(&store, "o", None, b"x");
    for path in fixture.files("appends") {
        if path.extension().is_none() {
            std::fs::remove_file(path).unwrap();
        }
    }
    let kept = append(&store, "o", None, b"y");
    assert_eq!(fixture.files("appends").len(), 3);
    assert_eq!(store.expire_uploads(1).unwrap(), 0);
    assert_eq!(fixture.files("appends").len(), 2);
    assert!(matches!(flush(&store, "o", state), Err(StoreError::UnknownAppend { .. })));
    flush(&store, "o", kept).unwrap();
    assert_eq!(get(&store, "o").unwrap(), b"y");
}

#[test]
fn a_wrong_checksum_is_refused_and_the_session_goes_on() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    let state = append(&store, "o", None, b"abc");
    let object = uname(BID, "o");
    let with = |kind, value: &str| {
        let options = PutOptions { expected: Some((kind, value.to_owned())), ..options() };
        store.flush_append((BID, &object, "o"), state, &options)
    };
    let wrong = with(ChecksumType::Xxhash2, "44bc2cf5ad77099a");
    assert!(matches!(wrong, Err(StoreError::Checksum { .. })), "{wrong:?}");
    assert!(matches!(with(ChecksumType::Md5, "00"), Err(StoreError::Checksum { .. })));
    with(ChecksumType::Crc32c, "364b3fb7").unwrap();
    assert_eq!(get(&store, "o").unwrap(), b"abc");
}

#[test]
fn sessions_survive_a_restart_and_end_by_age_or_with_their_bucket() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    put(&store, "o", &vec![7; 300_000]).unwrap();
    let state = append(&store, "o", None, b"x");
    let left = append(&store, "left", None, b"x");
    drop(store);
    let store = fixture.open();
    let state = append(&store, "o", Some(state), b"y");
    flush(&store, "o", state).unwrap();
    assert_eq!(get(&store, "o").unwrap(), [vec![7; 300_000], b"xy".to_vec()].concat());
    assert_eq!(store.expire_uploads(1).unwrap(), 0);
    assert_eq!(store.expire_uploads(u64::MAX).unwrap(), 1);
    assert!(matches!(flush(&store, "left", left), Err(StoreError::UnknownAppend { .. })));
    append(&store, "left", None, b"x");
    store.destroy_bucket(BID).unwrap();
    assert!(store.buckets().unwrap().is_empty() && fixture.files("appends").is_empty());
}
