//! Errors as they travel: an HTTP status, a class name and a message that names input and remedy.
//!
//! Existing clients classify errors by the first `provider://…` in the message and by the status, so
//! the constructors here are the only place where those texts are written.

use serde::{Deserialize, Serialize};

use crate::bucket::{Bucket, NameError};

/// An error on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status, at least 400.
    pub status: u16,
    /// Error class, empty when generic.
    pub tcode: String,
    /// Text for people; also what clients match on.
    pub message: String,
}

/// The JSON envelope. Field order is part of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Error class.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tcode: String,
    /// Text for people.
    pub message: String,
    /// Method of the failed request.
    #[serde(default)]
    pub method: String,
    /// Path of the failed request.
    #[serde(default)]
    pub url_path: String,
    /// Peer address.
    #[serde(default)]
    pub remote_addr: String,
    /// Calling node, empty for clients.
    #[serde(default)]
    pub caller: String,
    /// Node that failed, `p[id]` or `t[id]`.
    #[serde(default)]
    pub node: String,
    /// Equals the HTTP status.
    pub status: u16,
}

impl ApiError {
    /// Generic error.
    pub fn new(status: u16, tcode: &str, message: impl Into<String>) -> Self {
        Self { status, tcode: tcode.to_owned(), message: message.into() }
    }

    /// 400 without a class.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "", message)
    }

    /// 404 for entities other than buckets and objects.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "ErrNotFound", message)
    }

    /// 404 for a bucket; remote buckets have a class of their own.
    pub fn bucket_not_found(bucket: &Bucket) -> Self {
        let tcode = if bucket.is_remote() { "ErrRemoteBckNotFound" } else { "ErrBckNotFound" };
        Self::new(404, tcode, format!("bucket \"{bucket}\" does not exist"))
    }

    /// 409: create of a bucket that exists.
    pub fn bucket_exists(bucket: &Bucket) -> Self {
        Self::new(409, "ErrBucketAlreadyExists", format!("bucket \"{bucket}\" already exists"))
    }

    /// 404 for an object; `node` is the display form of the target that looked.
    pub fn object_not_found(node: &str, bucket: &Bucket, object: &str) -> Self {
        Self::not_found(format!("{node}: {} does not exist", bucket.object_cname(object)))
    }

    /// 403: the bucket's access mask forbids the operation.
    pub fn access_denied(bucket: &Bucket, operation: &str) -> Self {
        Self::new(
            403,
            "ErrBucketAccessDenied",
            format!("bucket \"{bucket}\": {operation} access denied by the bucket's access mask"),
        )
    }

    /// 412: `If-Match` or one of its kin does not hold.
    pub fn precondition_failed(cname: &str) -> Self {
        Self::new(
            412,
            "ErrPreconditionFailed",
            format!(
                "{cname}: a condition of the request does not hold, nothing was done: read its ETag (HEAD) and try again"
            ),
        )
    }

    /// 500: payload and checksum disagree.
    pub fn bad_checksum(kind: &str, expected: &str, computed: &str, context: &str) -> Self {
        Self::new(
            500,
            "ErrBadCksum",
            format!("BAD DATA CHECKSUM: {kind}({expected} != {computed}) (context: {context})"),
        )
    }

    /// 501: a part of the protocol that this build does not have.
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::new(501, "ErrUnsupp", what)
    }

    /// 503: try again shortly.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "", message)
    }

    /// 507: no space left.
    pub fn out_of_space(message: impl Into<String>) -> Self {
        Self::new(507, "ErrCapExceeded", message)
    }

    /// 500: our fault or the disk's, not the caller's.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }
}

impl From<NameError> for ApiError {
    fn from(err: NameError) -> Self {
        let tcode =
            if matches!(err, NameError::Provider(_)) { "ErrInvalidBackendProvider" } else { "" };
        Self::new(400, tcode, err.to_string())
    }
}
