//! What is urgent, when.

use std::collections::HashMap;

use super::*;
use crate::config::Limits;

const BID: u64 = 7;

struct Ground {
    policies: Policies,
    unsynced: Unsynced,
    files: Files,
    segments: Segments,
    dir: tempfile::TempDir,
}

impl Ground {
    fn new(policy: WritePolicy) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(dir.path()).unwrap();
        let limits = Limits {
            cache_bytes: 0,
            descriptors: 2,
            max_record_bytes: 4096,
            segment_bytes: 1 << 20,
        };
        let segments = Segments::open(files.path("segments"), true, limits).unwrap();
        let policies = Policies::new(policy);
        Self { unsynced: Unsynced::new(policies.clone()), policies, files, segments, dir }
    }

    fn set(&self, policy: WritePolicy) {
        self.policies.set(HashMap::from([(BID, policy)]));
    }

    /// Notes a blob that was written under this promise.
    fn note(&self, promise: Promise) {
        let file = || File::create(self.dir.path().join("file")).ok();
        assert!(!self.unsynced.file(BlobId(1), file, promise));
    }

    fn syncs(&self, sync: impl FnOnce(&Self) -> Result<(), StoreError>) -> u64 {
        let before = self.unsynced.syncs();
        sync(self).unwrap();
        self.unsynced.syncs() - before
    }

    /// A commit that must be on the disk.
    fn commit(&self) -> u64 {
        self.syncs(|this| this.unsynced.sync_urgent(&this.files, &this.segments))
    }

    fn write_back(&self) -> u64 {
        self.syncs(|this| this.unsynced.sync_all(BlobId(0), &this.files, &this.segments).map(drop))
    }
}

#[test]
fn what_was_written_under_an_older_promise_is_urgent_though_others_synced_meanwhile() {
    for loose in [WritePolicy::Delayed, WritePolicy::Never] {
        let ground = Ground::new(loose);
        let before = ground.policies.promise(BID);
        ground.note(before);
        assert_eq!(ground.commit(), 0, "of a bucket that was immediate all along");
        ground.set(WritePolicy::Immediate);
        assert_eq!(ground.commit(), 1, "takes along what was noted");
        // Another writer asked for the policy before it changed, and comes to note its blob only now. Its commit
        // must be on the disk.
        ground.note(before);
        assert_eq!(ground.commit(), 1);
        assert_eq!(ground.write_back(), 0);
    }
}

#[test]
fn what_nobody_promised_is_written_back_once_it_is_delayed() {
    let ground = Ground::new(WritePolicy::Never);
    ground.note(ground.policies.promise(BID));
    assert_eq!(ground.write_back(), 0);
    ground.set(WritePolicy::Delayed);
    assert_eq!(ground.write_back(), 1);
    ground.note(ground.policies.promise(BID));
    assert_eq!((ground.commit(), ground.write_back()), (0, 1));
}

#[test]
fn a_loose_promise_that_is_up_to_date_waits_for_nobody() {
    let ground = Ground::new(WritePolicy::Delayed);
    ground.set(WritePolicy::Immediate);
    ground.set(WritePolicy::Delayed);
    assert_eq!(ground.commit(), 0);
    ground.note(ground.policies.promise(BID));
    assert_eq!(ground.commit(), 0);
    assert_eq!(ground.write_back(), 1);
}
