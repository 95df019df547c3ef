//! Jobs from bucket to bucket: `copy-bck` and `move-bck`.

use aistore_core::bucket::{Bucket, Provider};
use aistore_core::error::ApiError;
use aistore_core::job::CopyMsg;
use aistore_core::props::ACCESS_MOVE_BUCKET;
use serde_json::Value;

use super::new_record;
use crate::gateway::{Gateway, props};
use crate::http::{Reply, Req};

impl Gateway {
    /// `copy-bck`: the reply's body is the job's id.
    pub(in crate::gateway) async fn copy_bucket(
        &self,
        req: &Req,
        from: Bucket,
        value: Value,
    ) -> Result<Reply, ApiError> {
        let msg = CopyMsg::parse(value)?;
        let to = destination(req)?;
        props(&self.ctx.state(), &from)?;
        if from == to && !msg.dry_run {
            return Err(ApiError::bad_request(format!(
                "cannot copy bucket \"{from}\" onto itself: name another destination, or use dry_run"
            )));
        }
        check_local(&self.ctx.state(), &to)?;
        if msg.synchronize && msg.ext.as_ref().is_some_and(|map| !map.is_empty()) {
            return Err(ApiError::bad_request(
                "\"synchronize\" and \"ext\" exclude each other: copy without one of them",
            ));
        }
        if !msg.dry_run {
            self.check_room_everywhere(&format!("copy bucket \"{from}\" to \"{to}\"")).await?;
        }
        let mut job = new_record("copy-bck");
        job.ctlmsg = msg.describe("cp", &from.cname(), &to.cname());
        job.args = serde_json::to_value(&msg)
            .map_err(|err| ApiError::internal(format!("copy request: {err}")))?;
        job.bck = Some(to.clone());
        (job.src_bck, job.dst_bck) = (Some(from), Some(to));
        self.start_job(job, msg.force).await
    }

    /// `move-bck`: the reply's body is the job's id.
    pub(in crate::gateway) async fn rename_bucket(
        &self,
        req: &Req,
        from: Bucket,
    ) -> Result<Reply, ApiError> {
        let to = destination(req)?;
        for bucket in [&from, &to] {
            if bucket.is_remote() {
                return Err(ApiError::bad_request(format!(
                    "cannot rename \"{from}\" to \"{to}\": \"{bucket}\" is remote"
                )));
            }
        }
        self.check_access(&from, ACCESS_MOVE_BUCKET, "MOVE-BUCKET")?;
        self.check_room_everywhere(&format!("rename bucket \"{from}\" to \"{to}\"")).await?;
        let mut job = new_record("move-bck");
        job.ctlmsg = format!("mv {from}=>{to}");
        job.bck = Some(to.clone());
        (job.src_bck, job.dst_bck) = (Some(from), Some(to));
        self.start_job(job, false).await
    }
}

/// The bucket that `bck_to` names.
fn destination(req: &Req) -> Result<Bucket, ApiError> {
    let text = req.query.text("bck_to");
    if text.is_empty() {
        return Err(ApiError::bad_request(
            "the query needs bck_to, the destination: bck_to=ais/@%23/NAME/",
        ));
    }
    let (bucket, object) = Bucket::parse_uname(text)?;
    if object.is_empty() {
        return Ok(bucket);
    }
    Err(ApiError::bad_request(format!(
        "bck_to=\"{text}\" names an object: expected a bucket, as in ais/@#/NAME/"
    )))
}

/// A destination that does not exist can be created only here.
fn check_local(state: &aistore_cluster::ClusterState, bucket: &Bucket) -> Result<(), ApiError> {
    if !bucket.is_remote() || state.bmd.contains(bucket) {
        return Ok(());
    }
    if bucket.provider == Provider::Ais {
        return Err(ApiError::bucket_not_found(bucket));
    }
    Err(ApiError::new(
        404,
        "ErrMissingBackend",
        format!(
            "bucket \"{bucket}\": no backend for provider \"{}\" is configured in this cluster",
            bucket.provider
        ),
    ))
}
