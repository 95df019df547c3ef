//! One question to many nodes at once.

use std::time::Duration;

use aistore_core::smap::Snode;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Method};
use serde_json::{Map, Value};

use super::Gateway;

/// Longest wait for one node's answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

impl Gateway {
    /// Asks each node `GET /v1/daemon?what=`; answers by node id.
    ///
    /// A node that does not answer is left out: a picture of the others helps more than an error.
    pub(super) async fn ask_each<'n>(
        &self,
        nodes: impl Iterator<Item = &'n Snode>,
        what: &str,
    ) -> Map<String, Value> {
        let asks = nodes.map(|node| async move {
            let url = format!("{}/v1/daemon?what={what}", node.url());
            let asked = self.ctx.intra.bytes(
                Method::GET,
                &url,
                HeaderMap::new(),
                Bytes::new(),
                ASK_TIMEOUT,
            );
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
}
