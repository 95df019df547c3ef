//! Sections about how the cluster works.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::macros::sections;
use super::storage::Compression;
use crate::units::{GoDuration, Size};

/// What distributed sort does about a problem in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reaction {
    /// Go on.
    #[default]
    Ignore,
    /// Go on and report.
    Warn,
    /// Stop.
    Abort,
}

sections! {
    /// Logging.
    LogConf {
        /// Low 3 bits: verbosity 1 to 5; the rest: module bits, shifted by 3.
        level: String = "3".to_owned(),
        /// Size at which a log file is rotated.
        max_size: Size = Size(64 << 20),
        /// Size of all log files.
        max_total: Size = Size(512 << 20),
        /// Time between flushes.
        flush_time: GoDuration = GoDuration::from_secs(60),
        /// Time between statistics in the log, at most 10 min.
        stats_time: GoDuration = GoDuration::from_secs(180),
        /// Write to standard error as well.
        to_stderr: bool = false,
    }

    /// Periods of background work.
    PeriodicConf {
        /// Statistics, 1 s to 1 min.
        stats_time: GoDuration = GoDuration::from_secs(10),
        /// Retries of metadata distribution.
        retry_sync_time: GoDuration = GoDuration::from_secs(2),
        /// Notifications of jobs.
        notif_time: GoDuration = GoDuration::from_secs(30),
    }

    /// Time limits inside the cluster.
    TimeoutConf {
        /// A control request; at least 10 ms; takes effect on restart.
        cplane_operation: GoDuration = GoDuration::from_secs(2),
        /// A heartbeat, at least twice `cplane_operation`; takes effect on restart.
        max_keepalive: GoDuration = GoDuration::from_secs(5),
        /// A request to a busy node, at least 10 s.
        max_host_busy: GoDuration = GoDuration::from_secs(20),
        /// Start of the cluster, at least 30 s.
        startup_time: GoDuration = GoDuration::from_secs(60),
        /// Join at start; 0, or at least twice `startup_time`.
        join_startup_time: GoDuration = GoDuration::from_secs(180),
        /// Sending one object, at least 1 min.
        send_file_time: GoDuration = GoDuration::from_secs(300),
        /// Idle erasure coding streams, at least 5 min.
        ec_streams_time: GoDuration = GoDuration::from_secs(600),
        /// Cached object metadata; 0, or 20 min to 16 h.
        object_md: GoDuration = GoDuration::from_secs(7200),
        /// Waiting for another fetch of the same object; 0, or 1 s to `max_host_busy`.
        cold_get_conflict: GoDuration = GoDuration::from_secs(5),
    }

    /// Time limits of requests on behalf of clients.
    ClientConf {
        /// A short request.
        client_timeout: GoDuration = GoDuration::from_secs(10),
        /// A long request.
        client_long_timeout: GoDuration = GoDuration::from_secs(300),
        /// A listing.
        list_timeout: GoDuration = GoDuration::from_secs(300),
    }

    /// Gateways.
    ProxyConf {
        /// URL of the primary.
        primary_url: String = String::new(),
        /// URL of the first primary.
        original_url: String = String::new(),
        /// URL to find the cluster at.
        discovery_url: String = String::new(),
        /// Unused.
        non_electable: bool = false,
    }

    /// Capacity watermarks, in percent of a filesystem; they never decrease in this order.
    SpaceConf {
        /// Cleanup begins.
        cleanupwm: u32 = 65,
        /// Eviction ends.
        lowwm: u32 = 75,
        /// Eviction begins.
        highwm: u32 = 90,
        /// Writes are refused.
        out_of_space: u32 = 95,
        /// Objects per batch, 1024 to 524288.
        batch_size: u32 = 32_768,
        /// Leftovers younger than this stay; at least 15 min.
        dont_cleanup_time: GoDuration = GoDuration::from_secs(1800),
    }

    /// Disk load, in percent; background work yields to it.
    DiskConf {
        /// Below: no throttling.
        disk_util_low_wm: u32 = 20,
        /// Above: full throttling.
        disk_util_high_wm: u32 = 80,
        /// Above: background work stops.
        disk_util_max_wm: u32 = 95,
        /// Longest time between measurements, 2 s to 60 s.
        iostat_time_long: GoDuration = GoDuration::from_secs(2),
        /// Shortest time between measurements.
        iostat_time_short: GoDuration = GoDuration::from_millis(100),
        /// Time that averages go over.
        iostat_time_smooth: GoDuration = GoDuration::from_secs(8),
    }

    /// Moving objects after membership changes.
    RebalanceConf {
        /// Waiting for a busy peer, 1 s to 10 min.
        dest_retry_time: GoDuration = GoDuration::from_secs(120),
        /// Compression of streams.
        compression: Compression = Compression::Never,
        /// Streams per target pair, 1 to 16.
        bundle_multiplier: u32 = 2,
        /// Requests queued at most, 32 to 10000.
        burst_buffer: u32 = 1024,
        /// Start by itself.
        enabled: bool = true,
    }

    /// Moving objects after mountpath changes.
    ResilverConf {
        /// Start by itself.
        enabled: bool = true,
    }

    /// Filesystem health checks.
    FshcConf {
        /// Files read and written per check, at least 4.
        test_files: u32 = 4,
        /// Errors that fail a check, at least 2.
        error_limit: u32 = 2,
        /// I/O errors within `io_err_time` that start a check, at least 10.
        io_err_limit: u32 = 10,
        /// See `io_err_limit`; 10 s to 1 min.
        io_err_time: GoDuration = GoDuration::from_secs(10),
        /// On or off.
        enabled: bool = true,
    }

    /// Looking for damage at rest. Not in the protocol.
    ScrubConf {
        /// On or off.
        enabled: bool = true,
        /// Bytes read per second and mountpath, 64 KiB to 1 TiB.
        rate: Size = Size(32 << 20),
        /// From the begin of one pass to that of the next, at least 1 s.
        interval: GoDuration = GoDuration::from_secs(7 * 24 * 3600),
        /// Damaged blobs that were set aside go after this time, at least 1 h; 0 = never.
        quarantine_time: GoDuration = GoDuration::from_secs(30 * 24 * 3600),
    }

    /// Heartbeats.
    KeepaliveConf {
        /// Of gateways.
        proxy: KeepaliveTracker = KeepaliveTracker::default(),
        /// Of targets.
        target: KeepaliveTracker = KeepaliveTracker::default(),
        /// Attempts before a node is given up, 1 to 10.
        num_retries: u32 = 3,
        /// No longer used.
        retry_factor: u32 = 4,
    }

    /// Heartbeats of one kind of node.
    KeepaliveTracker {
        /// Method; read-only.
        name: String = "heartbeat".to_owned(),
        /// Time between beats, 1 s to 1 min, at least `timeout.max_keepalive`.
        interval: GoDuration = GoDuration::from_secs(10),
        /// Missed intervals after which a node counts as silent, at most 10.
        factor: u32 = 3,
    }

    /// Downloads.
    DownloaderConf {
        /// One request, 1 s to 1 h.
        timeout: GoDuration = GoDuration::from_secs(3600),
    }

    /// Distributed sort.
    DsortConf {
        /// Two records of one name.
        duplicated_records: Reaction = Reaction::Ignore,
        /// A shard that is not there.
        missing_shards: Reaction = Reaction::Ignore,
        /// A bad line in the external key map.
        ekm_malformed_line: Reaction = Reaction::Abort,
        /// A record without external key.
        ekm_missing_key: Reaction = Reaction::Abort,
        /// Memory for extraction: a percentage or a size.
        default_max_mem_usage: String = "80%".to_owned(),
        /// Memory from which the other algorithm is used.
        dsorter_mem_threshold: String = "100GB".to_owned(),
        /// One call between targets.
        call_timeout: GoDuration = GoDuration::from_secs(600),
        /// Compression of streams.
        compression: Compression = Compression::Never,
        /// Streams per target pair, 1 to 16.
        bundle_multiplier: u32 = 2,
        /// Requests queued at most, 32 to 10000.
        burst_buffer: u32 = 512,
    }

    /// Streams between targets.
    TransportConf {
        /// Longest object header in bytes.
        max_header: u32 = 4096,
        /// Requests queued at most, 256 to 4096.
        burst_buffer: u32 = 1024,
        /// Idle connections close after this time.
        idle_teardown: GoDuration = GoDuration::from_secs(4),
        /// Silence after which a stream counts as finished.
        quiescent: GoDuration = GoDuration::from_secs(10),
        /// LZ4 block size.
        lz4_block: Size = Size(256 << 10),
        /// LZ4 frames with checksums.
        lz4_frame_checksum: bool = false,
    }

    /// Memory.
    MemsysConf {
        /// Memory kept free.
        min_free: Size = Size(2 << 30),
        /// Default buffer: a multiple of 4 KiB, at most 128 KiB.
        default_buf: Size = Size(32 << 10),
        /// Memory held before it is given back.
        to_gc: Size = Size(4 << 30),
        /// Time between checks.
        hk_time: GoDuration = GoDuration::from_secs(180),
        /// Memory kept free, in percent of all; 0 = `min_free` alone.
        min_pct_total: u32 = 0,
        /// Memory kept free, in percent of what is free at start; 0 = `min_free` alone.
        min_pct_free: u32 = 0,
    }

    /// Streams of a job between targets.
    XactConf {
        /// Compression of streams.
        compression: Compression = Compression::Never,
        /// Streams per target pair, 1 to 16.
        bundle_multiplier: u32 = 2,
        /// Requests queued at most, 32 to 10000.
        burst_buffer: u32 = 512,
    }

    /// Listing objects.
    LsoConf {
        /// Compression of streams.
        compression: Compression = Compression::Never,
        /// Streams per target pair, 1 to 16.
        bundle_multiplier: u32 = 1,
        /// Requests queued at most, 32 to 10000.
        burst_buffer: u32 = 32,
        /// Names read ahead, 16 to 4096.
        walk_buffer: u32 = 128,
        /// Idle listings end after this time, 5 s to 10 min.
        idle_time: GoDuration = GoDuration::from_secs(20),
        /// Silence after which a listing counts as finished, 2 s to 1 min.
        quiescent: GoDuration = GoDuration::from_secs(5),
    }

    /// Batch reads.
    GetBatchConf {
        /// Compression of streams.
        compression: Compression = Compression::Never,
        /// Streams per target pair, 1 to 16.
        bundle_multiplier: u32 = 2,
        /// Requests queued at most, 32 to 10000.
        burst_buffer: u32 = 512,
        /// Waiting for an entry from another target, 1 s to 1 min.
        max_wait: GoDuration = GoDuration::from_secs(20),
        /// Read-ahead workers; -1 = none.
        warmup_workers: i64 = -1,
        /// Missing entries that a request may have before it fails.
        max_soft_errs: i64 = 8,
        /// Entries that may be looked for on other targets; -1 = none.
        max_gfn: i64 = 5,
    }

    /// Distributed tracing.
    TracingConf {
        /// Where to send spans.
        exporter_endpoint: String = String::new(),
        /// Credentials for the exporter.
        exporter_auth: TracingAuthConf = TracingAuthConf::default(),
        /// Prefix of service names.
        service_name_prefix: String = String::new(),
        /// Attributes added to every span.
        attributes: BTreeMap<String, String> = BTreeMap::new(),
        /// Share of requests that are traced, 0 to 1.
        sampler_probability: String = "1.0".to_owned(),
        /// On or off.
        enabled: bool = false,
        /// Do not check the exporter's certificate.
        skip_verify: bool = false,
    }

    /// Credentials for the trace exporter.
    TracingAuthConf {
        /// Header that carries the token.
        token_header: String = String::new(),
        /// File that holds the token.
        token_file: String = String::new(),
    }
}
