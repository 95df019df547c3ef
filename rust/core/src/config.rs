//! Cluster configuration: every section with its keys and defaults, and the two ways to change it.
//!
//! The serde form is the wire form. Sizes and durations travel as text, so they survive unchanged.

mod auth;
mod catalog;
mod local;
mod macros;
mod net;
mod pairs;
mod scope;
mod sections;
mod storage;
mod validate;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::auth::*;
pub use self::catalog::{CATALOG, Effect, explain};
pub use self::local::*;
pub use self::net::*;
pub use self::scope::*;
pub use self::sections::*;
pub use self::storage::*;
pub(crate) use self::validate::mirror_or_chunks;
use crate::error::ApiError;
use crate::patch;
use crate::wire::string_u64;

const WHAT: &str = "configuration key";
/// Keys that the cluster sets itself, or that have one possible value. `*` stands for any one level.
const READ_ONLY: [&str; 6] = [
    "uuid",
    "lastupdate_time",
    "config_version",
    "net.http.write_buffer_size",
    "net.http.read_buffer_size",
    "keepalivetracker.*.name",
];

/// Configuration of the whole cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// Cluster id.
    pub uuid: String,
    /// When this version was made; free form.
    pub lastupdate_time: String,
    /// Grows by one with every change; set by whoever applies changes, not here.
    #[serde(with = "string_u64")]
    pub config_version: u64,
    /// Feature bits, see [`crate::props::BUCKET_FEATURES`] for those that buckets have too.
    #[serde(with = "string_u64")]
    pub features: u64,
    /// Settings by provider.
    pub backend: BTreeMap<String, Value>,
    /// Replicas of objects.
    pub mirror: MirrorConf,
    /// Erasure coding.
    pub ec: EcConf,
    /// Objects stored in chunks.
    pub chunks: ChunksConf,
    /// Logging.
    pub log: LogConf,
    /// Periods of background work.
    pub periodic: PeriodicConf,
    /// Time limits inside the cluster.
    pub timeout: TimeoutConf,
    /// Time limits of requests on behalf of clients.
    pub client: ClientConf,
    /// Gateways.
    pub proxy: ProxyConf,
    /// Capacity watermarks.
    pub space: SpaceConf,
    /// Eviction.
    pub lru: LruConf,
    /// Disk load.
    pub disk: DiskConf,
    /// Moving objects after membership changes.
    pub rebalance: RebalanceConf,
    /// Moving objects after mountpath changes.
    pub resilver: ResilverConf,
    /// Object checksums.
    pub checksum: ChecksumConf,
    /// Object versions.
    pub versioning: VersioningConf,
    /// Network.
    pub net: NetConf,
    /// Filesystem health checks.
    pub fshc: FshcConf,
    /// Damage at rest.
    pub scrub: ScrubConf,
    /// Who may do what.
    pub auth: AuthConf,
    /// Heartbeats.
    pub keepalivetracker: KeepaliveConf,
    /// Downloads.
    pub downloader: DownloaderConf,
    /// Distributed sort.
    pub distributed_sort: DsortConf,
    /// Streams between targets.
    pub transport: TransportConf,
    /// Memory.
    pub memsys: MemsysConf,
    /// Copying buckets.
    pub tcb: XactConf,
    /// Copying objects.
    pub tco: XactConf,
    /// Making archives.
    pub arch: XactConf,
    /// Listing objects.
    pub lso: LsoConf,
    /// When data and metadata reach the disk.
    pub write_policy: WritePolicyConf,
    /// Limits on requests per time.
    pub rate_limit: RateLimitConf,
    /// Batch reads.
    pub get_batch: GetBatchConf,
    /// Distributed tracing; `None` = off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<TracingConf>,
}

impl ClusterConfig {
    /// Puts a partial configuration over this one; null and missing keys stay as they are.
    ///
    /// The result is valid as a whole; `config_version` is not touched.
    ///
    /// # Errors
    ///
    /// 400 naming the key: unknown, of a wrong type, out of bounds, or read-only (a read-only key may be
    /// repeated with its present value, so that a section that was read can be sent back).
    pub fn patched(&self, patch: &Value) -> Result<Self, ApiError> {
        if !patch.is_object() {
            return Err(ApiError::bad_request(
                "invalid configuration change: expected a JSON object of sections, such as {\"lru\":{\"enabled\":true}}",
            ));
        }
        patch::check_sections(&pairs::specimen()?, patch)?;
        let before = patch::to_value("configuration", self)?;
        let mut merged = before.clone();
        patch::merge(&mut merged, patch);
        let after: Self = patch::decode(WHAT, merged)?;
        let normal = patch::to_value("configuration", &after)?;
        for pattern in READ_ONLY {
            for key in expand(pattern) {
                if patch::lookup(&before, &key) != patch::lookup(&normal, &key) {
                    return Err(read_only(&key));
                }
            }
        }
        after.validate()?;
        Ok(after)
    }

    /// Sets keys by dotted, case-insensitive name from text: booleans as `true`, `no`, `on` and so on, lists as
    /// `[a b c]`, `none` for an empty list.
    ///
    /// Query parameters that are no keys (`transient`) are for the caller to take out first.
    ///
    /// # Errors
    ///
    /// As [`ClusterConfig::patched`]; also when there is no pair at all, and for any read-only key.
    pub fn with_pairs(&self, pairs: &[(String, String)]) -> Result<Self, ApiError> {
        let patch = pairs::to_patch(pairs)?;
        self.patched(&patch)
    }

    /// All settings at their defaults; identity, version and backends stay.
    #[must_use]
    pub fn reset(&self) -> Self {
        Self {
            uuid: self.uuid.clone(),
            lastupdate_time: self.lastupdate_time.clone(),
            config_version: self.config_version,
            backend: self.backend.clone(),
            proxy: self.proxy.clone(),
            ..Self::default()
        }
    }

    /// The form to show: secrets are masked.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut shown = self.clone();
        if let Some(signature) = shown.auth.signature.as_mut().filter(|s| !s.key.is_empty()) {
            MASK.clone_into(&mut signature.key);
        }
        shown
    }
}

fn read_only(key: &str) -> ApiError {
    ApiError::bad_request(format!("configuration key \"{key}\" is read-only: leave it out"))
}

/// A read-only pattern as the keys it stands for.
fn expand(pattern: &str) -> Vec<String> {
    if pattern.contains('*') {
        ["proxy", "target"].map(|role| pattern.replace('*', role)).into()
    } else {
        vec![pattern.to_owned()]
    }
}

#[cfg(test)]
mod tests;
