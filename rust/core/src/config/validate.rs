//! Rules that types alone do not state. Every error names the key, the value and what is accepted.

use std::time::Duration;

use super::{
    BackendRateConf, ChunksConf, ClusterConfig, EcConf, FrontendRateConf, LruConf, MirrorConf,
    RateLimitConf,
};
use serde_json::Value;

use crate::bucket::Provider;
use crate::error::ApiError;
use crate::patch::require;
use crate::props::{CLUSTER_FEATURES, check_features};
use crate::units::GoDuration;

const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

/// `key` must lie between the bounds, in seconds.
fn within(key: &str, value: GoDuration, low_s: u64, high_s: u64) -> Result<(), ApiError> {
    let bounds = Duration::from_secs(low_s)..=Duration::from_secs(high_s);
    let (low, high) = (GoDuration(*bounds.start()), GoDuration(*bounds.end()));
    require(bounds.contains(&value.0), key, value, &format!("{low} to {high}"))
}

/// `key` must be at least `low`.
fn at_least(key: &str, value: GoDuration, low: GoDuration) -> Result<(), ApiError> {
    require(value >= low, key, value, &format!("at least {low}"))
}

/// `key` must lie between the bounds.
fn between(key: &str, value: u32, low: u32, high: u32) -> Result<(), ApiError> {
    require((low..=high).contains(&value), key, value, &format!("{low} to {high}"))
}

impl MirrorConf {
    pub(crate) fn validate(&self) -> Result<(), ApiError> {
        // One copy is how clients switch mirroring off.
        let low = if self.enabled { 2 } else { 1 };
        between("mirror.copies", self.copies, low, 32)
    }
}

impl EcConf {
    pub(crate) fn validate(&self) -> Result<(), ApiError> {
        between("ec.data_slices", self.data_slices, 1, 32)?;
        between("ec.parity_slices", self.parity_slices, 1, 32)?;
        xact("ec", self.bundle_multiplier, self.burst_buffer)?;
        let limit = self.objsize_limit;
        require(limit >= -1, "ec.objsize_limit", limit, "-1, 0 or a number of bytes")
    }
}

impl ChunksConf {
    pub(crate) fn validate(&self) -> Result<(), ApiError> {
        let chunk = self.chunk_size;
        let good = (KIB..=5 * GIB).contains(&chunk.0);
        require(good, "chunks.chunk_size", chunk, "1KiB to 5GiB")?;
        let whole = self.max_monolithic_size;
        let good = (GIB..=TIB).contains(&whole.0);
        require(good, "chunks.max_monolithic_size", whole, "1GiB to 1TiB")?;
        let every = self.checkpoint_every;
        require(every <= 1024, "chunks.checkpoint_every", every, "0 to 1024")
    }
}

impl LruConf {
    pub(crate) fn validate(&self) -> Result<(), ApiError> {
        at_least("lru.capacity_upd_time", self.capacity_upd_time, GoDuration::from_secs(10))?;
        at_least("lru.dont_evict_time", self.dont_evict_time, GoDuration::from_secs(HOUR))
    }
}

impl RateLimitConf {
    pub(crate) fn validate(&self) -> Result<(), ApiError> {
        let BackendRateConf { interval, max_tokens, num_retries, .. } = self.backend;
        within("rate_limit.backend.interval", interval, 1, HOUR)?;
        between("rate_limit.backend.max_tokens", max_tokens, 1, u32::MAX)?;
        between("rate_limit.backend.num_retries", num_retries, 0, 10)?;
        let FrontendRateConf { interval, max_tokens, burst_size, .. } = self.frontend;
        within("rate_limit.frontend.interval", interval, 1, HOUR)?;
        between("rate_limit.frontend.max_tokens", max_tokens, 1, u32::MAX)?;
        between("rate_limit.frontend.burst_size", burst_size, 0, max_tokens / 2)
    }
}

/// Mirroring keeps whole objects, so objects must not be cut up automatically at the same time.
pub(crate) fn mirror_or_chunks(mirror: &MirrorConf, chunks: &ChunksConf) -> Result<(), ApiError> {
    if mirror.enabled && chunks.objsize_limit.0 > 0 {
        return Err(ApiError::bad_request(format!(
            "\"mirror.enabled\" true and \"chunks.objsize_limit\" {} exclude each other: disable mirroring or set the limit to 0B",
            chunks.objsize_limit
        )));
    }
    Ok(())
}

fn xact(section: &str, bundle_multiplier: u32, burst_buffer: u32) -> Result<(), ApiError> {
    between(&format!("{section}.bundle_multiplier"), bundle_multiplier, 1, 16)?;
    between(&format!("{section}.burst_buffer"), burst_buffer, 32, 10_000)
}

impl ClusterConfig {
    /// Checks the whole configuration.
    ///
    /// # Errors
    ///
    /// 400 with the first key that breaks a rule.
    pub fn validate(&self) -> Result<(), ApiError> {
        self.mirror.validate()?;
        self.ec.validate()?;
        self.chunks.validate()?;
        self.lru.validate()?;
        self.rate_limit.validate()?;
        mirror_or_chunks(&self.mirror, &self.chunks)?;
        let features = self.features;
        check_features(features, CLUSTER_FEATURES)?;
        self.validate_backends()?;
        self.validate_jobs()?;
        self.validate_times()?;
        self.validate_node()?;
        self.validate_auth()
    }

    /// Settings are by provider: of a cloud whatever it needs, of remote clusters their URLs by alias.
    fn validate_backends(&self) -> Result<(), ApiError> {
        for (name, conf) in &self.backend {
            let key = format!("backend.{name}");
            let known = Provider::parse(name).is_ok_and(|provider| provider.as_str() == name);
            require(known, &key, conf, "one of backend.ais, aws, gcp, azure and oci")?;
            let text = |value: &Value| value.is_string();
            let urls = |urls: &Value| urls.as_array().is_some_and(|urls| urls.iter().all(text));
            let good = conf.is_null()
                || conf.as_object().is_some_and(|map| name != "ais" || map.values().all(urls));
            let accepted = "a JSON object; of ais, lists of URLs by alias";
            require(good, &key, conf, accepted)?;
        }
        Ok(())
    }

    fn validate_jobs(&self) -> Result<(), ApiError> {
        for (name, conf) in [("tcb", &self.tcb), ("tco", &self.tco), ("arch", &self.arch)] {
            xact(name, conf.bundle_multiplier, conf.burst_buffer)?;
        }
        xact("rebalance", self.rebalance.bundle_multiplier, self.rebalance.burst_buffer)?;
        xact("lso", self.lso.bundle_multiplier, self.lso.burst_buffer)?;
        xact("get_batch", self.get_batch.bundle_multiplier, self.get_batch.burst_buffer)?;
        let dsort = &self.distributed_sort;
        xact("distributed_sort", dsort.bundle_multiplier, dsort.burst_buffer)?;
        within("rebalance.dest_retry_time", self.rebalance.dest_retry_time, 1, 10 * MINUTE)?;
        between("lso.walk_buffer", self.lso.walk_buffer, 16, 4096)?;
        within("lso.idle_time", self.lso.idle_time, 5, 10 * MINUTE)?;
        within("lso.quiescent", self.lso.quiescent, 2, MINUTE)?;
        let batch = &self.get_batch;
        within("get_batch.max_wait", batch.max_wait, 1, MINUTE)?;
        require(
            batch.warmup_workers >= -1,
            "get_batch.warmup_workers",
            batch.warmup_workers,
            "-1 or more",
        )?;
        require(
            batch.max_soft_errs >= 0,
            "get_batch.max_soft_errs",
            batch.max_soft_errs,
            "0 or more",
        )?;
        require(batch.max_gfn >= -1, "get_batch.max_gfn", batch.max_gfn, "-1 or more")?;
        between("transport.burst_buffer", self.transport.burst_buffer, 256, 4096)?;
        within("downloader.timeout", self.downloader.timeout, 1, HOUR)
    }

    fn validate_times(&self) -> Result<(), ApiError> {
        let timeout = &self.timeout;
        at_least(
            "timeout.cplane_operation",
            timeout.cplane_operation,
            GoDuration::from_millis(10),
        )?;
        let twice = |time: GoDuration| GoDuration(time.0.saturating_mul(2));
        at_least("timeout.max_keepalive", timeout.max_keepalive, twice(timeout.cplane_operation))?;
        at_least("timeout.max_host_busy", timeout.max_host_busy, GoDuration::from_secs(10))?;
        at_least("timeout.startup_time", timeout.startup_time, GoDuration::from_secs(30))?;
        if timeout.join_startup_time.0 > Duration::ZERO {
            at_least(
                "timeout.join_startup_time",
                timeout.join_startup_time,
                twice(timeout.startup_time),
            )?;
        }
        at_least("timeout.send_file_time", timeout.send_file_time, GoDuration::from_secs(MINUTE))?;
        at_least(
            "timeout.ec_streams_time",
            timeout.ec_streams_time,
            GoDuration::from_secs(5 * MINUTE),
        )?;
        if timeout.object_md.0 > Duration::ZERO {
            within("timeout.object_md", timeout.object_md, 20 * MINUTE, 16 * HOUR)?;
        }
        let conflict = timeout.cold_get_conflict;
        if conflict.0 > Duration::ZERO {
            at_least("timeout.cold_get_conflict", conflict, GoDuration::from_secs(1))?;
            let accepted = format!("at most timeout.max_host_busy, {}", timeout.max_host_busy);
            require(
                conflict <= timeout.max_host_busy,
                "timeout.cold_get_conflict",
                conflict,
                &accepted,
            )?;
        }
        within("periodic.stats_time", self.periodic.stats_time, 1, MINUTE)?;
        let client = &self.client;
        for (key, value) in [
            ("periodic.retry_sync_time", self.periodic.retry_sync_time),
            ("periodic.notif_time", self.periodic.notif_time),
        ] {
            at_least(key, value, GoDuration::from_millis(100))?;
        }
        at_least("client.client_timeout", client.client_timeout, GoDuration::from_secs(1))?;
        let long = client.client_long_timeout;
        at_least("client.client_long_timeout", long, GoDuration::from_secs(1))?;
        within("client.list_timeout", client.list_timeout, 1, 30 * MINUTE)?;
        self.validate_keepalive()
    }

    fn validate_keepalive(&self) -> Result<(), ApiError> {
        let keepalive = &self.keepalivetracker;
        for (role, tracker) in [("proxy", &keepalive.proxy), ("target", &keepalive.target)] {
            let key = format!("keepalivetracker.{role}.interval");
            within(&key, tracker.interval, 1, MINUTE)?;
            let least = self.timeout.max_keepalive;
            let accepted = format!("at least timeout.max_keepalive, {least}");
            require(tracker.interval >= least, &key, tracker.interval, &accepted)?;
            between(&format!("keepalivetracker.{role}.factor"), tracker.factor, 1, 10)?;
        }
        between("keepalivetracker.num_retries", keepalive.num_retries, 1, 10)
    }

    fn validate_node(&self) -> Result<(), ApiError> {
        let verbosity = self.log.level.parse::<u32>().map(|level| level & 7);
        let good = verbosity.is_ok_and(|level| (1..=5).contains(&level));
        require(good, "log.level", &self.log.level, "a number whose low 3 bits are 1 to 5")?;
        within("log.stats_time", self.log.stats_time, 0, 10 * MINUTE)?;
        let space = &self.space;
        let marks = [
            ("space.cleanupwm", space.cleanupwm),
            ("space.lowwm", space.lowwm),
            ("space.highwm", space.highwm),
            ("space.out_of_space", space.out_of_space),
        ];
        between("space.cleanupwm", space.cleanupwm, 1, 100)?;
        ascending(&marks)?;
        between("space.batch_size", space.batch_size, 1024, 524_288)?;
        let keep = GoDuration::from_secs(15 * MINUTE);
        at_least("space.dont_cleanup_time", space.dont_cleanup_time, keep)?;
        let disk = &self.disk;
        ascending(&[
            ("disk.disk_util_low_wm", disk.disk_util_low_wm),
            ("disk.disk_util_high_wm", disk.disk_util_high_wm),
            ("disk.disk_util_max_wm", disk.disk_util_max_wm),
        ])?;
        within("disk.iostat_time_long", disk.iostat_time_long, 2, MINUTE)?;
        let fshc = &self.fshc;
        between("fshc.test_files", fshc.test_files, 4, u32::MAX)?;
        between("fshc.error_limit", fshc.error_limit, 2, u32::MAX)?;
        between("fshc.io_err_limit", fshc.io_err_limit, 10, u32::MAX)?;
        within("fshc.io_err_time", fshc.io_err_time, 10, MINUTE)?;
        self.validate_scrub()?;
        let http = &self.net.http;
        require(
            http.domain_tls.is_empty(),
            "net.http.domain_tls",
            &http.domain_tls,
            "an empty text",
        )?;
        between("net.http.client_auth_tls", http.client_auth_tls, 0, 4)?;
        within("net.http.idle_conn_time", http.idle_conn_time, 0, 30)?;
        between("net.http.idle_conns", http.idle_conns, 0, 4096)?;
        between("net.http.idle_conns_per_host", http.idle_conns_per_host, 0, 128)?;
        if let Some(public) = &http.public {
            between("net.http.pub.client_auth_tls", public.client_auth_tls, 0, 4)?;
        }
        let buffer = self.memsys.default_buf;
        let good = buffer.0.is_multiple_of(4 * KIB) && buffer.0 <= 128 * KIB;
        require(good, "memsys.default_buf", buffer, "a multiple of 4KiB, at most 128KiB")?;
        between("memsys.min_pct_total", self.memsys.min_pct_total, 0, 95)?;
        between("memsys.min_pct_free", self.memsys.min_pct_free, 0, 95)?;
        if let Some(tracing) = &self.tracing {
            let share = tracing.sampler_probability.as_str();
            let good =
                share.is_empty() || share.parse::<f64>().is_ok_and(|p| (0.0..=1.0).contains(&p));
            require(good, "tracing.sampler_probability", share, "0.0 to 1.0")?;
        }
        Ok(())
    }

    fn validate_scrub(&self) -> Result<(), ApiError> {
        let scrub = &self.scrub;
        let good = (64 * KIB..=TIB).contains(&scrub.rate.0);
        require(good, "scrub.rate", scrub.rate, "64KiB to 1TiB (per second)")?;
        at_least("scrub.interval", scrub.interval, GoDuration::from_secs(1))?;
        if scrub.quarantine_time.0 > Duration::ZERO {
            at_least("scrub.quarantine_time", scrub.quarantine_time, GoDuration::from_secs(HOUR))?;
        }
        Ok(())
    }

    fn validate_auth(&self) -> Result<(), ApiError> {
        if let Some(oidc) = &self.auth.oidc {
            let cache = &oidc.jwks_cache;
            let key = "auth.oidc.jwks_cache.min_rotation_refresh";
            at_least(key, cache.min_rotation_refresh, GoDuration::from_secs(1))?;
            let key = "auth.oidc.jwks_cache.min_background_refresh";
            at_least(key, cache.min_background_refresh, GoDuration::from_secs(5 * MINUTE))?;
        }
        if let Some(intra) = &self.auth.intra_cluster {
            if intra.ttl.0 > Duration::ZERO {
                at_least("auth.intra_cluster.ttl", intra.ttl, GoDuration::from_secs(HOUR))?;
            }
            within("auth.intra_cluster.nonce_window", intra.nonce_window, 0, 10 * MINUTE)?;
            within("auth.intra_cluster.rotation_grace", intra.rotation_grace, 0, HOUR)?;
        }
        Ok(())
    }
}

/// Percentages that must not decrease.
fn ascending(marks: &[(&str, u32)]) -> Result<(), ApiError> {
    for (key, value) in marks {
        between(key, *value, 0, 100)?;
    }
    for pair in marks.windows(2) {
        let [(low_key, low), (key, value)] = pair else { continue };
        let accepted = format!("at least {low_key}, which is {low}: change both");
        require(value >= low, key, value, &accepted)?;
    }
    Ok(())
}
