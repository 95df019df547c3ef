//! Open files of blobs, among readers and those who replace and remove the blobs.

use std::sync::Arc;

use aistore_core::config::WritePolicy;
use shuttle::thread;

use super::{Ground, explore, finds, get, put};

#[test]
fn no_file_of_a_removed_blob_stays_open() {
    open_files();
}

#[test]
fn open_files_fails_with_a_flaw() {
    finds("descriptors: kept unseen", open_files);
}

fn open_files() {
    let ground = Ground::new();
    explore(move || {
        let bid = ground.bucket();
        let (store, _dir) = ground.store(0, WritePolicy::Delayed);
        let store = Arc::new(store);
        put(&store, bid, "kept", 7, 10);
        put(&store, bid, "replaced", 1, 20);
        put(&store, bid, "deleted", 3, 30);
        let reader = |name: &'static str, allowed: &'static [Option<(u8, usize)>]| {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                for _ in 0..2 {
                    let found = get(&store, bid, name);
                    assert!(allowed.contains(&found), "{name}: {found:?}");
                }
            })
        };
        let readers = [
            reader("kept", &[Some((7, 10))]),
            reader("replaced", &[Some((1, 20)), Some((2, 25))]),
            reader("deleted", &[Some((3, 30)), None]),
        ];
        let other = Arc::clone(&store);
        let changer = thread::spawn(move || {
            put(&other, bid, "replaced", 2, 25);
            assert!(other.delete(bid, "deleted", "deleted").unwrap());
        });
        for one in readers.into_iter().chain([changer]) {
            one.join().unwrap();
        }
        let set = store.shared.set();
        let open = set.members()[0].descriptors.kept();
        assert!(open.len() <= 2);
        for file in open {
            use std::os::unix::fs::MetadataExt as _;
            assert_eq!(file.metadata().unwrap().nlink(), 1, "a removed blob is held open");
        }
    });
}
