//! Starting the jobs that move and copy objects within targets.

use aistore_cluster::{ClusterState, Command};
use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use http::StatusCode;
use serde_json::{Value, json};

use super::Gateway;
use super::jobs::new_record;
use crate::http::{Reply, reply};
use crate::jobs::now_ns;

/// Most copies that the action may ask for.
const MAX_COPIES: u64 = 16;
/// Why a resilver ends when another one begins.
const RENEWED: &str = "renewal abort";

impl Gateway {
    /// `make-n-copies`: changes the bucket's properties, then all its objects. The reply is the job's id.
    pub(super) async fn make_n_copies(
        &self,
        bucket: Bucket,
        value: &Value,
    ) -> Result<Reply, ApiError> {
        let copies = parse_copies(value)?;
        super::props(&self.ctx.state(), &bucket)?;
        self.check_mountpaths(&bucket, copies).await?;
        self.check_room_everywhere(&format!("change the copies of bucket \"{bucket}\"")).await?;
        let patch = json!({"mirror": {"enabled": copies > 1, "copies": copies}});
        self.submit(Command::PatchProps { bucket: bucket.clone(), patch }).await?;
        self.start_mirror(bucket, copies).await
    }

    /// Starts the job that follows a change of the bucket's mirror properties.
    pub(super) async fn start_mirror(
        &self,
        bucket: Bucket,
        copies: u64,
    ) -> Result<Reply, ApiError> {
        let running: Vec<String> = self
            .ctx
            .state()
            .jobs
            .running()
            .filter(|job| job.kind == "make-n-copies" && job.bck.as_ref() == Some(&bucket))
            .map(|job| job.id.clone())
            .collect();
        for id in running {
            self.abort_renewed(id).await?;
        }
        let mut job = new_record("make-n-copies");
        job.args = json!({"copies": copies});
        job.ctlmsg = format!("copies={copies}");
        job.bck = Some(bucket);
        self.start_job(job, false).await
    }

    async fn abort_renewed(&self, id: String) -> Result<(), ApiError> {
        let (reason, now_ns) = (RENEWED.to_owned(), now_ns());
        self.submit(Command::AbortJob { id, reason, now_ns }).await.map(drop)
    }

    /// Every target must have as many mountpaths.
    async fn check_mountpaths(&self, bucket: &Bucket, copies: u64) -> Result<(), ApiError> {
        let state = self.ctx.state();
        for (target, lists) in self.ask_each(state.smap.tmap.values(), "mountpaths").await {
            let count = lists.get("available").and_then(Value::as_array).map_or(0, Vec::len);
            if (count as u64) < copies {
                return Err(ApiError::bad_request(format!(
                    "cannot make {copies} copies in {bucket}: t[{target}] has {count} mountpaths, and each copy needs its own"
                )));
            }
        }
        Ok(())
    }

    /// Starts a resilver on one target, in place of one that runs there.
    pub(super) async fn start_resilver(&self, target: &str) -> Result<Reply, ApiError> {
        for id in resilvers(&self.ctx.state(), target) {
            self.abort_renewed(id).await?;
        }
        let mut job = new_record("resilver");
        job.targets.insert(target.to_owned(), None);
        self.start_job(job, true).await
    }

    /// What follows a change of a target's mountpaths: a resilver, unless it is not wanted.
    pub(super) async fn after_mountpaths(
        &self,
        target: &str,
        status: StatusCode,
        unwanted: bool,
    ) -> Result<(), ApiError> {
        let enabled = self.ctx.config().resilver.enabled;
        if status != StatusCode::OK || unwanted || !enabled {
            return Ok(());
        }
        self.start_resilver(target).await.map(drop)
    }

    /// Refuses what a running resilver does not allow.
    pub(super) fn check_no_resilver(&self, target: &str) -> Result<(), ApiError> {
        match resilvers(&self.ctx.state(), target).first() {
            None => Ok(()),
            Some(id) => Err(ApiError::bad_request(format!(
                "t[{target}]: resilver[{id}] is running: wait for it, or leave out dntres"
            ))),
        }
    }
}

fn resilvers(state: &ClusterState, target: &str) -> Vec<String> {
    let running = state.jobs.running();
    let here = running.filter(|job| job.kind == "resilver" && job.targets.contains_key(target));
    here.map(|job| job.id.clone()).collect()
}

/// A number, or its decimal digits as a string.
fn parse_copies(value: &Value) -> Result<u64, ApiError> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64(),
    };
    number.filter(|copies| (1..=MAX_COPIES).contains(copies)).ok_or_else(|| {
        ApiError::bad_request(format!(
            "invalid number of copies {value}: expected 1 to {MAX_COPIES}"
        ))
    })
}

/// The empty answer to a change without a job.
pub(super) fn no_job() -> Reply {
    reply::empty(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_numbers_or_their_digits() {
        assert_eq!(parse_copies(&json!(3)).unwrap(), 3);
        assert_eq!(parse_copies(&json!("16")).unwrap(), 16);
        for value in [json!(0), json!(17), json!("x"), json!(-1), json!(null), json!(1.5)] {
            assert_eq!(parse_copies(&value).unwrap_err().status, 400, "{value}");
        }
    }
}
