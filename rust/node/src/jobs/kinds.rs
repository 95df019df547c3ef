//! What each kind does on one target.

mod archive;
mod cleanup_store;
mod copy_bck;
mod load_lom_cache;
mod make_n_copies;
pub(super) mod move_bck;
mod promote;
mod resilver;

use std::sync::Arc;

use aistore_core::error::ApiError;

use super::Job;
use crate::target::Target;

pub(crate) use cleanup_store::clean_store;
pub(crate) use resilver::at_start as settle_at_start;

/// Whether this version runs jobs of the kind.
pub(crate) fn runs(kind: &str) -> bool {
    matches!(
        kind,
        "archive"
            | "cleanup-store"
            | "copy-bck"
            | "load-lom-cache"
            | "lru"
            | "make-n-copies"
            | "move-bck"
            | "promote"
            | "resilver"
    )
}

/// Runs a share; see [`runs`].
pub(super) async fn run(target: Arc<Target>, job: Arc<Job>) -> Result<(), ApiError> {
    match job.record.kind.as_str() {
        "archive" => archive::run(target, job).await,
        "cleanup-store" => cleanup_store::run(target, job).await,
        "copy-bck" => copy_bck::run(target, job).await,
        "move-bck" => move_bck::run(target, job).await,
        // Objects of native buckets are nowhere else: there is nothing that may be evicted.
        "lru" => {
            job.set_progress("native buckets only, nothing to evict");
            Ok(())
        }
        "load-lom-cache" => load_lom_cache::run(target, job).await,
        "make-n-copies" => make_n_copies::run(target, job).await,
        "resilver" => resilver::run(target, job).await,
        "promote" => promote::run(target, job).await,
        other => Err(ApiError::unsupported(format!(
            "this version of the server cannot run jobs of kind \"{other}\""
        ))),
    }
}
