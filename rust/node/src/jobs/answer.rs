//! What a target tells gateways about its shares.

use aistore_core::error::ApiError;
use aistore_core::job::{JobQuery, Snap, selects};
use http::Method;

use crate::http::{Reply, Req, reply};
use crate::target::Target;

impl Target {
    /// Answers `/v1/jobs`: snapshots of the shares that the query in the body means.
    pub(crate) async fn job_snaps(&self, req: &mut Req) -> Result<Reply, ApiError> {
        if req.method != Method::POST {
            return Ok(reply::method_not_allowed("POST"));
        }
        let body = req.read_body(crate::http::request::MAX_ACTION_BYTES).await?;
        let query = JobQuery::parse(&body)?;
        self.state_for(req).await;
        Ok(reply::json(&self.snaps(&query)))
    }

    /// Shares that the query means, oldest first: as they are here if they run, else as they ended.
    fn snaps(&self, query: &JobQuery) -> Vec<Snap> {
        let (state, own) = (self.ctx.state(), self.ctx.snode.daemon_id.as_str());
        let snaps = state.jobs.iter().filter_map(|record| {
            let share = self.jobs.get(&record.id).filter(|_| record.wants(own));
            let snap = share.map_or_else(|| record.snap(own), |share| share.snap(own))?;
            selects(query, record, snap.is_running()).then_some(snap)
        });
        snaps.collect()
    }
}
