//! Gives every object of a bucket the number of copies that the bucket asks for now.

use std::sync::Arc;

use aistore_core::error::ApiError;

use super::resilver;
use crate::jobs::Job;
use crate::target::Target;

pub(crate) async fn run(target: Arc<Target>, job: Arc<Job>) -> Result<(), ApiError> {
    let bucket = job.bucket()?;
    let state = target.ctx.state();
    let bid = state.bmd.get(bucket).ok_or_else(|| ApiError::bucket_not_found(bucket))?.bid;
    let copies = job.args().get("copies").and_then(serde_json::Value::as_u64).unwrap_or(1);
    let copies = usize::try_from(copies).unwrap_or(1);
    resilver::pass(&target, Some(&job), Some((bid, copies))).await.map(drop)
}
