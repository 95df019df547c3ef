//! `/v1/cluster`: questions about the whole cluster, and its configuration.

use aistore_cluster::Command;
use aistore_core::error::ApiError;
use http::{Method, StatusCode};
use serde_json::json;

use super::Gateway;
use crate::daemon::{no_log, unknown_what};
use crate::http::{Reply, Req, path, reply};
use crate::metrics::Metrics;

/// Changes that this version knows of but does not carry out.
const LATER: [&str; 14] = [
    "start-maintenance",
    "stop-maintenance",
    "decommission-node",
    "shutdown-node",
    "rm-unsafe",
    "shutdown",
    "decommission",
    "rotate-logs",
    "reset-stats",
    "reload-creds",
    "clear-lcache",
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
            "cluster_config" | "config" => req.json(&state.config),
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
            "log" => return Err(no_log(&self.ctx.display())),
            other => return Err(unknown_what(other)),
        })
    }

    async fn change_cluster(&self, req: &mut Req) -> Result<Reply, ApiError> {
        let item = path::segments(&req.raw_path)?.into_iter().nth(2);
        if req.query.flag("transient") {
            return Err(ApiError::unsupported(
                "transient changes of the configuration are not supported: leave \"transient\" out to keep the change",
            ));
        }
        let command = match item.as_deref() {
            Some("set-config") => {
                let pairs = req.query.pairs().iter().filter(|(key, _)| key != "transient");
                let pairs: Vec<(String, String)> = pairs.cloned().collect();
                if pairs.is_empty() {
                    return Err(ApiError::bad_request(
                        "set-config needs at least one KEY=VALUE in the query",
                    ));
                }
                Command::SetConfigPairs { pairs }
            }
            Some(other) => return Err(unsupported(other)),
            None => {
                let action = req.read_action().await?.unwrap_or_default();
                match action.action.as_str() {
                    "start" => return self.start_by_kind(action.value).await,
                    "stop" => return self.stop_jobs(action.value).await,
                    "set-config" => Command::SetConfig { patch: action.value },
                    "reset-config" => Command::ResetConfig,
                    other => return Err(unsupported(other)),
                }
            }
        };
        self.submit(command).await?;
        Ok(reply::empty(StatusCode::OK))
    }
}

fn unsupported(action: &str) -> ApiError {
    if LATER.contains(&action)
        || ["proxy", "enable-bend", "disable-bend", "load-x509"].contains(&action)
    {
        ApiError::unsupported(format!("\"{action}\" is not supported by this version"))
    } else {
        ApiError::bad_request(format!("unknown action \"{action}\" on the cluster"))
    }
}
