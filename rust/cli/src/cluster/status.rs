//! What a node says about itself, as far as the tables need it. Absent fields are zero.

use std::collections::BTreeMap;

use aistore_client::ClientError;
use aistore_core::wire::string_u64;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;

/// Node flags of a healthy node: cluster and node have started.
const HEALTHY: u64 = 6;

const ALERTS: [(u64, &str); 20] = [
    (1 << 3, "rebalancing"),
    (1 << 4, "rebalance-interrupted"),
    (1 << 5, "resilvering"),
    (1 << 6, "resilver-interrupted"),
    (1 << 7, "restarted"),
    (1 << 8, "out-of-space"),
    (1 << 9, "out-of-memory"),
    (1 << 10, "maintenance-mode"),
    (1 << 11, "low-usable-capacity"),
    (1 << 12, "low-memory"),
    (1 << 13, "disk-fault"),
    (1 << 14, "high-number-of-tasks"),
    (1 << 16, "tls-cert-will-soon-expire"),
    (1 << 17, "tls-cert-expired"),
    (1 << 18, "tls-cert-invalid"),
    (1 << 19, "keep-alive-errors"),
    (1 << 20, "cpu-overloaded"),
    (1 << 21, "low-cpu"),
    (1 << 22, "disk-out-of-space"),
    (1 << 23, "disk-low-capacity"),
];

/// Answer to `node_status`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeStatus {
    pub(super) status: String,
    pub(super) deployment: String,
    pub(super) ais_version: String,
    pub(super) build_time: String,
    pub(super) k8s_pod_name: String,
    pub(super) tracker: Option<BTreeMap<String, Value>>,
    pub(super) capacity: Option<Capacity>,
    pub(super) cluster: Option<Flags>,
    pub(super) sys_info: Option<SysInfo>,
}

/// Disk space of a target.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Capacity {
    pub(super) mountpaths: Option<BTreeMap<String, Mountpath>>,
    #[serde(with = "string_u64")]
    pub(super) total_avail: u64,
    pub(super) pct_avg: i64,
}

/// Disk space of a mountpath.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Mountpath {
    pub(super) fs: FileSystem,
    #[serde(with = "string_u64")]
    pub(super) used: u64,
    #[serde(with = "string_u64")]
    pub(super) avail: u64,
}

/// Identity of a file system: mountpaths may share one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct FileSystem {
    #[serde(rename = "FsID")]
    pub(super) id: String,
}

/// State bits of a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Flags {
    pub(super) flags: u64,
}

/// Memory and processor.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct SysInfo {
    pub(super) mem_avail: u64,
    pub(super) pct_mem_used: f64,
    pub(super) cpu_util: i64,
    pub(super) cpu_throttled: i64,
    pub(super) load_avg: LoadAverage,
}

/// Load averages over 1, 5 and 15 minutes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct LoadAverage {
    pub(super) one: f64,
    pub(super) five: f64,
    pub(super) fifteen: f64,
}

/// A node's answer, or why there is none.
#[derive(Debug, Clone)]
pub(super) enum NodeState {
    Known(Box<NodeStatus>),
    Failed(String),
}

impl NodeState {
    /// Decodes an answer.
    pub(super) fn decode(answer: Result<Value, Failure>) -> Self {
        match answer.map(serde_json::from_value::<NodeStatus>) {
            Ok(Ok(status)) => Self::Known(Box::new(status)),
            Ok(Err(err)) => Self::Failed(format!("malformed answer: {err}")),
            Err(err) => Self::Failed(short(&err)),
        }
    }

    /// The status, when the node answered.
    pub(super) fn known(&self) -> Option<&NodeStatus> {
        match self {
            Self::Known(status) => Some(status),
            Self::Failed(_) => None,
        }
    }

    /// Word of the STATUS column.
    pub(super) fn status(&self) -> String {
        match self {
            Self::Known(status) if status.status.is_empty() => "online".to_owned(),
            Self::Known(status) => status.status.clone(),
            Self::Failed(reason) => reason.clone(),
        }
    }
}

/// A failure in a table cell: the class if there is one, else the first line.
fn short(err: &Failure) -> String {
    if let Failure::Client(err) = err
        && let ClientError::Api { error, .. } = &**err
        && !error.tcode.is_empty()
    {
        return error.tcode.clone();
    }
    if err.status() == Some(502) || err.status() == Some(503) {
        return "offline".to_owned();
    }
    err.to_string().lines().next().unwrap_or_default().to_owned()
}

impl NodeStatus {
    /// Words of the ALERT column; empty when healthy.
    pub(super) fn alert(&self) -> String {
        let flags = self.cluster.as_ref().map_or(HEALTHY, |state| state.flags);
        let words: Vec<_> =
            ALERTS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, word)| *word).collect();
        if words.is_empty() && flags & HEALTHY != HEALTHY {
            return "starting-up".to_owned();
        }
        words.join(",")
    }

    /// A counter.
    pub(super) fn counter(&self, name: &str) -> u64 {
        let value = self.tracker.as_ref().and_then(|tracker| tracker.get(name));
        value.and_then(Value::as_u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn decode(value: Value) -> NodeState {
        NodeState::decode(Ok(value))
    }

    #[test]
    fn sparse_answers_decode() {
        let state = decode(json!({"tracker": {"up.ns.time": 5}, "capacity": {"mountpaths": null}}));
        assert_eq!(state.known().unwrap().counter("up.ns.time"), 5);
        assert_eq!(state.status(), "online");
        assert_eq!(state.known().unwrap().alert(), "");
        assert!(matches!(decode(json!("no")), NodeState::Failed(_)));
    }

    #[test]
    fn alerts_are_spelled_out() {
        let with =
            |flags: u64| decode(json!({"cluster": {"flags": flags}})).known().unwrap().alert();
        assert_eq!(with(6), "");
        assert_eq!(with(4), "starting-up");
        assert_eq!(with(6 | 256 | 8192), "out-of-space,disk-fault");
    }
}
