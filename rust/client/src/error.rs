//! What can go wrong on the way to a cluster, split by what the caller can do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use aistore_core::error::{ApiError, ErrorBody};
use http::HeaderMap;

/// Cause of a failed connection.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Longest error text kept from an answer, in bytes.
pub const MAX_ERROR_BODY_BYTES: usize = 64 << 10;

/// A request that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The cluster answered with an error status.
    #[error("{error} (status {}, {method} {url})", error.status)]
    Api {
        /// Status, class and message.
        error: ApiError,
        /// Method of the request.
        method: String,
        /// URL that answered.
        url: String,
        /// The answer's body as text, at most [`MAX_ERROR_BODY_BYTES`].
        body: String,
    },
    /// No connection, or it broke before an answer came.
    #[error(
        "cannot reach {url}: {source}; check that the node is running and that the endpoint is right"
    )]
    Connect {
        /// URL of the request.
        url: String,
        /// Cause.
        source: BoxError,
    },
    /// The node's certificate, or ours, is not accepted; trying again would not help.
    #[error("no secure connection to {url}: {message}")]
    Tls {
        /// URL of the request.
        url: String,
        /// Why, with the remedy.
        message: String,
    },
    /// The answer, or its next bytes, did not come in time.
    #[error("{method} {url}: no {what} within {}; the node may be overloaded: try again, or raise the read timeout", seconds(*after))]
    Timeout {
        /// Method of the request.
        method: String,
        /// URL of the request.
        url: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// The answer ended before all of it was there.
    #[error("{url}: the answer ended after {got} of {}; the node may have been stopped: try again", expectation(*expected))]
    Truncated {
        /// URL of the request.
        url: String,
        /// Bytes (or entries of a batch) announced, when known.
        expected: Option<u64>,
        /// Bytes (or entries of a batch) that came.
        got: u64,
    },
    /// The answer breaks the protocol.
    #[error("{url}: {message}; is this an aistore cluster of a compatible version?")]
    Protocol {
        /// URL of the request.
        url: String,
        /// What is wrong.
        message: String,
    },
    /// A local file could not be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The caller's own check asked for an end.
    #[error("{url}: interrupted")]
    Interrupted {
        /// URL of the request.
        url: String,
    },
    /// The request makes no sense; nothing was sent.
    #[error("{0}")]
    Invalid(String),
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

fn expectation(expected: Option<u64>) -> String {
    expected.map_or_else(|| "an unknown length".to_owned(), |n| format!("{n}"))
}

impl ClientError {
    /// Status of the answer, when there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api { error, .. } => Some(error.status),
            _ => None,
        }
    }

    /// URL of the request; empty when none was sent.
    pub fn url(&self) -> &str {
        match self {
            Self::Api { url, .. }
            | Self::Connect { url, .. }
            | Self::Tls { url, .. }
            | Self::Timeout { url, .. }
            | Self::Truncated { url, .. }
            | Self::Interrupted { url }
            | Self::Protocol { url, .. } => url,
            Self::File { .. } | Self::Invalid(_) => "",
        }
    }

    /// Method of the request; empty when it does not matter.
    pub fn method(&self) -> &str {
        match self {
            Self::Api { method, .. } | Self::Timeout { method, .. } => method,
            _ => "",
        }
    }

    pub(crate) fn api(error: ApiError, method: &str, url: &str) -> Self {
        let body = error.message.clone();
        Self::Api { error, method: method.to_owned(), url: url.to_owned(), body }
    }

    /// Builds the error of an answer with an error status.
    pub(crate) fn from_answer(
        method: &str,
        url: &str,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        // HEAD answers carry the envelope in a header.
        let in_header =
            headers.get(aistore_core::headers::HDR_ERROR).map(http::HeaderValue::as_bytes);
        let raw = if body.is_empty() { in_header.unwrap_or_default() } else { body };
        let body = String::from_utf8_lossy(raw).into_owned();
        let error = match serde_json::from_slice::<ErrorBody>(raw) {
            Ok(envelope) => ApiError::new(status, &envelope.tcode, envelope.message),
            Err(_) if body.trim().is_empty() => ApiError::new(status, "", reason(status)),
            Err(_) => ApiError::new(status, "", body.trim()),
        };
        Self::Api { error, method: method.to_owned(), url: url.to_owned(), body }
    }

    /// Whether the target refused because it and the client have different cluster maps.
    pub(crate) fn is_stale_map(&self) -> bool {
        matches!(self, Self::Api { error, .. } if error.status == 421)
    }
}

fn reason(status: u16) -> String {
    let text = http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason());
    text.map_or_else(|| format!("status {status}"), str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_errors_with_the_servers_words() {
        let envelope =
            br#"{"tcode":"ErrNotFound","message":"t[x]: ais://b/o does not exist","status":404}"#;
        let err = ClientError::from_answer("GET", "http://h/v1", 404, &HeaderMap::new(), envelope);
        assert!(err.to_string().starts_with("t[x]: ais://b/o does not exist (status 404"), "{err}");
        let plain = ClientError::from_answer("GET", "u", 503, &HeaderMap::new(), b"");
        assert!(plain.to_string().contains("service unavailable"), "{plain}");
        let mut headers = HeaderMap::new();
        headers.insert(
            "hdr-error",
            http::HeaderValue::from_static(r#"{"message":"gone","status":404}"#),
        );
        let head = ClientError::from_answer("HEAD", "u", 404, &headers, b"");
        assert!(head.to_string().starts_with("gone"), "{head}");
    }
}
