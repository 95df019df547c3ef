//! `/v1/daemon`: questions to the contacted node itself.

use aistore_core::AIS_VERSION;
use aistore_core::config::patch_of_pairs;
use aistore_core::error::ApiError;
use aistore_core::smap::NodeKind;
use aistore_core::wire::ActionMsg;
use http::{Method, StatusCode};
use serde_json::Value;

use crate::http::{Query, Reply, Req, path, reply};
use crate::logs;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::tasks::lost_task;
use crate::{disks, mountpaths, status, sysinfo};

/// Where nodes take changes of themselves from gateways.
pub(crate) const CHANGE_PATH: &str = "/v1/internal/daemon";
/// Has a node read its certificate anew.
pub(crate) const LOAD_CERTIFICATE: &str = "load-x509";
/// Changes of one node that this version knows of but does not carry out.
const LATER: [&str; 3] = ["enable-bend", "shutdown-node", "decommission-node"];

/// Answers `/v1/daemon`.
///
/// # Errors
///
/// 400 for an unknown question, 403 for changes asked of a target, 501 for changes of one node.
pub(crate) async fn answer(node: &Node, req: &mut Req) -> Result<Reply, ApiError> {
    match req.method {
        Method::GET => what(node, req).await,
        Method::POST | Method::PUT | Method::DELETE
            if node.ctx().snode.daemon_type == NodeKind::Target =>
        {
            Err(ApiError::new(
                403,
                "",
                format!("{} takes changes through a gateway only", node.ctx().display()),
            ))
        }
        Method::POST | Method::PUT => change(node, req).await,
        _ => Ok(reply::method_not_allowed("GET, POST, PUT")),
    }
}

/// Carries out a change of this one node, which a gateway passes on from `/v1/reverse/daemon`.
///
/// # Errors
///
/// As the change says; 501 for one that this version does not have, 400 for one that nobody knows.
pub(crate) async fn change(node: &Node, req: &mut Req) -> Result<Reply, ApiError> {
    let segments = path::segments(&req.raw_path)?;
    let at = segments.iter().position(|segment| segment == "daemon").unwrap_or(0);
    let transient = req.query.flag("transient");
    match segments.get(at + 1).map(String::as_str) {
        Some("set-config") if req.method == Method::PUT => {
            let patch = patch_of_pairs(&config_pairs(&req.query)?)?;
            change_config(node, patch, transient).await
        }
        Some("mountpaths") => mountpaths::change(node, req).await,
        Some(item) => Err(unsupported(node, item)),
        None => {
            let action = req.read_action().await?.unwrap_or_default();
            act(node, action, transient).await
        }
    }
}

async fn act(node: &Node, action: ActionMsg, transient: bool) -> Result<Reply, ApiError> {
    let ctx = node.ctx();
    match action.action.as_str() {
        "set-config" => return change_config(node, action.value, transient).await,
        "reset-config" => {
            let ctx = ctx.clone();
            let reset = tokio::task::spawn_blocking(move || ctx.overrides.reset());
            reset.await.map_err(|err| lost_task(&err))??;
        }
        "rotate-logs" => {
            let rotated = tokio::task::spawn_blocking(logs::rotate);
            rotated.await.map_err(|err| lost_task(&err))?;
        }
        LOAD_CERTIFICATE => load_certificate(node).await?,
        "reset-stats" => ctx.metrics.reset(action.value == Value::Bool(true)),
        // Entries are read from the index each time, and credentials when a backend needs them.
        "clear-lcache" | "reload-creds" => {}
        other => return Err(unsupported(node, other)),
    }
    Ok(reply::empty(StatusCode::OK))
}

/// Reads certificate and key anew, for connections from now on.
async fn load_certificate(node: &Node) -> Result<(), ApiError> {
    let display = node.ctx().display();
    let Some(tls) = node.ctx().tls.clone() else {
        return Err(ApiError::bad_request(format!(
            "{display} serves plain http and has no certificate to load: start it with --tls-cert and --tls-key"
        )));
    };
    let loaded = tokio::task::spawn_blocking(move || tls.reload());
    loaded
        .await
        .map_err(|err| lost_task(&err))?
        .map_err(|err| ApiError::bad_request(format!("{display} keeps its certificate: {err}")))
}

async fn change_config(node: &Node, patch: Value, transient: bool) -> Result<Reply, ApiError> {
    let ctx = node.ctx().clone();
    let changed = tokio::task::spawn_blocking(move || {
        ctx.overrides.change(&ctx.state().config, &patch, transient)
    });
    changed.await.map_err(|err| lost_task(&err))??;
    Ok(reply::empty(StatusCode::OK))
}

/// The settings that a query names.
///
/// # Errors
///
/// 400 when there is none.
pub(crate) fn config_pairs(query: &Query) -> Result<Vec<(String, String)>, ApiError> {
    let pairs = query.pairs().iter().filter(|(key, _)| key != "transient");
    let pairs: Vec<(String, String)> = pairs.cloned().collect();
    if pairs.is_empty() {
        return Err(ApiError::bad_request("set-config needs at least one KEY=VALUE in the query"));
    }
    Ok(pairs)
}

/// 501 for a change that this version does not have, 400 for one that nobody knows.
fn unsupported(node: &Node, change: &str) -> ApiError {
    let node = node.ctx().display();
    if LATER.contains(&change) {
        return ApiError::unsupported(format!(
            "changing one node ({node}: \"{change}\") is not supported by this version"
        ));
    }
    ApiError::bad_request(format!("unknown change \"{change}\" of {node}"))
}

/// Answers one `what=`.
async fn what(node: &Node, req: &Req) -> Result<Reply, ApiError> {
    let ctx = node.ctx();
    let store = node.target().map(|parts| &parts.store);
    let state = ctx.state();
    let starting = || reply::empty(StatusCode::SERVICE_UNAVAILABLE);
    Ok(match req.query.text("what") {
        "smap" if state.is_bootstrapped() => req.json(&state.smap),
        "bmd" if state.is_bootstrapped() => req.json(&state.bmd.to_wire()),
        "smap" | "bmd" => starting(),
        "config" => {
            let (ctx, store) = (ctx.clone(), store.cloned());
            let config =
                tokio::task::spawn_blocking(move || status::node_config(&ctx, store.as_ref()));
            req.json(&config.await.map_err(|err| ApiError::internal(err.to_string()))?)
        }
        "node_status" => {
            let capacity = status::capacity(ctx, store).await;
            let record = status::node_status(ctx, &capacity);
            encoded(req, &record, status::msgpack::node_status)
        }
        "node_stats" => {
            let capacity = status::capacity(ctx, store).await;
            let record = status::node_stats(ctx, &capacity);
            encoded(req, &record, status::msgpack::node_stats)
        }
        "metrics" => req.json(&Metrics::kinds()),
        "disk" => {
            let usage = usage(node).await?;
            let named = ctx.clone();
            let read = move || disks::read(&usage, &named.labels);
            let record = tokio::task::spawn_blocking(read).await;
            let record = record.map_err(|err| ApiError::internal(err.to_string()))?;
            encoded(req, &record, status::msgpack::disk_stats)
        }
        "mountpaths" => {
            let store = store.ok_or_else(|| {
                ApiError::bad_request(format!("{} has no mountpaths", ctx.display()))
            })?;
            req.json(&mountpaths::listed(store))
        }
        "sysinfo" => match store {
            Some(_) => {
                let capacity = status::capacity(ctx, store).await;
                req.json(&status::system(Some(&capacity)))
            }
            None => req.json(&sysinfo::read()),
        },
        "software_version" => reply::text(AIS_VERSION),
        "snode" => req.json(state.smap.node(&ctx.snode.daemon_id).unwrap_or(&ctx.snode)),
        "tls_certificate" => match &ctx.tls {
            Some(tls) => req.json(&tls.facts()),
            None => return Err(ApiError::not_found(format!("{} does not use TLS", ctx.display()))),
        },
        "log" => return logs::answer(&ctx.display(), &req.query).await,
        other => return Err(unknown_what(other)),
    })
}

async fn usage(node: &Node) -> Result<Vec<aistore_store::MountpathUsage>, ApiError> {
    let Some(parts) = node.target() else {
        return Err(ApiError::bad_request(format!("{} has no disks", node.ctx().display())));
    };
    let store = parts.store.clone();
    tokio::task::spawn_blocking(move || store.usage())
        .await
        .map_err(|err| ApiError::internal(err.to_string()))
}

/// A record as msgpack where the client asks for that, else as JSON.
fn encoded(req: &Req, record: &Value, msgpack: fn(&Value) -> Value) -> Reply {
    let bytes = req.wants_msgpack().then(|| rmp_serde::to_vec(&msgpack(record)).ok()).flatten();
    bytes.map_or_else(|| req.json(record), reply::msgpack)
}

/// 400 for a question nobody knows.
pub(crate) fn unknown_what(what: &str) -> ApiError {
    if what.is_empty() {
        return ApiError::bad_request("the query needs \"what\", such as what=smap");
    }
    ApiError::bad_request(format!("unknown what=\"{what}\""))
}
