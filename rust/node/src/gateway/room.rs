//! Whether targets have room for a job that writes much.

use aistore_core::error::ApiError;
use aistore_core::smap::Snode;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Method};

use super::Gateway;

impl Gateway {
    /// Refuses work when one of the targets is above its high watermark (`space.highwm`). A target that does
    /// not answer is left to the work itself.
    ///
    /// # Errors
    ///
    /// 507 naming the target, its mountpath and what to do.
    pub(super) async fn check_room<'n>(
        &self,
        work: &str,
        targets: impl Iterator<Item = &'n Snode>,
    ) -> Result<(), ApiError> {
        let timeout = self.ctx.times().ask();
        let version = self.ctx.state().version;
        let asks = targets.map(|node| async move {
            let url = format!("{}/v1/jobs/space?sv={version}", node.url());
            let (headers, body) = (HeaderMap::new(), Bytes::new());
            let asked = self.ctx.intra.bytes(Method::POST, &url, headers, body, timeout).await;
            match asked {
                Err(err) if err.status == 507 => Err(ApiError::out_of_space(format!(
                    "cannot {work}: {}: {}",
                    node.display(),
                    err.message
                ))),
                Err(err) => {
                    tracing::warn!(node = node.display(), error = %err, "cannot tell how full it is");
                    Ok(())
                }
                Ok(_) => Ok(()),
            }
        });
        join_all(asks).await.into_iter().collect()
    }

    /// [`check_room`](Self::check_room) of all targets.
    ///
    /// # Errors
    ///
    /// As there.
    pub(super) async fn check_room_everywhere(&self, work: &str) -> Result<(), ApiError> {
        let state = self.ctx.state();
        self.check_room(work, state.smap.tmap.values()).await
    }
}
