//! Files on targets' disks become objects.

use std::sync::Arc;

use aistore_core::error::ApiError;

use crate::jobs::Job;
use crate::target::Target;
use crate::target::promote::Share;

pub(crate) async fn run(target: Arc<Target>, job: Arc<Job>) -> Result<(), ApiError> {
    let share: Share = serde_json::from_value(job.args().clone())
        .map_err(|err| ApiError::internal(format!("malformed arguments of a job: {err}")))?;
    target.promote_share(share, Some(job)).await
}
