//! What is left of copies that have no object.

use std::time::{Duration, Instant};

use std::sync::Arc;

use super::*;
use crate::config::{Chunks, PutOptions, StoreConfig};
use crate::store::Store;

const BID: u64 = 7;

fn files(store: &Store) -> usize {
    let set = store.shared.set();
    let dirs = set.members().iter().flat_map(|one| one.files.blob_dirs().unwrap());
    dirs.map(|(_, dir)| std::fs::read_dir(dir).unwrap().count()).sum()
}

#[test]
fn parts_of_a_stray_copy_go_with_the_next_start_unless_another_object_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let paths = (0..3).map(|number| dir.path().join(format!("mp{number}"))).collect();
    let config = StoreConfig { max_record_bytes: 0, ..StoreConfig::new(paths) };
    let store = Store::open(config.clone()).unwrap();
    for name in ["stray", "renamed"] {
        let chunks = Some(Chunks { from: 1000, size: 1000 });
        let options =
            PutOptions { copies: 2, chunks, size_hint: Some(3000), ..PutOptions::default() };
        let mut writer = store.begin_put(BID, name, name, options).unwrap();
        writer.write(&[7; 3000]).unwrap();
        writer.finish().unwrap();
    }
    let one_object = files(&store) / 2;
    // As a put leaves it that is cut off between the entries of its copies and its own.
    let shared = &store.shared;
    let key = codec::key(BID, "stray");
    {
        let own = Arc::clone(shared.set().own("stray"));
        let meta = own.lookup(&key).unwrap().unwrap();
        own.commit(Change::Remove { key }).unwrap();
        own.discard(meta.blob);
    }
    // And a copy whose parts an object of another name has.
    let (from, to) = (codec::key(BID, "renamed"), codec::key(BID, "new"));
    let own = Arc::clone(shared.set().own("renamed"));
    let value = own.index.get(&from).unwrap().unwrap().to_vec();
    own.commit_all(vec![Change::Remove { key: from }, Change::Set { key: to, value }]).unwrap();

    let order = Order { copies: 2, bad: &[], renew: &[], cancel: &AtomicBool::new(false) };
    for name in ["stray", "renamed"] {
        let object = Named { bid: BID, uname: name, name };
        assert_eq!(settle(shared, object, &order).unwrap(), None);
    }
    store.close().unwrap();
    drop((own, store));
    let store = Store::open(config).unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while !store.is_swept() {
        assert!(Instant::now() < deadline, "not swept within a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
    // Without the description of its copy.
    assert_eq!(files(&store), one_object - 1);
}
