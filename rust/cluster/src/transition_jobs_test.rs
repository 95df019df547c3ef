//! Jobs in the state: start, outcomes, abort, what they do to buckets, retention.

use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::job::{ABORTED_BY_PEER, ABORTED_BY_USER, JobOutcome, JobRecord};
use aistore_core::props::{ACCESS_GET, ACCESS_PUT};
use aistore_core::smap::{NetInfo, NodeKind, Snode};
use serde_json::json;

use crate::command::Command;
use crate::state::ClusterState;
use crate::transition::transition;

struct Log {
    state: ClusterState,
    index: u64,
}

impl Log {
    /// A cluster with targets t1 and t2 and bucket "src".
    fn new() -> Self {
        let mut log = Self { state: ClusterState::default(), index: 0 };
        let node = |id: &str, kind, port| Snode::new(id, kind, NetInfo::http("h", port));
        log.go(&Command::Bootstrap {
            primary: node("g1", NodeKind::Gateway, 1),
            uuid: "cluster".to_owned(),
            creation_time: "2025-01-01 00:00:00".to_owned(),
        });
        for (id, port) in [("t1", 2), ("t2", 3)] {
            log.go(&Command::RegisterNode { node: node(id, NodeKind::Target, port) });
        }
        let bucket = Bucket::ais("src");
        log.go(&Command::CreateBucket { bucket, patch: None, created_ns: 77 });
        log
    }

    fn apply(&mut self, command: &Command) -> Result<bool, ApiError> {
        self.index += 1;
        let next = transition(&self.state, command, self.index)?;
        let changed = next.is_some();
        self.state = next.unwrap_or_else(|| self.state.clone());
        Ok(changed)
    }

    fn go(&mut self, command: &Command) {
        assert!(self.apply(command).unwrap(), "{command:?} changed nothing");
    }

    fn start(&mut self, job: &JobRecord) -> Result<bool, ApiError> {
        self.apply(&Command::StartJob { job: Box::new(job.clone()), ignore_conflicts: false })
    }

    fn finish(&mut self, id: &str, target: &str, outcome: JobOutcome) -> bool {
        let (id, target) = (id.to_owned(), target.to_owned());
        let command = Command::FinishJobOnTarget { id, target, outcome: Box::new(outcome) };
        self.apply(&command).unwrap()
    }

    fn abort(&mut self, id: &str) -> bool {
        let reason = ABORTED_BY_USER.to_owned();
        self.apply(&Command::AbortJob { id: id.to_owned(), reason, now_ns: 50 }).unwrap()
    }

    fn job(&self, id: &str) -> &JobRecord {
        self.state.jobs.get(id).unwrap()
    }

    fn has(&self, name: &str) -> bool {
        self.state.bmd.contains(&Bucket::ais(name))
    }
}

fn between(kind: &str, id: &str, from: &str, to: &str) -> JobRecord {
    JobRecord {
        id: id.into(),
        kind: kind.into(),
        bck: Some(Bucket::ais(to)),
        src_bck: Some(Bucket::ais(from)),
        dst_bck: Some(Bucket::ais(to)),
        started_ns: 10,
        ..JobRecord::default()
    }
}

fn single(kind: &str, id: &str) -> JobRecord {
    JobRecord { id: id.into(), kind: kind.into(), started_ns: 10, ..JobRecord::default() }
}

fn done(ended_ns: u64) -> JobOutcome {
    JobOutcome { ended_ns, ..JobOutcome::default() }
}

#[test]
fn a_copy_creates_its_destination_and_ends_with_its_last_target() {
    let mut log = Log::new();
    let job = between("copy-bck", "copyjob01", "src", "dst");
    log.start(&job).unwrap();
    assert!(log.has("dst"));
    let (from, to) = (Bucket::ais("src"), Bucket::ais("dst"));
    let (from, to) = (log.state.bmd.get(&from).unwrap(), log.state.bmd.get(&to).unwrap());
    assert!(to.bid != from.bid && to.created == 10);
    assert_eq!(log.job("copyjob01").bids, [from.bid, to.bid]);
    assert!(log.job("copyjob01").wants("t1"));
    assert!(log.finish("copyjob01", "t1", done(20)));
    assert!(!log.finish("copyjob01", "t1", done(21)), "the first word counts");
    assert!(!log.job("copyjob01").is_over() && !log.job("copyjob01").wants("t1"));
    assert!(log.finish("copyjob01", "t2", done(30)));
    assert_eq!(log.job("copyjob01").ended_ns, 30);
    assert!(log.has("dst") && log.has("src"));
    assert!(!log.abort("copyjob01"), "over is over");
}

#[test]
fn an_aborted_copy_takes_away_the_destination_that_it_created_only() {
    let mut log = Log::new();
    log.start(&between("copy-bck", "copyjob01", "src", "dst")).unwrap();
    assert!(log.abort("copyjob01"));
    assert!(!log.has("dst"));
    assert_eq!(log.job("copyjob01").status().err, ABORTED_BY_USER);
    let late = JobOutcome { abort: "no such job".into(), ended_ns: 60, ..JobOutcome::default() };
    assert!(log.finish("copyjob01", "t1", late));
    assert_eq!(log.job("copyjob01").snap("t1").unwrap().abort_err, ABORTED_BY_USER);

    log.go(&Command::CreateBucket { bucket: Bucket::ais("old"), patch: None, created_ns: 1 });
    log.start(&between("copy-bck", "copyjob02", "src", "old")).unwrap();
    let failed = JobOutcome { abort: "disk on fire".into(), ended_ns: 9, ..JobOutcome::default() };
    assert!(log.finish("copyjob02", "t2", failed));
    assert!(log.has("old"));
    let job = log.job("copyjob02");
    assert!(job.is_over() && job.abort == ABORTED_BY_PEER && !job.wants("t1"));
    assert!(job.snap("t1").unwrap().aborted);
}

#[test]
fn a_dry_copy_creates_nothing() {
    let mut log = Log::new();
    let mut job = between("copy-bck", "copyjob01", "src", "dst");
    job.args = json!({"dry_run": true});
    log.start(&job).unwrap();
    assert!(!log.has("dst"));
}

#[test]
fn a_rename_shows_both_buckets_until_its_end() {
    let mut log = Log::new();
    let access = |log: &Log, name: &str| log.state.bmd.get(&Bucket::ais(name)).unwrap().access;
    let before = access(&log, "src");
    log.start(&between("move-bck", "movejob01", "src", "dst")).unwrap();
    assert!(log.has("src") && log.has("dst"));
    assert_eq!(access(&log, "src") & ACCESS_PUT, 0);
    assert_eq!(access(&log, "src") & ACCESS_GET, ACCESS_GET);
    assert_eq!(access(&log, "dst"), before);
    log.finish("movejob01", "t1", done(20));
    log.finish("movejob01", "t2", done(21));
    assert!(!log.has("src") && log.has("dst"));

    log.start(&between("move-bck", "movejob02", "dst", "third")).unwrap();
    assert!(log.abort("movejob02"));
    assert!(log.has("dst") && log.has("third"));
    assert_eq!(access(&log, "dst"), before);
}

#[test]
fn a_rename_that_was_given_up_goes_on() {
    let mut log = Log::new();
    log.start(&between("move-bck", "movejob01", "src", "dst")).unwrap();
    assert!(log.abort("movejob01"));
    let err = log.state.jobs.get("movejob01").unwrap().status().err;
    assert!(err.starts_with(ABORTED_BY_USER) && err.contains("again"), "{err}");
    // Another bucket is not renamed into the half of this one.
    log.go(&Command::CreateBucket { bucket: Bucket::ais("b"), patch: None, created_ns: 1 });
    let err = log.start(&between("move-bck", "movejob02", "b", "dst")).unwrap_err();
    assert_eq!(err.tcode, "ErrBucketAlreadyExists");
    log.start(&between("move-bck", "movejob03", "src", "dst")).unwrap();
    assert_eq!(log.state.jobs.get("movejob03").unwrap().created_bid, 0);
    log.finish("movejob03", "t1", done(20));
    log.finish("movejob03", "t2", done(21));
    assert!(!log.has("src") && log.has("dst") && log.state.half_renamed.is_empty());
}

#[test]
fn bad_renames_are_refused_with_the_protocols_status() {
    let mut log = Log::new();
    log.go(&Command::CreateBucket { bucket: Bucket::ais("old"), patch: None, created_ns: 1 });
    let mut refused =
        |from: &str, to: &str| log.start(&between("move-bck", "movejob01", from, to)).unwrap_err();
    let err = refused("src", "old");
    assert_eq!((err.status, err.tcode.as_str()), (400, "ErrBucketAlreadyExists"));
    assert_eq!(refused("none", "dst").tcode, "ErrBckNotFound");
    assert_eq!(refused("src", "src").status, 400);
}

#[test]
fn jobs_that_must_not_meet_are_refused() {
    let mut log = Log::new();
    log.go(&Command::CreateBucket { bucket: Bucket::ais("b"), patch: None, created_ns: 1 });
    log.start(&between("move-bck", "movejob01", "src", "dst")).unwrap();
    let copy = between("copy-bck", "copyjob01", "b", "c");
    let err = log.start(&copy).unwrap_err();
    assert_eq!((err.status, err.tcode.as_str()), (409, "ErrLimitedCoexistence"));
    let forced = Command::StartJob { job: Box::new(copy.clone()), ignore_conflicts: true };
    assert!(log.apply(&forced).unwrap());
    let twin = JobRecord { id: "copyjob02".into(), ..copy };
    let twin = Command::StartJob { job: Box::new(twin), ignore_conflicts: true };
    assert_eq!(log.apply(&twin).unwrap_err().tcode, "ErrXactUsePrev");
    assert!(log.abort("movejob01"));
    // The copy works on "b": renaming it now would pull it away.
    let err = log.start(&between("move-bck", "movejob02", "b", "e")).unwrap_err();
    assert_eq!(err.tcode, "ErrLimitedCoexistence");
    assert!(log.start(&between("move-bck", "movejob03", "src", "f")).is_ok());
}

#[test]
fn ids_and_targets_are_checked() {
    let mut log = Log::new();
    log.start(&single("lru", "lrujob001")).unwrap();
    assert_eq!(log.start(&single("lru", "lrujob001")).unwrap_err().status, 409);
    assert_eq!(log.start(&single("lru", "x")).unwrap_err().status, 400);
    let mut job = single("resilver", "resilver1");
    job.targets.insert("t9".into(), None);
    let err = log.start(&job).unwrap_err();
    assert!(err.status == 400 && err.message.contains("t9"), "{err}");
    assert!(!log.finish("nosuchjob", "t1", done(1)));
    assert!(!log.finish("lrujob001", "t9", done(1)));
}

#[test]
fn ended_jobs_are_forgotten_in_time_and_in_number() {
    let mut log = Log::new();
    let job = |n: u64, started_ns: u64| JobRecord {
        started_ns,
        targets: [("t1".to_owned(), None)].into(),
        ..single("lru", &format!("lrujob{n:04}"))
    };
    let hour = 3_600_000_000_000;
    log.start(&job(0, 5)).unwrap();
    log.finish("lrujob0000", "t1", done(6));
    log.start(&job(1, 7 + hour)).unwrap();
    assert!(log.state.jobs.get("lrujob0000").is_none());
    for n in 2..1100 {
        log.start(&job(n, 8 + hour)).unwrap();
        log.finish(&format!("lrujob{n:04}"), "t1", done(9 + hour));
    }
    assert_eq!(log.state.jobs.iter().count(), 1024 + 1);
    assert!(log.job("lrujob0001").wants("t1"), "running jobs stay");
}

#[test]
fn states_from_before_there_were_jobs_load() {
    let log = Log::new();
    let mut json = serde_json::to_value(&log.state).unwrap();
    json.as_object_mut().unwrap().remove("jobs").unwrap();
    let old: ClusterState = serde_json::from_value(json).unwrap();
    assert_eq!(old, log.state);
}
