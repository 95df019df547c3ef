//! `/v1/reverse/daemon`: passes a question on to the node that the client names.

use std::time::Duration;

use aistore_core::error::ApiError;
use aistore_core::headers::NODE_ID;
use aistore_core::smap::{FLAG_DECOMMISSION, FLAG_MAINTENANCE};
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;

use super::Gateway;
use crate::http::{Reply, Req, path, reply};

/// Longest wait for the node's answer; clients give up after 20 s.
const RELAY_TIMEOUT: Duration = Duration::from_secs(10);

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
        match req.method {
            Method::GET => {}
            Method::POST | Method::PUT | Method::DELETE => {
                return Err(ApiError::unsupported(format!(
                    "changing one node ({}) is not supported by this version",
                    node.display()
                )));
            }
            _ => return Ok(reply::method_not_allowed("GET, POST, PUT, DELETE")),
        }
        let out_of_service = node.flags & (FLAG_MAINTENANCE | FLAG_DECOMMISSION) != 0;
        if out_of_service && req.query.text("what") == "node_status" {
            let decommission = node.flags & FLAG_DECOMMISSION != 0;
            let status = if decommission { "decommission" } else { "maintenance" };
            return Ok(req.json(&json!({"snode": node, "status": status})));
        }
        let item = segments.get(3..).unwrap_or_default().join("/");
        let slash = if item.is_empty() { "" } else { "/" };
        let url = format!("{}/v1/daemon{slash}{item}?{}", node.url(), req.query.raw());
        let mut headers = HeaderMap::new();
        for name in [ACCEPT, USER_AGENT] {
            if let Some(value) = req.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let body = req.read_body(crate::http::request::MAX_ACTION_BYTES).await?;
        let sent = self.ctx.intra.send(Method::GET, &url, headers, body, RELAY_TIMEOUT).await;
        let Ok(answer) = sent else { return Ok(reply::empty(StatusCode::BAD_GATEWAY)) };
        let (parts, body) = answer.into_parts();
        let body = body.map_err(std::io::Error::other).boxed_unsync();
        let mut relayed = Reply::new(body);
        *relayed.status_mut() = parts.status;
        if let Some(kind) = parts.headers.get(CONTENT_TYPE) {
            relayed.headers_mut().insert(CONTENT_TYPE, kind.clone());
        }
        Ok(relayed)
    }
}
