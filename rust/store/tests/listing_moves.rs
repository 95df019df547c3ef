//! Listings while objects move between mountpaths: what exists throughout is in each of them, once.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "in tests a panic is the report")]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::{BID, Fixture, delete, expected_list, list, put, query, resilver};

const DIRS: usize = 12;
/// Enough that a listing without recursion seeks over the rest of a directory.
const FILES: usize = 60;
const RUN: Duration = Duration::from_secs(6);

/// Ends the listings, also when the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn names() -> BTreeMap<String, usize> {
    let files = |dir| (0..FILES).map(move |file| (format!("k/{dir:02}/{file:02}"), file));
    (0..DIRS).flat_map(files).chain((0..40).map(|i| (format!("k/{i:02}"), i))).collect()
}

#[test]
fn every_listing_has_each_object_once_while_all_of_them_move() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    let names = names();
    for name in names.keys() {
        put(&store, name, name.as_bytes()).unwrap();
    }
    let (stop, listings) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // Pages of every length, so that both one scan and many meet a move.
        for (delimiter, page) in [(false, 10_000), (false, 90), (true, 10_000), (true, 5)] {
            let (store, stop, listings) = (&store, &stop, &listings);
            let wanted = expected_list(&names, "k/", delimiter);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let found = list(store, "k/", delimiter, page);
                    assert!(found == wanted, "{delimiter} {page}: {found:?}");
                    listings.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let (inner, others) = (&stop, &store);
        // Names that come and go between the others must not shift the pages.
        scope.spawn(move || {
            while !inner.load(Ordering::Relaxed) {
                put(others, "j/comes", b"and goes").unwrap();
                delete(others, "j/comes");
            }
        });
        let _stop = StopOnDrop(&stop);
        let (until, mut moved) = (Instant::now() + RUN, 0);
        for path in fixture.paths.iter().cycle() {
            if Instant::now() > until {
                break;
            }
            store.detach(path, true).unwrap();
            moved += resilver(&store, 1).moved;
            store.attach(path).unwrap();
            moved += resilver(&store, 1).moved;
        }
        println!("{moved} moves, {} listings", listings.load(Ordering::Relaxed));
        assert!(moved > 100);
    });
    assert!(listings.load(Ordering::Relaxed) > 10);
    let chunk = store.list(BID, &query("k/", "", 10_000, false)).unwrap();
    assert_eq!(chunk.entries.len(), names.len());
}
