//! `/v1/reverse/daemon`: passes a question or a change on to the node that the client names.

use aistore_core::error::ApiError;
use aistore_core::headers::NODE_ID;
use aistore_core::smap::{FLAG_DECOMMISSION, FLAG_MAINTENANCE};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;

use super::Gateway;
use crate::daemon::CHANGE_PATH;
use crate::http::{Reply, Req, path, reply};
use crate::intra::{json_headers, peer_error};

impl Gateway {
    /// Answers `/v1/reverse/daemon[/ITEM]`.
    pub(super) async fn reverse(&self, req: &mut Req) -> Result<Reply, ApiError> {
        let segments = path::segments(&req.raw_path)?;
        if segments.get(2).map(String::as_str) != Some("daemon") {
            return Err(ApiError::bad_request(format!(
                "unknown path \"{}\": expected /v1/reverse/daemon",
                req.raw_path
            )));
        }
        let id = req
            .header(NODE_ID)
            .filter(|id| !id.is_empty())
            .ok_or_else(|| {
                ApiError::bad_request("the request needs the header Ais-Node-Id: the node to ask")
            })?
            .to_owned();
        let state = self.ctx.state();
        let Some(node) = state.smap.node(&id) else {
            return Err(ApiError::new(
                404,
                "errNodeNotFound",
                format!("node \"{id}\" is not in the cluster map (version {})", state.smap.version),
            ));
        };
        let item = segments.get(3..).unwrap_or_default().join("/");
        match req.method {
            Method::GET => {}
            Method::POST | Method::PUT | Method::DELETE => {
                let url = node.url().to_owned();
                let mountpaths = item == "mountpaths";
                let unwanted = req.query.flag("dntres");
                if mountpaths && unwanted {
                    self.check_no_resilver(&id)?;
                }
                let mut done = self.relay_change(req, &url, &item).await?;
                if mountpaths && done.status() == StatusCode::ACCEPTED {
                    // A check, which clients see as done when it has begun.
                    *done.status_mut() = StatusCode::OK;
                } else if mountpaths {
                    self.after_mountpaths(&id, done.status(), unwanted).await?;
                }
                return Ok(done);
            }
            _ => return Ok(reply::method_not_allowed("GET, POST, PUT, DELETE")),
        }
        let out_of_service = node.flags & (FLAG_MAINTENANCE | FLAG_DECOMMISSION) != 0;
        if out_of_service && req.query.text("what") == "node_status" {
            let decommission = node.flags & FLAG_DECOMMISSION != 0;
            let status = if decommission { "decommission" } else { "maintenance" };
            return Ok(req.json(&json!({"snode": node, "status": status})));
        }
        let slash = if item.is_empty() { "" } else { "/" };
        let url = format!("{}/v1/daemon{slash}{item}?{}", node.url(), req.query.raw());
        let mut headers = HeaderMap::new();
        for name in [ACCEPT, USER_AGENT] {
            if let Some(value) = req.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let body = req.read_body(crate::http::request::MAX_ACTION_BYTES).await?;
        let timeout = self.ctx.times().relay();
        let sent = self.ctx.intra.send(Method::GET, &url, headers, body, timeout).await;
        let Ok(answer) = sent else { return Ok(reply::empty(StatusCode::BAD_GATEWAY)) };
        Ok(relayed(answer))
    }

    /// Has one node carry out a change; its public address takes changes from nobody.
    async fn relay_change(&self, req: &mut Req, node: &str, item: &str) -> Result<Reply, ApiError> {
        let slash = if item.is_empty() { "" } else { "/" };
        let url = format!("{node}{CHANGE_PATH}{slash}{item}?{}", req.query.raw());
        let body = req.read_body(crate::http::request::MAX_ACTION_BYTES).await?;
        let method = req.method.clone();
        let timeout = self.ctx.times().busy();
        let sent = self.ctx.intra.send(method, &url, json_headers(), body, timeout).await;
        let Ok(mut answer) = sent else { return Ok(reply::empty(StatusCode::BAD_GATEWAY)) };
        if answer.status().as_u16() >= 400 {
            return Err(peer_error(&url, &mut answer).await);
        }
        Ok(relayed(answer))
    }
}

/// A node's answer as this gateway's.
fn relayed(answer: hyper::Response<hyper::body::Incoming>) -> Reply {
    let (parts, body) = answer.into_parts();
    let body = body.map_err(std::io::Error::other).boxed_unsync();
    let mut relayed = Reply::new(body);
    *relayed.status_mut() = parts.status;
    for name in [CONTENT_TYPE, CONTENT_LENGTH] {
        if let Some(value) = parts.headers.get(&name) {
            relayed.headers_mut().insert(name, value.clone());
        }
    }
    relayed
}
