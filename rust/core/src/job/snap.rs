//! What one target has done for one job so far.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::time::{parse_rfc3339, rfc3339};
use crate::bucket::Bucket;
use crate::wire::string_u64;

/// Counters of one target's share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct JobStats {
    /// Objects processed here.
    #[serde(with = "string_u64")]
    pub loc_objs: u64,
    /// Their bytes.
    #[serde(with = "string_u64")]
    pub loc_bytes: u64,
    /// Objects sent to other targets.
    #[serde(with = "string_u64")]
    pub out_objs: u64,
    /// Their bytes.
    #[serde(with = "string_u64")]
    pub out_bytes: u64,
    /// Objects received from other targets.
    #[serde(with = "string_u64")]
    pub in_objs: u64,
    /// Their bytes.
    #[serde(with = "string_u64")]
    pub in_bytes: u64,
}

/// A snapshot. Its serialized form is the wire's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "named and described in the protocol")]
pub struct Snap {
    pub id: String,
    pub kind: String,
    pub bck: Bucket,
    #[serde(rename = "src-bck")]
    pub src_bck: Bucket,
    #[serde(rename = "dst-bck")]
    pub dst_bck: Bucket,
    #[serde(rename = "start-time", with = "time_text")]
    pub started_ns: u64,
    #[serde(rename = "end-time", with = "time_text")]
    pub ended_ns: u64,
    pub stats: JobStats,
    /// Joggers in bits 0-9, workers in bits 10-19.
    #[serde(rename = "glob.id", with = "string_u64")]
    pub packed: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ctlmsg: String,
    #[serde(rename = "abort-err")]
    pub abort_err: String,
    pub err: String,
    pub aborted: bool,
    pub is_idle: bool,
    pub ext: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Snap {
    /// Started, not aborted, not finished.
    pub fn is_running(&self) -> bool {
        self.started_ns != 0 && self.ended_ns == 0 && !self.aborted
    }

    /// Appends what the target says about its progress.
    pub fn add_progress(&mut self, text: &str) {
        if !text.is_empty() {
            if !self.ctlmsg.is_empty() {
                self.ctlmsg.push_str(", ");
            }
            self.ctlmsg.push_str(text);
        }
    }
}

/// RFC 3339, UTC.
mod time_text {
    use super::{Deserialize, Deserializer, Serializer, parse_rfc3339, rfc3339};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(*value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_rfc3339(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("invalid time \"{text}\": expected RFC 3339 in UTC"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_looks_as_clients_expect() {
        let stats = JobStats { loc_objs: 12, loc_bytes: 4096, ..JobStats::default() };
        let snap = Snap {
            id: "Qx7_kZ3Lm".into(),
            kind: "copy-bck".into(),
            bck: Bucket::ais("b"),
            started_ns: 1_000_000_000_123_456_789,
            packed: 8195,
            stats,
            ..Snap::default()
        };
        let json = serde_json::to_value(&snap).unwrap();
        assert_eq!(json["start-time"], "2001-09-09T01:46:40.123456789Z");
        assert_eq!(json["end-time"], "0001-01-01T00:00:00Z");
        assert_eq!(json["stats"]["loc-bytes"], "4096");
        assert_eq!(json["glob.id"], "8195");
        assert_eq!(json["src-bck"]["name"], "");
        assert_eq!(json["bck"]["provider"], "ais");
        assert!(json["ext"].is_null() && json.get("ctlmsg").is_none());
        assert_eq!(json["is_idle"], false);
        let packed = rmp_serde::to_vec_named(&snap).unwrap();
        let back: Snap = rmp_serde::from_slice(&packed).unwrap();
        assert_eq!(back, snap);
        assert!(back.is_running());
    }
}
