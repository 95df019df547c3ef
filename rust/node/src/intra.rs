//! Requests from node to node.

use std::time::Duration;

use aistore_client::tls::{self, Connector, Tls, TlsOptions};
use aistore_core::error::{ApiError, ErrorBody};
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::http::request::{Room, read_all};
use crate::http::{Body, reply};
use crate::memory::Budget;

/// A peer that does not accept a connection in this time counts as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Idle connections are dropped after this time; shorter than any server's own limit.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Idle connections kept per peer.
const MAX_IDLE_PER_PEER: usize = 16;
/// Largest answer read into memory: a page of 10,000 long names, or the whole cluster state.
const MAX_ANSWER_BYTES: usize = 128 << 20;
/// Longest error text taken from a peer.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Pooled HTTP client for peers; cheap to clone.
#[derive(Debug, Clone)]
pub struct Intra {
    client: Client<Connector, Body>,
    memory: Budget,
}

impl Intra {
    /// A client without open connections that trusts what the system trusts.
    pub fn new() -> Self {
        Self::with_tls(Tls::new(TlsOptions::default()))
    }

    /// A client without open connections; `tls` says what `https://` peers are trusted by.
    pub fn with_tls(tls: Tls) -> Self {
        let connector = Connector::new(tls, CONNECT_TIMEOUT);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_PER_PEER)
            .build(connector);
        Self { client, memory: Budget::default() }
    }

    /// The same, reading answers within a budget.
    #[must_use]
    pub(crate) fn within(self, memory: Budget) -> Self {
        Self { memory, ..self }
    }

    /// Sends a request and waits for the head of the answer, whatever its status.
    ///
    /// `timeout` covers connecting, sending and waiting for the head, not the body.
    ///
    /// # Errors
    ///
    /// 500 naming the peer when it cannot be reached or does not answer in time.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<hyper::Response<Incoming>, ApiError> {
        self.send_body(method, url, headers, reply::full_body(body), timeout).await
    }

    /// As [`Intra::send`], with a body that is made while it is sent.
    ///
    /// # Errors
    ///
    /// As [`Intra::send`]; also when the body fails.
    pub(crate) async fn send_body(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Body,
        timeout: Duration,
    ) -> Result<hyper::Response<Incoming>, ApiError> {
        let uri: Uri = url
            .parse()
            .map_err(|err| ApiError::internal(format!("bad URL \"{url}\" of a node: {err}")))?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        match tokio::time::timeout(timeout, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(err)) => Err(ApiError::internal(format!(
                "node at {} cannot be reached: {}",
                origin(url),
                causes(&err)
            ))),
            Err(_) => Err(ApiError::internal(format!(
                "node at {} gave no answer within {:.1} s",
                origin(url),
                timeout.as_secs_f64()
            ))),
        }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// As [`Intra::send`]; an error answer of the peer keeps its status, class and text. `timeout`
    /// covers the body too.
    pub async fn bytes(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<(StatusCode, Bytes), ApiError> {
        let whole = async {
            let mut response = self.send(method, url, headers, body, timeout).await?;
            let status = response.status();
            if status.as_u16() >= 400 {
                return Err(peer_error(url, &mut response).await);
            }
            let room = Room { memory: &self.memory, limit: MAX_ANSWER_BYTES, what: url };
            Ok((status, read_answer(url, &mut response, room).await?))
        };
        tokio::time::timeout(timeout, whole).await.unwrap_or_else(|_| {
            Err(ApiError::internal(format!(
                "node at {} did not complete its answer within {:.1} s",
                origin(url),
                timeout.as_secs_f64()
            )))
        })
    }

    /// Sends JSON and reads JSON.
    ///
    /// # Errors
    ///
    /// As [`Intra::bytes`], and 500 when the answer is not of type `T`.
    pub async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        url: &str,
        value: &impl Serialize,
        timeout: Duration,
    ) -> Result<T, ApiError> {
        let body = serde_json::to_vec(value)
            .map_err(|err| ApiError::internal(format!("request to {url}: {err}")))?;
        let (_, answer) =
            self.bytes(method, url, json_headers(), Bytes::from(body), timeout).await?;
        serde_json::from_slice(&answer).map_err(|err| {
            ApiError::internal(format!("malformed answer of the node at {}: {err}", origin(url)))
        })
    }
}

impl Default for Intra {
    fn default() -> Self {
        Self::new()
    }
}

/// `Content-Type: application/json`.
pub fn json_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    let json = http::HeaderValue::from_static("application/json");
    headers.insert(http::header::CONTENT_TYPE, json);
    headers
}

async fn read_answer(
    url: &str,
    response: &mut hyper::Response<Incoming>,
    room: Room<'_>,
) -> Result<Bytes, ApiError> {
    let announced = response.headers().get(CONTENT_LENGTH).cloned();
    read_all(response.body_mut(), announced.as_ref(), room).await.map_err(|err| {
        let origin = origin(url);
        let text = format!("answer of the node at {origin} is incomplete: {}", err.message);
        // For want of memory here: whoever asked may ask again.
        if err.status == 429 {
            ApiError::new(429, &err.tcode, text)
        } else {
            ApiError::internal(text)
        }
    })
}

/// Reads a peer's error answer; its status, class and text go on to the client.
pub async fn peer_error(url: &str, response: &mut hyper::Response<Incoming>) -> ApiError {
    let status = response.status().as_u16();
    // Small, and what remedies a shortage may be in it: not counted.
    let memory = Budget::default();
    let room = Room { memory: &memory, limit: MAX_ERROR_BYTES, what: url };
    let text = read_answer(url, response, room).await.unwrap_or_default();
    match serde_json::from_slice::<ErrorBody>(&text) {
        Ok(body) => ApiError::new(status, &body.tcode, body.message),
        Err(_) => ApiError::new(
            status,
            "",
            format!(
                "node at {} answered {status}: {}",
                origin(url),
                String::from_utf8_lossy(&text)
            ),
        ),
    }
}

/// Scheme and authority of a URL: what tells a node from others.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(start..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| start + at);
    url.get(..end).unwrap_or(url)
}

/// The innermost reasons of a failure, outermost first; the outermost text alone says next to nothing.
fn causes(err: &dyn std::error::Error) -> String {
    let mut texts = Vec::new();
    let mut cause = err.source();
    while let Some(err) = cause {
        let wrapped = err.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let refused = wrapped.and_then(|wrapped| wrapped.downcast_ref());
        texts.push(refused.map_or_else(|| err.to_string(), tls::explain));
        cause = err.source();
    }
    if texts.is_empty() { err.to_string() } else { texts.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_its_origin() {
        assert_eq!(origin("http://h:1/v1/x?y=http://z/"), "http://h:1");
        assert_eq!(origin("http://h:1"), "http://h:1");
        assert_eq!(origin("nonsense"), "nonsense");
    }

    #[tokio::test]
    async fn an_unreachable_node_is_named_with_the_reason() {
        let intra = Intra::new();
        let sent = intra.send(
            Method::GET,
            "http://127.0.0.1:1/v1/health",
            HeaderMap::new(),
            Bytes::new(),
            Duration::from_secs(5),
        );
        let err = sent.await.unwrap_err();
        assert_eq!(err.status, 500);
        assert!(err.message.contains("http://127.0.0.1:1 cannot be reached"), "{err}");
        assert!(err.message.contains("refused"), "{err}");
    }
}
