//! Names of the protocol's own HTTP headers, in lower case as HTTP libraries want them.

/// Type of the object's checksum.
pub const CHECKSUM_TYPE: &str = "ais-checksum-type";
/// Value of the object's checksum, lower-case hex.
pub const CHECKSUM_VALUE: &str = "ais-checksum-value";
/// Access time in nanoseconds since the epoch.
pub const ATIME: &str = "ais-atime";
/// Version of the object.
pub const VERSION: &str = "ais-version";
/// One `key=value` of custom metadata; repeated.
pub const CUSTOM_MD: &str = "ais-custom-md";
/// Whether the object is in the cluster.
pub const PRESENT: &str = "ais-present";
/// `t[id]:mp[path, disk]`.
pub const LOCATION: &str = "ais-location";
/// Number of copies, at least 1.
pub const MIRROR_COPIES: &str = "ais-mirror-copies";
/// Mountpaths of the copies, comma-separated.
pub const MIRROR_PATHS: &str = "ais-mirror-paths";
/// Number of chunks of a chunked object.
pub const CHUNKS_COUNT: &str = "ais-chunks-count";
/// Bytes of its largest chunk.
pub const CHUNKS_MAX_SIZE: &str = "ais-chunks-max-chunk-size";
/// Handle that continues an append.
pub const APPEND_HANDLE: &str = "ais-append-handle";
/// Bucket properties as JSON.
pub const BUCKET_PROPS: &str = "ais-bucket-props";
/// Bucket summary as JSON.
pub const BUCKET_SUMMARY: &str = "ais-bucket-summ";
/// Job id on HEAD of a bucket with a summary.
pub const JOB_ID: &str = "ais-xaction-id";
/// Error JSON of a HEAD answer.
pub const HDR_ERROR: &str = "hdr-error";
/// Node that a reverse request is for.
pub const NODE_ID: &str = "ais-node-id";
/// Nanoseconds since the node started.
pub const NODE_UPTIME: &str = "ais-node-uptime";
/// Nanoseconds since the cluster started.
pub const CLUSTER_UPTIME: &str = "ais-cluster-uptime";
/// Trailer of a batch's archive, for clients that say `te: trailers`: what was sent, as
/// `entries=N, missing=N, bytes=N`. An answer that announces it and ends without it was cut short.
pub const BATCH_END: &str = "ais-batch-end";
/// Version of the cluster map that a request between nodes, or a map-aware client, was made with.
pub const SMAP_VERSION: &str = "ais-smap-version";
