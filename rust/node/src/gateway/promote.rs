//! `promote` at a gateway: looks at the source on the targets, then has it promoted at once or by a job.

use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::promote::{PromoteArgs, invalid_source};
use aistore_core::smap::Snode;
use aistore_core::wire::ActionMsg;
use futures_util::future::try_join_all;
use http::{Method, StatusCode};
use serde_json::json;

use super::Gateway;
use super::jobs::new_record;
use super::objects::no_targets;
use crate::http::{Reply, reply};
use crate::intra::json_headers;
use crate::target::promote::{Share, Sight};

/// Most files that are promoted while the client waits.
const MAX_SYNCHRONOUS: u64 = 16;
/// Feature bit `Do-not-Auto-Detect-FileShare`.
const NO_SHARE_DETECTION: u64 = 1 << 2;

impl Gateway {
    /// Answers the job's id, or nothing when all is done.
    pub(super) async fn promote(
        &self,
        bucket: &Bucket,
        message: ActionMsg,
    ) -> Result<Reply, ApiError> {
        let args = PromoteArgs::parse(message)?;
        let state = self.ctx.state();
        let targets: Vec<Snode> = if args.tid.is_empty() {
            state.smap.tmap.values().cloned().collect()
        } else {
            let node = state.smap.tmap.get(&args.tid).cloned();
            vec![node.ok_or_else(|| {
                ApiError::new(
                    404,
                    "errNodeNotFound",
                    format!("target \"{}\" is not in the cluster map", args.tid),
                )
            })?]
        };
        if targets.is_empty() {
            return Err(no_targets());
        }
        self.check_room(&format!("promote to bucket \"{bucket}\""), targets.iter()).await?;
        let mut share = Share { bucket: bucket.clone(), args, shared: false };
        let version = state.version;
        let sights = targets.iter().map(|node| self.look(node, &share, version));
        let sights = try_join_all(sights).await?;
        let files: u64 = sights.iter().map(|sight| sight.files).sum();
        if files == 0 {
            return Err(invalid_source(&share.args.src, "there is no file to promote"));
        }
        let detect = !share.args.notshr && state.config.features & NO_SHARE_DETECTION == 0;
        let alike = sights.windows(2).all(|pair| matches!(pair, [a, b] if a == b));
        share.shared = detect && sights.len() > 1 && alike;
        if !share.shared && files <= MAX_SYNCHRONOUS {
            try_join_all(targets.iter().map(|node| self.promote_on(node, &share, version))).await?;
            return Ok(reply::empty(StatusCode::OK));
        }
        let mut job = new_record("promote");
        if !share.args.tid.is_empty() {
            job.targets.insert(share.args.tid.clone(), None);
        }
        job.ctlmsg = format!("{} to {bucket}", share.args.src);
        job.args = json!(share);
        job.bck = Some(bucket.clone());
        self.start_job(job, false).await
    }

    async fn look(&self, node: &Snode, share: &Share, version: u64) -> Result<Sight, ApiError> {
        let url = format!("{}/v1/promote/scan?sv={version}", node.url());
        self.ctx.intra.json(Method::POST, &url, share, self.ctx.times().busy()).await
    }

    async fn promote_on(&self, node: &Snode, share: &Share, version: u64) -> Result<(), ApiError> {
        let url = format!("{}/v1/promote/run?sv={version}", node.url());
        let body = serde_json::to_vec(share)
            .map_err(|err| ApiError::internal(format!("request to {url}: {err}")))?;
        let intra = &self.ctx.intra;
        let timeout = self.ctx.times().long();
        let ran = intra.bytes(Method::POST, &url, json_headers(), body.into(), timeout);
        ran.await.map(|_| ())
    }
}
