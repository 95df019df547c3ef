//! Bucket properties: what a bucket is made with, how it is changed, and who may do what with it.

mod extra;
mod update;

use serde::{Deserialize, Serialize};

pub use self::extra::*;
use crate::bucket::{Bucket, Namespace, Provider};
use crate::config::{
    ChecksumConf, ChunksConf, ClusterConfig, EcConf, LruConf, MirrorConf, RateLimitConf,
    VersioningConf, WritePolicyConf,
};
use crate::error::ApiError;
use crate::wire::string_u64;

/// Read objects.
pub const ACCESS_GET: u64 = 1;
/// Read an object's properties.
pub const ACCESS_HEAD_OBJECT: u64 = 2;
/// Write objects.
pub const ACCESS_PUT: u64 = 4;
/// Append to objects.
pub const ACCESS_APPEND: u64 = 8;
/// Delete objects.
pub const ACCESS_DELETE_OBJECT: u64 = 16;
/// Rename objects.
pub const ACCESS_MOVE_OBJECT: u64 = 32;
/// Promote files.
pub const ACCESS_PROMOTE: u64 = 64;
/// Change custom metadata.
pub const ACCESS_UPDATE_OBJECT: u64 = 128;
/// Read bucket properties.
pub const ACCESS_HEAD_BUCKET: u64 = 256;
/// List objects.
pub const ACCESS_LIST_OBJECTS: u64 = 512;
/// Change bucket properties.
pub const ACCESS_PATCH: u64 = 1024;
/// Change the access mask.
pub const ACCESS_SET_BUCKET_ACL: u64 = 2048;
/// Destroy the bucket.
pub const ACCESS_DESTROY_BUCKET: u64 = 32768;
/// Rename the bucket.
pub const ACCESS_MOVE_BUCKET: u64 = 65536;
/// Read only: get, head, list.
pub const ACCESS_READ_ONLY: u64 = 771;
/// Read and write.
pub const ACCESS_READ_WRITE: u64 = 831;
/// Everything.
pub const ACCESS_ALL: u64 = u64::MAX;

/// Names of the feature bits, by number.
pub const FEATURE_NAMES: [&str; FEATURE_COUNT as usize] = [
    "Enforce-IntraCluster-Access",
    "Skip-Loading-VersionChecksum-MD",
    "Do-not-Auto-Detect-FileShare",
    "S3-API-via-Root",
    "Fsync-PUT",
    "LZ4-Block-1MB",
    "LZ4-Frame-Checksum",
    "Do-not-Allow-Passing-FQN-to-ETL",
    "Ignore-LimitedCoexistence-Conflicts",
    "S3-Presigned-Request",
    "Do-not-Optimize-Listing-Virtual-Dirs",
    "Disable-Cold-GET",
    "Streaming-Cold-GET",
    "S3-Reverse-Proxy",
    "S3-Use-Path-Style",
    "Do-not-Delete-When-Rebalancing",
    "Do-not-Set-Control-Plane-ToS",
    "Trust-Crypto-Safe-Checksums",
    "S3-ListObjectVersions",
    "Enable-Detailed-Prom-Metrics",
    "Force-Container-CPU-Mem",
    "Resume-Interrupted-MPU",
    "Keep-Unknown-FQN",
    "Load-Balance-GET",
    "Count-Object-NotFound-Stats",
    "Enable-Go-Runtime-Metrics",
    "Dload-Allow-Private-Egress",
    "S3-Redirect-Rebuild",
];
/// Feature bits that a cluster can have.
pub const CLUSTER_FEATURES: u64 = (1 << FEATURE_COUNT) - 1;
/// Number of feature bits.
pub const FEATURE_COUNT: u32 = 28;
/// Feature bit: reads of remote objects that are not in the cluster fail.
pub const FEATURE_DISABLE_COLD_GET: u64 = 1 << 11;
/// Feature bit: remote objects are passed on while they are stored.
pub const FEATURE_STREAMING_COLD_GET: u64 = 1 << 12;
const FEATURE_S3_REVERSE_PROXY: u64 = 1 << 13;
const FEATURE_S3_REDIRECT_REBUILD: u64 = 1 << 27;
/// Feature bits that a bucket can have of its own.
pub const BUCKET_FEATURES: u64 = 1 << 1
    | 1 << 4
    | 1 << 9
    | FEATURE_DISABLE_COLD_GET
    | FEATURE_STREAMING_COLD_GET
    | 1 << 14
    | 1 << 18
    | 1 << 21
    | 1 << 24;

/// Properties of one bucket. The serde form is the wire form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketProps {
    /// Remote bucket behind this one; empty names = none.
    #[serde(default)]
    pub backend_bck: BackendBucket,
    /// When data and metadata reach the disk.
    #[serde(default)]
    pub write_policy: WritePolicyConf,
    /// Provider; read-only.
    pub provider: Provider,
    /// Name of the bucket before a rename that is going on, else empty.
    #[serde(default, rename = "Renamed")]
    pub renamed: String,
    /// Checksums.
    #[serde(default)]
    pub checksum: ChecksumConf,
    /// Provider-specific settings.
    #[serde(default)]
    pub extra: ExtraProps,
    /// Limits on requests per time.
    #[serde(default)]
    pub rate_limit: RateLimitConf,
    /// Erasure coding.
    #[serde(default)]
    pub ec: EcConf,
    /// Objects stored in chunks.
    #[serde(default)]
    pub chunks: ChunksConf,
    /// Replicas.
    #[serde(default)]
    pub mirror: MirrorConf,
    /// Eviction.
    #[serde(default)]
    pub lru: LruConf,
    /// Mask of `ACCESS_*` bits.
    #[serde(with = "string_u64")]
    pub access: u64,
    /// Feature bits, only those of [`BUCKET_FEATURES`].
    #[serde(default, with = "string_u64")]
    pub features: u64,
    /// Unique id, never zero; read-only.
    #[serde(with = "string_u64")]
    pub bid: u64,
    /// Creation in nanoseconds since the epoch; read-only.
    #[serde(with = "string_u64")]
    pub created: u64,
    /// Versions.
    #[serde(default)]
    pub versioning: VersioningConf,
}

/// A remote bucket behind a native one. The provider is text because "none" is written as empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackendBucket {
    /// Bucket name, empty = none.
    pub name: String,
    /// Provider, normalized, empty = none.
    pub provider: String,
    /// Namespace.
    pub namespace: Namespace,
}

impl BackendBucket {
    /// The remote bucket, if there is one.
    ///
    /// # Errors
    ///
    /// 400 when only one of name and provider is there, or either is not valid.
    pub fn bucket(&self) -> Result<Option<Bucket>, ApiError> {
        if self.name.is_empty() && self.provider.is_empty() {
            return Ok(None);
        }
        if self.name.is_empty() || self.provider.is_empty() {
            return Err(ApiError::bad_request(format!(
                "invalid \"backend_bck\": name \"{}\", provider \"{}\": give both, or leave both empty to detach",
                self.name, self.provider
            )));
        }
        let provider = Provider::parse(&self.provider)?;
        let bucket =
            Bucket { name: self.name.clone(), provider, namespace: self.namespace.clone() };
        bucket.validate()?;
        if !bucket.is_remote() {
            return Err(ApiError::bad_request(format!(
                "invalid \"backend_bck\" {bucket}: expected a remote bucket"
            )));
        }
        Ok(Some(bucket))
    }
}

impl BucketProps {
    /// Properties of a new bucket: storage sections as the cluster has them, everyone allowed everything.
    ///
    /// Eviction starts switched off in native buckets, whose objects exist nowhere else.
    pub fn new(config: &ClusterConfig, bucket: &Bucket, bid: u64, created_ns: u64) -> Self {
        let mut lru = config.lru.clone();
        lru.enabled &= bucket.is_remote();
        Self {
            backend_bck: BackendBucket::default(),
            write_policy: config.write_policy.clone(),
            provider: bucket.provider,
            renamed: String::new(),
            checksum: config.checksum.clone(),
            extra: ExtraProps::default(),
            rate_limit: config.rate_limit.clone(),
            ec: config.ec.clone(),
            chunks: config.chunks.clone(),
            mirror: config.mirror.clone(),
            lru,
            access: ACCESS_ALL,
            features: 0,
            bid,
            created: created_ns,
            versioning: config.versioning.clone(),
        }
    }

    /// Whether the access mask has all of `bits`.
    pub fn allows(&self, bits: u64) -> bool {
        self.access & bits == bits
    }

    /// Active targets that erasure coding of this bucket needs; 1 when it is off.
    pub fn targets_needed(&self) -> u64 {
        let (data, parity) = (u64::from(self.ec.data_slices), u64::from(self.ec.parity_slices));
        match self.ec.objsize_limit {
            _ if !self.ec.enabled => 1,
            // Replicated only, never sliced.
            -1 => parity + 1,
            _ => data + parity + 1,
        }
    }

    /// Whether the change from `before` makes replicas of existing objects necessary.
    pub fn needs_mirroring(&self, before: &Self) -> bool {
        self.mirror.enabled
            && (!before.mirror.enabled || self.mirror.copies != before.mirror.copies)
    }

    /// Whether the change from `before` makes erasure coding of existing objects necessary.
    pub fn needs_encoding(&self, before: &Self) -> bool {
        let slices = |ec: &EcConf| (ec.data_slices, ec.parity_slices, ec.objsize_limit);
        self.ec.enabled && (!before.ec.enabled || slices(&self.ec) != slices(&before.ec))
    }
}

/// Refuses feature bits that exclude each other.
pub(crate) fn check_features(features: u64, allowed: u64) -> Result<(), ApiError> {
    if features >> FEATURE_COUNT != 0 {
        let numbered = FEATURE_NAMES.iter().enumerate();
        let names = numbered.filter(|(bit, _)| allowed & 1 << bit != 0);
        let names: Vec<String> = names.map(|(bit, name)| format!("{} {name}", 1 << bit)).collect();
        return Err(ApiError::bad_request(format!(
            "invalid value \"{features}\" of \"features\": expected a sum of {}",
            names.join(", ")
        )));
    }
    let pairs = [
        (
            FEATURE_DISABLE_COLD_GET,
            FEATURE_STREAMING_COLD_GET,
            "Disable-Cold-GET and Streaming-Cold-GET",
        ),
        (
            FEATURE_S3_REVERSE_PROXY,
            FEATURE_S3_REDIRECT_REBUILD,
            "S3-Reverse-Proxy and S3-Redirect-Rebuild",
        ),
    ];
    match pairs.iter().find(|(a, b, _)| features & a != 0 && features & b != 0) {
        None => Ok(()),
        Some((_, _, names)) => Err(ApiError::bad_request(format!(
            "invalid value \"{features}\" of \"features\": {names} exclude each other"
        ))),
    }
}

#[cfg(test)]
mod tests;
