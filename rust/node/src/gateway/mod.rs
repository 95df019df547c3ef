//! Gateway side: routes object requests, answers for buckets and cluster, holds the metadata.

mod backends;
mod buckets;
mod changes;
mod cluster;
mod fanout;
mod followers;
mod internal;
mod jobs;
mod list;
mod mirror;
mod moss;
mod objects;
mod promote;
mod rate;
pub(crate) mod redirect;
mod relay;
mod room;
mod summary;
mod vigil;

use std::sync::Arc;
use std::time::Instant;

use aistore_cluster::{ClusterState, Command, Consensus, Heartbeats, SubmitError};
use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::props::BucketProps;
use http::{Method, StatusCode};

use crate::context::NodeContext;
use crate::http::{Reply, Req, drain, path, reply};
use followers::Followers;
use summary::Summaries;

pub(crate) use followers::GRACE as FOLLOWER_GRACE;

/// A gateway's request handlers.
pub(crate) struct Gateway {
    ctx: Arc<NodeContext>,
    consensus: Arc<Consensus>,
    followers: Arc<Followers>,
    heartbeats: Arc<Heartbeats>,
    limits: rate::Limits,
    summaries: Arc<Summaries>,
}

impl Gateway {
    /// Serves the cluster that `consensus` holds, and watches over its targets.
    pub(crate) fn new(ctx: Arc<NodeContext>, consensus: Arc<Consensus>) -> Self {
        let heartbeats = Arc::new(Heartbeats::default());
        ctx.tasks.spawn_until_stop(vigil::watch(ctx.clone(), heartbeats.clone()));
        let wardens = jobs::watch(ctx.clone(), consensus.clone(), heartbeats.clone());
        ctx.tasks.spawn_until_stop(wardens);
        let (followers, limits) = (Arc::default(), rate::Limits::default());
        let summaries = Arc::default();
        Self { ctx, consensus, followers, heartbeats, limits, summaries }
    }

    /// Serves every path of a gateway but health, daemon and metrics.
    ///
    /// # Errors
    ///
    /// As the operation says; the caller turns them into the protocol's envelope.
    pub(crate) async fn handle(&self, mut req: Req) -> Result<Reply, ApiError> {
        if let Some((native, provider)) = path::easy(&req.raw_path) {
            req.raw_path = native;
            if req.query.text("provider").is_empty() {
                req.query = req.query.with("provider", provider);
            }
        }
        let answer = self.dispatch(&mut req).await;
        drain::discard(&self.ctx.tasks, &req.headers, req.body);
        answer
    }

    async fn dispatch(&self, req: &mut Req) -> Result<Reply, ApiError> {
        let trimmed = req.raw_path.trim_start_matches('/');
        let mut parts = trimmed.split('/').filter(|part| !part.is_empty());
        let (version, item) = (parts.next(), parts.next().unwrap_or_default().to_owned());
        if version == Some("v1") && item == "internal" {
            return self.internal(req).await;
        }
        if !self.ctx.is_ready() || !self.ctx.state().is_bootstrapped() {
            // Empty: clients turn an empty 503 into their own "starting up" text.
            return Ok(reply::empty(StatusCode::SERVICE_UNAVAILABLE));
        }
        match (version, item.as_str()) {
            (Some("v1"), "objects") => self.object(req).await,
            (Some("v1"), "buckets") => self.bucket(req).await,
            (Some("v1"), "cluster") => self.cluster(req).await,
            (Some("v1"), "reverse") => self.reverse(req).await,
            (Some("v1"), "ml") => self.moss(req).await,
            // There are none: what starts one is refused.
            (Some("v1"), "etl") if req.method == Method::GET && parts.next().is_none() => {
                Ok(reply::json(&serde_json::json!([])))
            }
            (Some("v1"), "etl" | "download" | "sort" | "tokens") => Err(ApiError::unsupported(
                format!("/v1/{item} is not supported by this version of the server"),
            )),
            (Some("s3"), _) => {
                Err(ApiError::unsupported("/s3 is not supported by this version of the server"))
            }
            _ => Err(ApiError::bad_request(format!("unknown path \"{}\"", req.raw_path))),
        }
    }

    /// Has a command carried out and waits, within a bound, until live targets know of it.
    async fn submit(&self, command: Command) -> Result<Arc<ClusterState>, ApiError> {
        let state = self.consensus.submit(command).await.map_err(submit_error)?;
        self.followers.wait_for(&state).await;
        Ok(state)
    }

    /// Notes a sign of life.
    fn beat(&self, id: &str) {
        self.heartbeats.beat(id, Instant::now());
    }
}

/// Properties of a bucket that must exist.
fn props<'s>(state: &'s ClusterState, bucket: &Bucket) -> Result<&'s BucketProps, ApiError> {
    state.bmd.get(bucket).ok_or_else(|| ApiError::bucket_not_found(bucket))
}

fn submit_error(err: SubmitError) -> ApiError {
    match err {
        SubmitError::Rejected(err) => err,
        err @ SubmitError::NotLeader { .. } => ApiError::unavailable(err.to_string()),
        SubmitError::Fatal(text) => ApiError::internal(text),
    }
}
