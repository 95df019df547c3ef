//! The write policies of the buckets (`write_policy.data`), as the store goes by them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use aistore_cluster::Bmd;
use aistore_store::Store;

/// Version of the buckets whose policies the store has.
#[derive(Default)]
pub(crate) struct Policies {
    version: AtomicU64,
    change: Mutex<()>,
}

impl Policies {
    /// Hands the store the policies of these buckets, unless it has those of newer ones.
    pub(crate) fn follow(&self, store: &Store, bmd: &Bmd) {
        if self.has(bmd) {
            return;
        }
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.has(bmd) {
            let named = bmd.iter().map(|(_, props)| (props.bid, props.write_policy.data));
            store.set_write_policies(named.collect());
            self.version.store(bmd.version, Ordering::Release);
        }
    }

    fn has(&self, bmd: &Bmd) -> bool {
        self.version.load(Ordering::Acquire) >= bmd.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aistore_core::bucket::Bucket;
    use aistore_core::config::{ClusterConfig, WritePolicy};
    use aistore_core::props::BucketProps;
    use aistore_store::{PutOptions, StoreConfig};

    #[test]
    fn older_buckets_change_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let config = StoreConfig::new(vec![directory.path().to_owned()]);
        let store = Store::open(StoreConfig { write_policy: WritePolicy::Immediate, ..config });
        let (store, policies) = (store.unwrap(), Policies::default());
        let bmd = |version, data| {
            let bucket = Bucket::ais("b");
            let mut props = BucketProps::new(&ClusterConfig::default(), &bucket, 7, 42);
            props.write_policy.data = data;
            let buckets = serde_json::json!([{"bucket": bucket, "props": props}]);
            let bmd = serde_json::json!({"uuid": "", "version": version, "buckets": buckets});
            serde_json::from_value::<Bmd>(bmd).unwrap()
        };
        let synced_by_a_put = || {
            let before = store.syncs();
            store.begin_put(7, "u", "o", PutOptions::default()).unwrap().finish().unwrap();
            store.syncs() > before
        };
        assert!(synced_by_a_put(), "of a bucket that is not known yet");
        policies.follow(&store, &bmd(2, WritePolicy::Never));
        assert!(!synced_by_a_put());
        policies.follow(&store, &bmd(1, WritePolicy::Immediate));
        assert!(!synced_by_a_put());
        policies.follow(&store, &bmd(3, WritePolicy::Immediate));
        assert!(synced_by_a_put());
    }
}
