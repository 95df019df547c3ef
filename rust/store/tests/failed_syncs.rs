//! What a store does once a disk did not take what it was given.
//!
//! Each test runs itself again in a process of its own, on a twin of the file system that lets calls fail.

#![allow(clippy::unwrap_used, reason = "in helpers of tests a panic is the report")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use aistore_core::checksum::ChecksumType;
use aistore_core::config::WritePolicy;
use aistore_store::{PartOptions, Store, StoreConfig, StoreError};
use aistore_testkit::{Call, Fault, Rule, SUPPORTED, Twin};
use support::{BID, get, put, uname};

const CHILD: &str = "STORE_FAILED_SYNCS_CHILD";
const EIO: Fault = Fault::Error(5);

/// Runs `work` in a process on a twin of an empty directory.
fn on_twin(test: &str, work: impl FnOnce(&Twin, &Path)) {
    if let Ok(directory) = std::env::var(CHILD) {
        let directory = PathBuf::from(directory);
        return work(Twin::install(&directory, None).unwrap(), &directory);
    }
    if !SUPPORTED {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, directory.path())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

fn open(directory: &Path, mountpaths: usize, write_policy: WritePolicy) -> Store {
    let paths = (0..mountpaths).map(|number| directory.join(format!("mp{number}"))).collect();
    Store::open(StoreConfig { write_policy, ..StoreConfig::new(paths) }).unwrap()
}

fn is_refused<T: std::fmt::Debug>(done: &Result<T, StoreError>, what: &str) {
    assert!(matches!(done, Err(StoreError::Index { .. })), "{what}: {done:?}");
}

fn ended_in_order(directory: &Path) -> bool {
    let run = std::fs::read_to_string(directory.join("mp0/ais/run.json")).unwrap();
    run.contains("\"clean\":true")
}

#[test]
fn a_file_that_cannot_be_synced_ends_all_changes_of_its_mountpath() {
    let test = "a_file_that_cannot_be_synced_ends_all_changes_of_its_mountpath";
    on_twin(test, |twin, directory| {
        let store = open(directory, 1, WritePolicy::Immediate);
        let large = vec![7; 300_000];
        put(&store, "before", b"it").unwrap();
        twin.set_rules(1, vec![Rule::new(EIO, &[Call::Sync]).on("tmp/")]);
        put(&store, "large", &large).unwrap_err();
        assert_eq!(twin.end_rules().len(), 1);
        for policy in [WritePolicy::Immediate, WritePolicy::Delayed, WritePolicy::Never] {
            store.set_write_policies([(BID, policy)].into());
            is_refused(&put(&store, "small", b"x"), "a small put");
            is_refused(&put(&store, "large", &large), "a large put");
            is_refused(&store.delete(BID, &uname(BID, "before"), "before"), "a delete");
        }
        assert_eq!(get(&store, "before").unwrap(), b"it");
        store.close().unwrap_err();
        drop(store);
        assert!(!ended_in_order(directory));
        let store = open(directory, 1, WritePolicy::Immediate);
        put(&store, "large", &large).unwrap();
        support::swept(&store);
        store.close().unwrap();
        assert!(ended_in_order(directory));
    });
}

#[test]
fn a_part_that_was_under_way_when_a_write_back_failed_is_refused() {
    let test = "a_part_that_was_under_way_when_a_write_back_failed_is_refused";
    on_twin(test, |twin, directory| {
        for (size, policy) in [(500, WritePolicy::Delayed), (300_000, WritePolicy::Never)] {
            let store = open(directory, 2, WritePolicy::Delayed);
            store.set_write_policies([(BID, policy)].into());
            let object = (BID, &*uname(BID, "o"), "o");
            let id = store.start_upload(object, BTreeMap::new(), ChecksumType::Xxhash2, 7).unwrap();
            let begin =
                |number| store.begin_part((BID, "o"), id, number, PartOptions::default()).unwrap();
            // On either mountpath.
            let mut parts = [begin(1), begin(2)];
            for part in &mut parts {
                part.write(&vec![7; size]).unwrap();
            }
            for number in 0..20 {
                put(&store, &format!("o{number}"), b"x").unwrap();
            }
            store.set_write_policies([(BID, WritePolicy::Delayed)].into());
            twin.set_rules(1, vec![Rule::new(EIO, &[Call::Sync])]);
            store.write_back().unwrap_err();
            twin.end_rules();
            store.set_write_policies([(BID, policy)].into());
            for part in parts {
                is_refused(&part.finish(), "a part");
            }
            store.close().unwrap_err();
        }
    });
}

#[test]
fn a_segment_that_is_in_the_way_of_the_next_is_passed_over() {
    on_twin("a_segment_that_is_in_the_way_of_the_next_is_passed_over", |twin, directory| {
        let store = open(directory, 1, WritePolicy::Delayed);
        let rule = |call| Rule::new(EIO, &[call]).on(".segment");
        twin.set_rules(1, vec![rule(Call::Write), rule(Call::Remove)]);
        put(&store, "o", b"one").unwrap_err();
        assert_eq!(twin.end_rules().len(), 2);
        put(&store, "o", b"two").unwrap();
        assert_eq!(get(&store, "o").unwrap(), b"two");
        drop(store);
        let store = open(directory, 1, WritePolicy::Delayed);
        assert_eq!(get(&store, "o").unwrap(), b"two");
        put(&store, "o", b"three").unwrap();
    });
}
