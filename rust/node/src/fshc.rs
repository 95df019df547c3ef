//! Health check of mountpaths: a disk that fails is taken out of use before it fails everybody.
//!
//! The store counts I/O errors. When a mountpath has too many in a short time, when it takes no more changes because a
//! write of its index or a sync failed, or when an administrator asks, files are written to it and read back; if that fails too, the mountpath is disabled, unless it is the last
//! one. What only it holds cannot be read then until it is enabled again; what has copies is served from them,
//! and a resilver makes new ones.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aistore_core::config::FshcConf;
use aistore_core::error::ApiError;
use aistore_core::wire::ActionMsg;
use aistore_store::{IoErrors, Probed, Store, StoreError};
use http::Method;
use serde_json::json;

use crate::intra::json_headers;
use crate::metrics::Metrics;
use crate::target::Target;
use crate::tasks::lost_task;

/// How often the errors are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// Least time between two checks of a mountpath, unless its disk vanished since.
const PAUSE: Duration = Duration::from_secs(10);
/// Longest wait for a gateway to start the resilver.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// What is known of the health of a target's mountpaths.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Mountpaths that are being checked.
    running: Mutex<BTreeSet<PathBuf>>,
    /// Mountpaths that a check found faulty.
    faulty: Mutex<BTreeSet<PathBuf>>,
    /// I/O errors that are counted already.
    counted: Mutex<BTreeMap<PathBuf, IoErrors>>,
}

impl Health {
    /// Whether a mountpath is faulty.
    pub(crate) fn has_faults(&self) -> bool {
        !self.faulty().is_empty()
    }

    /// Forgets that a mountpath is faulty: somebody changed it.
    pub(crate) fn forgive(&self, path: &Path) {
        self.faulty().remove(path);
    }

    /// Brings the node's counters of I/O errors up to date, and tells those of the mountpaths in use.
    pub(crate) fn count(&self, metrics: &Metrics, store: &Store) -> Vec<(PathBuf, IoErrors)> {
        let errors = store.io_errors();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, now) in &errors {
            let before = counted.get(path).copied().unwrap_or_default();
            // One that was opened again counts from zero.
            let before = if before.total() > now.total() { IoErrors::default() } else { before };
            metrics.read_faults.inc_by(now.reads.saturating_sub(before.reads));
            metrics.write_faults.inc_by(now.writes.saturating_sub(before.writes));
            metrics.removal_faults.inc_by(now.removals.saturating_sub(before.removals));
        }
        *counted = errors.iter().cloned().collect();
        errors
    }

    fn blame(&self, path: &Path) {
        self.faulty().insert(path.to_owned());
    }

    fn faulty(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.faulty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to check a mountpath; `None` while another check of it runs.
    fn begin(self: &Arc<Self>, path: &Path) -> Option<Running> {
        let begun = self.running().insert(path.to_owned());
        begun.then(|| Running { health: Arc::clone(self), path: path.to_owned() })
    }
}

struct Running {
    health: Arc<Health>,
    path: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.health.running().remove(&self.path);
    }
}

/// The errors of one mountpath of late.
#[derive(Debug, Default)]
struct Window {
    /// All errors so far, and when that was found.
    seen: VecDeque<(Instant, u64)>,
}

impl Window {
    /// Notes the number of errors at `now`; whether at least `limit` came within `span`.
    fn exceeds(&mut self, now: Instant, total: u64, limit: u64, span: Duration) -> bool {
        // A mountpath that was opened again counts from zero.
        if self.seen.back().is_some_and(|(_, before)| *before > total) {
            self.seen.clear();
        }
        self.seen.push_back((now, total));
        // The newest of those that are too old stays: what came since then counts.
        while self.seen.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= span) {
            self.seen.pop_front();
        }
        let before = self.seen.front().map_or(0, |(_, before)| *before);
        total - before >= limit.max(1)
    }

    /// Counts anew, from what is known.
    fn restart(&mut self) {
        let last = self.seen.pop_back();
        self.seen = last.into_iter().collect();
    }
}

/// The last check of a mountpath that nobody asked for.
#[derive(Debug, Clone, Copy)]
struct Last {
    at: Instant,
    missing: bool,
}

impl Last {
    /// Whether the next check may begin at `now`.
    fn is_over(self, now: Instant, missing: bool) -> bool {
        (missing && !self.missing) || now.duration_since(self.at) >= PAUSE
    }
}

/// Checks mountpaths that fail often, until the node stops.
pub(crate) async fn watch(target: Arc<Target>) {
    let mut windows: BTreeMap<PathBuf, Window> = BTreeMap::new();
    let mut checks: BTreeMap<PathBuf, Last> = BTreeMap::new();
    loop {
        tokio::time::sleep(PERIOD).await;
        let errors = target.ctx.disk_health.count(&target.ctx.metrics, target.store());
        windows.retain(|path, _| errors.iter().any(|(known, _)| known == path));
        checks.retain(|path, _| errors.iter().any(|(known, _)| known == path));
        let conf = target.ctx.config().fshc.clone();
        let (limit, span) = (u64::from(conf.io_err_limit), conf.io_err_time.0);
        let missing = missing(&target).await;
        // One failure is enough for that, and what is refused since is none of the disk.
        let refusing = target.store().refusing();
        for (path, errors) in errors {
            let now = Instant::now();
            let window = windows.entry(path.clone()).or_insert_with(|| {
                let start = (now.checked_sub(PERIOD).unwrap_or(now), 0);
                Window { seen: VecDeque::from([start]) }
            });
            let failing = window.exceeds(now, errors.total(), limit, span);
            let missing = missing.contains(&path);
            let refusing = refusing.contains(&path);
            let due = checks.get(&path).is_none_or(|last| last.is_over(now, missing));
            if (failing || missing || refusing) && due && conf.enabled {
                window.restart();
                checks.insert(path.clone(), Last { at: now, missing });
                tracing::warn!(mountpath = %path.display(), ?errors, missing, refusing,
                    "many I/O errors, no more changes, or the disk is gone: the mountpath is checked");
                target.ctx.metrics.health_checks.inc();
                start(&target, path);
            }
        }
    }
}

/// Mountpaths that vanished, as when a disk is taken out.
async fn missing(target: &Arc<Target>) -> Vec<PathBuf> {
    let store = Arc::clone(target.store());
    tokio::task::spawn_blocking(move || store.missing()).await.unwrap_or_default()
}

/// Begins a check that an administrator asks for.
///
/// # Errors
///
/// 400 when the mountpath is not in use.
pub(crate) fn order(target: &Arc<Target>, path: &Path) -> Result<(), ApiError> {
    let available = target.store().mountpaths().available;
    if !available.iter().any(|one| one == path) {
        return Err(ApiError::bad_request(format!(
            "{}: mountpath {} is not available: attach or enable it before its health is checked",
            target.ctx.display(),
            path.display()
        )));
    }
    start(target, path.to_owned());
    Ok(())
}

/// Starts a check, unless one of this mountpath runs.
fn start(target: &Arc<Target>, path: PathBuf) {
    let Some(running) = target.ctx.disk_health.begin(&path) else { return };
    let work = Arc::clone(target);
    target.ctx.tasks.spawn_until_stop(async move {
        match check(&work, &path).await {
            Ok(Verdict::Disabled) => resilver(&work).await,
            Ok(_) => {}
            Err(err) => {
                tracing::error!(mountpath = %path.display(), error = %err, "the health check failed");
            }
        }
        drop(running);
    });
}

/// How a check ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Healthy,
    /// Faulty, but the last one.
    Kept,
    Disabled,
}

async fn check(target: &Arc<Target>, path: &Path) -> Result<Verdict, ApiError> {
    let conf = target.ctx.config().fshc.clone();
    let (work, place) = (Arc::clone(target), path.to_owned());
    let checked = tokio::task::spawn_blocking(move || check_blocking(&work, &place, &conf));
    let verdict = checked.await.map_err(|err| lost_task(&err))??;
    if verdict == Verdict::Disabled {
        target.save_mountpaths().await?;
    }
    Ok(verdict)
}

fn check_blocking(target: &Target, path: &Path, conf: &FshcConf) -> Result<Verdict, ApiError> {
    let limit = usize::try_from(conf.error_limit).unwrap_or(usize::MAX).max(1);
    let files = usize::try_from(conf.test_files).unwrap_or(usize::MAX);
    let store = target.store();
    let failed = |err: &StoreError| ApiError::internal(format!("{}: {err}", path.display()));
    let Probed { tried, errors } = store.probe(path, files, limit).map_err(|err| failed(&err))?;
    // Of a disk that is gone, one error is enough.
    let vanished = store.missing().iter().any(|one| one == path);
    if errors.len() < limit && !vanished {
        if store.refusing().iter().any(|one| one == path) {
            target.ctx.disk_health.blame(path);
            tracing::error!(mountpath = %path.display(), tried, failed = errors.len(),
                "the mountpath passed its health check but takes no changes since a write failed: disable and enable it, or restart the node");
            return Ok(Verdict::Kept);
        }
        tracing::info!(mountpath = %path.display(), tried, failed = errors.len(), "the mountpath passed its health check");
        target.ctx.disk_health.forgive(path);
        return Ok(Verdict::Healthy);
    }
    target.ctx.disk_health.blame(path);
    // Its counts go with it.
    target.ctx.disk_health.count(&target.ctx.metrics, store);
    let disabled = store.disable(path, false);
    target.objects().readers.keep_buckets(&std::collections::HashSet::new());
    // A disk that fails may fail once more when it is closed; it is out of use all the same.
    let out = store.mountpaths().disabled.iter().any(|one| one == path);
    match disabled {
        _ if out => {
            tracing::error!(mountpath = %path.display(), ?errors,
                "the mountpath failed its health check and is disabled: mend or replace its disk, then enable it");
            Ok(Verdict::Disabled)
        }
        Err(StoreError::Invalid(reason)) => {
            tracing::error!(mountpath = %path.display(), ?errors, reason,
                "the mountpath failed its health check but stays in use");
            Ok(Verdict::Kept)
        }
        Ok(_) => Ok(Verdict::Kept),
        Err(err) => Err(failed(&err)),
    }
}

/// Has objects that lost a copy get another one.
async fn resilver(target: &Target) {
    let ctx = &target.ctx;
    if !ctx.config().resilver.enabled {
        return;
    }
    let action = ActionMsg {
        action: "start".to_owned(),
        name: String::new(),
        value: json!({"Kind": "resilver", "DaemonID": ctx.snode.daemon_id}),
    };
    let gateways = ctx.upstream.as_ref().map(|upstream| upstream.gateways(&ctx.state()));
    for gateway in gateways.unwrap_or_default() {
        let url = format!("{gateway}/v1/cluster");
        let body = serde_json::to_vec(&action).unwrap_or_default().into();
        match ctx.intra.bytes(Method::PUT, &url, json_headers(), body, ASK_TIMEOUT).await {
            Ok(_) => return,
            Err(err) => tracing::warn!(gateway, error = %err, "cannot start a resilver"),
        }
    }
    tracing::error!("no gateway starts a resilver: start one with `ais start resilver`");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_count_while_they_are_fresh() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let span = Duration::from_secs(10);
        let mut window = Window::default();
        assert!(!window.exceeds(at(0), 0, 10, span));
        assert!(!window.exceeds(at(1), 9, 10, span));
        assert!(!window.exceeds(at(12), 14, 10, span));
        assert!(window.exceeds(at(13), 19, 10, span));
        window.restart();
        assert!(!window.exceeds(at(14), 20, 10, span));
        assert!(!window.exceeds(at(15), 3, 10, span), "opened again");
        assert!(window.exceeds(at(16), 13, 10, span));
    }

    #[test]
    fn checks_are_apart_unless_the_disk_vanishes() {
        let at = Instant::now();
        let last = Last { at, missing: false };
        assert!(!last.is_over(at + PAUSE / 2, false) && last.is_over(at + PAUSE, false));
        assert!(last.is_over(at + PAUSE / 2, true));
        let last = Last { at, missing: true };
        assert!(!last.is_over(at + PAUSE / 2, true) && last.is_over(at + PAUSE, true));
    }

    #[test]
    fn one_check_of_a_mountpath_at_a_time() {
        let health = Arc::new(Health::default());
        let first = health.begin(Path::new("/a"));
        assert!(first.is_some() && health.begin(Path::new("/a")).is_none());
        drop(first);
        assert!(health.begin(Path::new("/a")).is_some());
        health.blame(Path::new("/a"));
        assert!(health.has_faults());
        health.forgive(Path::new("/a"));
        assert!(!health.has_faults());
    }
}
