//! A job as all gateways and targets know it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kind::{JobKind, Scope, find_kind};
use super::snap::{JobStats, Snap};
use crate::bucket::Bucket;

/// Reason of an abort that a person asked for; the CLI recognises the exact text.
pub const ABORTED_BY_USER: &str = "user abort";
/// Reason of an abort because another target failed.
pub const ABORTED_BY_PEER: &str = "IC(notifications) abort";

/// How one target's share of a job ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobOutcome {
    /// Why the share was given up, empty when it ran to its end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub abort: String,
    /// First error that did not end the share.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub err: String,
    /// Number of such errors.
    pub errors: u64,
    /// Unix time in nanoseconds.
    pub ended_ns: u64,
    /// Counters at the end.
    pub stats: JobStats,
    /// What the target said about its work.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub progress: String,
}

/// One job: what was asked, who works on it, how each share ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobRecord {
    /// Id.
    pub id: String,
    /// Wire name of the kind.
    pub kind: String,
    /// Bucket that clients see; of two-bucket jobs the destination.
    pub bck: Option<Bucket>,
    /// Source of a two-bucket job.
    pub src_bck: Option<Bucket>,
    /// Destination of a two-bucket job.
    pub dst_bck: Option<Bucket>,
    /// Ids of the buckets at the start: a bucket made anew under an old name is another one.
    pub bids: Vec<u64>,
    /// Id of the destination when the start of this job created it, else 0.
    pub created_bid: u64,
    /// Access mask that the source had before the job, where the job restricts it.
    pub access: Option<u64>,
    /// Arguments, by kind.
    pub args: Value,
    /// Description for people.
    pub ctlmsg: String,
    /// Unix time in nanoseconds.
    pub started_ns: u64,
    /// Targets that work on it, with the outcome of those that ended.
    pub targets: BTreeMap<String, Option<JobOutcome>>,
    /// Why the whole job was aborted; empty when it was not.
    pub abort: String,
    /// What can be done about the abort; part of the error text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// Unix time in nanoseconds; 0 while it runs.
    pub ended_ns: u64,
}

/// Answer of `what=status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Kind.
    pub kind: String,
    /// Id.
    pub uuid: String,
    /// First error and the number of further ones.
    pub err: String,
    /// Unix time in nanoseconds; 0 while it runs.
    pub end_time: u64,
    /// Whether any target gave up.
    pub aborted: bool,
}

/// The form in which several errors travel as one text.
pub fn joined_errors(first: &str, count: u64) -> String {
    match count {
        0 => String::new(),
        1 => first.to_owned(),
        _ => format!("{first} (and {} more errors)", count - 1),
    }
}

impl JobRecord {
    /// Whether no target has to work on it any more.
    pub fn is_over(&self) -> bool {
        self.ended_ns != 0
    }

    /// What holds for the kind; `None` for a kind of another version.
    pub fn info(&self) -> Option<&'static JobKind> {
        find_kind(&self.kind)
    }

    /// `kind[id]`.
    pub fn display(&self) -> String {
        format!("{}[{}]", self.kind, self.id)
    }

    /// Whether `target` has work to do.
    pub fn wants(&self, target: &str) -> bool {
        !self.is_over() && self.targets.get(target).is_some_and(Option::is_none)
    }

    /// Buckets that the job works on.
    pub fn buckets(&self) -> impl Iterator<Item = &Bucket> {
        let two = self.src_bck.iter().chain(&self.dst_bck);
        two.chain(self.bck.iter().filter(|_| self.src_bck.is_none()))
    }

    /// Whether the kind works on one bucket.
    pub fn is_bucket_scoped(&self) -> bool {
        self.info().is_some_and(|kind| kind.scope == Scope::Bucket)
    }

    /// All errors as one text, an abort before the others.
    pub fn errors(&self) -> String {
        let outcomes = || self.targets.values().flatten();
        let aborts = outcomes().map(|outcome| outcome.abort.as_str());
        let first = aborts.filter(|text| !text.is_empty() && *text != self.abort);
        let mut texts = std::iter::once(self.abort.as_str())
            .filter(|text| !text.is_empty())
            .chain(first.filter(|text| *text != ABORTED_BY_PEER))
            .chain(outcomes().map(|outcome| outcome.err.as_str()).filter(|text| !text.is_empty()));
        let Some(first) = texts.next() else { return String::new() };
        let soft: u64 = outcomes().map(|outcome| outcome.errors).sum();
        let errors = joined_errors(first, soft + u64::from(!self.abort.is_empty()));
        if self.hint.is_empty() { errors } else { format!("{errors}; {}", self.hint) }
    }

    /// The answer of `what=status`.
    pub fn status(&self) -> JobStatus {
        JobStatus {
            kind: self.kind.clone(),
            uuid: self.id.clone(),
            err: self.errors(),
            end_time: self.ended_ns,
            aborted: !self.abort.is_empty(),
        }
    }

    /// What `target` did, from its outcome; of a share that has not ended, a snapshot without counters.
    pub fn snap(&self, target: &str) -> Option<Snap> {
        let outcome = self.targets.get(target)?.as_ref();
        let empty = || Bucket { name: String::new(), ..Bucket::default() };
        let bucket = |bucket: &Option<Bucket>| bucket.clone().unwrap_or_else(empty);
        let mut snap = Snap {
            id: self.id.clone(),
            kind: self.kind.clone(),
            bck: bucket(&self.bck),
            src_bck: bucket(&self.src_bck),
            dst_bck: bucket(&self.dst_bck),
            started_ns: self.started_ns,
            ctlmsg: self.ctlmsg.clone(),
            ..Snap::default()
        };
        if let Some(outcome) = outcome {
            snap.ended_ns = outcome.ended_ns;
            snap.stats = outcome.stats.clone();
            snap.err = joined_errors(&outcome.err, outcome.errors);
            snap.abort_err.clone_from(&outcome.abort);
            snap.add_progress(&outcome.progress);
        } else if self.is_over() {
            // Given up before this target said how far it came.
            snap.ended_ns = self.ended_ns;
            snap.abort_err.clone_from(&self.abort);
        }
        snap.aborted = !snap.abort_err.is_empty();
        snap.is_idle = snap.ended_ns != 0;
        Some(snap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> JobRecord {
        let targets = [("t1".to_owned(), None), ("t2".to_owned(), None)];
        JobRecord {
            id: "abcdefghi".into(),
            kind: "copy-bck".into(),
            started_ns: 5,
            targets: targets.into(),
            ..JobRecord::default()
        }
    }

    #[test]
    fn a_share_that_runs_has_no_end() {
        let snap = record().snap("t1").unwrap();
        assert!(!snap.is_idle && !snap.aborted && snap.ended_ns == 0);
        assert_eq!(record().snap("t3"), None);
        assert_eq!(record().status().end_time, 0);
    }

    #[test]
    fn outcomes_outlive_the_target_and_errors_are_counted() {
        let mut job = record();
        let stats = JobStats { loc_objs: 3, ..JobStats::default() };
        let soft =
            JobOutcome { err: "e".into(), errors: 2, ended_ns: 9, stats, ..JobOutcome::default() };
        job.targets.insert("t1".into(), Some(soft));
        job.ended_ns = 9;
        let snap = job.snap("t1").unwrap();
        assert_eq!((snap.stats.loc_objs, snap.err.as_str()), (3, "e (and 1 more errors)"));
        assert_eq!(job.status().err, "e (and 1 more errors)");
        assert!(!job.status().aborted);
    }

    #[test]
    fn an_abort_is_the_first_error() {
        let mut job = record();
        job.abort = ABORTED_BY_USER.into();
        job.ended_ns = 7;
        assert_eq!(job.status().err, ABORTED_BY_USER);
        assert!(job.status().aborted && job.snap("t2").unwrap().aborted);
        assert!(!job.wants("t2"));
    }
}
