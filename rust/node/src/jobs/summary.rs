//! What a target's share of some buckets amounts to: one pass over the index, in constant memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_store::{ListQuery, Standing};
use http::Method;
use serde::{Deserialize, Serialize};

use crate::http::{Reply, Req, reply};
use crate::target::Target;
use crate::target::failure::store_failure;
use crate::tasks::lost_task;

/// Objects read between two looks at the clock of others.
const PAGE: usize = 1000;
/// Unit in which files take space.
const BLOCK_BYTES: u64 = 4096;

/// What to sum up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SummaryAsk {
    pub(crate) buckets: Vec<Bucket>,
    pub(crate) prefix: String,
}

/// One target's part of one bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Partial {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    /// Smallest object; without meaning when there is none.
    pub(crate) min: u64,
    pub(crate) max: u64,
    /// Bytes of files, copies included.
    pub(crate) on_disk: u64,
    /// Size of this target's disks.
    pub(crate) disks: u64,
}

impl Partial {
    fn add(&mut self, size: u64) {
        self.min = if self.objects == 0 { size } else { self.min.min(size) };
        self.max = self.max.max(size);
        self.objects += 1;
        self.bytes += size;
    }

    /// Joins the parts of two targets.
    pub(crate) fn join(self, other: &Self) -> Self {
        let min = match (self.objects, other.objects) {
            (0, _) => other.min,
            (_, 0) => self.min,
            _ => self.min.min(other.min),
        };
        Self {
            objects: self.objects + other.objects,
            bytes: self.bytes + other.bytes,
            min,
            max: self.max.max(other.max),
            on_disk: self.on_disk + other.on_disk,
            disks: self.disks + other.disks,
        }
    }
}

/// Tells the pass that nobody waits for it.
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl Target {
    /// Answers `POST /v1/jobs/summary`: a [`Partial`] per bucket of the [`SummaryAsk`], in its order.
    pub(crate) async fn summary(self: &Arc<Self>, req: &mut Req) -> Result<Reply, ApiError> {
        if req.method != Method::POST {
            return Ok(reply::method_not_allowed("POST"));
        }
        let ask: SummaryAsk = req.read_json().await?;
        self.state_for(req).await;
        let (ask, stop) = (Arc::new(ask), Arc::new(AtomicBool::new(false)));
        let _abandon = Abandon(Arc::clone(&stop));
        let patience = self.patience();
        loop {
            for bucket in &ask.buckets {
                self.settle(bucket, patience).await?;
            }
            let (target, ask, stop) = (Arc::clone(self), Arc::clone(&ask), Arc::clone(&stop));
            let buckets = Arc::clone(&ask);
            let work = tokio::task::spawn_blocking(move || {
                let disks = target.disk_bytes();
                let one = |bucket| target.sum_up(bucket, &ask.prefix, disks, &stop);
                ask.buckets.iter().map(one).collect::<Result<Vec<_>, _>>()
            });
            let sums = work.await.map_err(|err| lost_task(&err))??;
            // A rename that began meanwhile may have taken objects away before they were counted.
            if buckets.buckets.iter().all(|bucket| self.is_settled(bucket)) {
                return Ok(reply::json(&sums));
            }
        }
    }

    /// Size of the file systems under the mountpaths, each once.
    fn disk_bytes(&self) -> u64 {
        let mut seen = std::collections::BTreeSet::new();
        let usage = self.objects.store.usage().into_iter();
        usage.filter(|usage| seen.insert(usage.fs_id)).map(|usage| usage.total).sum()
    }

    fn sum_up(
        &self,
        bucket: &Bucket,
        prefix: &str,
        disks: u64,
        stop: &AtomicBool,
    ) -> Result<Partial, ApiError> {
        let gone = || ApiError::bucket_not_found(bucket);
        let bid = self.ctx.state().bmd.get(bucket).ok_or_else(gone)?.bid;
        let mut sum = Partial { disks, ..Partial::default() };
        let mut after = String::new();
        while !stop.load(Relaxed) {
            let query = ListQuery {
                prefix,
                after: &after,
                limit: PAGE,
                delimiter: false,
                meta: false,
                copies: true,
                unames: None,
            };
            let chunk = self.objects.store.list(bid, &query);
            let chunk = chunk.map_err(|err| store_failure(&err, &bucket.cname()))?;
            for entry in &chunk.entries {
                sum.on_disk += entry.meta.size.div_ceil(BLOCK_BYTES) * BLOCK_BYTES + BLOCK_BYTES;
                if entry.standing == Standing::Main {
                    sum.add(entry.meta.size);
                }
            }
            match chunk.entries.into_iter().last().filter(|_| chunk.more) {
                Some(last) => after = last.name,
                None => break,
            }
        }
        // One that was destroyed meanwhile has no meaningful sum.
        let still = self.ctx.state().bmd.get(bucket).is_some_and(|props| props.bid == bid);
        if still { Ok(sum) } else { Err(gone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_join_and_an_empty_part_has_no_minimum() {
        let part = |sizes: &[u64]| {
            let mut part = Partial { disks: 10, ..Partial::default() };
            for size in sizes {
                part.add(*size);
            }
            part
        };
        let joined = part(&[]).join(&part(&[7, 3])).join(&part(&[5])).join(&part(&[]));
        assert_eq!((joined.objects, joined.bytes, joined.min, joined.max), (3, 15, 3, 7));
        assert_eq!(joined.disks, 40);
        assert_eq!(part(&[]).join(&part(&[])).min, 0);
    }
}
