//! Uploads in several parts.

#![allow(clippy::unwrap_used, reason = "in helpers of tests a panic is the report")]

mod support;

use std::collections::BTreeMap;

use aistore_core::checksum::{ChecksumType, checksum};
use aistore_store::{ObjectMeta, PartInfo, PartOptions, Store, StoreError, UploadId};
use support::{BID, Fixture, get, options, put, uname};

fn start(store: &Store, name: &str) -> UploadId {
    let custom = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    store
        .start_upload((BID, &uname(BID, name), name), custom, ChecksumType::Xxhash2, 1_000)
        .unwrap()
}

fn send(
    store: &Store,
    name: &str,
    id: UploadId,
    number: u32,
    bytes: &[u8],
) -> Result<PartInfo, StoreError> {
    let options = PartOptions { now_ns: 2_000, md5: true, ..PartOptions::default() };
    let mut writer = store.begin_part((BID, name), id, number, options)?;
    for piece in bytes.chunks(40_000) {
        writer.write(piece)?;
    }
    writer.finish()
}

fn complete(
    store: &Store,
    name: &str,
    id: UploadId,
    numbers: &[u32],
) -> Result<ObjectMeta, StoreError> {
    store.complete_upload((BID, &uname(BID, name), name), id, numbers, &options())
}

fn piece(number: u32, size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(u64::from(number) << 32 | size as u64);
    (0..size).map(|_| random.u8(..)).collect()
}

fn invalid<T: std::fmt::Debug>(result: Result<T, StoreError>, text: &str) {
    match result {
        Err(StoreError::Invalid(reason)) => assert!(reason.contains(text), "{reason}"),
        other => panic!("{other:?}, expected a refusal with {text:?}"),
    }
}

#[test]
fn parts_become_the_object_without_a_copy() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    put(&store, "o", b"old").unwrap();
    let id = start(&store, "o");
    assert_eq!(UploadId::parse(&id.to_string()), Some(id));
    let pieces: Vec<_> =
        [100_000, 5, 70_000].into_iter().zip(1..).map(|(s, n)| piece(n, s)).collect();
    for number in [2_u32, 3, 1] {
        let bytes = &pieces[number as usize - 1];
        let info = send(&store, "o", id, number, bytes).unwrap();
        let md5 = format!("{:032x}", u128::from_be_bytes(info.md5.unwrap()));
        assert_eq!(md5, checksum(ChecksumType::Md5, bytes));
    }
    assert_eq!(get(&store, "o").unwrap(), b"old");
    let uploads = store.uploads(BID).unwrap();
    assert_eq!((uploads[0].id, uploads[0].parts, uploads[0].active_ns), (id, 3, 2_000));
    let sizes: Vec<_> = store.parts(BID, "o", id).unwrap().iter().map(|part| part.size).collect();
    assert_eq!(sizes, [100_000, 5, 70_000]);

    let meta = complete(&store, "o", id, &[3, 1, 2]).unwrap();
    assert_eq!(get(&store, "o").unwrap(), pieces.concat());
    assert_eq!((meta.version, meta.chunks()), (2, Some((3, 100_000))));
    assert_eq!((meta.checksum_type, meta.custom["k"].as_str()), (ChecksumType::Crc32c, "v"));
    assert_eq!(fixture.blobs().len(), 4);
    assert!(store.uploads(BID).unwrap().is_empty());
    for result in [
        complete(&store, "o", id, &[1, 2, 3]).map(|_| ()),
        send(&store, "o", id, 1, b"x").map(|_| ()),
        store.abort_upload(BID, "o", id),
        store.parts(BID, "o", id).map(|_| ()),
    ] {
        assert!(matches!(result, Err(StoreError::UnknownUpload { .. })), "{result:?}");
    }
}

#[test]
fn the_checksum_is_the_buckets_only_when_parts_came_one_after_the_other() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let all = [piece(1, 10), piece(2, 99_000), piece(3, 1)];
    let kind = |sent: &[u32]| {
        let id = start(&store, "o");
        for number in sent {
            send(&store, "o", id, *number, &all[*number as usize - 1]).unwrap();
        }
        let meta = complete(&store, "o", id, &[1, 2, 3]).unwrap();
        assert_eq!(get(&store, "o").unwrap(), all.concat());
        meta.checksum_type
    };
    assert_eq!(kind(&[1, 2, 3]), ChecksumType::Xxhash2);
    for sent in [&[1, 3, 2][..], &[1, 1, 2, 3], &[1, 2, 3, 3]] {
        assert_eq!(kind(sent), ChecksumType::Crc32c, "{sent:?}");
    }
    // Overlapping in time, though begun and ended in order.
    let id = start(&store, "o");
    let begin = |number| store.begin_part((BID, "o"), id, number, PartOptions::default()).unwrap();
    let (mut first, mut second) = (begin(1), begin(2));
    first.write(b"a").unwrap();
    second.write(b"b").unwrap();
    first.finish().unwrap();
    second.finish().unwrap();
    assert_eq!(complete(&store, "o", id, &[1, 2]).unwrap().checksum_type, ChecksumType::Crc32c);
    assert_eq!(get(&store, "o").unwrap(), b"ab");
    // Given up and sent again.
    let id = start(&store, "o");
    drop(store.begin_part((BID, "o"), id, 1, PartOptions::default()).unwrap());
    send(&store, "o", id, 1, b"x").unwrap();
    assert_eq!(complete(&store, "o", id, &[1]).unwrap().checksum_type, ChecksumType::Crc32c);
}

#[test]
fn the_wrong_parts_are_refused_and_the_upload_stays() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let id = start(&store, "o");
    invalid(complete(&store, "o", id, &[1]), "no chunks");
    invalid(send(&store, "o", id, 0, b"x"), "invalid chunk number");
    send(&store, "o", id, 1, b"a").unwrap();
    send(&store, "o", id, 3, b"c").unwrap();
    invalid(complete(&store, "o", id, &[1]), "requested 1 parts, have 2");
    invalid(complete(&store, "o", id, &[1, 1]), "more than once");
    invalid(complete(&store, "o", id, &[1, 2]), "part 2");
    invalid(complete(&store, "o", id, &[1, 3]), "gap");
    send(&store, "o", id, 2, b"b").unwrap();
    send(&store, "o", id, 3, b"C").unwrap();
    assert!(matches!(complete(&store, "x", id, &[1]), Err(StoreError::UnknownUpload { .. })));
    let options = PartOptions {
        expected: Some((ChecksumType::Sha256, "00".to_owned())),
        ..PartOptions::default()
    };
    let mut writer = store.begin_part((BID, "o"), id, 2, options).unwrap();
    writer.write(b"z").unwrap();
    assert!(matches!(writer.finish(), Err(StoreError::Checksum { .. })));
    complete(&store, "o", id, &[1, 2, 3]).unwrap();
    assert_eq!(get(&store, "o").unwrap(), b"abC");
    assert_eq!(fixture.blobs().len(), 4);
}

#[test]
fn uploads_survive_a_restart_and_end_by_abort_age_or_with_their_bucket() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    let ids: Vec<_> = (0..4).map(|i| start(&store, &format!("o{i}"))).collect();
    for (i, id) in ids.iter().enumerate() {
        send(&store, &format!("o{i}"), *id, 1, &piece(1, 80_000)).unwrap();
    }
    drop(store);
    let store = fixture.open();
    assert_eq!(store.uploads(BID).unwrap().len(), 4);
    assert_eq!(store.buckets().unwrap(), [BID]);
    send(&store, "o0", ids[0], 2, b"end").unwrap();
    let meta = complete(&store, "o0", ids[0], &[1, 2]).unwrap();
    assert_eq!(meta.checksum_type, ChecksumType::Crc32c);
    assert_eq!(get(&store, "o0").unwrap(), [piece(1, 80_000), b"end".to_vec()].concat());
    store.abort_upload(BID, "o1", ids[1]).unwrap();
    assert_eq!(fixture.blobs().len(), 3 + 2);
    assert_eq!(store.expire_uploads(2_000).unwrap(), 0);
    assert_eq!(store.destroy_bucket(BID + 1).unwrap(), 0);
    assert_eq!(store.expire_uploads(2_001).unwrap(), 2);
    assert_eq!(fixture.blobs().len(), 3);
    let id = start(&store, "late");
    send(&store, "late", id, 1, b"x").unwrap();
    assert_eq!(store.destroy_bucket(BID).unwrap(), 1);
    assert!(fixture.blobs().is_empty() && store.buckets().unwrap().is_empty());
}

#[test]
fn parts_in_parallel_and_resent_parts_add_up() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    let id = start(&store, "o");
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let store = &store;
            scope.spawn(move || {
                for number in (1..=64_u32).filter(|number| number % 4 == thread % 4) {
                    send(store, "o", id, number, &piece(number, 3_000)).unwrap();
                }
            });
        }
    });
    let numbers: Vec<u32> = (1..=64).collect();
    complete(&store, "o", id, &numbers).unwrap();
    let whole: Vec<u8> = numbers.iter().flat_map(|number| piece(*number, 3_000)).collect();
    assert!(get(&store, "o").unwrap() == whole);
    assert_eq!(fixture.blobs().len(), 65);
}

#[test]
#[ignore = "slow: writes 20 GiB of zeros to the temporary directory; STORE_LARGE_GIB=n makes it n GiB"]
fn twenty_gibibytes_from_parts() {
    const PART: u64 = 1 << 30;
    let parts = std::env::var("STORE_LARGE_GIB").ok().and_then(|parts| parts.parse().ok());
    let parts: u32 = parts.unwrap_or(20);
    let size = u64::from(parts) * PART;
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let id = start(&store, "o");
    let zeros = vec![0; 4 << 20];
    for number in 1..=parts {
        let mut writer = store.begin_part((BID, "o"), id, number, PartOptions::default()).unwrap();
        for _ in 0..PART / (4 << 20) {
            writer.write(&zeros).unwrap();
        }
        writer.finish().unwrap();
    }
    let meta = complete(&store, "o", id, &(1..=parts).collect::<Vec<_>>()).unwrap();
    assert_eq!((meta.size, meta.chunks()), (size, Some((parts as usize, PART))));
    let reader = store.open_object(BID, &uname(BID, "o"), "o").unwrap().unwrap();
    let mut buf = vec![1; 3];
    assert_eq!(reader.read_at(&mut buf, size - PART - 1).unwrap(), 3);
    assert_eq!((buf, reader.read_at(&mut [1; 9], size - 2).unwrap()), (vec![0; 3], 2));
}

#[test]
fn parts_of_a_deleted_object_go_when_their_last_reader_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let open =
        || Store::open(aistore_store::StoreConfig::new(vec![dir.path().to_owned()])).unwrap();
    let deleted_while_read = |store: &Store| {
        let (name, place) = ("o", uname(BID, "o"));
        let id = start(store, name);
        for number in 1..=2 {
            send(store, name, id, number, b"payload").unwrap();
        }
        store.complete_upload((BID, &place, name), id, &[1, 2], &options()).unwrap();
        let reader = store.open_object(BID, &place, name).unwrap().unwrap();
        assert!(store.delete(BID, &place, name).unwrap());
        assert_eq!(support::blobs_on(dir.path()).len(), 2, "the reader keeps the payload");
        reader
    };
    let store = open();
    drop(deleted_while_read(&store));
    store.tidy().unwrap();
    assert_eq!(support::blobs_on(dir.path()).len(), 0);
    // A store that is closed before: at the end, or at the next start.
    drop(deleted_while_read(&store));
    store.close().unwrap();
    assert_eq!(support::blobs_on(dir.path()).len(), 0);
    drop(store);
    let store = open();
    let reader = deleted_while_read(&store);
    store.close().unwrap();
    drop((store, reader));
    let store = open();
    for _ in 0..500 {
        if support::blobs_on(dir.path()).is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    drop(store);
    panic!("{} blobs left after the next start", support::blobs_on(dir.path()).len());
}
