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
    writer.finish()
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
    assert_eq!(fixture.files("blobs").len(), 1);
    let object = uname(BID, "o");
    let gone = store.continue_append((BID, &object), second);
    assert!(matches!(gone, Err(StoreError::UnknownAppend { .. })));
    assert!(matches!(flush(&store, "o", second), Err(StoreError::UnknownAppend { .. })));
    let empty = append(&store, "new", None, b"");
    assert_eq!(flush(&store, "new", empty).unwrap().size, 0);
    assert_eq!(AppendId::parse(&first.id.to_string()), Some(first.id));
}

#[test]
fn a_torn_or_repeated_append_is_cut_off_at_the_handle() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let state = append(&store, "o", None, b"a");
    let object = uname(BID, "o");
    let mut torn = store.continue_append((BID, &object), state).unwrap();
    torn.write(&vec![9; 100_000]).unwrap();
    let busy = store.continue_append((BID, &object), state);
    assert!(matches!(busy, Err(StoreError::Busy(_))));
    drop(torn);
    let unheard = append(&store, "o", Some(state), b"lost answer");
    let state = append(&store, "o", Some(state), b"b");
    assert!(state.size < unheard.size);
    let path = fixture.files("appends").pop().unwrap();
    let mut file = std::fs::File::options().append(true).open(path).unwrap();
    file.write_all(b"garbage").unwrap();
    let other = uname(BID, "other");
    let stolen = store.continue_append((BID, &other), state);
    assert!(matches!(stolen, Err(StoreError::UnknownAppend { .. })));
    flush(&store, "o", state).unwrap();
    assert_eq!(get(&store, "o").unwrap(), b"ab");
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
