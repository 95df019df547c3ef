//! Which write policy each bucket has.

use std::collections::HashMap;
use std::sync::Arc;

use aistore_core::config::WritePolicy;
use arc_swap::ArcSwap;

use crate::codec::{self, RESERVED_BID};

/// The policies of the buckets, for all mountpaths of a store.
#[derive(Debug, Clone)]
pub(crate) struct Policies(Arc<ArcSwap<Table>>);

#[derive(Debug)]
struct Table {
    /// Of buckets that nobody named.
    other: WritePolicy,
    named: Arc<HashMap<u64, WritePolicy>>,
    strictest: WritePolicy,
    /// How often a policy became stricter so far.
    tightened: u64,
}

/// The policy that a change goes by, and when it was asked for.
///
/// A policy may become stricter between the moment in which a blob asks for it and that in which its entry does, so
/// a promise that is older than what was synced meanwhile is not believed: see [`Unsynced`](super::Unsynced).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise {
    pub(super) policy: WritePolicy,
    /// How often a policy had become stricter then.
    pub(super) tightened: u64,
}

impl Promise {
    /// To be on the disk before a commit relies on it, whatever the policy of a bucket.
    pub(crate) fn immediate() -> Self {
        Self { policy: WritePolicy::Immediate, tightened: u64::MAX }
    }

    pub(crate) fn is_immediate(self) -> bool {
        self.policy == WritePolicy::Immediate
    }
}

impl Policies {
    pub(crate) fn new(other: WritePolicy) -> Self {
        let table = Table { other, named: Arc::default(), strictest: other, tightened: 0 };
        Self(Arc::new(ArcSwap::from_pointee(table)))
    }

    /// Names the policies of buckets; the rest keep the one that they have.
    pub(crate) fn set(&self, named: HashMap<u64, WritePolicy>) {
        let named = Arc::new(named);
        self.0.rcu(|before| {
            let other = before.other;
            let strictest = named.values().copied().fold(other, stricter);
            let tightened = before.tightened;
            let mut now = Table { other, named: Arc::clone(&named), strictest, tightened };
            let mut known = before.named.keys().chain(named.keys()).chain([&RESERVED_BID]);
            if known.any(|bid| rank(now.of(*bid)) > rank(before.of(*bid))) {
                now.tightened += 1;
            }
            now
        });
    }

    pub(crate) fn of(&self, bid: u64) -> WritePolicy {
        self.0.load().of(bid)
    }

    /// The policy of the bucket that an index key belongs to.
    pub(crate) fn of_key(&self, key: &[u8]) -> WritePolicy {
        self.of(codec::bid_of(key))
    }

    /// What a change of a bucket goes by that begins now.
    pub(crate) fn promise(&self, bid: u64) -> Promise {
        let table = self.0.load();
        Promise { policy: table.of(bid), tightened: table.tightened }
    }

    /// How often a policy became stricter so far.
    pub(super) fn tightened(&self) -> u64 {
        self.0.load().tightened
    }
}

impl Table {
    fn of(&self, bid: u64) -> WritePolicy {
        if bid == RESERVED_BID {
            // Uploads and intents are of any bucket.
            return self.strictest;
        }
        self.named.get(&bid).copied().unwrap_or(self.other)
    }
}

fn stricter(one: WritePolicy, other: WritePolicy) -> WritePolicy {
    if rank(one) >= rank(other) { one } else { other }
}

fn rank(policy: WritePolicy) -> u8 {
    match policy {
        WritePolicy::Immediate => 2,
        WritePolicy::Delayed => 1,
        WritePolicy::Never => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use WritePolicy::{Delayed, Immediate, Never};

    #[test]
    fn entries_of_no_bucket_have_the_strictest_policy() {
        let policies = Policies::new(Never);
        assert_eq!(policies.of(7), Never);
        assert_eq!(policies.of(RESERVED_BID), Never);
        policies.set([(7, Immediate), (8, Delayed)].into());
        let of_key = |bid| policies.of_key(&codec::key(bid, "name"));
        assert_eq!(of_key(7), Immediate);
        assert_eq!(of_key(8), Delayed);
        assert_eq!(of_key(9), Never);
        assert_eq!(of_key(RESERVED_BID), Immediate);
        policies.set([(8, Delayed)].into());
        assert_eq!(policies.of(RESERVED_BID), Delayed);
    }

    #[test]
    fn only_a_stricter_policy_counts_as_tightened() {
        let policies = Policies::new(Delayed);
        let tightened_by = |named: &[(u64, WritePolicy)]| {
            let before = policies.tightened();
            policies.set(named.iter().copied().collect());
            policies.tightened() > before
        };
        assert!(!tightened_by(&[(7, Delayed)]));
        assert!(!tightened_by(&[(7, Never)]));
        assert!(tightened_by(&[(7, Delayed)]), "never to delayed");
        assert!(tightened_by(&[(7, Immediate)]));
        assert!(!tightened_by(&[(7, Immediate)]));
        assert!(!tightened_by(&[(7, Never)]));
        assert!(tightened_by(&[]), "what is not named is delayed");
    }
}
