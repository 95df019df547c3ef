//! Heads of requests: what is asked for, and how long the request is.

use aistore_core::headers::SMAP_VERSION;
use httparse::{EMPTY_HEADER, Header, Request, Status};

use crate::target::hot::Asked;

/// Most headers of a head that is looked at; a longer one is hyper's.
const MAX_HEADERS: usize = 32;
const PREFIX: &str = "/v1/objects/";

/// What was received between two requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    /// What the one whole request asks for, if it is one that may be answered here.
    pub(super) asked: Option<Asked<'a>>,
    /// Bytes of the one request that begins here that are still to come. `None`: not to be told.
    pub(super) left: Option<u64>,
}

/// Reads what was received from the first byte of a request on.
pub(super) fn parse(received: &[u8]) -> Head<'_> {
    const UNKNOWN: Head<'_> = Head { asked: None, left: None };
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut request = Request::new(&mut headers);
    let Ok(Status::Complete(length)) = request.parse(received) else { return UNKNOWN };
    let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version)
    else {
        return UNKNOWN;
    };
    let beyond = (received.len() - length) as u64;
    let Some(left) = body_length(method, request.headers).and_then(|n| n.checked_sub(beyond))
    else {
        return UNKNOWN;
    };
    let asked = if beyond == 0 { asked(method, target, request.headers) } else { None };
    Head { asked, left: Some(left) }
}

/// Length of the body, if the head says it in one plain way.
fn body_length(method: &str, headers: &[Header<'_>]) -> Option<u64> {
    let mut length = None;
    for header in headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("transfer-encoding") || is("upgrade") || is("content-length") && length.is_some() {
            return None;
        }
        if is("content-length") {
            let digits = std::str::from_utf8(header.value).ok()?;
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            length = Some(digits.parse().ok().filter(|_| plain)?);
        }
    }
    (method != "CONNECT").then(|| length.unwrap_or(0))
}

fn asked<'a>(method: &str, target: &'a str, headers: &[Header<'_>]) -> Option<Asked<'a>> {
    let head = match method {
        "GET" => false,
        "HEAD" => true,
        _ => return None,
    };
    let mut map_version = None;
    for header in headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is(SMAP_VERSION) {
            map_version = Some(std::str::from_utf8(header.value).ok()?.parse().ok()?);
        } else if is("connection") {
            // `close` is for hyper to do.
            header.value.eq_ignore_ascii_case(b"keep-alive").then_some(())?;
        } else if !["host", "user-agent", "accept", "accept-encoding"].into_iter().any(is) {
            return None;
        }
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    // What means itself in a URL; the rest wants decoding.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/=:@,".contains(&byte);
    let (bucket, object) = path.strip_prefix(PREFIX)?.split_once('/')?;
    let named = !bucket.is_empty() && !object.is_empty() && path.bytes().all(plain);
    named.then_some(Asked { head, bucket, object, query, map_version })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(request: &str) -> Option<u64> {
        parse(request.as_bytes()).left
    }

    #[test]
    fn plain_reads_are_understood() {
        let request = "GET /v1/objects/b/a//c.tar?provider=ais HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\nais-smap-version: 7\r\n\r\n";
        let head = parse(request.as_bytes());
        let query = "provider=ais";
        let asked =
            Asked { head: false, bucket: "b", object: "a//c.tar", query, map_version: Some(7) };
        assert_eq!(head, Head { asked: Some(asked), left: Some(0) });
        let request = "HEAD /v1/objects/b/o HTTP/1.1\r\nuser-agent: x\r\naccept: */*\r\n\r\n";
        assert!(parse(request.as_bytes()).asked.is_some_and(|asked| asked.head));
    }

    #[test]
    fn whatever_is_unusual_goes_to_hyper() {
        for (line, header) in [
            ("GET /v1/objects/b/o%20x HTTP/1.1", ""),
            ("GET /v1/objects/b/o#x HTTP/1.1", ""),
            ("GET //v1/objects/b/o HTTP/1.1", ""),
            ("GET http://x/v1/objects/b/o HTTP/1.1", ""),
            ("GET /v1/objects/b/ HTTP/1.1", ""),
            ("GET /v1/objects/b HTTP/1.1", ""),
            ("GET /v1/buckets/b HTTP/1.1", ""),
            ("get /v1/objects/b/o HTTP/1.1", ""),
            ("PUT /v1/objects/b/o HTTP/1.1", ""),
            ("GET /v1/objects/b/o HTTP/1.1", "Range: bytes=0-1\r\n"),
            ("GET /v1/objects/b/o HTTP/1.1", "Authorization: Bearer x\r\n"),
            ("GET /v1/objects/b/o HTTP/1.1", "If-None-Match: x\r\n"),
            ("GET /v1/objects/b/o HTTP/1.1", "Connection: close\r\n"),
            ("GET /v1/objects/b/o HTTP/1.1", "ais-smap-version: x\r\n"),
        ] {
            let request = format!("{line}\r\n{header}\r\n");
            let head = parse(request.as_bytes());
            assert_eq!(head, Head { asked: None, left: Some(0) }, "{request}");
        }
    }

    #[test]
    fn requests_are_counted_to_their_last_byte() {
        assert_eq!(left("PUT /o HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"), Some(3));
        assert_eq!(left("PUT /o HTTP/1.1\r\ncontent-length: 5\r\n\r\nabcde"), Some(0));
        let get = "GET /v1/objects/b/o HTTP/1.1\r\n\r\n";
        assert_eq!(left(get), Some(0));
        for unclear in [
            // Two requests, or a part of a second.
            "GET / HTTP/1.1\r\n\r\nG",
            "PUT /o HTTP/1.1\r\ncontent-length: 5\r\n\r\nabcdeG",
            "GET / HTTP/1.1\r\nhost: x\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "PUT /o HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
            "PUT /o HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            "PUT /o HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            "PUT /o HTTP/1.1\r\ncontent-length: +5\r\n\r\n",
            "PUT /o HTTP/1.1\r\ncontent-length: 5, 5\r\n\r\n",
            "PUT /o HTTP/1.1\r\ncontent-length:\r\n\r\n",
            "GET / HTTP/1.1\r\nupgrade: h2c\r\n\r\n",
            "CONNECT x:1 HTTP/1.1\r\n\r\n",
            "no request at all\r\n\r\n",
            "",
        ] {
            assert_eq!(parse(unclear.as_bytes()), Head { asked: None, left: None }, "{unclear}");
        }
    }
}
