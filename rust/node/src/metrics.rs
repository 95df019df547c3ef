//! Counters and latencies of one node, for Prometheus and for the protocol's `tracker`.
//!
//! One set of atomics serves both: but for a reset of the tracker, a number does not differ between two
//! ways of asking for it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aistore_store::MountpathStored;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::memory::Budget;

type Count = Counter<u64, AtomicU64>;
type Level = Gauge<i64, std::sync::atomic::AtomicI64>;

/// Latency buckets: 100 µs doubling up to about 26 s.
const LATENCY_BUCKETS: u16 = 19;

/// Names of the kinds of requests in the protocol's `tracker`, in the order of [`Metrics::ops`].
const ROOTS: [&str; 10] = [
    "get",
    "put",
    "head",
    "del",
    "append",
    "ren",
    "lst",
    "getbatch",
    "getbatch.obj",
    "getbatch.file",
];

/// One kind of request: how many, how many failed, how long, how much.
#[derive(Debug)]
pub struct Op {
    /// Requests that succeeded.
    pub count: Count,
    /// Requests that failed.
    pub errors: Count,
    /// Payload bytes moved.
    pub bytes: Count,
    /// Nanoseconds spent in requests that succeeded.
    pub nanoseconds: Count,
    /// Seconds per request that succeeded.
    pub latency: Histogram,
}

impl Op {
    fn new() -> Self {
        Self {
            count: Count::default(),
            errors: Count::default(),
            bytes: Count::default(),
            nanoseconds: Count::default(),
            latency: Histogram::new(exponential_buckets(1e-4, 2.0, LATENCY_BUCKETS)),
        }
    }

    /// Counts a success of `bytes` payload bytes.
    pub fn done(&self, bytes: u64, took: Duration) {
        self.count.inc();
        self.bytes.inc_by(bytes);
        self.nanoseconds.inc_by(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.latency.observe(took.as_secs_f64());
    }

    /// Counts a failure.
    pub fn failed(&self) {
        self.errors.inc();
    }

    fn register(&self, registry: &mut Registry, name: &str, what: &str) {
        registry.register(name, format!("{what} that succeeded"), self.count.clone());
        registry.register(
            format!("{name}_errors"),
            format!("{what} that failed"),
            self.errors.clone(),
        );
        registry.register_with_unit(
            format!("{name}_payload"),
            format!("Payload moved by {what}"),
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register_with_unit(
            format!("{name}_duration"),
            format!("Time per request: {what}"),
            Unit::Seconds,
            self.latency.clone(),
        );
    }

    fn track(&self, into: &mut BTreeMap<String, u64>, root: &str) {
        let mut put = |key: String, value: u64| {
            if value != 0 {
                into.insert(key, value);
            }
        };
        put(format!("{root}.n"), self.count.get());
        put(format!("err.{root}.n"), self.errors.get());
        put(format!("{root}.size"), self.bytes.get());
        put(format!("{root}.ns.total"), self.nanoseconds.get());
    }
}

/// Time that something took, of which nothing else is counted.
#[derive(Debug)]
pub struct Delay {
    nanoseconds: Count,
    latency: Histogram,
}

impl Delay {
    fn new() -> Self {
        let buckets = exponential_buckets(1e-4, 2.0, LATENCY_BUCKETS);
        Self { nanoseconds: Count::default(), latency: Histogram::new(buckets) }
    }

    /// Counts one.
    pub fn add(&self, took: Duration) {
        self.nanoseconds.inc_by(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.latency.observe(took.as_secs_f64());
    }
}

/// What is stored on all mountpaths of a target, as of the last time that anybody looked.
#[derive(Debug, Default)]
pub struct StoredLevels {
    objects: Level,
    objects_payload: Level,
    copies_payload: Level,
    records: Level,
    segments: Level,
    dead: Level,
    files: Level,
    quarantine: Level,
    uncounted: Level,
}

impl StoredLevels {
    /// Takes over what a store says.
    pub fn set(&self, stored: &[MountpathStored]) {
        let sum = |level: &Level, of: fn(&MountpathStored) -> u64| {
            let sum = stored.iter().map(of).fold(0, u64::saturating_add);
            level.set(i64::try_from(sum).unwrap_or(i64::MAX));
        };
        sum(&self.objects, |one| one.buckets.values().map(|bucket| bucket.objects).sum());
        sum(&self.objects_payload, |one| one.buckets.values().map(|bucket| bucket.bytes).sum());
        sum(&self.copies_payload, |one| one.buckets.values().map(|bucket| bucket.copy_bytes).sum());
        sum(&self.records, |one| one.records.bytes);
        sum(&self.segments, |one| one.segments.bytes);
        sum(&self.dead, |one| one.dead_bytes);
        sum(&self.files, |one| one.files.bytes);
        sum(&self.quarantine, |one| one.quarantine.bytes);
        sum(&self.uncounted, |one| u64::from(!one.counted));
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("stored_objects", "Objects stored", self.objects.clone());
        registry.register(
            "stored_uncounted_mountpaths",
            "Mountpaths of which it is still being counted after a crash what they store",
            self.uncounted.clone(),
        );
        for (level, name, what) in [
            (&self.objects_payload, "stored_objects", "Payload of objects"),
            (&self.copies_payload, "stored_copies", "Payload of further copies of objects"),
            (&self.records, "stored_records", "Blobs that lie in segments"),
            (&self.segments, "stored_segments", "Segments"),
            (&self.dead, "stored_dead_records", "Waste in segments"),
            (&self.files, "stored_files", "Blobs in files of their own"),
            (&self.quarantine, "stored_quarantine", "Damaged blobs that were set aside"),
        ] {
            registry.register_with_unit(name, what, Unit::Bytes, level.clone());
        }
    }
}

/// All numbers of one node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Object GET.
    pub get: Op,
    /// Object PUT.
    pub put: Op,
    /// Object HEAD.
    pub head: Op,
    /// Object DELETE.
    pub delete: Op,
    /// Appends to objects.
    pub append: Op,
    /// Renames of objects.
    pub rename: Op,
    /// List pages.
    pub list: Op,
    /// Batches assembled; bytes are those of the archives.
    pub batch: Op,
    /// Whole objects delivered in batches.
    pub batch_objects: Op,
    /// Files out of shards delivered in batches.
    pub batch_files: Op,
    /// Uploads refused for their checksum.
    pub bad_checksums: Count,
    /// Time from a gateway's redirect to the arrival of a GET.
    pub get_redirect: Delay,
    /// Time from a gateway's redirect to the arrival of a PUT.
    pub put_redirect: Delay,
    /// Time from a gateway's redirect, or from the arrival where there was none, to the end of a PUT.
    pub put_whole: Delay,
    /// Objects that got another version, and their bytes.
    pub versions: Count,
    /// Bytes of objects that got another version.
    pub version_bytes: Count,
    /// I/O errors of the disks while reading.
    pub read_faults: Count,
    /// I/O errors of the disks while writing.
    pub write_faults: Count,
    /// I/O errors of the disks while removing.
    pub removal_faults: Count,
    /// Health checks of mountpaths that errors set off.
    pub health_checks: Count,
    /// Blobs that were looked at for damage.
    pub scrub_blobs: Count,
    /// Bytes of blobs that were looked at for damage.
    pub scrub_bytes: Count,
    /// Damaged blobs found at rest.
    pub scrub_damaged: Count,
    /// Damaged blobs that were replaced.
    pub scrub_healed: Count,
    /// Damaged blobs that were set aside with nothing to replace them.
    pub scrub_quarantined: Count,
    /// Clean-ups because a disk filled up.
    pub space_cleanups: Count,
    /// When the scrub last completed a pass over the mountpath that waits longest for one, in seconds since the
    /// Unix epoch; 0 before the first.
    pub scrub_completed: Level,
    /// What is stored.
    pub stored: StoredLevels,
    /// Redirects sent.
    pub redirects: Count,
    /// Reads of small objects in memory that were answered past the HTTP library.
    pub quick: Count,
    /// Open connections.
    pub connections: Level,
    /// What the tracker counted when it was reset.
    baseline: Mutex<BTreeMap<String, u64>>,
}

impl Metrics {
    /// A fresh set, all zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("ais"),
            get: Op::new(),
            put: Op::new(),
            head: Op::new(),
            delete: Op::new(),
            append: Op::new(),
            rename: Op::new(),
            list: Op::new(),
            batch: Op::new(),
            batch_objects: Op::new(),
            batch_files: Op::new(),
            bad_checksums: Count::default(),
            get_redirect: Delay::new(),
            put_redirect: Delay::new(),
            put_whole: Delay::new(),
            versions: Count::default(),
            version_bytes: Count::default(),
            read_faults: Count::default(),
            write_faults: Count::default(),
            removal_faults: Count::default(),
            health_checks: Count::default(),
            scrub_blobs: Count::default(),
            scrub_bytes: Count::default(),
            scrub_damaged: Count::default(),
            scrub_healed: Count::default(),
            scrub_quarantined: Count::default(),
            space_cleanups: Count::default(),
            scrub_completed: Level::default(),
            stored: StoredLevels::default(),
            redirects: Count::default(),
            quick: Count::default(),
            connections: Level::default(),
            baseline: Mutex::default(),
        };
        let mut registry = std::mem::take(&mut metrics.registry);
        for (op, name, what) in metrics.ops() {
            op.register(&mut registry, name, what);
        }
        for (delay, _, name, what) in metrics.delays() {
            let latency = delay.latency.clone();
            registry.register_with_unit(name, what, Unit::Seconds, latency);
        }
        for (count, _, name, what) in metrics.counts() {
            registry.register(name, what, count.clone());
        }
        let bytes = metrics.version_bytes.clone();
        registry.register_with_unit(
            "version_changes_payload",
            "Payload of objects that got another version",
            Unit::Bytes,
            bytes,
        );
        registry.register("connections", "Open connections", metrics.connections.clone());
        registry.register(
            "quick_answers",
            "Reads of small objects in memory that took the short way",
            metrics.quick.clone(),
        );
        metrics.stored.register(&mut registry);
        registry.register_with_unit(
            "scrub_payload",
            "Bytes of blobs that were compared with their checksums",
            Unit::Bytes,
            metrics.scrub_bytes.clone(),
        );
        registry.register_with_unit(
            "scrub_completed_time",
            "End of the last pass over the mountpath that waits longest for one, since the Unix epoch",
            Unit::Seconds,
            metrics.scrub_completed.clone(),
        );
        metrics.registry = registry;
        metrics
    }

    /// The same, telling what is used of the memory budget as well.
    #[must_use]
    pub(crate) fn with_memory(mut self, memory: &Budget) -> Self {
        self.registry.register_collector(Box::new(memory.clone()));
        self
    }

    fn ops(&self) -> [(&Op, &'static str, &'static str); 10] {
        [
            (&self.get, "get", "Object GETs"),
            (&self.put, "put", "Object PUTs"),
            (&self.head, "head", "Object HEADs"),
            (&self.delete, "delete", "Object DELETEs"),
            (&self.append, "append", "Object appends"),
            (&self.rename, "rename", "Object renames"),
            (&self.list, "list", "List pages"),
            (&self.batch, "getbatch", "Batches"),
            (&self.batch_objects, "getbatch_objects", "Objects in batches"),
            (&self.batch_files, "getbatch_files", "Files in batches"),
        ]
    }

    /// Delays with their names in the tracker and for Prometheus.
    fn delays(&self) -> [(&Delay, &'static str, &'static str, &'static str); 3] {
        [
            (
                &self.get_redirect,
                "get.redir.ns",
                "get_redirect_duration",
                "Time from the redirect to the arrival of GETs",
            ),
            (
                &self.put_redirect,
                "put.redir.ns",
                "put_redirect_duration",
                "Time from the redirect to the arrival of PUTs",
            ),
            (
                &self.put_whole,
                "e2e.put.ns.total",
                "put_whole_duration",
                "Time from the redirect to the end of PUTs",
            ),
        ]
    }

    /// Plain counts with their names in the tracker, if they are there, and for Prometheus.
    fn counts(&self) -> [(&Count, &'static str, &'static str, &'static str); 12] {
        [
            (
                &self.bad_checksums,
                "err.put.cksum.n",
                "put_bad_checksums",
                "Uploads refused because payload and checksum disagree",
            ),
            (&self.versions, "ver.change.n", "version_changes", "Objects that got another version"),
            (
                &self.read_faults,
                "err.io.get.n",
                "read_io_errors",
                "I/O errors of the disks while reading",
            ),
            (
                &self.write_faults,
                "err.io.put.n",
                "write_io_errors",
                "I/O errors of the disks while writing",
            ),
            (
                &self.removal_faults,
                "err.io.del.n",
                "remove_io_errors",
                "I/O errors of the disks while removing",
            ),
            (
                &self.health_checks,
                "err.fshc.n",
                "mountpath_checks",
                "Health checks of mountpaths that I/O errors set off",
            ),
            (
                &self.scrub_blobs,
                "scrub.n",
                "scrub_blobs",
                "Blobs that were compared with their checksums",
            ),
            (
                &self.scrub_damaged,
                "err.scrub.n",
                "scrub_damaged",
                "Blobs that were found damaged at rest",
            ),
            (
                &self.scrub_healed,
                "scrub.healed.n",
                "scrub_healed",
                "Damaged blobs that were replaced",
            ),
            (
                &self.scrub_quarantined,
                "scrub.quarantined.n",
                "scrub_quarantined",
                "Damaged blobs that were set aside with nothing to replace them",
            ),
            (
                &self.space_cleanups,
                "",
                "space_cleanups",
                "Clean-ups because a disk was fuller than space.cleanupwm",
            ),
            (&self.redirects, "", "redirects", "Requests answered with the address of the owner"),
        ]
    }

    /// Text exposition.
    pub fn exposition(&self) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail; what is there is worth sending in any case.
        let _ = encode(&mut out, &self.registry);
        out
    }

    /// The protocol's cumulative numbers since the last reset; zeros are left out.
    pub fn tracker(&self, uptime: Duration) -> BTreeMap<String, u64> {
        let mut out = self.counted();
        let baseline = self.baseline.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, value) in &mut out {
            *value = value.saturating_sub(baseline.get(name).copied().unwrap_or(0));
        }
        drop(baseline);
        out.retain(|_, value| *value != 0);
        let up = u64::try_from(uptime.as_nanos()).unwrap_or(u64::MAX);
        out.insert("up.ns.time".into(), up);
        out
    }

    /// Counts from zero again in [`Metrics::tracker`], or only its errors. Prometheus goes on counting, as
    /// its counters must.
    pub fn reset(&self, errors_only: bool) {
        let counted = self.counted();
        let mut baseline = self.baseline.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, value) in counted {
            if !errors_only || name.starts_with("err.") {
                baseline.insert(name, value);
            }
        }
    }

    fn counted(&self) -> BTreeMap<String, u64> {
        let mut out = BTreeMap::new();
        for ((op, _, _), root) in self.ops().iter().zip(ROOTS) {
            op.track(&mut out, root);
        }
        let delays = self.delays();
        let delays = delays.iter().map(|(delay, name, ..)| (*name, delay.nanoseconds.get()));
        let counts = self.counts();
        let counts = counts.iter().map(|(count, name, ..)| (*name, count.get()));
        let sizes =
            [("ver.change.size", self.version_bytes.get()), ("scrub.size", self.scrub_bytes.get())];
        let all = delays.chain(counts).chain(sizes);
        out.extend(
            all.filter(|(name, value)| !name.is_empty() && *value != 0)
                .map(|(name, value)| (name.to_owned(), value)),
        );
        out
    }

    /// Kind of each name that [`Metrics::tracker`] may hold.
    pub fn kinds() -> BTreeMap<String, &'static str> {
        let mut out = BTreeMap::new();
        for root in ROOTS {
            out.insert(format!("{root}.n"), "counter");
            out.insert(format!("err.{root}.n"), "counter");
            out.insert(format!("{root}.size"), "size");
            out.insert(format!("{root}.ns.total"), "total");
        }
        let metrics = Self::new();
        out.extend(metrics.counts().map(|(_, name, ..)| (name.to_owned(), "counter")));
        out.remove("");
        for (_, name, ..) in metrics.delays() {
            let kind = if name.strip_suffix(".total").is_some() { "total" } else { "latency" };
            out.insert(name.to_owned(), kind);
        }
        out.insert("ver.change.size".into(), "size");
        out.insert("scrub.size".into(), "size");
        out.insert("state.flags".into(), "gauge");
        out.insert("up.ns.time".into(), "special");
        out
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_and_tracker_tell_the_same_numbers() {
        let metrics = Metrics::new();
        metrics.get.done(10_240, Duration::from_millis(3));
        metrics.get.done(0, Duration::from_millis(1));
        metrics.put.failed();
        let text = metrics.exposition();
        assert!(text.contains("ais_get_total 2"), "{text}");
        assert!(text.contains("ais_get_payload_bytes_total 10240"), "{text}");
        assert!(text.contains("ais_get_duration_seconds_count 2"), "{text}");
        let tracker = metrics.tracker(Duration::from_secs(1));
        assert_eq!(tracker["get.n"], 2);
        assert_eq!(tracker["get.size"], 10_240);
        assert_eq!(tracker["get.ns.total"], 4_000_000);
        assert_eq!(tracker["err.put.n"], 1);
        assert!(!tracker.contains_key("head.n"));
        assert!(tracker.keys().all(|name| Metrics::kinds().contains_key(name)));
    }

    #[test]
    fn a_reset_begins_at_zero_for_the_tracker_alone() {
        let metrics = Metrics::new();
        let tracker = || metrics.tracker(Duration::from_secs(1));
        metrics.get.done(5, Duration::from_millis(3));
        metrics.get.failed();
        metrics.reset(true);
        assert_eq!((tracker().get("get.n"), tracker().get("err.get.n")), (Some(&1), None));
        metrics.reset(false);
        assert_eq!(tracker().keys().collect::<Vec<_>>(), ["up.ns.time"]);
        metrics.get.done(7, Duration::from_millis(3));
        assert_eq!((tracker()["get.n"], tracker()["get.size"]), (1, 7));
        assert!(metrics.exposition().contains("ais_get_total 2"));
    }
}
