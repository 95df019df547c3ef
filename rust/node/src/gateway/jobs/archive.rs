//! The job that puts objects into a shard: the shard's owner does it alone.

use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::job::ArchiveMsg;
use aistore_core::placement::owner;
use aistore_core::props::{ACCESS_APPEND, ACCESS_GET, ACCESS_LIST_OBJECTS, ACCESS_PUT};
use serde_json::Value;

use super::new_record;
use crate::gateway::{Gateway, props};
use crate::http::Reply;

impl Gateway {
    /// `archive`: the reply's body is the job's id.
    pub(in crate::gateway) async fn archive_objects(
        &self,
        from: Bucket,
        value: Value,
    ) -> Result<Reply, ApiError> {
        let msg = ArchiveMsg::parse(value)?;
        let to = msg.to.clone().unwrap_or_else(|| from.clone());
        let state = self.ctx.state();
        props(&state, &from)?;
        props(&state, &to)?;
        self.check_access(&from, ACCESS_GET, "GET")?;
        self.check_access(&from, ACCESS_LIST_OBJECTS, "LIST-OBJECTS")?;
        let (access, what) =
            if msg.append { (ACCESS_APPEND, "APPEND") } else { (ACCESS_PUT, "PUT") };
        self.check_access(&to, access, what)?;
        let shard = to.object_cname(&msg.name);
        self.check_room_everywhere(&format!("archive objects of \"{from}\" as {shard}")).await?;
        let holder = owner(&state.smap, &to.object_uname(&msg.name))
            .ok_or_else(|| ApiError::unavailable(format!("no target accepts data for {shard}")))?;
        let mut job = new_record("archive");
        job.ctlmsg = msg.describe(&from, &to);
        job.args = serde_json::to_value(&msg)
            .map_err(|err| ApiError::internal(format!("archive request: {err}")))?;
        job.targets.insert(holder.daemon_id.clone(), None);
        job.bck = Some(from.clone());
        if from != to {
            (job.src_bck, job.dst_bck) = (Some(from), Some(to));
        }
        self.start_job(job, false).await
    }
}
