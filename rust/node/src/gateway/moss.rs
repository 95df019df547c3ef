//! `/v1/ml/moss` at a gateway: chooses the target that assembles the batch.

use std::collections::HashMap;

use aistore_cluster::ClusterState;
use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::moss::MossReq;
use aistore_core::placement::owner;
use aistore_core::smap::Snode;
use http::{Method, StatusCode};

use super::Gateway;
use super::objects::no_targets;
use super::redirect::{location, to};
use crate::http::{Reply, Req, path, reply};
use crate::memory::Purpose;

impl Gateway {
    /// Redirects a batch to one target. Always 307: clients drop the body on 301.
    pub(super) async fn moss(&self, req: &mut Req) -> Result<Reply, ApiError> {
        let segments = path::segments(&req.raw_path)?;
        let bucket = match segments.get(2..).unwrap_or_default() {
            [item] if item == "moss" => None,
            [item, bucket] if item == "moss" => Some(req.bucket(bucket)?),
            _ => {
                return Err(ApiError::bad_request(format!(
                    "unknown path \"{}\": expected /v1/ml/moss[/BUCKET]",
                    req.raw_path
                )));
            }
        };
        if req.method != Method::GET {
            return Ok(reply::method_not_allowed("GET"));
        }
        let colocate = match req.query.text("coloc") {
            "" | "0" => false,
            "1" | "2" => true,
            other => {
                return Err(ApiError::bad_request(format!(
                    "invalid coloc=\"{other}\": expected 0, 1 or 2"
                )));
            }
        };
        let state = self.ctx.state();
        if let Some(bucket) = &bucket {
            super::props(&state, bucket)?;
        }
        // Colocation is a wish; a body that will not come must not be waited for.
        let target = if colocate && !self.keeps_body_back(req) {
            let (batch, _memory): (MossReq, _) = req.read_batch_json(Purpose::Batches, 0).await?;
            richest(&state, &batch, bucket.as_ref())
        } else {
            None
        };
        let target = target.or_else(|| any_target(&state)).ok_or_else(no_targets)?;
        self.ctx.metrics.redirects.inc();
        let url = location(target.url(), &req.raw_path, req.query.raw(), self.origin(&state));
        Ok(to(StatusCode::TEMPORARY_REDIRECT, &url))
    }
}

impl Gateway {
    /// Whether the client shows the head of its request only, and sends the body after the redirect.
    ///
    /// The official SDK does so over https: real `Content-Length`, no body, `Connection: close`.
    fn keeps_body_back(&self, req: &Req) -> bool {
        let closing =
            req.header("connection").is_some_and(|text| text.eq_ignore_ascii_case("close"));
        self.ctx.tls.is_some() && closing
    }
}

/// A target by lot, so that batches spread over all.
fn any_target(state: &ClusterState) -> Option<&Snode> {
    let able: Vec<&Snode> = state.smap.tmap.values().filter(|node| node.accepts_data()).collect();
    fastrand::choice(able)
}

/// The target that owns most of the entries; entries that name no valid bucket count for none.
fn richest<'s>(
    state: &'s ClusterState,
    batch: &MossReq,
    default_bucket: Option<&Bucket>,
) -> Option<&'s Snode> {
    let mut owned: HashMap<&str, (usize, &Snode)> = HashMap::new();
    for entry in &batch.entries {
        let Ok(wanted) = entry.resolve(default_bucket) else { continue };
        if let Some(node) = owner(&state.smap, &wanted.bucket.object_uname(&wanted.object)) {
            owned.entry(&node.daemon_id).or_insert((0, node)).0 += 1;
        }
    }
    // Ties break on the id, so that equal batches meet the same target's caches.
    let best = owned.into_iter().max_by(|a, b| (a.1.0, b.0).cmp(&(b.1.0, a.0)));
    best.map(|(_, (_, node))| node)
}

#[cfg(test)]
mod tests {
    use aistore_core::moss::MossIn;

    use super::*;

    #[test]
    fn colocation_prefers_the_target_with_most_entries() {
        let mut state = ClusterState::default();
        for id in ["t1", "t2", "t3"] {
            state.smap.tmap.insert(id.into(), Snode::for_test(id));
        }
        let bucket = Bucket::ais("b");
        let mut counts: HashMap<String, usize> = HashMap::new();
        let entries: Vec<MossIn> =
            (0..50).map(|i| MossIn { object: format!("o{i}"), ..MossIn::default() }).collect();
        for entry in &entries {
            let node = owner(&state.smap, &bucket.object_uname(&entry.object)).unwrap();
            *counts.entry(node.daemon_id.clone()).or_default() += 1;
        }
        let batch = MossReq { entries, ..MossReq::default() };
        let chosen = richest(&state, &batch, Some(&bucket)).unwrap();
        assert_eq!(counts[&chosen.daemon_id], *counts.values().max().unwrap());
        assert!(richest(&state, &batch, None).is_none());
        assert!(any_target(&state).is_some() && any_target(&ClusterState::default()).is_none());
    }
}
