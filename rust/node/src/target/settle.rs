//! All names of a bucket are read only while no rename moves its objects: in between, names lie under
//! either bucket, and would be missing.

use aistore_cluster::ClusterState;
use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::job::JobRecord;
use tokio::time::Instant;

use super::Target;

impl Target {
    /// Until when a request waits for renames: as long as clients wait, less the way back.
    pub(crate) fn patience(&self) -> Instant {
        let times = self.ctx.times();
        Instant::now() + times.busy().min(times.listing())
    }

    /// Whether no rename moves objects to or from the bucket, as far as this node knows.
    pub(crate) fn is_settled(&self, bucket: &Bucket) -> bool {
        rename_of(&self.ctx.state(), bucket).is_none()
    }

    /// Completes when no rename moves objects to or from the bucket.
    ///
    /// # Errors
    ///
    /// 409 when one still does at `until`.
    pub(crate) async fn settle(&self, bucket: &Bucket, until: Instant) -> Result<(), ApiError> {
        let mut state = self.ctx.state.clone();
        let over = async {
            // The state ends with the node, which says so itself.
            let _ = state.wait_for(|state| rename_of(state, bucket).is_none()).await;
        };
        if tokio::time::timeout_at(until, over).await.is_ok() {
            return Ok(());
        }
        rename_of(&self.ctx.state(), bucket).map_or(Ok(()), |job| Err(unsettled(bucket, job)))
    }
}

/// The job that moves objects to or from the bucket.
fn rename_of<'a>(state: &'a ClusterState, bucket: &Bucket) -> Option<&'a JobRecord> {
    let mut renames = state.jobs.running().filter(|job| job.kind == "move-bck");
    renames.find(|job| job.buckets().any(|one| one == bucket)).map(AsRef::as_ref)
}

fn unsettled(bucket: &Bucket, job: &JobRecord) -> ApiError {
    let name = |bucket: Option<&Bucket>| bucket.map(ToString::to_string).unwrap_or_default();
    let (from, to) = (name(job.src_bck.as_ref()), name(job.dst_bck.as_ref()));
    ApiError::new(
        409,
        "ErrBusy",
        format!(
            "cannot list \"{bucket}\" completely: job {} is renaming \"{from}\" to \"{to}\": wait for the job, then list \"{to}\"",
            job.id
        ),
    )
}
