//! The generic `start`: which kinds it takes, and with which arguments.

use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::job::{JobArgs, JobKind, Scope, Start, find_kind};
use serde_json::{Value, json};

use super::new_record;
use crate::gateway::{Gateway, props};
use crate::http::Reply;

impl Gateway {
    /// `start`: the reply's body is the job's id.
    pub(in crate::gateway) async fn start_by_kind(&self, value: Value) -> Result<Reply, ApiError> {
        let args = JobArgs::parse(value)?;
        let kind = startable(&args.kind)?;
        let buckets = args.all_buckets();
        let state = self.ctx.state();
        for bucket in &buckets {
            props(&state, bucket)?;
        }
        if kind.scope == Scope::Bucket && buckets.is_empty() {
            return Err(ApiError::bad_request(format!(
                "a job of kind \"{}\" needs a bucket (\"Bck\")",
                kind.name
            )));
        }
        let mut job = new_record(kind.name);
        if kind.scope == Scope::Target {
            if args.daemonid.is_empty() {
                return Err(ApiError::unsupported(format!(
                    "\"{}\" runs on one target: name it (\"DaemonID\")",
                    kind.name
                )));
            }
            job.targets.insert(args.daemonid.clone(), None);
        }
        check_support(kind, buckets.first())?;
        if kind.name == "resilver" {
            return self.start_resilver(&args.daemonid).await;
        }
        job.args = json!({"flags": args.flags, "force": args.force, "buckets": buckets});
        job.ctlmsg = describe(&buckets);
        job.bck = buckets.into_iter().next().filter(|_| kind.scope != Scope::Target);
        self.start_job(job, false).await
    }
}

fn startable(name: &str) -> Result<&'static JobKind, ApiError> {
    if name.is_empty() {
        return Err(ApiError::bad_request("start needs the kind of job (\"Kind\")"));
    }
    let kind = find_kind(name)
        .ok_or_else(|| ApiError::bad_request(format!("invalid job kind \"{name}\"")))?;
    match kind.start {
        Start::Yes => Ok(kind),
        Start::OwnApi => Err(ApiError::bad_request(format!(
            "\"{}\" is not started this way: use its own request",
            kind.name
        ))),
        Start::No => Err(ApiError::unsupported(format!(
            "start xaction \"{}\" is not supported: it starts by itself or by its own request",
            kind.name
        ))),
    }
}

/// Kinds that the protocol has and this version does not, and those that are for remote buckets.
fn check_support(kind: &JobKind, bucket: Option<&Bucket>) -> Result<(), ApiError> {
    match (kind.name, bucket) {
        ("prefetch-listrange" | "blob-download", Some(bucket)) if !bucket.is_remote() => {
            Err(ApiError::new(
                400,
                "ErrNotRemoteBck",
                format!("bucket \"{bucket}\" is not remote: it has nothing to {}", kind.display),
            ))
        }
        (name, _) if crate::jobs::runs(name) => Ok(()),
        (name, _) => Err(ApiError::unsupported(format!(
            "jobs of kind \"{name}\" are not supported by this version"
        ))),
    }
}

fn describe(buckets: &[Bucket]) -> String {
    let names: Vec<String> = buckets.iter().map(ToString::to_string).collect();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_refused_as_the_protocol_says() {
        assert_eq!(startable("lru-eviction").unwrap().name, "lru");
        for (kind, status) in [
            ("", 400),
            ("nonsense", 400),
            ("make-n-copies", 400),
            ("ec-encode", 400),
            ("download", 400),
            ("evict-objects", 400),
            ("delete-listrange", 400),
            ("put-copies", 400),
            ("copy-bck", 501),
            ("election", 501),
            ("archive", 501),
        ] {
            assert_eq!(startable(kind).unwrap_err().status, status, "{kind}");
        }
    }

    #[test]
    fn remote_kinds_refuse_native_buckets() {
        let prefetch = find_kind("prefetch-listrange").unwrap();
        let err = check_support(prefetch, Some(&Bucket::ais("b"))).unwrap_err();
        assert_eq!((err.status, err.tcode.as_str()), (400, "ErrNotRemoteBck"));
        assert_eq!(check_support(find_kind("rebalance").unwrap(), None).unwrap_err().status, 501);
        assert!(
            check_support(find_kind("load-lom-cache").unwrap(), Some(&Bucket::ais("b"))).is_ok()
        );
    }
}
