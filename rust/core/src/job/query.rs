//! Which jobs a question means.

use super::args::JobQuery;
use super::record::JobRecord;
use crate::bucket::Bucket;

/// Whether a job works on the bucket. Kinds that work on more than one bucket match any.
pub fn matches_bucket(job: &JobRecord, bucket: &Bucket) -> bool {
    !job.is_bucket_scoped() || job.buckets().any(|own| own == bucket)
}

/// Whether a question for snapshots means this job; `active` tells whether the share in question runs.
pub fn selects(query: &JobQuery, job: &JobRecord, active: bool) -> bool {
    if query.active_only() && !active {
        return false;
    }
    if query.ids().next().is_some() && !query.ids().any(|id| id == job.id) {
        return false;
    }
    (query.kind.is_empty() || query.kind == job.kind)
        && query.bck.as_ref().is_none_or(|bucket| matches_bucket(job, bucket))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(kind: &str, bucket: &str) -> JobRecord {
        let bck = Some(Bucket::ais(bucket));
        JobRecord { id: "abcdefghi".into(), kind: kind.into(), bck, ..JobRecord::default() }
    }

    #[test]
    fn filters_join() {
        let query = |text: &str| JobQuery::parse(text.as_bytes()).unwrap();
        let job = job("make-n-copies", "b");
        assert!(selects(&query("{}"), &job, false));
        assert!(selects(&query(r#"{"id":"zzzzzzzzz,abcdefghi"}"#), &job, true));
        assert!(!selects(&query(r#"{"id":"zzzzzzzzz"}"#), &job, true));
        assert!(!selects(&query(r#"{"show_active":true}"#), &job, false));
        assert!(selects(&query(r#"{"kind":"mirror","bck":{"name":"b"}}"#), &job, false));
        assert!(!selects(&query(r#"{"bck":{"name":"c"}}"#), &job, false));
        assert!(!selects(&query(r#"{"kind":"lru"}"#), &job, false));
    }

    #[test]
    fn the_bucket_filter_is_for_bucket_jobs() {
        let any = job("lru", "x");
        assert!(matches_bucket(&any, &Bucket::ais("b")));
    }
}
