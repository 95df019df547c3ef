//! DELETE of an object.

use std::sync::Arc;
use std::time::Instant;

use aistore_core::bucket::validate_object_name;
use aistore_core::conditional::Conditions;
use aistore_core::error::ApiError;
use aistore_core::props::ACCESS_DELETE_OBJECT;
use aistore_store::Condition;
use http::StatusCode;

use super::failure::store_failure;
use super::objects::ObjectRef;
use super::{Target, conditions};
use crate::http::{Reply, Req, reply};
use crate::tasks::lost_task;

impl Target {
    pub(super) async fn delete(
        self: &Arc<Self>,
        req: &mut Req,
        bucket: &str,
        name: &str,
    ) -> Result<Reply, ApiError> {
        let started = Instant::now();
        let done = self.delete_object(req, bucket, name).await;
        match &done {
            Ok(()) => self.ctx.metrics.delete.done(0, started.elapsed()),
            Err(_) => self.ctx.metrics.delete.failed(),
        }
        done.map(|()| reply::empty(StatusCode::OK))
    }

    async fn delete_object(
        self: &Arc<Self>,
        req: &mut Req,
        bucket: &str,
        name: &str,
    ) -> Result<(), ApiError> {
        validate_object_name(name)?;
        let action = req.read_action().await?.map(|msg| msg.action).unwrap_or_default();
        let found = self.find_bucket(req, bucket).await?;
        let object = found.object(name);
        self.check_place(req, &found.state, &object, true)?;
        match action.as_str() {
            "" | "delete" => {}
            "evict-listrange" => {
                return Err(ApiError::new(
                    400,
                    "ErrNotRemoteBck",
                    format!(
                        "bucket \"{}\" is not remote: its objects cannot be evicted, only deleted",
                        found.bucket()
                    ),
                ));
            }
            "mpt-abort" => {
                return self.abort_upload(req, object).await;
            }
            other => return Err(ApiError::bad_request(format!("invalid action \"{other}\""))),
        }
        if !found.props().allows(ACCESS_DELETE_OBJECT) {
            return Err(ApiError::access_denied(found.bucket(), "DELETE"));
        }
        let conditions = conditions::of(&req.headers)?;
        let target = Arc::clone(self);
        let deleted = tokio::task::spawn_blocking({
            let object = object.clone();
            move || target.delete_blocking(&object, conditions)
        });
        deleted.await.map_err(|err| lost_task(&err))??;
        self.confirm(&object).await
    }

    fn delete_blocking(&self, object: &ObjectRef, wanted: Conditions) -> Result<(), ApiError> {
        let condition = (!wanted.is_empty()).then(|| {
            Condition::new(move |present| conditions::allow_change(&wanted, Some(present)))
        });
        let ObjectRef { bid, uname, name, .. } = object;
        let deleted = self.objects.store.delete_if(*bid, uname, name, condition.as_ref());
        self.objects.readers.invalidate(uname);
        let cname = object.cname();
        match deleted {
            Ok(true) => Ok(()),
            // The client library matches on this wording, which differs from that of GET.
            Ok(false) => Err(ApiError::not_found(format!("{cname} doesn't exist"))),
            Err(err) => Err(store_failure(&err, &cname)),
        }
    }
}
