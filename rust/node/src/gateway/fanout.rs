//! One question, or one change, to many nodes at once.

use aistore_core::error::ApiError;
use aistore_core::smap::Snode;
use aistore_core::wire::ActionMsg;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Method};
use serde_json::{Map, Value};

use super::Gateway;
use crate::daemon::CHANGE_PATH;
use crate::intra::json_headers;

impl Gateway {
    /// Asks each node `GET /v1/daemon?what=`; answers by node id.
    ///
    /// A node that does not answer is left out: a picture of the others helps more than an error.
    pub(super) async fn ask_each<'n>(
        &self,
        nodes: impl Iterator<Item = &'n Snode>,
        what: &str,
    ) -> Map<String, Value> {
        let timeout = self.ctx.times().ask();
        let asks = nodes.map(|node| async move {
            let url = format!("{}/v1/daemon?what={what}", node.url());
            let asked =
                self.ctx.intra.bytes(Method::GET, &url, HeaderMap::new(), Bytes::new(), timeout);
            let answer = asked.await.map(|(_, body)| serde_json::from_slice::<Value>(&body));
            match answer {
                Ok(Ok(value)) => Some((node.daemon_id.clone(), value)),
                Ok(Err(err)) => {
                    tracing::warn!(node = node.display(), what, error = %err, "malformed answer");
                    None
                }
                Err(err) => {
                    tracing::warn!(node = node.display(), what, error = %err, "no answer");
                    None
                }
            }
        });
        join_all(asks).await.into_iter().flatten().collect()
    }

    /// Has all nodes carry out a change of themselves.
    ///
    /// # Errors
    ///
    /// The first failure, naming the node; the others have carried it out by then, or failed too.
    pub(super) async fn tell_each(&self, query: &str, action: &ActionMsg) -> Result<(), ApiError> {
        let state = self.ctx.state();
        let nodes = state.smap.pmap.values().chain(state.smap.tmap.values());
        let told = nodes.map(|node| self.tell(node, query, action));
        join_all(told).await.into_iter().collect()
    }

    /// Has one node carry out a change of itself.
    ///
    /// # Errors
    ///
    /// The node's, naming it.
    pub(super) async fn tell(
        &self,
        node: &Snode,
        query: &str,
        action: &ActionMsg,
    ) -> Result<(), ApiError> {
        let body = serde_json::to_vec(action)
            .map_err(|err| ApiError::internal(format!("change of a node: {err}")))?;
        let url = format!("{}{CHANGE_PATH}{query}", node.url());
        let timeout = self.ctx.times().ask();
        let told =
            self.ctx.intra.bytes(Method::PUT, &url, json_headers(), Bytes::from(body), timeout);
        told.await.map(|_| ()).map_err(|err| {
            ApiError::new(err.status, &err.tcode, format!("{}: {}", node.display(), err.message))
        })
    }
}
