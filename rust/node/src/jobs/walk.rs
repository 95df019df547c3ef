//! Walking a bucket's objects on this target, a page at a time.

use std::sync::Arc;

use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_store::{ListChunk, ListQuery, Listed, Standing};
use futures_util::{StreamExt as _, stream};

use super::Job;
use crate::target::Target;
use crate::target::failure::store_failure;
use crate::target::objects::ObjectRef;
use crate::tasks::lost_task;

/// Objects of one page, which is what a walk has in memory.
const PAGE: usize = 256;
/// Workers of a job that leaves the number to the target.
const AUTO_WORKERS: usize = 4;
/// Most workers of one job on one target.
const MAX_WORKERS: usize = 64;

/// What to walk.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    pub(super) bucket: Bucket,
    pub(super) bid: u64,
    pub(super) prefix: String,
    pub(super) non_recursive: bool,
}

impl Walk {
    /// The object of that name.
    pub(super) fn object(&self, name: &str) -> ObjectRef {
        let uname = self.bucket.object_uname(name);
        ObjectRef { bucket: self.bucket.clone(), name: name.to_owned(), bid: self.bid, uname }
    }

    /// Objects after `after`, without directories, and where to go on.
    async fn page(
        &self,
        target: &Arc<Target>,
        after: String,
    ) -> Result<(Vec<Listed>, Option<String>), ApiError> {
        let (target, walk) = (Arc::clone(target), self.clone());
        let listed = tokio::task::spawn_blocking(move || {
            let query = ListQuery {
                prefix: &walk.prefix,
                after: &after,
                limit: PAGE,
                delimiter: walk.non_recursive,
                meta: false,
                copies: false,
                unames: None,
            };
            let listed = target.objects.store.list(walk.bid, &query);
            listed.map_err(|err| store_failure(&err, &walk.bucket.cname()))
        });
        let ListChunk { mut entries, more } = listed.await.map_err(|err| lost_task(&err))??;
        let next = entries.last().filter(|_| more).map(|entry| entry.name.clone());
        entries.retain(|entry| entry.standing == Standing::Main);
        Ok((entries, next))
    }

    /// Calls `work` for each object, some at a time; the first error ends it. Answers how many there were.
    pub(super) async fn for_each<F, W>(
        &self,
        target: &Arc<Target>,
        job: &Arc<Job>,
        workers: usize,
        work: W,
    ) -> Result<u64, ApiError>
    where
        F: Future<Output = Result<(), ApiError>>,
        W: Fn(Listed) -> F,
    {
        let (mut after, mut count) = (String::new(), 0);
        loop {
            job.check()?;
            let (entries, next) = self.page(target, after).await?;
            count += entries.len() as u64;
            let mut running =
                stream::iter(entries.into_iter().map(&work)).buffer_unordered(workers);
            while let Some(done) = running.next().await {
                done?;
            }
            match next {
                Some(last) => after = last,
                None => return Ok(count),
            }
        }
    }
}

/// Number of workers for what a client asked: 0 leaves it to the target, negative is one.
pub(super) fn workers(asked: i64) -> usize {
    match asked {
        0 => AUTO_WORKERS,
        n => usize::try_from(n).unwrap_or(1).clamp(1, MAX_WORKERS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_bounded() {
        assert_eq!([workers(0), workers(-1), workers(3), workers(i64::MAX)], [4, 1, 3, 64]);
    }
}
