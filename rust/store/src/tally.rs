//! How much is stored on a mountpath, counted as it comes and goes.
//!
//! Three counts, each kept where the change happens: entries of the index by bucket, at the commit; live records of
//! segments, when they are placed and discarded; blobs that are files, when they get their name and lose it. What
//! else lies on a mountpath (uploads under way, append sessions, what was set aside) is in directories that are
//! small by nature and looked at when asked for.
//!
//! The counts are written down at a close. After a crash they begin at zero, go on with every change, and a thread
//! counts what there was at the start: the index as it was then, and the files in an order that tells for each
//! change whether that thread has been there. Until it is done the counts are known to be too small.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::codec::{self, RESERVED_BID};
use crate::error::StoreError;
use crate::index::{Change, Index};
use crate::meta::{BlobId, Role};
use crate::segments::{Location, stride};
use crate::uploads;

/// Looks at whether to stop, in entries counted.
const CHECK_EVERY: usize = 1024;

/// What a bucket has on one mountpath.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BucketUsage {
    /// Objects.
    pub objects: u64,
    /// Bytes of their payload, wherever it lies.
    pub bytes: u64,
    /// Further representations of objects, see [`Role::Copy`].
    pub copies: u64,
    /// Bytes of their payload.
    pub copy_bytes: u64,
}

/// A number and a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// How many bytes they have together.
    pub bytes: u64,
}

/// Counts as they are written down.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) buckets: BTreeMap<u64, BucketUsage>,
    pub(crate) upload_parts: Amount,
    pub(crate) records: Amount,
    pub(crate) files: Amount,
}

/// The counts that follow from index and segments.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    buckets: Mutex<HashMap<u64, Counts>>,
    records: Sum,
    /// Whether all that there was at the start is in.
    complete: AtomicBool,
    /// What there was at the start, before it is counted.
    initial: Mutex<Option<Initial>>,
    /// Ends the count.
    pub(crate) stop: AtomicBool,
}

/// Entries of a bucket; below zero while what there was at the start is being counted.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    objects: (i64, i64),
    copies: (i64, i64),
}

#[derive(Debug, Default)]
struct Sum {
    count: AtomicI64,
    bytes: AtomicI64,
}

/// Index and locations as they were at the start.
struct Initial {
    entries: Box<dyn Iterator<Item = Result<crate::index::Entry, StoreError>> + Send>,
    locations: Box<dyn Iterator<Item = Result<(BlobId, Location), StoreError>> + Send>,
}

impl std::fmt::Debug for Initial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Initial(..)")
    }
}

/// What an entry adds to the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weight {
    bid: u64,
    copy: bool,
    bytes: u64,
}

/// What a change does to the counts, once it is committed.
#[derive(Debug, Default)]
pub(crate) struct Delta(Vec<(Weight, i64)>);

impl Tally {
    /// The counts of an index that nobody has changed yet in this run.
    pub(crate) fn start(index: &Index, saved: Option<&Saved>) -> Self {
        let tally = Self::default();
        let Some(saved) = saved else {
            let all = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
            let (entries, locations) = (Box::new(index.range(all)), Box::new(index.locations()));
            *tally.initial() = Some(Initial { entries, locations });
            return tally;
        };
        let mut buckets = tally.buckets();
        for (bid, usage) in &saved.buckets {
            let counts = Counts {
                objects: (signed(usage.objects), signed(usage.bytes)),
                copies: (signed(usage.copies), signed(usage.copy_bytes)),
            };
            buckets.insert(*bid, counts);
        }
        let parts = (signed(saved.upload_parts.count), signed(saved.upload_parts.bytes));
        buckets.insert(RESERVED_BID, Counts { objects: parts, copies: (0, 0) });
        drop(buckets);
        tally.records.add(signed(saved.records.count), signed(saved.records.bytes));
        tally.complete.store(true, Ordering::Release);
        tally
    }

    /// What these changes will do to the counts. Changes of one key are never made at the same time. Where
    /// that cannot be told the changes are made all the same, and the counts are no longer known.
    pub(crate) fn weigh(&self, index: &Index, changes: &[Change]) -> Delta {
        Self::try_weigh(index, changes).unwrap_or_else(|error| {
            tracing::error!(%error, "what is stored is counted again at the next start");
            self.spoil();
            Delta::default()
        })
    }

    fn try_weigh(index: &Index, changes: &[Change]) -> Result<Delta, StoreError> {
        let mut delta = Delta::default();
        // Of several changes of a key each follows on the one before.
        let mut seen: HashMap<&[u8], Option<Weight>> = HashMap::new();
        for change in changes {
            let (key, new) = match change {
                Change::Set { key, value } => (key.as_slice(), weight(key, value)),
                Change::Remove { key } => (key.as_slice(), None),
                Change::Place { .. } | Change::Unplace { .. } => continue,
            };
            let old = match seen.get(key) {
                Some(known) => *known,
                None => index.get(key)?.and_then(|value| weight(key, &value)),
            };
            delta.0.extend(old.map(|weight| (weight, -1)));
            delta.0.extend(new.map(|weight| (weight, 1)));
            if changes.len() > 1 {
                seen.insert(key, new);
            }
        }
        Ok(delta)
    }

    /// Counts what was committed.
    pub(crate) fn add(&self, delta: &Delta) {
        if delta.0.is_empty() {
            return;
        }
        let mut buckets = self.buckets();
        for (weight, sign) in &delta.0 {
            add_to(&mut buckets, *weight, *sign);
        }
    }

    /// Counts a record that was placed, or (-1) discarded.
    pub(crate) fn record(&self, at: Location, sign: i64) {
        self.records.add(sign, sign * signed(stride(u64::from(at.length))));
    }

    /// The counts are no longer known: a commit failed.
    pub(crate) fn spoil(&self) {
        self.stop.store(true, Ordering::Relaxed);
        *self.initial() = None;
        self.complete.store(false, Ordering::Release);
    }

    /// Counts what there was at the start; `false` when that was ended early or cannot be done.
    pub(crate) fn count(&self, path: &std::path::Path) -> bool {
        let Some(initial) = self.initial().take() else { return self.is_complete() };
        match self.count_all(initial) {
            Ok(true) => {
                self.complete.store(true, Ordering::Release);
                // A commit may have failed meanwhile.
                if self.stop.load(Ordering::Relaxed) {
                    self.complete.store(false, Ordering::Release);
                }
                self.is_complete()
            }
            Ok(false) => false,
            Err(error) => {
                tracing::error!(mountpath = %path.display(), %error, "what is stored cannot be counted");
                false
            }
        }
    }

    fn count_all(&self, initial: Initial) -> Result<bool, StoreError> {
        let mut found = HashMap::new();
        for (at, entry) in initial.entries.enumerate() {
            if at % CHECK_EVERY == 0 && self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let (key, value) = entry?;
            if let Some(weight) = weight(&key, &value) {
                add_to(&mut found, weight, 1);
            }
        }
        let (mut records, mut bytes) = (0, 0);
        for (at, entry) in initial.locations.enumerate() {
            if at % CHECK_EVERY == 0 && self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            records += 1;
            bytes += signed(stride(u64::from(entry?.1.length)));
        }
        self.records.add(records, bytes);
        let mut buckets = self.buckets();
        for (bid, counts) in found {
            let known = buckets.entry(bid).or_default();
            add_pair(&mut known.objects, counts.objects);
            add_pair(&mut known.copies, counts.copies);
        }
        Ok(true)
    }

    /// Whether the counts are exact.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// The counts, but for files.
    pub(crate) fn read(&self) -> Saved {
        let known = self.buckets().clone();
        let mut saved = Saved { records: self.records.read(), ..Saved::default() };
        for (bid, counts) in known {
            let (objects, bytes) = (unsigned(counts.objects.0), unsigned(counts.objects.1));
            let (copies, copy_bytes) = (unsigned(counts.copies.0), unsigned(counts.copies.1));
            if bid == RESERVED_BID {
                saved.upload_parts = Amount { count: objects, bytes };
            } else if objects + bytes + copies + copy_bytes > 0 {
                saved.buckets.insert(bid, BucketUsage { objects, bytes, copies, copy_bytes });
            }
        }
        saved
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<u64, Counts>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn initial(&self) -> MutexGuard<'_, Option<Initial>> {
        self.initial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sum {
    fn add(&self, count: i64, bytes: i64) {
        self.count.fetch_add(count, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn read(&self) -> Amount {
        let (count, bytes) = (&self.count, &self.bytes);
        Amount {
            count: unsigned(count.load(Ordering::Relaxed)),
            bytes: unsigned(bytes.load(Ordering::Relaxed)),
        }
    }
}

fn add_to(buckets: &mut HashMap<u64, Counts>, weight: Weight, sign: i64) {
    let counts = buckets.entry(weight.bid).or_default();
    let pair = if weight.copy { &mut counts.copies } else { &mut counts.objects };
    add_pair(pair, (sign, sign * signed(weight.bytes)));
}

fn add_pair(to: &mut (i64, i64), what: (i64, i64)) {
    to.0 += what.0;
    to.1 += what.1;
}

/// What an entry adds; `None` for one that is neither an object, nor a copy, nor a part of an upload.
fn weight(key: &[u8], value: &[u8]) -> Option<Weight> {
    let (bid, _) = codec::split_key(key)?;
    if bid == RESERVED_BID {
        let (_, name) = codec::split_key(key)?;
        uploads::of_part(name)?;
        let parts = uploads::parts_of_entry(name, value)?;
        return Some(Weight { bid, copy: false, bytes: parts.iter().map(|part| part.size).sum() });
    }
    let (role, bytes) = codec::decode_standing(value)?;
    Some(Weight { bid, copy: !matches!(role, Role::Object), bytes })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
