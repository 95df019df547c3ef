//! `/v1/objects` at a gateway: checks, then a redirect to the owner.

use aistore_cluster::ClusterState;
use aistore_core::bucket::{Bucket, NameError, validate_object_name};
use aistore_core::error::ApiError;
use aistore_core::placement::owner;
use aistore_core::props;
use http::{Method, StatusCode};

use super::redirect::{Origin, location, now_ns, to};
use super::{Gateway, reads};
use crate::http::{Reply, Req, path, reply};

/// Actions that a target carries out on one object.
const OBJECT_ACTIONS: [&str; 6] =
    ["rename-obj", "blob-download", "mpt-upload", "mpt-complete", "mpt-abort", "check-lock"];

impl Gateway {
    /// Redirects an object request to its owner.
    pub(super) async fn object(&self, req: &mut Req) -> Result<Reply, ApiError> {
        let path = path::object(&req.raw_path)?;
        let bucket = req.bucket(&path.bucket)?;
        match req.method {
            Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::PATCH => {}
            Method::POST => check_action(req).await?,
            _ => {
                return Ok(reply::method_not_allowed("GET, PUT, POST, PATCH, HEAD, DELETE"));
            }
        }
        check_name(&req.method, &path.object)?;
        let state = self.ctx.state();
        let props = super::props(&state, &bucket)?;
        // Without authentication reading is always permitted; other operations need their bit.
        if !reads(&req.method) {
            let (bit, what) = needed(&req.method);
            if !props.allows(bit) {
                return Err(ApiError::access_denied(&bucket, what));
            }
        }
        self.to_owner(req, &state, &bucket, &path.object)
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

    /// Marks for a redirect that leaves now.
    pub(super) fn origin(&self, state: &ClusterState) -> Origin<'_> {
        Origin {
            gateway_id: &self.ctx.snode.daemon_id,
            now_ns: now_ns(),
            state_version: state.version,
        }
    }
}

/// 400: nobody can hold data.
pub(super) fn no_targets() -> ApiError {
    ApiError::new(
        400,
        "ErrNoNodes",
        "no target of this cluster accepts data: start one with aisnode --role target --join URL",
    )
}

fn needed(method: &Method) -> (u64, &'static str) {
    match *method {
        Method::PUT => (props::ACCESS_PUT, "PUT"),
        Method::DELETE => (props::ACCESS_DELETE_OBJECT, "DELETE"),
        Method::PATCH => (props::ACCESS_UPDATE_OBJECT, "PATCH"),
        _ => (props::ACCESS_MOVE_OBJECT, "POST"),
    }
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

async fn check_action(req: &mut Req) -> Result<(), ApiError> {
    let action = req.read_action().await?.unwrap_or_default().action;
    if OBJECT_ACTIONS.contains(&action.as_str()) {
        return Ok(());
    }
    if action == "promote" {
        return Err(ApiError::unsupported("\"promote\" is not supported by this version"));
    }
    Err(ApiError::bad_request(format!("unknown action \"{action}\" on an object")))
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
