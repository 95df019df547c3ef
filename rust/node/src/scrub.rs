//! When and how fast the disks are looked at for damage.
//!
//! The store knows how (`Scrubber`); here is what it may cost. Each mountpath is read at the configured rate, and
//! at a fraction of it while the target serves much, so that a pass always gets on. All mountpaths go at once: they
//! are different disks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aistore_core::config::ScrubConf;
use aistore_store::{Amount, Damage, Outcome, Pace, ScrubStep, Scrubber, StoreError};

use crate::metrics::Metrics;
use crate::target::Target;

/// Time between two steps while a pass is under way.
const STEP: Duration = Duration::from_millis(100);
/// Time between two looks whether a pass is due.
const LOOK: Duration = Duration::from_secs(1);
/// Served in the last second, this makes a target busy.
const BUSY_BYTES: u64 = 64 << 20;
/// Requests in the last second that make a target busy.
const BUSY_REQUESTS: u64 = 2000;
/// A busy target's disks are read at the rate divided by this.
const BUSY_SHARE: u64 = 8;
/// Time between two looks at what was set aside.
const TIDY: Duration = Duration::from_hours(24);
/// A mountpath whose scrub fails is left alone for so long.
const RETRY: Duration = Duration::from_mins(1);

/// One mountpath.
struct Disk {
    scrubber: Scrubber,
    pace: Pace,
    /// Not before this.
    resume: Duration,
}

/// Scrubs the mountpaths until the node stops.
pub(crate) async fn watch(target: Arc<Target>) {
    let began = Instant::now();
    let cancel = Cancel::default();
    let mut load = Load::default();
    let mut disks: BTreeMap<PathBuf, Disk> = BTreeMap::new();
    let mut tidied: Option<Duration> = None;
    loop {
        let conf = target.ctx.config().scrub.clone();
        let now = began.elapsed();
        let rate = load.rate(now, &target.ctx.metrics, conf.rate.0);
        if !conf.enabled {
            disks.clear();
        }
        let available =
            if conf.enabled { target.store().mountpaths().available } else { Vec::new() };
        disks.retain(|path, _| available.contains(path));
        let mut running = Vec::new();
        for path in available {
            let disk = disks.remove(&path);
            let (target, flag, conf) = (Arc::clone(&target), Arc::clone(&cancel.0), conf.clone());
            let step = move || step(&target, &path, disk, (now, rate), &conf, &flag);
            running.push(tokio::task::spawn_blocking(step));
        }
        if tidied.is_none_or(|at| now.saturating_sub(at) >= TIDY) {
            tidied = Some(now);
            let (target, flag) = (Arc::clone(&target), Arc::clone(&cancel.0));
            drop(tokio::task::spawn_blocking(move || tidy(&target, &flag)));
        }
        let mut active = false;
        for one in running {
            match one.await {
                Ok(Some((disk, is_active))) => {
                    active |= is_active;
                    disks.insert(disk.scrubber.mountpath().to_owned(), disk);
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "a step of the scrub was lost"),
            }
        }
        let store = Arc::clone(target.store());
        if !active && let Ok(stored) = tokio::task::spawn_blocking(move || store.stored()).await {
            target.ctx.metrics.stored.set(&stored);
        }
        let completed = disks.values().map(|disk| disk.scrubber.progress().completed_ns).min();
        let completed = completed.unwrap_or(0) / 1_000_000_000;
        target.ctx.metrics.scrub_completed.set(i64::try_from(completed).unwrap_or(i64::MAX));
        tokio::time::sleep(if active { STEP } else { LOOK }).await;
    }
}

/// Does what is due on one mountpath; whether there is more to come soon. `None` when it cannot be used.
fn step(
    target: &Arc<Target>,
    path: &Path,
    disk: Option<Disk>,
    (now, rate): (Duration, u64),
    conf: &ScrubConf,
    cancel: &AtomicBool,
) -> Option<(Disk, bool)> {
    let store = target.store();
    let now_ns = now_ns();
    let open = || {
        let opened = store.scrubber(path);
        let log = |error: &StoreError| tracing::warn!(%error, "a mountpath cannot be scrubbed");
        let mut scrubber = opened.inspect_err(log).ok()?;
        // From when on the first pass is waited for is to survive a restart.
        scrubber.is_due(now_ns, conf.interval.0);
        scrubber.save(store);
        Some(Disk { scrubber, pace: Pace::new(now), resume: Duration::ZERO })
    };
    let mut disk = disk.or_else(open)?;
    if now < disk.resume || !disk.scrubber.is_due(now_ns, conf.interval.0) {
        return Some((disk, false));
    }
    let budget = disk.pace.allowance(now, rate);
    if budget == 0 {
        return Some((disk, true));
    }
    let order = ScrubStep {
        budget,
        now_ns,
        guide: &|bid, name| target.home(bid, name),
        found: &|damage| tell(target, damage),
        cancel,
    };
    match disk.scrubber.step(store, &order) {
        Ok(done) => {
            disk.pace.spend(done.cost);
            target.ctx.metrics.scrub_blobs.inc_by(done.blobs);
            target.ctx.metrics.scrub_bytes.inc_by(done.bytes);
            if done.complete {
                let progress = disk.scrubber.progress();
                tracing::info!(mountpath = %path.display(), blobs = progress.blobs, bytes = progress.bytes,
                    damaged = progress.damaged, "a mountpath was looked at for damage");
            }
            Some((disk, !done.complete))
        }
        Err(StoreError::Cancelled | StoreError::Closed | StoreError::UnknownMountpath { .. }) => {
            None
        }
        Err(error) => {
            tracing::error!(mountpath = %path.display(), %error, "the scrub of a mountpath failed");
            disk.resume = now + RETRY;
            Some((disk, false))
        }
    }
}

/// Removes what was set aside long ago; returns the files and bytes.
pub(crate) fn tidy(target: &Target, cancel: &AtomicBool) -> Option<Amount> {
    let keep = target.ctx.config().scrub.quarantine_time.0;
    if keep.is_zero() {
        return None;
    }
    let before = Duration::from_nanos(now_ns()).saturating_sub(keep);
    match target.store().remove_set_aside(before, cancel) {
        Ok(removed) => {
            if removed.count > 0 {
                let Amount { count, bytes } = removed;
                tracing::info!(count, bytes, "what was set aside as damaged is removed");
            }
            Some(removed)
        }
        Err(StoreError::Cancelled | StoreError::Closed) => None,
        Err(error) => {
            tracing::error!(%error, "what was set aside as damaged cannot be removed");
            None
        }
    }
}

/// Counts and logs a damaged blob, and forgets what is cached of its object.
fn tell(target: &Target, damage: &Damage) {
    let metrics = &target.ctx.metrics;
    metrics.scrub_damaged.inc();
    match damage.outcome {
        Outcome::Healed => metrics.scrub_healed.inc(),
        Outcome::Quarantined => metrics.scrub_quarantined.inc(),
        Outcome::Left | Outcome::Missing => 0,
    };
    target.objects().readers.invalidate(&damage.uname);
    let (bid, name) = &damage.object;
    let state = target.ctx.state();
    let bucket = state.bmd.iter().find(|(_, props)| props.bid == *bid).map(|(bucket, _)| bucket);
    let object = bucket.map_or_else(|| name.clone(), |bucket| bucket.object_cname(name));
    let (mountpath, reason) = (damage.mountpath.display(), &damage.reason);
    match damage.outcome {
        Outcome::Healed => {
            tracing::warn!(object, %mountpath, reason, "damage at rest was repaired");
        }
        Outcome::Quarantined => {
            tracing::error!(object, %mountpath, reason,
                "damage at rest: there is no intact copy, the object is set aside and cannot be read; put it again");
        }
        Outcome::Left => {
            tracing::error!(object, %mountpath, reason, "damage at rest cannot be repaired");
        }
        Outcome::Missing => {
            tracing::error!(object, %mountpath, reason, "stored bytes are missing, and there is no copy");
        }
    }
}

/// What the target served of late.
#[derive(Default)]
struct Load {
    /// When it was last looked at, and the requests and bytes until then.
    seen: Option<(Duration, u64, u64)>,
    busy: bool,
}

impl Load {
    /// The rate to read at.
    fn rate(&mut self, now: Duration, metrics: &Metrics, rate: u64) -> u64 {
        let ops = [&metrics.get, &metrics.put, &metrics.append, &metrics.batch];
        let requests = ops.iter().map(|op| op.count.get()).sum();
        let bytes = ops.iter().map(|op| op.bytes.get()).sum();
        self.note(now, requests, bytes);
        if self.busy { (rate / BUSY_SHARE).max(1) } else { rate }
    }

    fn note(&mut self, now: Duration, requests: u64, bytes: u64) {
        let Some((at, requests_then, bytes_then)) = self.seen else {
            self.seen = Some((now, requests, bytes));
            return;
        };
        let passed = now.saturating_sub(at);
        if passed >= LOOK {
            let span = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
            let per_second = |count: u64| count.saturating_mul(1000) / span;
            self.busy = per_second(requests.saturating_sub(requests_then)) >= BUSY_REQUESTS
                || per_second(bytes.saturating_sub(bytes_then)) >= BUSY_BYTES;
            self.seen = Some((now, requests, bytes));
        }
    }
}

/// Set when the task is dropped: what runs on the blocking pool ends soon after.
#[derive(Default)]
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_serves_much_is_scrubbed_slowly_but_is() {
        let (metrics, mut load) = (Metrics::new(), Load::default());
        let at = Duration::from_secs;
        assert_eq!(load.rate(at(1), &metrics, 80), 80);
        metrics.get.done(BUSY_BYTES * 2, Duration::ZERO);
        assert_eq!(load.rate(at(1) + STEP, &metrics, 80), 80, "a second is looked at");
        assert_eq!(load.rate(at(2), &metrics, 80), 10);
        assert_eq!(load.rate(at(2) + STEP, &metrics, 3), 1);
        assert_eq!(load.rate(at(3), &metrics, 80), 80);
        (0..BUSY_REQUESTS).for_each(|_| metrics.put.done(1, Duration::ZERO));
        assert_eq!(load.rate(at(4), &metrics, 80), 10);
    }
}
