//! `/v1/health`: is this node alive, ready, and in which state.

use aistore_core::error::ApiError;
use aistore_core::headers::{CLUSTER_UPTIME, NODE_UPTIME};
use aistore_core::smap::{FLAG_DECOMMISSION, FLAG_MAINTENANCE, NodeKind};
use http::StatusCode;

use crate::http::{Reply, Req, reply};
use crate::node::Node;
use crate::status;

/// Answers every form of the health query.
///
/// # Errors
///
/// 400 for questions that this node cannot answer, 503 while starting.
pub(crate) fn answer(node: &Node, req: &Req) -> Result<Reply, ApiError> {
    let ctx = node.ctx();
    let (cii, cii_apr, prr) =
        (req.query.flag("cii"), req.query.flag("cii-apr"), req.query.flag("prr"));
    if prr && (cii || cii_apr) {
        return Err(ApiError::bad_request("\"prr\" and \"cii\" cannot be asked together"));
    }
    let state = ctx.state();
    let primary = ctx.snode.daemon_id == state.smap.proxy_si.daemon_id;
    let answer = if cii || cii_apr {
        if cii_apr && !primary {
            return Err(ApiError::bad_request(format!(
                "{} is not the primary, {} is",
                ctx.display(),
                state.smap.proxy_si.display()
            )));
        }
        req.json(&status::node_state(ctx))
    } else if prr {
        if ctx.snode.daemon_type != NodeKind::Gateway {
            return Err(ApiError::bad_request(format!("{} is not a gateway", ctx.display())));
        }
        if !ctx.is_ready() {
            return Err(ApiError::unavailable(format!("{} is starting", ctx.display())));
        }
        reply::empty(StatusCode::OK)
    } else if req.query.flag("readiness") {
        let member = state.smap.node(&ctx.snode.daemon_id);
        let in_service =
            member.is_some_and(|node| node.flags & (FLAG_MAINTENANCE | FLAG_DECOMMISSION) == 0);
        alive(ctx.is_ready() && in_service)
    } else {
        // Liveness: a node that rebuilds an index for minutes is alive, and must not be restarted for it.
        reply::empty(StatusCode::OK)
    };
    let uptime = ctx.started.elapsed().as_nanos().to_string();
    let answer = reply::with_header(answer, NODE_UPTIME, &uptime);
    let cluster = ctx.cluster_clock.started(ctx.started).elapsed().as_nanos().to_string();
    Ok(reply::with_header(answer, CLUSTER_UPTIME, &cluster))
}

fn alive(yes: bool) -> Reply {
    reply::empty(if yes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE })
}
