//! `/v1/cluster`: questions about the whole cluster, and its configuration.

use aistore_core::AIS_VERSION;
use aistore_core::error::ApiError;
use http::Method;
use serde_json::json;

use super::Gateway;
use crate::daemon::unknown_what;
use crate::http::{Reply, Req, path, reply};
use crate::logs;
use crate::metrics::Metrics;

/// Changes that this version knows of but does not carry out.
const LATER: [&str; 10] = [
    "start-maintenance",
    "stop-maintenance",
    "decommission-node",
    "shutdown-node",
    "rm-unsafe",
    "shutdown",
    "decommission",
    "attach",
    "detach",
    "rebalance",
];

impl Gateway {
    /// Answers `/v1/cluster[/ITEM]`.
    pub(super) async fn cluster(&self, req: &mut Req) -> Result<Reply, ApiError> {
        match req.method {
            Method::GET => self.cluster_what(req).await,
            Method::PUT => self.change_cluster(req).await,
            Method::POST => {
                let item = path::segments(&req.raw_path)?.into_iter().nth(2).unwrap_or_default();
                Err(ApiError::unsupported(format!(
                    "POST /v1/cluster/{item} is not supported by this version; targets join by themselves with --join"
                )))
            }
            Method::DELETE => Err(ApiError::new(403, "", "DELETE /v1/cluster is not for clients")),
            _ => Ok(reply::method_not_allowed("GET, POST, PUT")),
        }
    }

    async fn cluster_what(&self, req: &mut Req) -> Result<Reply, ApiError> {
        let state = self.ctx.state();
        let targets = || state.smap.tmap.values();
        let what = req.query.text("what").to_owned();
        Ok(match what.as_str() {
            "smap" => req.json(&state.smap),
            "bmd" => req.json(&state.bmd.to_wire()),
            "cluster_config" => req.json(&state.config.masked()),
            "config" => req.json(&self.ctx.config().masked()),
            "node_stats" => {
                let (gateways, targets) = tokio::join!(
                    self.ask_each(state.smap.pmap.values(), "node_stats"),
                    self.ask_each(targets(), "node_stats")
                );
                let own = gateways.into_iter().find(|(id, _)| *id == self.ctx.snode.daemon_id);
                req.json(&json!({"proxy": own.map(|(_, stats)| stats), "target": targets}))
            }
            "sysinfo" => {
                let (gateways, targets) = tokio::join!(
                    self.ask_each(state.smap.pmap.values(), "sysinfo"),
                    self.ask_each(targets(), "sysinfo")
                );
                req.json(&json!({"proxy": gateways, "target": targets}))
            }
            "mountpaths" => {
                req.json(&json!({"targets": self.ask_each(targets(), "mountpaths").await}))
            }
            "metrics" => req.json(&Metrics::kinds()),
            "remote" => req.json(&json!({"a": null, "ver": 0})),
            "target_ips" => {
                let hosts = targets().flat_map(|node| {
                    [&node.public_net, &node.intra_control_net, &node.intra_data_net]
                });
                let hosts: Vec<&str> = hosts.map(|net| net.node_ip_addr.as_str()).collect();
                reply::text(hosts.join(","))
            }
            "status" => return self.job_status(req).await,
            "status_all" => return self.job_status_all(req).await,
            "running_all" => return self.jobs_running(req).await,
            "qryxstats" => return self.job_snaps(req).await,
            // There are no cloud backends.
            "backends" => req.json(&json!([])),
            "log" => return logs::answer(&self.ctx.display(), &req.query).await,
            "software_version" => reply::text(AIS_VERSION),
            other => return Err(unknown_what(other)),
        })
    }
}

/// 501 for a change of a later version, 400 for one that nobody knows.
pub(super) fn unsupported(action: &str) -> ApiError {
    if LATER.contains(&action) || ["proxy", "enable-bend", "disable-bend"].contains(&action) {
        ApiError::unsupported(format!("\"{action}\" is not supported by this version"))
    } else {
        ApiError::bad_request(format!("unknown action \"{action}\" on the cluster"))
    }
}
