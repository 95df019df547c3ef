//! `/v1/internal`: what nodes ask of a gateway.

use std::time::Duration;

use aistore_cluster::{ClusterState, Command, MAX_RPC_BYTES};
use aistore_core::error::ApiError;
use aistore_core::placement::digest;
use aistore_core::smap::{NodeKind, Snode};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;

use super::Gateway;
use crate::http::{Reply, Req, path, reply};

/// Body of a leave request.
#[derive(Debug, Deserialize)]
struct Leave {
    id: String,
}

impl Gateway {
    /// Answers `/v1/internal/...`.
    pub(super) async fn internal(&self, req: &mut Req) -> Result<Reply, ApiError> {
        let segments = path::segments(&req.raw_path)?;
        let items: Vec<&str> = segments.iter().skip(2).map(String::as_str).collect();
        match (&req.method, items.as_slice()) {
            (&Method::GET, ["state"]) => self.news(req).await,
            (&Method::POST, ["join"]) => self.join(req).await,
            (&Method::POST, ["leave"]) => {
                let leave: Leave = req.read_json().await?;
                let state = self.submit(Command::RemoveNode { id: leave.id.clone() }).await?;
                self.heartbeats.forget(&leave.id);
                Ok(reply::json(&*state))
            }
            (&Method::POST, ["jobs", "finish"]) => self.finish_job(req).await,
            (&Method::POST, ["raft", kind]) => {
                let body = req.read_body(MAX_RPC_BYTES).await?;
                let answered = self.consensus.handle_rpc(kind, &body).await;
                let answer = answered.map_err(|err| ApiError::bad_request(err.to_string()))?;
                Ok(reply::full(Bytes::from(answer)))
            }
            _ => Err(ApiError::bad_request(format!(
                "unknown path \"{} {}\"",
                req.method, req.raw_path
            ))),
        }
    }

    /// The state, once it is newer than the follower's: a long poll that is also a sign of life.
    async fn news(&self, req: &Req) -> Result<Reply, ApiError> {
        let number = |name: &str| -> Result<u64, ApiError> {
            let text = req.query.text(name);
            if text.is_empty() {
                return Ok(0);
            }
            text.parse().map_err(|_| {
                ApiError::bad_request(format!("invalid {name}=\"{text}\": expected a number"))
            })
        };
        let since = number("since")?;
        // A follower asks again at once; each question is a sign of life, so they end in time.
        let wait = Duration::from_millis(number("wait_ms")?).min(self.ctx.times().beat());
        let id = req.query.text("node").to_owned();
        let member = self.ctx.state().smap.node(&id).is_some();
        // Only members count as followers: a stranger must not delay changes.
        let _question = member.then(|| {
            self.beat(&id);
            self.followers.asks(&id, since)
        });
        let mut state = self.ctx.state.clone();
        let stop = self.ctx.tasks.stop();
        let newer = tokio::select! {
            newer = state.wait_for(|state| state.is_bootstrapped() && state.version > since) => {
                newer.is_ok()
            }
            () = tokio::time::sleep(wait) => false,
            () = stop.cancelled() => false,
        };
        if member {
            self.beat(&id);
        }
        if newer {
            Ok(reply::json(&*self.ctx.state()))
        } else {
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
    }

    /// Registers a target and answers the state that has it.
    async fn join(&self, req: &mut Req) -> Result<Reply, ApiError> {
        let mut node: Snode = req.read_json().await?;
        if node.daemon_type != NodeKind::Target {
            return Err(ApiError::unsupported(
                "this version has one gateway per cluster: only targets can join",
            ));
        }
        let id = &node.daemon_id;
        if id.len() < 8 || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(ApiError::bad_request(format!(
                "invalid node id \"{id}\": expected 8 to 64 letters and digits"
            )));
        }
        // Placement depends on it, so it is computed here and not believed.
        node.id_digest = digest(id);
        let state = self.ctx.state();
        if let Some(known) = state.smap.node(id)
            && known.url() != node.url()
            && self.followers.is_live(id)
        {
            return Err(ApiError::new(
                409,
                "",
                format!(
                    "node id \"{id}\" is in use by the running node at {}: give each node its own data directory",
                    known.url()
                ),
            ));
        }
        check_membership(&state, &node)?;
        self.probe(&node).await?;
        let state = self.submit(Command::RegisterNode { node: node.clone() }).await?;
        self.beat(&node.daemon_id);
        tracing::info!(node = node.display(), url = node.url(), "target joined");
        Ok(reply::json(&*state))
    }

    /// A node that cannot be reached at the address it gives would own objects that nobody can read.
    async fn probe(&self, node: &Snode) -> Result<(), ApiError> {
        let url = format!("{}/v1/daemon?what=snode", node.url());
        let timeout = self.ctx.times().probe();
        let asked =
            self.ctx.intra.bytes(Method::GET, &url, HeaderMap::new(), Bytes::new(), timeout);
        let refused = |why: String| {
            ApiError::bad_request(format!(
                "{} cannot be reached at {} from the gateway: {why}; start it with --listen and an address that other nodes can reach",
                node.display(),
                node.url()
            ))
        };
        let (_, body) = asked.await.map_err(|err| refused(err.message))?;
        let found: Snode = serde_json::from_slice(&body).map_err(|err| refused(err.to_string()))?;
        if found.daemon_id == node.daemon_id {
            Ok(())
        } else {
            Err(refused(format!("{} answers there", found.display())))
        }
    }
}
/// Refuses a new target where objects may exist: it would become the owner of some of them, and until
/// rebalance can move them there they would look deleted.
fn check_membership(state: &ClusterState, node: &Snode) -> Result<(), ApiError> {
    if state.smap.tmap.contains_key(&node.daemon_id) || state.bmd.is_empty() {
        return Ok(());
    }
    Err(ApiError::new(
        409,
        "ErrLimitedCoexistence",
        format!(
            "{} cannot join: the cluster has {} bucket(s), and objects are not rebalanced to new targets yet; start all targets before the first bucket is created, or destroy the buckets first",
            node.display(),
            state.bmd.len()
        ),
    ))
}
