//! Building replies, and turning errors into the protocol's envelope.

use std::fmt::Write as _;

use aistore_core::error::{ApiError, ErrorBody};
use aistore_core::headers::HDR_ERROR;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use serde::Serialize;

use super::{Body, Reply};
use crate::memory::TOO_MANY_REQUESTS;

/// Content type of msgpack; clients compare the whole string.
pub const MSGPACK: &str = "application/msgpack";
const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
/// When to ask a node again that had no memory or no place in its queue.
const RETRY_AFTER_S: u64 = 2;
const BYTES: &str = "application/octet-stream";

/// A body of known bytes.
pub fn full_body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub fn empty(status: StatusCode) -> Reply {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let mut reply = Reply::new(body);
    *reply.status_mut() = status;
    reply
}

/// 200 with bytes of the given content type.
pub fn with_type(content_type: &'static str, bytes: impl Into<Bytes>) -> Reply {
    let mut reply = Reply::new(full_body(bytes));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// 200 with bare text: no quotes, no newline.
pub fn text(text: impl Into<String>) -> Reply {
    with_type(TEXT, text.into())
}

/// 200 with bytes.
pub fn full(bytes: Bytes) -> Reply {
    with_type(BYTES, bytes)
}

/// 200 with msgpack.
pub fn msgpack(bytes: impl Into<Bytes>) -> Reply {
    with_type(MSGPACK, bytes)
}

/// 200 with compact JSON and a newline.
pub fn json(value: &impl Serialize) -> Reply {
    json_bytes(serde_json::to_vec(value))
}

/// 200 with indented JSON, for people with a browser.
pub fn json_pretty(value: &impl Serialize) -> Reply {
    json_bytes(serde_json::to_vec_pretty(value))
}

fn json_bytes(encoded: serde_json::Result<Vec<u8>>) -> Reply {
    match encoded {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            with_type(JSON, bytes)
        }
        // Own types always encode; a map with non-text keys would be a defect here.
        Err(err) => {
            let mut reply = text(format!("the reply does not encode as JSON: {err}"));
            *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            reply
        }
    }
}

/// Sets a header; a value that is no header text is left out.
#[must_use]
pub fn with_header(mut reply: Reply, name: &'static str, value: &str) -> Reply {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(HeaderName::from_static(name), value);
    }
    reply
}

/// 405 with the methods that the path has.
pub fn method_not_allowed(allow: &'static str) -> Reply {
    let mut reply = text(format!("method not allowed, this path has: {allow}"));
    *reply.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    with_header(reply, "allow", allow)
}

/// What an error reply echoes of its request.
#[derive(Debug, Clone)]
pub struct ErrorContext {
    /// Method of the failed request.
    pub method: Method,
    /// Path of the failed request, decoded for people.
    pub path: String,
    /// Peer.
    pub remote: String,
    /// Node that failed, `p[id]` or `t[id]`.
    pub node: String,
}

/// The protocol's error reply: JSON in the body, or on one header line for HEAD.
pub fn error(err: &ApiError, context: &ErrorContext) -> Reply {
    let status = StatusCode::from_u16(err.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = ErrorBody {
        tcode: err.tcode.clone(),
        message: err.message.clone(),
        method: context.method.to_string(),
        url_path: context.path.clone(),
        remote_addr: context.remote.clone(),
        caller: String::new(),
        node: context.node.clone(),
        status: status.as_u16(),
    };
    let mut reply = if context.method == Method::HEAD {
        let line = ascii(&serde_json::to_string(&body).unwrap_or_default());
        with_header(empty(status), HDR_ERROR, &line)
    } else {
        let mut reply = json(&body);
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        reply
    };
    *reply.status_mut() = status;
    if status == StatusCode::TOO_MANY_REQUESTS && err.tcode == TOO_MANY_REQUESTS {
        // A rate limit has none: its clients know how long to wait.
        reply.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S.into());
    }
    reply.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// JSON with every non-ASCII character escaped, because header values are ASCII.
pub fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(method: Method) -> ErrorContext {
        ErrorContext {
            method,
            path: "/v1/buckets/ü".into(),
            remote: "127.0.0.1:5".into(),
            node: "p[abc]".into(),
        }
    }

    #[tokio::test]
    async fn the_envelope_keeps_its_key_order_and_repeats_the_status() {
        let err = ApiError::new(404, "ErrNotFound", "t[x]: ais://b/o does not exist");
        let reply = error(&err, &context(Method::GET));
        assert_eq!(reply.status(), 404);
        assert_eq!(reply.headers()["content-type"], "application/json");
        assert_eq!(reply.headers()["x-content-type-options"], "nosniff");
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&body).unwrap();
        assert!(text.starts_with(r#"{"tcode":"ErrNotFound","message":"t[x]: ais://b/o"#), "{text}");
        assert!(text.ends_with("\"status\":404}\n"), "{text}");
    }

    #[test]
    fn head_errors_travel_in_a_header_even_with_other_scripts() {
        let err = ApiError::not_found("ais://b/日本 does not exist");
        let reply = error(&err, &context(Method::HEAD));
        let line = reply.headers()[HDR_ERROR].to_str().unwrap();
        let body: ErrorBody = serde_json::from_str(line).unwrap();
        assert_eq!(body.message, "ais://b/日本 does not exist");
        assert_eq!(body.url_path, "/v1/buckets/ü");
    }
}
