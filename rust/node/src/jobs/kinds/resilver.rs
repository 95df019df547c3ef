//! Brings every object of this target to the mountpath where it belongs, with as many copies as its
//! bucket says.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aistore_core::error::ApiError;
use aistore_store::{Home, Pass, Passed, StoreError};

use crate::jobs::Job;
use crate::target::Target;
use crate::target::failure::store_failure;
use crate::tasks::lost_task;

/// How often a mountpath that is being emptied is looked at again while uploads still use it.
const RETRY: Duration = Duration::from_millis(500);

pub(crate) async fn run(target: Arc<Target>, job: Arc<Job>) -> Result<(), ApiError> {
    loop {
        let passed = pass(&target, Some(&job), None).await?;
        target.save_mountpaths().await?;
        let waiting = target.store().mountpaths().draining;
        if waiting.is_empty() || passed.failed > 0 {
            return Ok(());
        }
        job.set_progress(&format!("waiting for uploads to leave {}", names(&waiting)));
        tokio::time::sleep(RETRY).await;
    }
}

fn names<T>(paths: &[(PathBuf, T)]) -> String {
    let names: Vec<String> = paths.iter().map(|(path, _)| path.display().to_string()).collect();
    names.join(", ")
}

/// Finishes what the last run left: objects that a change of the mountpaths was moving, and copies that a
/// crash left out of date. Ends by itself.
pub(crate) async fn at_start(target: Arc<Target>) {
    let state = target.ctx.state();
    let mirrored = state.bmd.iter().any(|(_, props)| props.mirror.enabled);
    let store = target.store();
    let needed = store.is_scattered() || (mirrored && store.was_interrupted());
    if !needed || !target.ctx.config().resilver.enabled {
        return;
    }
    match pass(&target, None, None).await {
        Ok(passed) => tracing::info!(?passed, "objects of an earlier run settled"),
        Err(err) => tracing::warn!(error = %err, "objects of an earlier run are not settled"),
    }
    if let Err(err) = target.save_mountpaths().await {
        tracing::error!(error = %err, "the mountpaths are not recorded");
    }
}

/// Settles all objects, or those of one bucket, given as id and copies.
pub(super) async fn pass(
    target: &Arc<Target>,
    job: Option<&Arc<Job>>,
    bucket: Option<(u64, usize)>,
) -> Result<Passed, ApiError> {
    let cancel = CancelOnDrop(Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&cancel.0);
    let (owner, share) = (Arc::clone(target), job.map(Arc::clone));
    let work = tokio::task::spawn_blocking(move || {
        let (target, job) = (owner, share);
        let fixed = bucket;
        let guide = |bid, name: &str| {
            let mut home = target.home(bid, name)?;
            if let Some((_, copies)) = fixed {
                home.copies = copies;
            }
            Some(home)
        };
        let pass = Pass {
            guide: &guide,
            cancel: &flag,
            moved: &|uname, bytes| {
                target.objects().readers.invalidate(uname);
                if let Some(job) = &job {
                    job.add_local(1, bytes);
                }
            },
            failed: &|uname, err| {
                let err = ApiError::internal(format!("{uname}: {err}"));
                if let Some(job) = &job {
                    job.soft_error(&err);
                } else {
                    tracing::error!(error = %err, "an object cannot be settled");
                }
            },
        };
        let store = target.store();
        match bucket {
            Some((bid, _)) => store.settle_bucket(bid, &pass),
            None => store.resilver(&pass),
        }
    });
    let passed = work.await.map_err(|err| lost_task(&err))?;
    // Whoever keeps files of a mountpath open keeps it from being unmounted.
    target.objects().readers.keep_buckets(&HashSet::new());
    drop(cancel);
    passed.map_err(|err| match err {
        StoreError::Cancelled => ApiError::new(500, "ErrAborted", "stopped"),
        err => store_failure(&err, "resilver"),
    })
}

/// Ends the work on the blocking pool when its job is dropped.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Target {
    /// Where an object belongs on this target, as buckets are now.
    pub(crate) fn home(&self, bid: u64, name: &str) -> Option<Home> {
        let state = self.ctx.state();
        let (bucket, props) = state.bmd.iter().find(|(_, props)| props.bid == bid)?;
        let copies = crate::target::wanted_copies(props);
        Some(Home { uname: bucket.object_uname(name), copies })
    }

    /// Records the mountpaths as they are.
    pub(crate) async fn save_mountpaths(self: &Arc<Self>) -> Result<(), ApiError> {
        let target = Arc::clone(self);
        let save = move || {
            let ctx = &target.ctx;
            crate::mountpaths::save(target.store(), &ctx.snode.daemon_id, &ctx.data_dir, &[])
        };
        let saved = tokio::task::spawn_blocking(save).await.map_err(|err| lost_task(&err))?;
        saved.map_err(ApiError::internal)
    }
}
