//! One job as the code that works on it sees it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::job::{JobOutcome, JobRecord, JobStats, Snap, joined_errors};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// Longest text of an error or of a target's progress that travels with a job.
const MAX_TEXT_BYTES: usize = 1024;

/// This target's share of a job.
///
/// The future of a share is dropped when the job is aborted, so it must be safe to drop; work on the
/// blocking pool goes on until it looks at [`Job::is_aborted`], which it does often.
pub(crate) struct Job {
    pub(crate) record: Arc<JobRecord>,
    stop: CancellationToken,
    counters: [Counter; 3],
    packed: AtomicU64,
    idle: AtomicBool,
    texts: Mutex<Texts>,
    outcome: OnceLock<JobOutcome>,
    settled: AtomicBool,
}

#[derive(Default)]
struct Counter {
    objects: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
    fn add(&self, objects: u64, bytes: u64) {
        self.objects.fetch_add(objects, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    fn get(&self) -> (u64, u64) {
        (self.objects.load(Relaxed), self.bytes.load(Relaxed))
    }
}

#[derive(Default)]
struct Texts {
    abort: String,
    progress: String,
    error: String,
    errors: u64,
}

#[expect(dead_code, reason = "kinds use what they need of it")]
impl Job {
    pub(crate) fn new(record: Arc<JobRecord>) -> Self {
        Self {
            record,
            stop: CancellationToken::new(),
            counters: Default::default(),
            packed: AtomicU64::new(0),
            idle: AtomicBool::new(false),
            texts: Mutex::default(),
            outcome: OnceLock::new(),
            settled: AtomicBool::new(false),
        }
    }

    /// Id.
    pub(crate) fn id(&self) -> &str {
        &self.record.id
    }

    /// Arguments, by kind.
    pub(crate) fn args(&self) -> &Value {
        &self.record.args
    }

    /// The bucket of a job on one bucket, the source of a job on two.
    ///
    /// # Errors
    ///
    /// 400 for a job without a bucket.
    pub(crate) fn bucket(&self) -> Result<&Bucket, ApiError> {
        let bucket = self.record.src_bck.as_ref().or(self.record.bck.as_ref());
        bucket.ok_or_else(|| {
            ApiError::bad_request(format!("{} names no bucket", self.record.display()))
        })
    }

    /// The destination of a job on two buckets.
    ///
    /// # Errors
    ///
    /// 400 for a job without one.
    pub(crate) fn destination(&self) -> Result<&Bucket, ApiError> {
        self.record.dst_bck.as_ref().ok_or_else(|| {
            ApiError::bad_request(format!("{} names no destination", self.record.display()))
        })
    }

    /// Counts what was processed here.
    pub(crate) fn add_local(&self, objects: u64, bytes: u64) {
        self.counters[0].add(objects, bytes);
    }

    /// Counts what was sent to another target.
    pub(crate) fn add_out(&self, objects: u64, bytes: u64) {
        self.counters[1].add(objects, bytes);
    }

    /// Counts what came from another target.
    pub(crate) fn add_in(&self, objects: u64, bytes: u64) {
        self.counters[2].add(objects, bytes);
    }

    /// Says how many walkers and workers there are.
    pub(crate) fn set_parallel(&self, walkers: u64, workers: u64) {
        self.packed.store((walkers & 0x3ff) | (workers & 0x3ff) << 10, Relaxed);
    }

    /// Says, of a kind that waits for work, whether it has none.
    pub(crate) fn set_idle(&self, idle: bool) {
        self.idle.store(idle, Relaxed);
    }

    /// Says something about the progress; replaces what was said before.
    pub(crate) fn set_progress(&self, text: &str) {
        self.texts().progress = short(text);
    }

    /// Notes an error that does not end the share; the first one is shown, the others are counted.
    pub(crate) fn soft_error(&self, err: &ApiError) {
        tracing::warn!(job = self.record.display(), error = %err, "job goes on after an error");
        let mut texts = self.texts();
        if texts.errors == 0 {
            texts.error = short(&err.message);
        }
        texts.errors += 1;
    }

    /// Ends once the job is to stop.
    pub(crate) async fn aborted(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the job is to stop.
    pub(crate) fn is_aborted(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// An error once the job is to stop: for loops.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        if self.is_aborted() {
            return Err(ApiError::new(500, "ErrAborted", self.abort_reason()));
        }
        Ok(())
    }

    /// Tells the share to stop; the first reason counts.
    pub(super) fn abort(&self, reason: &str) {
        let mut texts = self.texts();
        if texts.abort.is_empty() {
            texts.abort = short(reason);
        }
        drop(texts);
        self.stop.cancel();
    }

    pub(super) fn abort_reason(&self) -> String {
        self.texts().abort.clone()
    }

    /// Ends the share, with the error that ended it, if any.
    pub(super) fn end(&self, failure: Option<String>) -> JobOutcome {
        let outcome = self.outcome.get_or_init(|| {
            let texts = self.texts();
            let reason = if texts.abort.is_empty() { failure } else { Some(texts.abort.clone()) };
            let unnamed = |text: String| if text.is_empty() { "failed".to_owned() } else { text };
            JobOutcome {
                abort: reason.map(|text| short(&unnamed(text))).unwrap_or_default(),
                err: texts.error.clone(),
                errors: texts.errors,
                ended_ns: now_ns(),
                stats: self.stats(),
                progress: texts.progress.clone(),
            }
        });
        // Whatever still works in the background has nothing to work for.
        self.stop.cancel();
        outcome.clone()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.outcome.get().is_some()
    }

    /// Notes that all was done to report the end.
    pub(super) fn settle(&self) {
        self.settled.store(true, Relaxed);
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled.load(Relaxed)
    }

    fn stats(&self) -> JobStats {
        let [local, out, incoming] = &self.counters;
        let ((loc_objs, loc_bytes), (out_objs, out_bytes)) = (local.get(), out.get());
        let (in_objs, in_bytes) = incoming.get();
        JobStats { loc_objs, loc_bytes, out_objs, out_bytes, in_objs, in_bytes }
    }

    /// This target's share as of now.
    pub(super) fn snap(&self, target: &str) -> Option<Snap> {
        let mut record = JobRecord::clone(&self.record);
        if let Some(outcome) = self.outcome.get() {
            record.targets.insert(target.to_owned(), Some(outcome.clone()));
            return record.snap(target);
        }
        let mut snap = record.snap(target)?;
        let texts = self.texts();
        snap.stats = self.stats();
        snap.packed = self.packed.load(Relaxed);
        snap.err = joined_errors(&texts.error, texts.errors);
        snap.add_progress(&texts.progress);
        snap.is_idle = self.idle.load(Relaxed);
        Some(snap)
    }

    fn texts(&self) -> MutexGuard<'_, Texts> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// At most [`MAX_TEXT_BYTES`], cut at a character.
fn short(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

pub(crate) fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
