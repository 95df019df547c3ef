//! Bringing all objects to where they belong: after a change of the mountpaths, of the number of copies,
//! or after a crash.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::codec;
use crate::error::StoreError;
use crate::list::successor;
use crate::mountpath::Mountpath;
use crate::settle::{Named, Order, settle};
use crate::shared::Shared;

/// Keys read at once, so that no scan of the index stays open for long.
const BATCH: usize = 256;

/// Where an object belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Its name in the cluster, from which its mountpath follows.
    pub uname: String,
    /// How often it is to be stored on this target, itself included.
    pub copies: usize,
}

/// Tells the home of an object by bucket id and name; `None` for a bucket that is not known.
pub type Guide<'a> = dyn Fn(u64, &str) -> Option<Home> + Sync + 'a;

/// What a pass over the objects is told, and tells.
pub struct Pass<'a> {
    /// Where objects belong.
    pub guide: &'a Guide<'a>,
    /// Set by the caller to end the pass early.
    pub cancel: &'a AtomicBool,
    /// Called after each object that was moved or copied, with its uname and the bytes written.
    pub moved: &'a (dyn Fn(&str, u64) + Sync),
    /// Called for each object that could not be moved; the pass goes on.
    pub failed: &'a (dyn Fn(&str, &StoreError) + Sync),
}

impl std::fmt::Debug for Pass<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass").field("cancel", &self.cancel).finish_non_exhaustive()
    }
}

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passed {
    /// Objects looked at.
    pub seen: u64,
    /// Objects moved or copied.
    pub moved: u64,
    /// Objects that could not be.
    pub failed: u64,
    /// Objects of buckets that the guide does not know, which stay where they are.
    pub unknown: u64,
}

impl Passed {
    pub(crate) fn add(&mut self, other: Self) {
        self.seen += other.seen;
        self.moved += other.moved;
        self.failed += other.failed;
        self.unknown += other.unknown;
    }
}

/// Settles every object of one bucket, or of all. Objects for which a disk is too full count as failed, and
/// the first such refusal is left in `full`: the others still move.
pub(crate) fn pass(
    shared: &Shared,
    bid: Option<u64>,
    pass: &Pass<'_>,
    full: &mut Option<StoreError>,
) -> Result<Passed, StoreError> {
    let mut passed = Passed::default();
    let set = shared.set();
    for mountpath in set.members() {
        walk(mountpath, bid, pass.cancel, |bid, name| {
            passed.seen += 1;
            let Some(home) = (pass.guide)(bid, name) else {
                passed.unknown += 1;
                return Ok(());
            };
            let object = Named { bid, uname: &home.uname, name };
            let order = Order { copies: home.copies, bad: &[], renew: &[], cancel: pass.cancel };
            match settle(shared, object, &order) {
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    passed.moved += 1;
                    (pass.moved)(&home.uname, bytes);
                }
                Err(error @ (StoreError::Cancelled | StoreError::Closed)) => return Err(error),
                Err(error @ StoreError::TooFull { .. }) => {
                    passed.failed += 1;
                    full.get_or_insert(error);
                }
                Err(error) => {
                    passed.failed += 1;
                    (pass.failed)(&home.uname, &error);
                }
            }
            Ok(())
        })?;
    }
    Ok(passed)
}

/// Calls `visit` for each object key of a mountpath.
fn walk(
    mountpath: &Arc<Mountpath>,
    bid: Option<u64>,
    cancel: &AtomicBool,
    mut visit: impl FnMut(u64, &str) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    // Bucket id 0 is not a bucket's.
    let first = codec::key(bid.unwrap_or(1), "");
    let end = bid.and_then(|bid| successor(&codec::key(bid, "")));
    let mut from = Bound::Included(first);
    loop {
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let bounds = (from.as_ref().map(Vec::as_slice), end);
        let keys = mountpath.index.range(bounds).take(BATCH).map(|entry| entry.map(|(key, _)| key));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let Some(last) = keys.last() else { return Ok(()) };
        from = Bound::Excluded(last.to_vec());
        for key in &keys {
            if cancel.load(Ordering::Relaxed) {
                return Err(StoreError::Cancelled);
            }
            if let Some((bid, name)) = codec::split_key(key) {
                visit(bid, name)?;
            }
        }
    }
}
