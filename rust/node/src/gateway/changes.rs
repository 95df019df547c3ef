//! Changes of the whole cluster: configuration, statistics, logs.

use aistore_cluster::{Command, ConfigChange};
use aistore_core::bucket::Provider;
use aistore_core::config::{check_scope, patch_of_pairs};
use aistore_core::error::ApiError;
use aistore_core::list::format_time;
use aistore_core::wire::ActionMsg;
use http::StatusCode;
use serde_json::Value;

use super::Gateway;
use super::cluster::unsupported;
use super::redirect::now_ns;
use crate::daemon::{LOAD_CERTIFICATE, config_pairs};
use crate::http::{Reply, Req, path, reply};

/// How `lastupdate_time` reads, in UTC.
const UPDATED_LAYOUT: &str = "2006-01-02 15:04:05";

impl Gateway {
    /// Answers `PUT /v1/cluster[/ITEM]`.
    pub(super) async fn change_cluster(&self, req: &mut Req) -> Result<Reply, ApiError> {
        let mut items = path::segments(&req.raw_path)?.into_iter().skip(2);
        let (item, node) = (items.next(), items.next());
        let transient = req.query.flag("transient");
        match item.as_deref() {
            Some("set-config") => {
                let pairs = config_pairs(&req.query)?;
                if transient {
                    return self.change_transiently(&patch_of_pairs(&pairs)?).await;
                }
                self.change_config(ConfigChange::Pairs(pairs)).await
            }
            Some(LOAD_CERTIFICATE) => self.load_certificates(node.as_deref()).await,
            Some(other) => Err(unsupported(other)),
            None => {
                let action = req.read_action().await?.unwrap_or_default();
                self.act(action, transient).await
            }
        }
    }

    /// Has one node, or each, read its certificate anew.
    async fn load_certificates(&self, node: Option<&str>) -> Result<Reply, ApiError> {
        let action = ActionMsg::new(LOAD_CERTIFICATE, Value::Null);
        let Some(id) = node else {
            self.tell_each("", &action).await?;
            return Ok(reply::empty(StatusCode::OK));
        };
        let state = self.ctx.state();
        let node = state.smap.node(id).ok_or_else(|| {
            ApiError::new(
                404,
                "errNodeNotFound",
                format!("node \"{id}\" is not in the cluster map (version {})", state.smap.version),
            )
        })?;
        self.tell(node, "", &action).await?;
        Ok(reply::empty(StatusCode::OK))
    }

    async fn act(&self, action: ActionMsg, transient: bool) -> Result<Reply, ApiError> {
        let ActionMsg { action: verb, name, value } = &action;
        match verb.as_str() {
            "start" => return self.start_by_kind(action.value).await,
            "stop" => return self.stop_jobs(action.value).await,
            "set-config" if transient => return self.change_transiently(value).await,
            "set-config" => return self.change_config(ConfigChange::Patch(action.value)).await,
            "reset-config" => {
                self.change_config(ConfigChange::Reset).await?;
            }
            "reset-stats" if !value.is_boolean() && !value.is_null() => {
                return Err(ApiError::bad_request(format!(
                    "invalid value {value} of \"reset-stats\": expected true for errors only, or false"
                )));
            }
            "clear-lcache" if !name.is_empty() => {
                return Err(ApiError::unsupported(
                    "clearing the cache of one node is not supported: leave the name out for all",
                ));
            }
            "reload-creds" if !name.is_empty() => {
                Provider::parse(name)?;
            }
            "rotate-logs" | "reset-stats" | "clear-lcache" | "reload-creds" => {}
            other => return Err(unsupported(other)),
        }
        self.tell_each("", &action).await?;
        Ok(reply::empty(StatusCode::OK))
    }

    async fn change_config(&self, change: ConfigChange) -> Result<Reply, ApiError> {
        let updated = format_time(UPDATED_LAYOUT, now_ns());
        self.submit(Command::ChangeConfig { change, updated }).await?;
        Ok(reply::empty(StatusCode::OK))
    }

    /// Has each node change its own configuration until it restarts.
    async fn change_transiently(&self, patch: &Value) -> Result<Reply, ApiError> {
        self.ctx.state().config.patched(patch)?;
        check_scope(patch, true)?;
        let action = ActionMsg::new("set-config", patch.clone());
        self.tell_each("?transient=true", &action).await?;
        Ok(reply::empty(StatusCode::OK))
    }
}
