//! What each setting is for, and whether it acts in this version. `docs/configuration.md` is made from it.

/// What a setting does in this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A change acts at once.
    Live,
    /// A change acts when a node starts.
    Start,
    /// It is what new buckets begin with; a bucket then has its own.
    Bucket,
    /// It is kept and shown; what it is about does not exist yet, or works without it.
    Stored,
}

impl Effect {
    /// As in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "at once",
            Self::Start => "at start",
            Self::Bucket => "new buckets",
            Self::Stored => "stored",
        }
    }
}

/// Settings by key, in the order of the configuration: effect and meaning. A key with `.*` at its end stands
/// for all below that are not named themselves.
pub const CATALOG: &[(&str, Effect, &str)] = {
    use Effect::{Bucket, Live, Start, Stored};
    &[
        (
            "features",
            Live,
            "feature bits as a decimal number; `Do-not-Auto-Detect-FileShare` (4) and `Ignore-LimitedCoexistence-Conflicts` (256) act, the others are stored",
        ),
        ("backend", Stored, "settings of remote backends"),
        ("mirror.*", Bucket, "copies of an object on other mountpaths of its target"),
        (
            "mirror.burst_buffer",
            Stored,
            "copies are written in the pass of the object, so there is no queue",
        ),
        ("ec.*", Stored, "erasure coding"),
        ("chunks.*", Bucket, "objects stored in chunks"),
        ("chunks.checkpoint_every", Stored, "each part of an upload is durable by itself"),
        ("chunks.flags", Stored, "reserved"),
        (
            "log.level",
            Live,
            "verbosity 1 to 5 in the low 3 bits; 3 is what the process was started with",
        ),
        ("log.max_size", Live, "size at which a log file is rotated"),
        ("log.max_total", Live, "size of all log files together"),
        ("log.flush_time", Stored, "each line is written when it is made"),
        ("log.stats_time", Live, "time between lines of statistics in the log; `0s` for none"),
        ("log.to_stderr", Stored, "standard error always gets the log"),
        ("periodic.stats_time", Stored, "statistics are counted as things happen"),
        (
            "periodic.retry_sync_time",
            Live,
            "longest pause before a gateway that could not be reached is asked again",
        ),
        (
            "periodic.notif_time",
            Stored,
            "targets are asked for the state of jobs, they do not notify",
        ),
        ("timeout.cplane_operation", Live, "a joining node shows that it can be reached"),
        (
            "timeout.max_keepalive",
            Live,
            "one of many nodes answers a question; at least twice `timeout.cplane_operation`",
        ),
        (
            "timeout.max_host_busy",
            Live,
            "a busy node carries out a change, or a listing waits for the end of a bucket's rename; a tenth of it is kept for the way back to the client",
        ),
        (
            "timeout.startup_time",
            Start,
            "a target that starts finds a gateway, where `timeout.join_startup_time` is `0s`",
        ),
        (
            "timeout.join_startup_time",
            Start,
            "a target that starts finds a gateway; 0, or at least twice `timeout.startup_time`",
        ),
        (
            "timeout.send_file_time",
            Live,
            "an object reaches another target; one second more per MiB",
        ),
        ("timeout.ec_streams_time", Stored, "erasure coding"),
        ("timeout.object_md", Stored, "metadata is not cached beyond the index"),
        ("timeout.cold_get_conflict", Stored, "remote buckets"),
        ("client.client_timeout", Live, "a node answers what a client asked through a gateway"),
        (
            "client.client_long_timeout",
            Live,
            "work that a client waits for: promote of a few files, summaries",
        ),
        (
            "client.list_timeout",
            Live,
            "a target lists one page; a target that hangs is given up after `keepalivetracker.target.interval`",
        ),
        ("proxy.*", Stored, "shown for clients"),
        (
            "space.cleanupwm",
            Live,
            "percentage of a file system above which a target cleans up by itself, every 10 min at most; what is deleted is removed at once anyway",
        ),
        ("space.lowwm", Stored, "eviction ends; native objects are never evicted"),
        (
            "space.highwm",
            Live,
            "percentage of a file system above which copies and renames of buckets, n-way copies and promote are refused (507)",
        ),
        (
            "space.out_of_space",
            Live,
            "percentage of a file system above which nothing new is written (507)",
        ),
        ("space.batch_size", Stored, "eviction and cleanup"),
        ("space.dont_cleanup_time", Stored, "cleanup"),
        ("lru.*", Bucket, "eviction; native objects are never evicted"),
        ("lru.capacity_upd_time", Stored, "capacity is asked of the file systems when it matters"),
        ("lru.batch_size", Stored, "eviction"),
        ("disk.*", Stored, "throttling by disk load"),
        ("rebalance.*", Stored, "moving objects after changes of membership"),
        ("resilver.enabled", Live, "moving objects after changes of mountpaths starts by itself"),
        ("checksum.type", Bucket, "type of the checksums of objects"),
        ("checksum.validate_warm_get", Bucket, "objects are verified as they are read"),
        ("checksum.enable_read_range", Bucket, "a range that is read comes with its own checksum"),
        (
            "checksum.*",
            Bucket,
            "kept by buckets too; for remote buckets and for objects that move between targets, which are verified always",
        ),
        ("versioning.enabled", Bucket, "objects have versions"),
        ("versioning.*", Bucket, "kept by buckets too; for remote buckets"),
        ("net.*", Stored, "listeners and certificates are given on the command line"),
        (
            "fshc.enabled",
            Live,
            "mountpaths that fail often are checked, and disabled when they fail the check",
        ),
        (
            "fshc.test_files",
            Live,
            "files that a check writes and reads back, and most files that it reads",
        ),
        (
            "fshc.error_limit",
            Live,
            "failures of a check that disable the mountpath; one whose disk is gone is disabled at once",
        ),
        (
            "fshc.io_err_limit",
            Live,
            "I/O errors within `fshc.io_err_time` that start a check; checks of a mountpath are at least 10 s apart",
        ),
        ("fshc.io_err_time", Live, "time within which I/O errors add up"),
        (
            "scrub.enabled",
            Live,
            "every blob is read now and then and compared with its checksum; what is damaged is set aside, and replaced from a copy where there is one",
        ),
        (
            "scrub.rate",
            Live,
            "bytes that are read per second and mountpath; an eighth of it while the target serves much",
        ),
        (
            "scrub.interval",
            Live,
            "time from the begin of one pass over a mountpath to that of the next",
        ),
        (
            "scrub.quarantine_time",
            Live,
            "time after which damaged blobs that were set aside are removed; `0s` for never",
        ),
        ("auth.*", Stored, "authentication and authorization"),
        ("keepalivetracker.proxy.*", Stored, "gateways keep each other alive by their consensus"),
        ("keepalivetracker.proxy.interval", Stored, "as above; at least `timeout.max_keepalive`"),
        ("keepalivetracker.target.name", Stored, "read-only"),
        (
            "keepalivetracker.target.interval",
            Live,
            "a target gives a sign of life; at least `timeout.max_keepalive`",
        ),
        (
            "keepalivetracker.target.factor",
            Live,
            "intervals (and `timeout.max_keepalive`) after which a target counts as silent",
        ),
        (
            "keepalivetracker.num_retries",
            Live,
            "further intervals after which a silent target's shares of jobs end",
        ),
        ("keepalivetracker.retry_factor", Stored, "unused"),
        ("downloader.*", Stored, "downloads"),
        ("distributed_sort.*", Stored, "distributed sort"),
        ("transport.*", Stored, "targets exchange objects by plain requests"),
        ("memsys.*", Stored, "buffers are bounded by constants"),
        ("tcb.*", Stored, "copies of buckets go by plain requests"),
        ("tco.*", Stored, "copies of objects go by plain requests"),
        ("arch.*", Stored, "making archives"),
        ("lso.*", Stored, "listings hold no state on targets between pages"),
        (
            "write_policy.md",
            Stored,
            "changes of metadata alone are as durable as `write_policy.data` says",
        ),
        (
            "write_policy.data",
            Bucket,
            "when objects and their index entries reach the disk: before the answer, within seconds, or when the kernel sees fit (see reliability.md)",
        ),
        ("rate_limit.backend.*", Bucket, "requests to remote buckets; stored there too"),
        ("rate_limit.frontend.*", Bucket, "GET, PUT and DELETE of a bucket per interval"),
        ("rate_limit.frontend.per_op_max_tokens", Stored, "limits by operation"),
        (
            "get_batch.max_wait",
            Live,
            "entries of a batch come from another target: half of it for the first, three quarters for each further piece",
        ),
        (
            "get_batch.max_soft_errs",
            Live,
            "missing entries that a batch survives when asked to continue",
        ),
        ("get_batch.*", Stored, "tuning of batch reads"),
        ("tracing.*", Stored, "distributed tracing"),
    ]
};

/// Effect and meaning of a setting by its dotted key.
pub fn explain(key: &str) -> Option<(Effect, &'static str)> {
    let covers = |pattern: &str| {
        let within = pattern.strip_suffix('*').is_some_and(|section| key.starts_with(section));
        within.then_some(pattern.len()).or((pattern == key).then_some(usize::MAX))
    };
    let best = CATALOG.iter().filter_map(|entry| Some((covers(entry.0)?, entry)));
    best.max_by_key(|(length, _)| *length).map(|(_, (_, effect, text))| (*effect, *text))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use serde_json::Value;

    use super::*;
    use crate::config::{ClusterConfig, READ_ONLY, expand, pairs::specimen};
    use crate::patch;

    /// Keys that the cluster sets itself.
    const OWN: [&str; 3] = ["uuid", "lastupdate_time", "config_version"];
    const INTRO: &str = "\
# Configuration

Every setting of the cluster: what `GET /v1/cluster?what=cluster_config` and `ais config cluster` show. It is changed by
`ais config cluster KEY=VALUE`, for one node by `ais config node NODE KEY=VALUE`, and with `--transient` until the next
restart. A node's own settings lie over those of the cluster. A change that names something unknown, or a value that makes no
sense, is refused as a whole.

Acts: *at once* (no restart), *at start* (of a node), *new buckets* (a bucket begins with it and then has its own),
*stored* (kept and shown, for what does not exist yet or works without it).

This page is made from `rust/core/src/config/catalog.rs`; a test compares both. To write it anew:
`UPDATE_DOCS=1 cargo test -p aistore-core catalog`.

| Setting | Default | Acts | What it does |
|---|---|---|---|
";

    fn leaves(prefix: &str, value: &Value, found: &mut Vec<String>) {
        match value.as_object().filter(|keys| !keys.is_empty()) {
            Some(keys) => {
                for (key, value) in keys {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    leaves(&format!("{prefix}{dot}{key}"), value, found);
                }
            }
            None => found.push(prefix.to_owned()),
        }
    }

    fn keys() -> Vec<String> {
        let mut found = Vec::new();
        leaves("", &specimen().unwrap(), &mut found);
        found.retain(|key| !OWN.contains(&key.as_str()));
        found
    }

    fn page() -> String {
        let defaults = patch::to_value("configuration", &ClusterConfig::default()).unwrap();
        let fixed: Vec<String> = READ_ONLY.into_iter().flat_map(expand).collect();
        let mut page = INTRO.to_owned();
        for key in keys() {
            let (effect, text) = explain(&key).unwrap();
            let default = match patch::lookup(&defaults, &key) {
                None | Some(Value::Null) => "unset".to_owned(),
                Some(Value::String(text)) if text.is_empty() => "empty".to_owned(),
                Some(Value::String(text)) => format!("`{text}`"),
                Some(other) => format!("`{other}`"),
            };
            let note = if fixed.contains(&key) { " (read-only)" } else { "" };
            writeln!(page, "| `{key}` | {default} | {} | {text}{note} |", effect.as_str()).unwrap();
        }
        page
    }

    #[test]
    fn every_setting_is_explained_and_nothing_else() {
        let keys = keys();
        let missing: Vec<_> = keys.iter().filter(|key| explain(key).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?} need an entry in the catalog");
        for (pattern, _, text) in CATALOG {
            let used = keys.iter().any(|key| explain(key).is_some_and(|(_, found)| found == *text));
            assert!(used, "\"{pattern}\" explains no setting");
        }
        assert_eq!(explain("space.highwm").unwrap().0, Effect::Live);
        assert_eq!(explain("no.such").map(|_| ()), None);
    }

    #[test]
    fn the_catalog_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == page(),
            "docs/configuration.md is not current: run UPDATE_DOCS=1 cargo test -p aistore-core catalog"
        );
    }
}
