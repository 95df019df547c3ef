//! Group commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use shuttle::thread;

use super::{explore, finds};
use crate::commit::Committer;
use crate::error::StoreError;
use crate::index::Change;
use crate::sync::Mutex;

/// What was written, and whether it was brought to the disk.
#[derive(Default)]
struct Written(Mutex<BTreeMap<Vec<u8>, bool>>);

impl Written {
    /// Writes a group, or fails when it has the key that fails.
    fn apply(&self, changes: Vec<Change>, sync: bool) -> Result<(), StoreError> {
        step!("model: group about to be written");
        let keys: Vec<_> = changes.into_iter().filter_map(key_of).collect();
        if keys.iter().any(|key| key == b"bad") {
            return Err(StoreError::Cancelled);
        }
        self.0.lock().unwrap().extend(keys.into_iter().map(|key| (key, sync)));
        Ok(())
    }

    fn has(&self, key: &[u8], sync: bool) -> bool {
        self.0.lock().unwrap().get(key).is_some_and(|synced| *synced >= sync)
    }
}

fn key_of(change: Change) -> Option<Vec<u8>> {
    match change {
        Change::Set { key, .. } | Change::Remove { key } => Some(key),
        _ => None,
    }
}

fn set(key: &[u8]) -> Change {
    Change::Set { key: key.to_vec(), value: Vec::new() }
}

#[test]
fn who_returns_is_written_and_nobody_waits_for_ever() {
    groups();
}

#[test]
fn groups_fails_with_a_flaw() {
    finds("commit: sync forgotten", groups);
}

fn groups() {
    explore(|| {
        let all = Arc::new((Committer::default(), Written::default()));
        let writers = [1_u8, 2, 3, 4].map(|writer| {
            let all = Arc::clone(&all);
            thread::spawn(move || {
                for change in [[writer, 0], [writer, 1]] {
                    let sync = writer % 2 == 0;
                    let apply = |group, sync| all.1.apply(group, sync);
                    all.0.commit(vec![set(&change)], sync, apply).unwrap();
                    assert!(all.1.has(&change, sync), "acknowledged before it was written");
                }
            })
        });
        for one in writers {
            one.join().unwrap();
        }
        assert_eq!(all.1.0.lock().unwrap().len(), 8);
    });
}

#[test]
fn all_writers_of_a_group_that_failed_hear_of_it_and_no_others() {
    failing_groups();
}

#[test]
fn failing_groups_fails_with_a_flaw() {
    finds("commit: one writer told", failing_groups);
}

fn failing_groups() {
    explore(|| {
        let all = Arc::new((Committer::default(), Written::default()));
        let writers = [&b"one"[..], b"bad", b"two", b"bad"].map(|key| {
            let all = Arc::clone(&all);
            thread::spawn(move || {
                let done =
                    all.0.commit(vec![set(key)], false, |group, sync| all.1.apply(group, sync));
                assert_eq!(done.is_ok(), all.1.has(key, false), "{key:?}: {done:?}");
            })
        });
        for one in writers {
            one.join().unwrap();
        }
        // It goes on after a failure.
        all.0.commit(vec![set(b"three")], true, |group, sync| all.1.apply(group, sync)).unwrap();
        assert!(all.1.has(b"three", true));
    });
}
