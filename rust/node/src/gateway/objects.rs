//! `/v1/objects` at a gateway: checks, then a redirect to the owner.

use aistore_cluster::ClusterState;
use aistore_core::bucket::{Bucket, NameError, validate_object_name};
use aistore_core::error::ApiError;
use aistore_core::placement::owner;
use aistore_core::props;
use http::{Method, StatusCode};

use super::Gateway;
use super::redirect::{Origin, location, now_ns, to};
use crate::http::{Reply, Req, path, reply};

/// Actions that a target carries out on one object, with the access that each needs.
const OBJECT_ACTIONS: [(&str, u64); 6] = [
    (aistore_snapshot::ACTION, props::ACCESS_PUT | props::ACCESS_LIST_OBJECTS),
    ("rename-obj", props::ACCESS_MOVE_OBJECT),
    ("mpt-upload", props::ACCESS_PUT),
    ("mpt-complete", props::ACCESS_PUT),
    ("mpt-abort", props::ACCESS_PUT),
    ("check-lock", 0),
];

/// Separators in the handle of an append: `target|session|checksum type|bytes`.
const APPEND_HANDLE_SEPARATORS: usize = 3;

impl Gateway {
    /// Redirects an object request to its owner.
    pub(super) async fn object(&self, req: &mut Req) -> Result<Reply, ApiError> {
        let path = path::object(&req.raw_path)?;
        let bucket = req.bucket(&path.bucket)?;
        let (access, what) = match req.method {
            Method::POST if path.object.is_empty() => {
                return self.bucket_action(req, &bucket).await;
            }
            Method::POST => action_access(req).await?,
            Method::GET | Method::HEAD => (0, ""),
            Method::PUT if !req.query.text("append_type").is_empty() => {
                (props::ACCESS_APPEND, "APPEND")
            }
            Method::PUT => (props::ACCESS_PUT, "PUT"),
            Method::DELETE => (props::ACCESS_DELETE_OBJECT, "DELETE"),
            Method::PATCH => (props::ACCESS_UPDATE_OBJECT, "PATCH"),
            _ => {
                return Ok(reply::method_not_allowed("GET, PUT, POST, PATCH, HEAD, DELETE"));
            }
        };
        check_name(&req.method, &path.object)?;
        let state = self.ctx.state();
        let props = super::props(&state, &bucket)?;
        // Without authentication reading is always permitted; other operations need their bit.
        if !props.allows(access) {
            return Err(denied(&state, &bucket, what));
        }
        self.limits.admit(&req.method, props, state.smap.pmap.len())?;
        if let Some(handle) = append_handle(req) {
            return self.to_appender(req, &state, handle, &bucket.object_cname(&path.object));
        }
        self.to_owner(req, &state, &bucket, &path.object)
    }

    /// Actions on a bucket's objects that name none in the path.
    async fn bucket_action(&self, req: &mut Req, bucket: &Bucket) -> Result<Reply, ApiError> {
        let message = req.read_action().await?.unwrap_or_default();
        let state = self.ctx.state();
        let access = super::props(&state, bucket)?;
        match message.action.as_str() {
            "promote" if !access.allows(props::ACCESS_PROMOTE) => {
                Err(denied(&state, bucket, "PROMOTE"))
            }
            "promote" => self.promote(bucket, message).await,
            "blob-download" if !bucket.is_remote() => Err(ApiError::new(
                400,
                "ErrNotRemoteBck",
                format!("bucket \"{bucket}\" is not remote: there is nothing to download"),
            )),
            "blob-download" => {
                Err(ApiError::unsupported("\"blob-download\" is not supported by this version"))
            }
            other => Err(ApiError::bad_request(format!(
                "invalid action \"{other}\" on the objects of bucket \"{bucket}\""
            ))),
        }
    }

    fn to_owner(
        &self,
        req: &Req,
        state: &ClusterState,
        bucket: &Bucket,
        object: &str,
    ) -> Result<Reply, ApiError> {
        let target = owner(&state.smap, &bucket.object_uname(object)).ok_or_else(no_targets)?;
        let status = if req.method == Method::GET {
            StatusCode::MOVED_PERMANENTLY
        } else {
            StatusCode::TEMPORARY_REDIRECT
        };
        let origin = self.origin(state);
        self.ctx.metrics.redirects.inc();
        Ok(to(status, &location(target.url(), &req.raw_path, req.query.raw(), origin)))
    }

    /// Redirects an append to the target where its session is, whoever owns the object by now.
    fn to_appender(
        &self,
        req: &Req,
        state: &ClusterState,
        handle: &str,
        cname: &str,
    ) -> Result<Reply, ApiError> {
        let id = handle.split('|').next().unwrap_or_default();
        if handle.matches('|').count() != APPEND_HANDLE_SEPARATORS {
            return Err(ApiError::bad_request(format!(
                "{cname}: invalid APPEND handle \"{handle}\""
            )));
        }
        let target = state.smap.tmap.get(id).ok_or_else(|| {
            ApiError::bad_request(format!(
                "{cname}: invalid APPEND handle: target \"{id}\" is not in the cluster; append again with an empty handle"
            ))
        })?;
        self.ctx.metrics.redirects.inc();
        let origin = self.origin(state);
        let at = location(target.url(), &req.raw_path, req.query.raw(), origin);
        Ok(to(StatusCode::TEMPORARY_REDIRECT, &at))
    }

    /// Marks for a redirect that leaves now.
    pub(super) fn origin(&self, state: &ClusterState) -> Origin<'_> {
        Origin {
            gateway_id: &self.ctx.snode.daemon_id,
            now_ns: now_ns(),
            state_version: state.version,
        }
    }
}

/// The handle of an append that goes on.
fn append_handle(req: &Req) -> Option<&str> {
    let appends = req.method == Method::PUT && !req.query.text("append_type").is_empty();
    req.query.get("append_handle").filter(|handle| appends && !handle.is_empty())
}

/// 400: nobody can hold data.
pub(super) fn no_targets() -> ApiError {
    ApiError::new(
        400,
        "ErrNoNodes",
        "no target of this cluster accepts data: start one with aisnode --role target --join URL",
    )
}

/// HEAD may probe a virtual directory, all else needs an object's name.
fn check_name(method: &Method, object: &str) -> Result<(), ApiError> {
    if method == Method::HEAD
        && let Some(directory) = object.strip_suffix('/')
    {
        let bare = directory.trim_end_matches('/');
        return if bare.is_empty() {
            Err(NameError::Object(object.to_owned()).into())
        } else {
            Ok(validate_object_name(bare)?)
        };
    }
    Ok(validate_object_name(object)?)
}

/// The access that an action on one object needs, and its name.
async fn action_access(req: &mut Req) -> Result<(u64, &'static str), ApiError> {
    let action = req.read_action().await?.unwrap_or_default().action;
    let known = OBJECT_ACTIONS.into_iter().find(|(name, _)| *name == action);
    known
        .map(|(name, access)| (access, name))
        .ok_or_else(|| ApiError::bad_request(format!("invalid action \"{action}\" on an object")))
}

/// The refusal of an operation that a bucket's access does not allow; a bucket that is being renamed allows
/// nothing that changes objects.
fn denied(state: &ClusterState, bucket: &Bucket, what: &str) -> ApiError {
    let refused = ApiError::access_denied(bucket, what);
    let mut renames = state.jobs.running().filter(|job| job.kind == "move-bck");
    match renames
        .find(|job| job.src_bck.as_ref() == Some(bucket))
        .and_then(|job| job.dst_bck.as_ref())
    {
        Some(to) => ApiError {
            message: format!("{}: it is being renamed to \"{to}\", use that name", refused.message),
            ..refused
        },
        None => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_head_may_end_in_a_slash() {
        assert!(check_name(&Method::HEAD, "a/").is_ok());
        assert!(check_name(&Method::HEAD, "a/../").is_err());
        assert!(check_name(&Method::HEAD, "/").is_err());
        let err = check_name(&Method::GET, "a/").unwrap_err();
        assert!(
            err.status == 400 && err.message.starts_with("invalid object name \"a/\""),
            "{err}"
        );
    }
}
