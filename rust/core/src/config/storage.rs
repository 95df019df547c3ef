//! Sections that buckets have as well: how objects are kept.

use serde::{Deserialize, Serialize};

use super::macros::sections;
use crate::checksum::ChecksumType;
use crate::units::{GoDuration, Size};

/// Whether streams between targets are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// No.
    #[default]
    Never,
    /// LZ4.
    Always,
}

/// When a write reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WritePolicy {
    /// Before the answer.
    #[default]
    Immediate,
    /// Some time later.
    Delayed,
    /// Not at all.
    Never,
}

sections! {
    /// Replicas of objects within a target.
    MirrorConf {
        /// Replicas including the object itself, 2 to 32.
        copies: u32 = 2,
        /// Requests queued at most.
        burst_buffer: u32 = 512,
        /// On or off.
        enabled: bool = false,
    }

    /// Erasure coding.
    EcConf {
        /// Smaller objects are replicated, in bytes; 0 = slice all, -1 = replicate all.
        objsize_limit: i64 = 262_144,
        /// Compression of streams.
        compression: Compression = Compression::Never,
        /// Streams per target pair, 1 to 16.
        bundle_multiplier: u32 = 2,
        /// Requests queued at most.
        burst_buffer: u32 = 512,
        /// Data slices, 1 to 32.
        data_slices: u32 = 2,
        /// Parity slices, 1 to 32.
        parity_slices: u32 = 2,
        /// On or off.
        enabled: bool = false,
        /// Work on disk only, never in memory.
        disk_only: bool = false,
    }

    /// Objects stored in chunks.
    ChunksConf {
        /// Larger objects are stored in chunks; 0 = only when uploaded in parts.
        objsize_limit: Size = Size(0),
        /// Largest object stored in one piece, 1 GiB to 1 TiB.
        max_monolithic_size: Size = Size(1 << 40),
        /// Bytes per chunk, 1 KiB to 5 GiB.
        chunk_size: Size = Size(1 << 30),
        /// Chunks between checkpoints of an upload, 0 = none.
        #[serde(skip_serializing_if = "is_zero")]
        checkpoint_every: u64 = 0,
        /// Reserved bits.
        #[serde(skip_serializing_if = "is_zero")]
        flags: u64 = 0,
    }

    /// Eviction of objects that can be fetched again.
    LruConf {
        /// Objects used more recently stay; at least 1 h.
        dont_evict_time: GoDuration = GoDuration::from_secs(7200),
        /// Time between capacity checks, at least 10 s.
        capacity_upd_time: GoDuration = GoDuration::from_secs(600),
        /// Objects per batch.
        batch_size: u32 = 32_768,
        /// On or off.
        enabled: bool = false,
    }

    /// Object checksums.
    ChecksumConf {
        /// Algorithm.
        #[serde(rename = "type")]
        kind: ChecksumType = ChecksumType::Xxhash2,
        /// Check objects fetched from a remote bucket.
        validate_cold_get: bool = false,
        /// Check objects on each read.
        validate_warm_get: bool = false,
        /// Check objects that move within the cluster.
        validate_obj_move: bool = false,
        /// Answer range reads with the checksum of the range.
        enable_read_range: bool = false,
    }

    /// Object versions.
    VersioningConf {
        /// On or off.
        enabled: bool = true,
        /// On read, check whether the remote object is newer.
        validate_warm_get: bool = false,
        /// As above, and delete what the remote bucket no longer has.
        synchronize: bool = false,
    }

    /// When data and metadata reach the disk.
    WritePolicyConf {
        /// Object data; only `immediate`.
        data: WritePolicy = WritePolicy::Immediate,
        /// Object metadata.
        md: WritePolicy = WritePolicy::Immediate,
    }

    /// Limits on requests per time.
    RateLimitConf {
        /// Towards remote buckets.
        backend: BackendRateConf = BackendRateConf::default(),
        /// From clients.
        frontend: FrontendRateConf = FrontendRateConf::default(),
    }

    /// Limits towards remote buckets.
    BackendRateConf {
        /// Limits by operation, as text.
        #[serde(skip_serializing_if = "String::is_empty")]
        per_op_max_tokens: String = String::new(),
        /// Time that the tokens are for, 1 s to 1 h.
        interval: GoDuration = GoDuration::from_secs(60),
        /// Requests per interval.
        max_tokens: u32 = 1000,
        /// On or off.
        enabled: bool = false,
        /// Retries when the remote side refuses, at most 10.
        num_retries: u32 = 3,
    }

    /// Limits on requests from clients.
    FrontendRateConf {
        /// Limits by operation, as text.
        #[serde(skip_serializing_if = "String::is_empty")]
        per_op_max_tokens: String = String::new(),
        /// Time that the tokens are for, 1 s to 1 h.
        interval: GoDuration = GoDuration::from_secs(60),
        /// Requests per interval.
        max_tokens: u32 = 1000,
        /// On or off.
        enabled: bool = false,
        /// Requests that may come at once, at most half of `max_tokens`.
        burst_size: u32 = 375,
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "signature fixed by serde")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
