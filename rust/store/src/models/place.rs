//! Where blobs lie: commits of several threads, a compaction that moves, and who forgets a blob.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::thread;

use super::{Ground, explore, finds};
use crate::index::Change;
use crate::locations::Locations;
use crate::meta::BlobId;
use crate::segments::Location;

fn at(offset: u32) -> Location {
    Location { segment: 1, offset, length: 10 }
}

#[test]
fn a_blob_that_moves_is_never_missed_and_a_forgotten_one_never_comes_back() {
    places();
}

#[test]
fn places_fails_with_a_flaw() {
    finds("locations: leaving unseen", places);
}

fn places() {
    let (ground, next) = (Ground::new(), AtomicU64::new(1));
    let index = ground.index.clone();
    explore(move || {
        let [moved, forgotten] = [1, 2].map(|_| BlobId(next.fetch_add(1, Ordering::Relaxed)));
        let all = Arc::new((Locations::default(), index.clone()));
        for blob in [moved, forgotten] {
            all.0.place(blob, at(16));
        }
        let spawn = |work: fn(&Locations, &crate::index::Index, BlobId, BlobId)| {
            let all = Arc::clone(&all);
            thread::spawn(move || work(&all.0, &all.1, moved, forgotten))
        };
        let threads = [
            // Commits of two writers.
            spawn(|locations, index, _, _| {
                locations.apply(index, Vec::new(), false).unwrap();
            }),
            spawn(|locations, index, moved, _| {
                locations.apply(index, Vec::new(), false).unwrap();
                // On return what was pending before is in the index.
                assert!(
                    index.location(moved).unwrap().is_some(),
                    "a commit left out what was placed"
                );
            }),
            // A compaction.
            spawn(|locations, index, moved, forgotten| {
                assert!(locations.relocate(index, moved, at(16), at(100)).unwrap());
                locations.relocate(index, forgotten, at(16), at(200)).unwrap();
                locations.apply(index, Vec::new(), false).unwrap();
                assert_eq!(locations.get(index, moved).unwrap(), Some(at(100)));
            }),
            // A reader.
            spawn(|locations, index, moved, _| {
                for _ in 0..3 {
                    assert!(locations.get(index, moved).unwrap().is_some());
                }
            }),
            // Who deletes.
            spawn(|locations, index, _, forgotten| {
                let told = locations.take(index, forgotten).unwrap();
                assert!(told == Some(at(16)) || told == Some(at(200)));
                assert_eq!(locations.get(index, forgotten).unwrap(), None);
                locations.apply(index, vec![Change::Unplace { blob: BlobId(0) }], false).unwrap();
                assert_eq!(index.location(forgotten).unwrap(), None);
            }),
        ];
        for one in threads {
            one.join().unwrap();
        }
        let (locations, index) = &*all;
        locations.apply(index, Vec::new(), false).unwrap();
        assert!(locations.is_settled());
        assert_eq!(index.location(moved).unwrap(), Some(at(100)));
        assert_eq!(index.location(forgotten).unwrap(), None);
    });
}
