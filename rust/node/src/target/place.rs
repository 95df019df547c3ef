//! Which bucket and object a request means, and whether this node is the one to ask.

use std::sync::Arc;
use std::time::Duration;

use aistore_cluster::{BucketEntry, ClusterState};
use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::headers::SMAP_VERSION;
use aistore_core::placement::owner;
use aistore_core::props::BucketProps;
use http::Method;

use super::Target;
use super::objects::ObjectRef;
use super::put::now_ns;
use crate::http::{Query, Req};

/// A bucket as this node knows it, together with the state that says so.
pub(super) struct Found {
    pub(super) state: Arc<ClusterState>,
    entry: Arc<BucketEntry>,
}

impl Found {
    pub(super) fn bucket(&self) -> &Bucket {
        &self.entry.bucket
    }

    pub(super) fn props(&self) -> &BucketProps {
        &self.entry.props
    }

    pub(super) fn object(&self, name: &str) -> ObjectRef {
        let bucket = self.bucket();
        let (bid, uname) = (self.props().bid, bucket.object_uname(name));
        ObjectRef { bucket: bucket.clone(), name: name.to_owned(), bid, uname }
    }
}

impl Target {
    /// The state to answer `req` under: caught up when the request comes from a node or client that
    /// knows a newer one.
    pub(crate) async fn state_for(&self, req: &Req) -> Arc<ClusterState> {
        let state = self.ctx.state();
        let wanted: Option<u64> = req.query.get("sv").and_then(|text| text.parse().ok());
        if let Some(wanted) = wanted.filter(|wanted| *wanted > state.version) {
            return self.ctx.catch_up(Some(wanted)).await;
        }
        if map_version(req).is_some_and(|version| version > state.smap.version) {
            return self.ctx.catch_up(None).await;
        }
        // A gateway that sent the client here knows the buckets; a client that came by itself may not.
        if wanted.is_none() && !matches!(req.method, Method::GET | Method::HEAD) {
            return self.ctx.leased_state().await;
        }
        state
    }

    /// Makes sure that a change that was just made was made in a bucket that is still there: call it
    /// after the change and before its acknowledgement.
    ///
    /// # Errors
    ///
    /// 404 when the bucket was destroyed meanwhile, 503 when another of the same name took its place:
    /// what was written is lost either way.
    pub(crate) async fn confirm(&self, object: &ObjectRef) -> Result<(), ApiError> {
        let state = self.ctx.leased_state().await;
        match state.bmd.get(&object.bucket) {
            Some(props) if props.bid == object.bid => Ok(()),
            Some(_) => Err(ApiError::unavailable(format!(
                "{}: the bucket was destroyed and made again meanwhile; send the request again",
                object.cname()
            ))),
            None => Err(ApiError::bucket_not_found(&object.bucket)),
        }
    }

    /// Finds the bucket that a request names; one that is not known here may be new elsewhere.
    pub(super) async fn find_bucket(&self, req: &Req, name: &str) -> Result<Found, ApiError> {
        let bucket = req.bucket(name)?;
        let state = self.state_for(req).await;
        if let Some(entry) = state.bmd.entry(&bucket) {
            let entry = Arc::clone(entry);
            self.objects.policies.follow(&self.objects.store, &state.bmd);
            return Ok(Found { state, entry });
        }
        let state = self.ctx.catch_up(None).await;
        let entry = state.bmd.entry(&bucket).map(Arc::clone);
        let entry = entry.ok_or_else(|| ApiError::bucket_not_found(&bucket))?;
        self.objects.policies.follow(&self.objects.store, &state.bmd);
        Ok(Found { state, entry })
    }

    /// Refuses a mutation that came neither through a gateway nor from a map-aware client, and any
    /// map-aware request for an object that another target owns.
    pub(super) fn check_place(
        &self,
        req: &Req,
        state: &ClusterState,
        object: &ObjectRef,
        mutation: bool,
    ) -> Result<(), ApiError> {
        let version = map_version(req);
        if mutation && version.is_none() && !is_redirected(&req.query) {
            return Err(ApiError::bad_request(format!(
                "{}: {} {} is expected to be redirected: send it to a gateway",
                self.ctx.display(),
                req.method,
                object.cname()
            )));
        }
        if !mutation && version.is_none() {
            return Ok(());
        }
        let Some(holder) = owner(&state.smap, &object.uname) else {
            return Err(ApiError::unavailable(format!(
                "{}: no target accepts data for {}",
                self.ctx.display(),
                object.cname()
            )));
        };
        if holder.daemon_id == self.ctx.snode.daemon_id {
            return Ok(());
        }
        Err(stale_map(&object.cname(), &holder.display(), state.smap.version))
    }
}

/// 421: this node is not the owner under its map.
pub(super) fn stale_map(cname: &str, holder: &str, version: u64) -> ApiError {
    ApiError::new(
        421,
        "ErrStaleMap",
        format!(
            "{cname} belongs to {holder} under cluster map v{version}: get the map and try again"
        ),
    )
}

/// Whether a gateway sent the client here.
pub(super) fn is_redirected(query: &Query) -> bool {
    !query.text("pid").is_empty() && !query.text("utm").is_empty()
}

/// More than this between redirect and arrival says that the two clocks disagree.
const LONGEST_REDIRECT: Duration = Duration::from_mins(1);

/// How long ago a gateway sent the client here, by the two clocks; `None` for what cannot be.
pub(super) fn redirected_ago(query: &Query) -> Option<Duration> {
    if !is_redirected(query) {
        return None;
    }
    let sent = u64::from_str_radix(query.text("utm"), 36).ok()?;
    let ago = Duration::from_nanos(now_ns().checked_sub(sent)?);
    (ago < LONGEST_REDIRECT).then_some(ago)
}

/// Version of the map that a map-aware client, or a peer, chose this node with.
pub(super) fn map_version(req: &Req) -> Option<u64> {
    req.header(SMAP_VERSION)?.parse().ok()
}
