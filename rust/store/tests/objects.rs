//! Objects through the public API: put, overwrite, read, delete, and what each refuses.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "in helpers of tests a panic is the report"
)]

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

use aistore_core::checksum::{ChecksumType, checksum};
use aistore_store::{MAX_CUSTOM_BYTES, MAX_NAME_BYTES, PutOptions, Store, StoreConfig, StoreError};
use support::{BID, Fixture, delete, get, get_in, kinds, options, put, put_in, uname};

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect()
}

#[test]
fn objects_of_all_sizes_are_read_back_before_and_after_a_restart() {
    let fixture = Fixture::new(3);
    let sizes = [0, 1, 511, 65_535, 65_536, 65_537, 200_000, 3_000_000];
    let store = fixture.open();
    for size in sizes {
        let meta = put(&store, &format!("o/{size}"), &pattern(size)).unwrap();
        assert_eq!((meta.size, meta.version), (size as u64, 1));
        assert_eq!(get(&store, &format!("o/{size}")).unwrap(), pattern(size), "{size}");
    }
    drop(store);
    let store = fixture.open();
    for size in sizes {
        assert_eq!(get(&store, &format!("o/{size}")).unwrap(), pattern(size), "{size}");
    }
    assert!(fixture.files("tmp").is_empty());
    let used = fixture.paths.iter().filter(|path| !support::blobs_on(path).is_empty());
    assert!(used.count() > 1, "objects spread over the mountpaths");
}

#[test]
fn overwrites_replace_count_versions_and_leave_one_blob() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    for version in 1..=5_u8 {
        let meta = put(&store, "name", &[version; 100]).unwrap();
        assert_eq!(meta.version, u64::from(version));
        assert_eq!(store.head(BID, &uname(BID, "name"), "name").unwrap(), Some(meta));
    }
    assert_eq!(get(&store, "name").unwrap(), [5; 100]);
    assert_eq!(fixture.blobs().len(), 1);
    let unversioned = PutOptions { versioned: false, ..options() };
    assert_eq!(put_in(&store, BID, "name", b"x", unversioned).unwrap().version, 0);
    assert_eq!(put(&store, "name", b"y").unwrap().version, 1);
}

#[test]
fn a_reader_keeps_its_version_through_overwrite_and_delete() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    for size in [10, 2_000_000] {
        put(&store, "name", &pattern(size)).unwrap();
        let reader = store.open_object(BID, &uname(BID, "name"), "name").unwrap().unwrap();
        put(&store, "name", b"new").unwrap();
        assert!(delete(&store, "name"));
        let mut bytes = vec![0; size];
        assert_eq!(reader.read_at(&mut bytes, 0).unwrap(), size);
        assert_eq!(bytes, pattern(size));
        assert_eq!(get(&store, "name"), None);
    }
}

#[test]
fn reads_end_with_the_payload() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    put(&store, "name", &pattern(1000)).unwrap();
    let reader = store.open_object(BID, &uname(BID, "name"), "name").unwrap().unwrap();
    let mut bytes = [0; 600];
    assert_eq!(reader.read_at(&mut bytes, 900).unwrap(), 100);
    assert_eq!(bytes[..100], pattern(1000)[900..]);
    for offset in [1000, 1001, u64::MAX] {
        assert_eq!(reader.read_at(&mut bytes, offset).unwrap(), 0);
        assert_eq!(reader.read_at_nowait(&mut bytes, offset).unwrap(), Some(0));
    }
    // Just written, so cached; a file system that cannot tell answers None.
    if let Some(read) = reader.read_at_nowait(&mut bytes, 500).unwrap() {
        assert_eq!(bytes[..read], pattern(1000)[500..500 + read]);
        assert!(read <= 500);
    }
    let (file, offset, left) = reader.locate(300).unwrap();
    let mut rest = vec![0; usize::try_from(left).unwrap()];
    file.read_exact_at(&mut rest, offset).unwrap();
    assert!(rest == pattern(1000)[300..]);
    assert!(reader.locate(1000).is_none());
    assert_eq!(reader.mountpath(), fixture.paths[0]);
}

#[test]
fn deletes_are_reported_once_and_free_the_blob() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    put(&store, "name", b"x").unwrap();
    assert!(delete(&store, "name"));
    assert!(!delete(&store, "name"));
    assert_eq!(store.head(BID, &uname(BID, "name"), "name").unwrap(), None);
    assert!(fixture.blobs().is_empty());
    assert_eq!(put(&store, "name", b"x").unwrap().version, 1, "a new object starts anew");
}

#[test]
fn checksums_of_every_type_are_stored_and_checked() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    let bytes = pattern(70_000);
    for kind in kinds() {
        for expected_kind in kinds() {
            let good = checksum(expected_kind, &bytes).to_uppercase();
            let with = |expected: String| PutOptions {
                checksum: kind,
                expected: Some((expected_kind, expected)),
                ..options()
            };
            let meta = put_in(&store, BID, "sum", &bytes, with(good)).unwrap();
            assert_eq!(meta.checksum, checksum(kind, &bytes));
            if expected_kind == ChecksumType::None {
                continue;
            }
            let error = put_in(&store, BID, "sum", b"other", with("00".into())).unwrap_err();
            assert!(matches!(&error, StoreError::Checksum { kind, .. } if *kind == expected_kind));
            assert!(error.to_string().contains(&checksum(expected_kind, b"other")), "{error}");
            assert_eq!(get(&store, "sum").unwrap(), bytes, "a refused put changes nothing");
        }
    }
    assert_eq!(fixture.blobs().len(), 1);
    assert!(fixture.files("tmp").is_empty());
}

#[test]
fn a_dropped_writer_leaves_nothing_behind() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    for size in [10, 300_000] {
        let mut writer = store.begin_put(BID, "u", "name", options()).unwrap();
        writer.write(&pattern(size)).unwrap();
        drop(writer);
    }
    assert!(fixture.files("tmp").is_empty() && fixture.blobs().is_empty());
    assert_eq!(get(&store, "name"), None);
}

#[test]
fn custom_metadata_and_times_survive_a_restart_and_a_rebuild() {
    let fixture = Fixture::new(1);
    let custom =
        BTreeMap::from([("source".to_owned(), "ü".repeat(3000)), (String::new(), "x".to_owned())]);
    let store = fixture.open();
    let meta = put_in(&store, BID, "name", b"x", PutOptions { custom, ..options() }).unwrap();
    drop(store);
    for rebuilt in [false, true] {
        if rebuilt {
            std::fs::remove_dir_all(fixture.paths[0].join("ais/index")).unwrap();
        }
        let store = fixture.open();
        assert_eq!(store.head(BID, &uname(BID, "name"), "name").unwrap().as_ref(), Some(&meta));
    }
}

#[test]
fn names_of_any_script_and_length_are_stored() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let long = "n".repeat(MAX_NAME_BYTES);
    let names =
        ["a", "/", "..", "../../etc/passwd", "ä/日本/🦀", "a\nb\0c", "\u{10ffff}", long.as_str()];
    for name in names {
        put(&store, name, name.as_bytes()).unwrap();
    }
    drop(store);
    let store = fixture.open();
    for name in names {
        assert_eq!(get(&store, name).unwrap(), name.as_bytes());
    }
    for (name, reason) in [("", "0"), (&format!("{long}n"), "8193")] {
        let error = put(&store, name, b"").unwrap_err();
        assert!(matches!(error, StoreError::Invalid(_)));
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn too_much_custom_metadata_is_refused() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    let fits = BTreeMap::from([("k".to_owned(), "v".repeat(MAX_CUSTOM_BYTES - 1))]);
    put_in(&store, BID, "name", b"", PutOptions { custom: fits, ..options() }).unwrap();
    let many = BTreeMap::from([("k".to_owned(), "v".repeat(MAX_CUSTOM_BYTES))]);
    let error = put_in(&store, BID, "name", b"", PutOptions { custom: many, ..options() });
    assert!(error.unwrap_err().to_string().contains("65537 bytes, the limit is 65536"));
}

#[test]
fn a_hint_beyond_the_disk_is_refused_at_once() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    let huge = PutOptions { size_hint: Some(u64::MAX), ..options() };
    let error = store.begin_put(BID, "u", "name", huge).unwrap_err();
    assert!(matches!(&error, StoreError::NoSpace { path } if *path == fixture.paths[0]));
    assert!(error.to_string().contains("mp0"), "{error}");
}

#[test]
fn a_mountpath_is_held_by_one_store_at_a_time() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let error = Store::open(StoreConfig::new(vec![fixture.paths[1].clone()])).unwrap_err();
    assert!(matches!(&error, StoreError::Locked { path } if *path == fixture.paths[1]), "{error}");
    drop(store);
    fixture.open();
}

#[test]
fn a_mountpath_of_another_layout_is_refused_and_left_alone() {
    let fixture = Fixture::new(1);
    drop(fixture.open());
    let marker = fixture.paths[0].join("ais/format.json");
    for content in [r#"{"version":99,"uuid":"x"}"#, "not json"] {
        std::fs::write(&marker, content).unwrap();
        let error = Store::open(fixture.config()).unwrap_err();
        assert!(matches!(error, StoreError::Format { .. }), "{error}");
        assert_eq!(std::fs::read_to_string(&marker).unwrap(), content);
    }
}

#[test]
fn an_unwritable_mountpath_is_a_clear_error() {
    let fixture = Fixture::new(1);
    let file = fixture.dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Store::open(StoreConfig::new(vec![file.join("below")])).unwrap_err();
    assert!(error.to_string().contains("file/below"), "{error}");
    let error = Store::open(StoreConfig::new(Vec::new())).unwrap_err();
    assert!(error.to_string().contains("at least one mountpath"), "{error}");

    std::fs::create_dir(&fixture.paths[0]).unwrap();
    let mode =
        |bits| std::fs::set_permissions(&fixture.paths[0], std::fs::Permissions::from_mode(bits));
    mode(0o555).unwrap();
    // A privileged user may write all the same.
    if let Err(error) = Store::open(fixture.config()) {
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
        assert!(error.to_string().contains("mp0"), "{error}");
    }
    mode(0o755).unwrap();
}

#[test]
fn a_closed_store_refuses_changes_and_still_reads() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    put(&store, "name", b"x").unwrap();
    let mut late = store.begin_put(BID, &uname(BID, "late"), "late", options()).unwrap();
    late.write(b"x").unwrap();
    store.close().unwrap();
    store.close().unwrap();
    assert!(matches!(late.finish(), Err(StoreError::Closed)));
    assert!(matches!(put(&store, "name", b"y"), Err(StoreError::Closed)));
    assert!(matches!(store.delete(BID, "u", "name"), Err(StoreError::Closed)));
    assert!(matches!(store.destroy_bucket(BID), Err(StoreError::Closed)));
    assert_eq!(get(&store, "name").unwrap(), b"x");
}

#[test]
fn destroying_a_bucket_removes_it_alone() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    for bid in [1, BID, BID + 1, u64::MAX] {
        for i in 0..if bid == BID { 1300 } else { 3 } {
            put_in(&store, bid, &format!("o{i}"), b"x", options()).unwrap();
        }
    }
    assert_eq!(store.buckets().unwrap(), [1, BID, BID + 1, u64::MAX]);
    assert_eq!(store.destroy_bucket(BID).unwrap(), 1300);
    assert_eq!(store.destroy_bucket(BID).unwrap(), 0);
    assert_eq!(store.buckets().unwrap(), [1, BID + 1, u64::MAX]);
    assert_eq!(store.destroy_bucket(u64::MAX).unwrap(), 3);
    assert_eq!(fixture.blobs().len(), 6);
    assert_eq!(get_in(&store, BID + 1, "o1").unwrap(), b"x");
    assert_eq!(get(&store, "o1"), None);
}

#[test]
fn concurrent_puts_of_one_name_count_every_version() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let store = &store;
            scope.spawn(move || {
                for i in 0..50_usize {
                    put(store, "hot", &vec![thread; 1000 + i]).unwrap();
                    let read = get(store, "hot").unwrap();
                    assert!(read.iter().all(|byte| *byte == read[0]), "one version, whole");
                }
            });
        }
    });
    assert_eq!(store.head(BID, &uname(BID, "hot"), "hot").unwrap().unwrap().version, 200);
    assert_eq!(fixture.blobs().len(), 1);
}

#[test]
fn usage_names_each_mountpath() {
    let fixture = Fixture::new(2);
    let usage = fixture.open().usage();
    assert_eq!(usage.iter().map(|one| one.path.clone()).collect::<Vec<_>>(), fixture.paths);
    assert!(usage.iter().all(|one| one.total > 0 && one.avail > 0));
    assert_eq!(usage[0].fs_id, usage[1].fs_id);
}
