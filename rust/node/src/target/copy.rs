//! PUT with `object_to`: a copy of one object under another name, in any bucket.

use std::sync::Arc;

use aistore_cluster::ClusterState;
use aistore_core::bucket::{Bucket, validate_object_name};
use aistore_core::error::ApiError;
use aistore_core::props::ACCESS_PUT;
use aistore_store::ObjectReader;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;

use super::deliver::{Delivery, Operation, Present};
use super::objects::ObjectRef;
use super::read::{Extent, ExtentBody, Supply};
use super::{Target, conditions};
use crate::http::{Body, Reply, Req, reply};
use crate::tasks::lost_task;

impl Target {
    /// Copies an object that this target has. A copy onto itself, or onto an equal object, changes nothing.
    pub(super) async fn copy_object(
        self: &Arc<Self>,
        req: &Req,
        bucket: &str,
        name: &str,
    ) -> Result<Reply, ApiError> {
        if !req.query.text("etl_name").is_empty() {
            return Err(ApiError::unsupported("transforming an object is not supported yet"));
        }
        let conditions = conditions::of(&req.headers)?;
        if !conditions.is_empty() && !conditions.wants_absent() {
            return Err(ApiError::bad_request(
                "a copy takes no condition but \"If-None-Match: *\", which is about the destination",
            ));
        }
        validate_object_name(name)?;
        let found = self.find_bucket(req, bucket).await?;
        let source = found.object(name);
        self.check_place(req, &found.state, &source, true)?;
        if !found.props().allows(ACCESS_PUT) {
            return Err(ApiError::access_denied(found.bucket(), "PUT"));
        }
        let (state, copy) = self.destination(&found.state, req.query.text("object_to")).await?;
        let reader = self.open_existing(&source).await?;
        if copy.uname != source.uname {
            if conditions.wants_absent() {
                self.pull_renamed(&copy).await?;
            }
            let mut delivery = Delivery::of(Operation::Copy, copy, reader.meta());
            if conditions.wants_absent() {
                delivery.present = Present::Keep;
            }
            let body = self.body_of(reader);
            self.deliver(&state, delivery, body).await?;
        } else if conditions.wants_absent() {
            return Err(ApiError::precondition_failed(&source.cname()));
        }
        Ok(reply::empty(StatusCode::OK))
    }

    /// The object that a uname means.
    async fn destination(
        &self,
        state: &Arc<ClusterState>,
        uname: &str,
    ) -> Result<(Arc<ClusterState>, ObjectRef), ApiError> {
        let (bucket, name) = Bucket::parse_uname(uname)?;
        if name.is_empty() {
            return Err(ApiError::bad_request(format!(
                "invalid destination \"{uname}\" (object_to): it names no object, expected PROVIDER/@UUID#NAMESPACE/BUCKET/OBJECT"
            )));
        }
        validate_object_name(&name)?;
        let mut state = Arc::clone(state);
        if state.bmd.get(&bucket).is_none() {
            state = self.ctx.catch_up(None).await;
        }
        let object = ObjectRef::find(&state, bucket, name)?;
        Ok((state, object))
    }

    /// Opens an object; 404 when there is none.
    pub(super) async fn open_existing(
        self: &Arc<Self>,
        object: &ObjectRef,
    ) -> Result<Arc<ObjectReader>, ApiError> {
        let (target, object) = (Arc::clone(self), object.clone());
        let opened = tokio::task::spawn_blocking(move || {
            target.objects.open(&object)?.ok_or_else(|| target.object_not_found(&object))
        });
        opened.await.map_err(|err| lost_task(&err))?
    }

    /// A body of the whole payload.
    pub(crate) fn body_of(&self, reader: Arc<ObjectReader>) -> Body {
        let extent = Extent::whole(reader);
        let supply = Supply::new(self.objects.pool.clone(), extent.length(), None);
        ExtentBody::new(Bytes::new(), extent, supply).boxed_unsync()
    }
}
