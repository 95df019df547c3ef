//! How full the disks may get (`space.*` of the configuration).

use std::sync::Arc;

use aistore_core::error::ApiError;
use aistore_store::{Store, StoreError};
use http::StatusCode;

use super::Target;
use crate::context::NodeContext;
use crate::http::{Reply, reply};
use crate::tasks::lost_task;

/// Keeps the store's watermark at the node's configuration until the node stops.
pub(super) async fn follow(ctx: Arc<NodeContext>, store: Arc<Store>) {
    let mut changes = ctx.config_changes();
    loop {
        store.set_out_of_space(ctx.config().space.out_of_space);
        if !changes.next().await {
            return;
        }
    }
}

impl Target {
    /// Brings the store's watermark up to the state that this node has now: a change that was acknowledged
    /// counts for the next request, not some time after it.
    pub(super) fn set_watermark(&self) {
        self.store().set_out_of_space(self.ctx.config().space.out_of_space);
    }

    /// Answers `POST /v1/jobs/space`: whether there is room for a job that writes much.
    ///
    /// # Errors
    ///
    /// 507 above the high watermark.
    pub(super) async fn job_space(&self) -> Result<Reply, ApiError> {
        let (store, limit) = (Arc::clone(self.store()), self.ctx.config().space.highwm);
        let checked = tokio::task::spawn_blocking(move || store.check_fill(limit, "space.highwm"));
        match checked.await.map_err(|err| lost_task(&err))? {
            Ok(()) => Ok(reply::empty(StatusCode::OK)),
            Err(err @ StoreError::TooFull { .. }) => Err(ApiError::out_of_space(err.to_string())),
            Err(err) => Err(ApiError::internal(err.to_string())),
        }
    }
}
