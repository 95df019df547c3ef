//! Which settings one node can have for itself, and which can change until the next restart only.

use serde_json::{Map, Value};

use super::{ClusterConfig, pairs};
use crate::error::ApiError;
use crate::patch;

/// Sections that must be the same on all nodes.
const CLUSTER_ONLY: [&str; 18] = [
    "checksum",
    "tcb",
    "tco",
    "arch",
    "lso",
    "rebalance",
    "ec",
    "get_batch",
    "transport",
    "chunks",
    "mirror",
    "periodic",
    "auth",
    "backend",
    "proxy",
    "net",
    "features",
    "versioning",
];
/// Settings that are read at start only, so that a change until the next restart has no effect.
const AT_START_ONLY: [&str; 6] =
    ["auth", "net", "tracing", "memsys", "keepalivetracker", "timeout"];
/// Of the section `timeout`, what is read at start only.
const TIMEOUT_AT_START: [&str; 2] = ["max_keepalive", "cplane_operation"];

/// A change of configuration by dotted names and texts as a change by sections.
///
/// # Errors
///
/// As [`ClusterConfig::with_pairs`].
pub fn patch_of_pairs(pairs: &[(String, String)]) -> Result<Value, ApiError> {
    pairs::to_patch(pairs)
}

/// Checks what a change of one node, or one until the next restart, names.
///
/// # Errors
///
/// 400 for a section that is the whole cluster's; 501 for a transient change of what is read at start only.
pub fn check_scope(change: &Value, transient: bool) -> Result<(), ApiError> {
    let Some(sections) = change.as_object() else { return Ok(()) };
    for (section, keys) in sections.iter().filter(|(_, keys)| !keys.is_null()) {
        if transient && let Some(key) = read_at_start(section, keys) {
            return Err(ApiError::unsupported(format!(
                "configuration \"{key}\" takes effect on restart and cannot be changed transiently: leave \"transient\" out"
            )));
        }
        if CLUSTER_ONLY.contains(&section.as_str()) {
            let how = if transient { "transiently" } else { "for one node" };
            return Err(ApiError::bad_request(format!(
                "configuration section \"{section}\" belongs to the whole cluster and cannot be changed {how}: use PUT /v1/cluster/set-config without \"transient\""
            )));
        }
    }
    Ok(())
}

fn read_at_start(section: &str, keys: &Value) -> Option<String> {
    if !AT_START_ONLY.contains(&section) {
        return None;
    }
    if section != "timeout" {
        return Some(section.to_owned());
    }
    let named = |key: &&str| keys.get(key).is_some_and(|value| !value.is_null());
    TIMEOUT_AT_START.iter().find(|key| named(key)).map(|key| format!("timeout.{key}"))
}

/// Settings of one node that lie over the cluster's: partial sections, of which the last change counts.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigLayer(Value);

impl Default for ConfigLayer {
    fn default() -> Self {
        Self(Value::Object(Map::new()))
    }
}

impl ConfigLayer {
    /// The layer in its stored form; `None` when it is not one.
    pub fn from_json(value: Value) -> Option<Self> {
        value.is_object().then_some(Self(value))
    }

    /// The stored form.
    pub fn as_json(&self) -> &Value {
        &self.0
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.as_object().is_none_or(Map::is_empty)
    }

    /// This layer with a change over it.
    #[must_use]
    pub fn with(&self, change: &Value) -> Self {
        let mut value = self.0.clone();
        patch::merge(&mut value, change);
        Self(value)
    }

    /// The cluster's settings with this layer over them.
    ///
    /// # Errors
    ///
    /// As [`ClusterConfig::patched`].
    pub fn over(&self, config: &ClusterConfig) -> Result<ClusterConfig, ApiError> {
        if self.is_empty() { Ok(config.clone()) } else { config.patched(&self.0) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(change: &Value, transient: bool) -> u16 {
        check_scope(change, transient).map_or_else(|err| err.status, |()| 200)
    }

    #[test]
    fn sections_of_the_cluster_are_refused_by_name() {
        for section in CLUSTER_ONLY {
            let change = json!({section: {"x": 1}});
            assert_eq!(status(&change, false), 400, "{section}");
            assert!(check_scope(&change, false).unwrap_err().message.contains(section));
        }
        assert_eq!(status(&json!({"checksum": {}}), true), 400);
        assert_eq!(status(&json!({"checksum": null, "log": {"level": "4"}}), false), 200);
    }

    #[test]
    fn what_is_read_at_start_does_not_change_transiently() {
        for section in ["auth", "net", "tracing", "memsys", "keepalivetracker"] {
            assert_eq!(status(&json!({section: {}}), true), 501, "{section}");
        }
        assert_eq!(status(&json!({"memsys": {}}), false), 200);
        assert_eq!(status(&json!({"timeout": {"max_keepalive": "6s"}}), true), 501);
        assert_eq!(status(&json!({"timeout": {"cplane_operation": "1s"}}), true), 501);
        assert_eq!(status(&json!({"timeout": {"object_md": "1h"}}), true), 200);
    }

    #[test]
    fn layers_lie_over_the_cluster() {
        let config = ClusterConfig::default();
        let layer = ConfigLayer::default();
        assert!(layer.is_empty() && layer.over(&config).unwrap() == config);
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let change = patch_of_pairs(&[pair("space.highwm", "91"), pair("LOG.level", "4")]).unwrap();
        let layer = layer.with(&change).with(&json!({"log": {"level": "2"}}));
        let over = layer.over(&config).unwrap();
        assert_eq!((over.space.highwm, over.log.level.as_str()), (91, "2"));
        assert_eq!(ConfigLayer::from_json(layer.as_json().clone()), Some(layer));
        assert_eq!(ConfigLayer::from_json(json!([])), None);
    }
}
