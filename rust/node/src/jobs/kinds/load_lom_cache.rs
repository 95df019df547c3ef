//! Reads the metadata of every object of a bucket, so that the index is in memory before the first use.

use std::sync::Arc;

use aistore_core::error::ApiError;
use aistore_store::ListQuery;

use crate::jobs::Job;
use crate::target::Target;
use crate::target::failure::store_failure;
use crate::tasks::lost_task;

/// Objects read between two looks at the abort flag.
const PAGE: usize = 1000;

pub(crate) async fn run(target: Arc<Target>, job: Arc<Job>) -> Result<(), ApiError> {
    let bucket = job.bucket()?.clone();
    let state = target.ctx.state();
    let bid = state.bmd.get(&bucket).ok_or_else(|| ApiError::bucket_not_found(&bucket))?.bid;
    let work = tokio::task::spawn_blocking(move || {
        let mut after = String::new();
        loop {
            job.check()?;
            let query = ListQuery {
                prefix: "",
                after: &after,
                limit: PAGE,
                delimiter: false,
                meta: true,
                copies: false,
                unames: None,
            };
            let chunk = target.objects.store.list(bid, &query);
            let chunk = chunk.map_err(|err| store_failure(&err, &bucket.cname()))?;
            let bytes = chunk.entries.iter().map(|entry| entry.meta.size).sum();
            job.add_local(chunk.entries.len() as u64, bytes);
            match chunk.entries.into_iter().last().filter(|_| chunk.more) {
                Some(last) => after = last.name,
                None => return Ok(()),
            }
        }
    });
    work.await.map_err(|err| lost_task(&err))?
}
