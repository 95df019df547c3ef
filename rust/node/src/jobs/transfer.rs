//! Bringing one object to the owner of its new name, for as long as it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aistore_core::error::ApiError;
use aistore_store::{ObjectMeta, ObjectReader};

use super::Job;
use crate::target::Target;
use crate::target::deliver::{Delivery, Operation, Present};
use crate::target::objects::ObjectRef;
use crate::tasks::lost_task;

/// A target that cannot be reached may be restarting; it is tried again for this long.
const RETRY_LIMIT: Duration = Duration::from_secs(90);
/// First and longest pause between two tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// Brings the object to `to`, with its modification time where `present` looks at that; answers which
/// version, or `None` when there is no such object any more.
pub(super) async fn transfer(
    target: &Arc<Target>,
    job: &Arc<Job>,
    from: &ObjectRef,
    to: &ObjectRef,
    present: Present,
) -> Result<Option<ObjectMeta>, ApiError> {
    let (began, mut pause) = (Instant::now(), PAUSE.0);
    loop {
        let Some(reader) = open(target, from).await? else { return Ok(None) };
        let (state, meta) = (target.ctx.state(), reader.meta().clone());
        let mut delivery = Delivery::of(Operation::Job(job.id().to_owned()), to.clone(), &meta);
        delivery.present = present;
        delivery.mtime_ns = (present != Present::Replace).then_some(meta.mtime_ns);
        match target.deliver(&state, delivery, target.body_of(reader)).await {
            Ok(sent) => {
                if sent {
                    job.add_out(1, meta.size);
                }
                job.add_local(1, meta.size);
                return Ok(Some(meta));
            }
            Err(err) if passes(&err) && began.elapsed() < RETRY_LIMIT => {
                tracing::debug!(job = job.record.display(), error = %err, "trying a transfer again");
                tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                pause = (pause * 2).min(PAUSE.1);
                target.ctx.catch_up(None).await;
            }
            Err(err) => return Err(err),
        }
    }
}

/// Whether an error may be gone on the next try: a node that restarts, another map there, or another
/// version of the object than was looked at.
fn passes(err: &ApiError) -> bool {
    err.tcode.is_empty() && matches!(err.status, 400 | 500 | 502 | 503 | 504)
        || matches!(err.status, 412 | 421)
}

async fn open(
    target: &Arc<Target>,
    object: &ObjectRef,
) -> Result<Option<Arc<ObjectReader>>, ApiError> {
    let (target, object) = (Arc::clone(target), object.clone());
    let opened = tokio::task::spawn_blocking(move || target.objects.open(&object));
    opened.await.map_err(|err| lost_task(&err))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_may_pass_are_tried_again() {
        assert!(passes(&ApiError::internal("node cannot be reached")));
        assert!(passes(&ApiError::new(421, "ErrStaleMap", "x")));
        assert!(!passes(&ApiError::out_of_space("x")));
        assert!(!passes(&ApiError::bad_checksum("md5", "a", "b", "c")));
        assert!(!passes(&ApiError::new(404, "ErrBckNotFound", "x")));
    }
}
