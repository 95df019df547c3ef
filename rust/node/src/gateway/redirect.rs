//! Sending a client to the node that can answer: pure functions of the request.

use std::time::{SystemTime, UNIX_EPOCH};

use aistore_core::etag::base36;
use http::StatusCode;

use crate::http::{Reply, path, reply};

/// What a redirect tells the target about its origin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// This gateway.
    pub(crate) gateway_id: &'a str,
    /// Now, nanoseconds since the epoch.
    pub(crate) now_ns: u64,
    /// Version of the state that the owner was chosen by.
    pub(crate) state_version: u64,
}

/// Now, in nanoseconds since the epoch.
pub(crate) fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Absolute URL of the same request at `node_url`.
pub(crate) fn location(
    node_url: &str,
    raw_path: &str,
    raw_query: &str,
    origin: Origin<'_>,
) -> String {
    let path = path::for_location(raw_path);
    let Origin { gateway_id, now_ns, state_version } = origin;
    let utm = base36(now_ns);
    let separator = if raw_query.is_empty() { "" } else { "&" };
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!(
        "{node_url}{slash}{path}?{raw_query}{separator}pid={gateway_id}&utm={utm}&sv={state_version}"
    )
}

/// A redirect without a body.
pub(crate) fn to(status: StatusCode, location: &str) -> Reply {
    reply::with_header(reply::empty(status), "location", location)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORIGIN: Origin<'_> = Origin { gateway_id: "pABC", now_ns: 36, state_version: 7 };

    #[test]
    fn path_and_query_are_copied_and_the_origin_follows() {
        assert_eq!(
            location("http://h:1", "/v1/objects/b/a%2Fb", "provider=ais&archpath=", ORIGIN),
            "http://h:1/v1/objects/b/a%2Fb?provider=ais&archpath=&pid=pABC&utm=10&sv=7"
        );
        assert_eq!(
            location("http://h:1", "/v1/objects/b/o", "", ORIGIN),
            "http://h:1/v1/objects/b/o?pid=pABC&utm=10&sv=7"
        );
    }

    proptest! {
        #[test]
        fn a_location_is_header_text_and_absolute(name in "[^\0]{1,20}", query in "[ -~&&[^#]]{0,20}") {
            let raw = format!("/v1/objects/b/{}", aistore_core::text::encode_object_name(&name));
            let location = location("http://h:1", &raw, &query, ORIGIN);
            prop_assert!(location.starts_with("http://h:1/v1/objects/b/"));
            prop_assert!(http::HeaderValue::from_str(&location).is_ok());
        }
    }
}
