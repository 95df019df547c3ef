//! Failures of the store as a client sees them.

use aistore_core::error::ApiError;
use aistore_store::StoreError;

/// Turns a store failure into an answer; `cname` names the object.
///
/// The statuses that clients retry (429, 502, 503, 504) are not among them: a full or failing disk does
/// not heal within a retry.
pub(crate) fn store_failure(err: &StoreError, cname: &str) -> ApiError {
    match err {
        StoreError::Checksum { kind, expected, computed } => {
            ApiError::bad_checksum(kind.as_str(), expected, computed, cname)
        }
        StoreError::NoSpace { .. } | StoreError::TooFull { .. } => {
            ApiError::out_of_space(format!("{cname}: {err}"))
        }
        StoreError::Invalid(_) => ApiError::bad_request(format!("{cname}: {err}")),
        StoreError::Precondition { .. } => {
            ApiError::new(412, "ErrPreconditionFailed", format!("{cname}: {err}"))
        }
        StoreError::UnknownUpload { .. } | StoreError::UnknownAppend { .. } => {
            ApiError::not_found(format!("{cname}: {err}"))
        }
        StoreError::Sealed { .. } => ApiError::new(
            409,
            "ErrBusy",
            format!("{cname}: the bucket is being renamed, nothing was changed: use its new name"),
        ),
        StoreError::Busy(_) | StoreError::AppendConflict { .. } => {
            ApiError::new(409, "ErrBusy", format!("{cname}: {err}"))
        }
        StoreError::Closed => ApiError::unavailable(format!("{cname}: the node is shutting down")),
        _ => {
            tracing::error!(object = cname, error = %err, "storage failure");
            ApiError::internal(format!("{cname}: {err}"))
        }
    }
}

/// A read of stored bytes failed.
pub(crate) fn read_failure(err: &std::io::Error, cname: &str) -> ApiError {
    tracing::error!(object = cname, error = %err, "read failure");
    ApiError::internal(format!("{cname}: cannot read the stored object: {err}"))
}
