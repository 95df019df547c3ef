use aistore_core::job::JobOutcome;

use super::*;

const OWN: &str = "t1";

/// The state after a start of `kind` on t1 and t2, and how it goes on.
fn state(version: u64, change: impl FnOnce(&mut JobRecord)) -> ClusterState {
    let mut record = JobRecord {
        id: "abcdefghi".into(),
        kind: "lru".into(),
        started_ns: 5,
        targets: [(OWN.to_owned(), None), ("t2".to_owned(), None)].into(),
        ..JobRecord::default()
    };
    change(&mut record);
    let jobs = serde_json::from_value(serde_json::json!([record])).unwrap();
    ClusterState { version, jobs, ..ClusterState::default() }
}

#[test]
fn a_share_starts_once_and_only_where_it_is_wanted() {
    let registry = Registry::default();
    let running = state(1, |_| {});
    assert_eq!(registry.follow(&running, OWN).len(), 1);
    assert!(registry.follow(&running, OWN).is_empty());
    assert!(Registry::default().follow(&running, "t3").is_empty());
    let done = state(2, |job| {
        job.targets.insert(OWN.into(), Some(JobOutcome::default()));
    });
    assert!(Registry::default().follow(&done, OWN).is_empty(), "a finished share is not resumed");
}

#[test]
fn an_abort_stops_the_share_with_its_reason() {
    let registry = Registry::default();
    let job = registry.follow(&state(1, |_| {}), OWN).remove(0);
    assert!(!job.is_aborted());
    registry.follow(
        &state(2, |job| {
            job.abort = "user abort".into();
            job.ended_ns = 9;
        }),
        OWN,
    );
    assert!(job.is_aborted() && job.check().is_err());
    assert_eq!(job.end(Some("broke off".into())).abort, "user abort");
    assert!(job.has_ended());
}

#[test]
fn a_destroyed_bucket_stops_its_jobs() {
    let registry = Registry::default();
    let with_bucket = |job: &mut JobRecord| {
        job.bids = vec![77];
        job.bck = Some(aistore_core::bucket::Bucket::ais("b"));
    };
    let job = registry.follow(&state(1, with_bucket), OWN).remove(0);
    registry.follow(&state(2, with_bucket), OWN);
    assert!(job.is_aborted());
    assert_eq!(job.abort_reason(), "bucket \"ais://b\" was destroyed");
}

#[test]
fn a_settled_share_leaves_the_registry() {
    let registry = Registry::default();
    let job = registry.follow(&state(1, |_| {}), OWN).remove(0);
    job.add_local(2, 10);
    let outcome = job.end(None);
    assert!(outcome.abort.is_empty() && outcome.stats.loc_bytes == 10);
    assert!(registry.get("abcdefghi").is_some(), "kept until the cluster knows");
    let known = state(2, |job| {
        job.targets.insert(OWN.into(), Some(outcome));
    });
    registry.follow(&known, OWN);
    assert!(registry.get("abcdefghi").is_none());
}

#[test]
fn counters_and_texts_are_in_the_snapshot() {
    let registry = Registry::default();
    let job = registry.follow(&state(1, |_| {}), OWN).remove(0);
    job.add_out(1, 7);
    job.set_parallel(3, 8);
    job.set_progress("half");
    job.soft_error(&ApiError::bad_request("one"));
    job.soft_error(&ApiError::bad_request("two"));
    let snap = job.snap(OWN).unwrap();
    assert_eq!((snap.stats.out_objs, snap.stats.out_bytes, snap.packed), (1, 7, 8195));
    assert_eq!((snap.ctlmsg.as_str(), snap.err.as_str()), ("half", "one (and 1 more errors)"));
    assert!(snap.is_running() && !snap.is_idle);
    let ended = {
        job.end(Some("disk on fire".into()));
        job.snap(OWN).unwrap()
    };
    assert!(ended.aborted && ended.is_idle && ended.abort_err == "disk on fire");
}
