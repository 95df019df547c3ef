//! What is answered about buckets whose home is elsewhere. No backend can be configured yet.

use aistore_cluster::ClusterState;
use aistore_core::bucket::{Bucket, Provider};
use aistore_core::error::ApiError;
use aistore_core::props::BucketProps;
use serde_json::Value;

/// Properties of a bucket; one that is not in the cluster is looked up at its home unless `present`.
///
/// # Errors
///
/// 404 with the class that says which of the two failed.
pub(super) fn find<'s>(
    state: &'s ClusterState,
    bucket: &Bucket,
    present: bool,
) -> Result<&'s BucketProps, ApiError> {
    let known = state.bmd.get(bucket);
    known.ok_or_else(|| {
        if bucket.is_remote() && !present {
            unreachable_home(bucket)
        } else {
            ApiError::bucket_not_found(bucket)
        }
    })
}

/// Refuses a change of properties that attaches a backend nobody can look up.
///
/// # Errors
///
/// 404 for an attached backend; those of the patch itself.
pub(super) fn check_attached(
    state: &ClusterState,
    bucket: &Bucket,
    patch: &Value,
) -> Result<(), ApiError> {
    let Some(before) = state.bmd.get(bucket) else { return Ok(()) };
    let after = before.patched(patch)?;
    match after.backend_bck.bucket()? {
        Some(backend) if after.backend_bck != before.backend_bck => {
            let why = unreachable_home(&backend);
            let text = format!("cannot attach a backend to \"{bucket}\": {}", why.message);
            Err(ApiError::new(why.status, &why.tcode, text))
        }
        _ => Ok(()),
    }
}

/// 404: the cloud or the cluster that a bucket belongs to is not known here.
pub(super) fn unreachable_home(bucket: &Bucket) -> ApiError {
    if bucket.provider == Provider::Ais {
        return ApiError::not_found(format!(
            "bucket \"{bucket}\": remote cluster \"{}\" is not attached",
            bucket.namespace.uuid
        ));
    }
    ApiError::new(
        404,
        "ErrMissingBackend",
        format!("bucket \"{bucket}\": {}", no_backend(bucket.provider)),
    )
}

/// Why a provider cannot be asked.
pub(super) fn no_backend(provider: Provider) -> String {
    format!("no backend for provider \"{provider}\" is configured in this cluster")
}

/// An error about a bucket's properties names the bucket, which clients look for in the text.
pub(super) fn about(bucket: &Bucket, err: ApiError) -> ApiError {
    let cname = bucket.cname();
    if err.message.contains(&cname) {
        return err;
    }
    ApiError::new(err.status, &err.tcode, format!("bucket \"{cname}\": {}", err.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_tells_an_unknown_bucket_from_an_unknown_home() {
        let state = ClusterState::default();
        let tcode = |bucket: &Bucket, present| find(&state, bucket, present).unwrap_err().tcode;
        let cloud = Bucket { provider: Provider::Aws, ..Bucket::ais("b") };
        assert_eq!(tcode(&Bucket::ais("b"), false), "ErrBckNotFound");
        assert_eq!(tcode(&cloud, true), "ErrRemoteBckNotFound");
        assert_eq!(tcode(&cloud, false), "ErrMissingBackend");
        assert!(unreachable_home(&cloud).message.contains("s3://b"));
    }

    #[test]
    fn a_bucket_is_named_once() {
        let bucket = Bucket::ais("b");
        let err = about(&bucket, ApiError::bad_request("mirror.copies"));
        assert_eq!(err.message, "bucket \"ais://b\": mirror.copies");
        assert_eq!(about(&bucket, err.clone()).message, err.message);
    }
}
