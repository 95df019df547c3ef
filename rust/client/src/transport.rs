//! One request and its answer over a pooled connection: deadlines, redirects, no retries.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use aistore_core::headers::BATCH_END;
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, LOCATION, TE, TRAILER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use crate::body::{OutBody, Source};
use crate::config::ClientConfig;
use crate::error::{ClientError, MAX_ERROR_BODY_BYTES};
use crate::tls::{self, Connector, Tls};

/// Redirects followed for one request.
const MAX_REDIRECTS: usize = 5;
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_mins(1);
/// Largest answer that is collected in memory.
pub(crate) const MAX_REPLY_BYTES: usize = 1 << 30;

/// Pool and connector.
pub(crate) struct Transport {
    pool: legacy::Client<Connector, OutBody>,
    config: std::sync::Arc<ClientConfig>,
    default_headers: HeaderMap,
}

/// One request as the transport needs it.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: &'a Method,
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: &'a Source,
    pub(crate) wait: Duration,
}

/// An answer whose body has not been read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) response: Response<Incoming>,
    pub(crate) url: String,
    pub(crate) wait: Duration,
    /// The answer ends with a mark, see [`BATCH_END`].
    pub(crate) marked: bool,
}

impl Opened {
    /// The answer's head, and the reader of its body.
    pub(crate) fn into_reader(self) -> (http::response::Parts, BodyReader) {
        let Self { response, url, wait, marked } = self;
        let (head, body) = response.into_parts();
        (head, BodyReader { marked, ..BodyReader::new(body, url, wait) })
    }
}

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: ClientError,
    /// The node cannot have acted on the request.
    pub(crate) unsent: bool,
    /// `retry-after` of the answer.
    pub(crate) retry_after: Option<Duration>,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self { error, unsent: false, retry_after: None }
    }
}

/// How long the node asks to wait.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

impl Transport {
    pub(crate) fn new(config: std::sync::Arc<ClientConfig>, tls: Tls) -> Result<Self, ClientError> {
        check_base(&config.endpoint)?;
        if config.endpoint.starts_with("https://") {
            // A file that cannot be read is told now, not by the first request.
            tls.config().map_err(|err| ClientError::Invalid(err.to_string()))?;
        }
        let connector = Connector::new(tls, config.connect_wait());
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(config.max_idle_per_host.max(1))
            .http1_max_buf_size(1 << 20)
            .build(connector);
        let mut default_headers = HeaderMap::new();
        default_headers.insert("user-agent", header_value("user agent", &config.user_agent)?);
        if let Some(token) = &config.token {
            let mut value = header_value("token", &format!("Bearer {token}"))?;
            value.set_sensitive(true);
            default_headers.insert(AUTHORIZATION, value);
        }
        Ok(Self { pool, config, default_headers })
    }

    /// Headers that every request has.
    pub(crate) fn headers(&self) -> HeaderMap {
        self.default_headers.clone()
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// Sends a request and follows redirects; an error status is an error. Cancel safe.
    pub(crate) async fn attempt(&self, out: Outgoing<'_>) -> Result<Opened, Failure> {
        let Outgoing { method, mut url, mut headers, body, wait } = out;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.exchange(method, &url, &headers, body, wait).await?;
            let status = response.status();
            if matches!(status.as_u16(), 301 | 302 | 307 | 308) {
                let next = location(&url, &response)?;
                // The next node trusts the redirect, and the token is not for strangers.
                if authority(&next) != authority(&url) {
                    headers.remove(AUTHORIZATION);
                }
                // Read to the end, so that the connection can be used again.
                let _ = collect(response, &url, wait, MAX_ERROR_BODY_BYTES).await;
                url = next;
                continue;
            }
            if status.as_u16() >= 400 {
                let answer_headers = response.headers().clone();
                let text = collect(response, &url, wait, MAX_ERROR_BODY_BYTES).await;
                let error = ClientError::from_answer(
                    method.as_str(),
                    &url,
                    status.as_u16(),
                    &answer_headers,
                    &text.unwrap_or_default(),
                );
                let retry_after = retry_after(&answer_headers);
                return Err(Failure { error, unsent: false, retry_after });
            }
            // Whoever did not ask for trailers gets none, announced or not.
            let marked = headers.contains_key(TE) && announces_mark(response.headers());
            return Ok(Opened { response, url, wait, marked });
        }
        Err(ClientError::Protocol { url, message: format!("more than {MAX_REDIRECTS} redirects") }
            .into())
    }

    async fn exchange(
        &self,
        method: &Method,
        url: &str,
        headers: &HeaderMap,
        source: &Source,
        wait: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        let uri: Uri =
            url.parse().map_err(|e| ClientError::Invalid(format!("invalid URL \"{url}\": {e}")))?;
        let body = source.open();
        let monitor = body.monitor();
        let mut request = Request::new(body);
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers.clone();
        let mut sending = std::pin::pin!(self.pool.request(request));
        let mut seen = 0;
        let outcome = loop {
            match timeout(wait, &mut sending).await {
                Ok(outcome) => break outcome,
                // A long upload is not silence: the deadline starts anew whenever bytes went out.
                Err(_) if monitor.sent() > seen => seen = monitor.sent(),
                Err(_) => {
                    return Err(ClientError::Timeout {
                        method: method.to_string(),
                        url: url.to_owned(),
                        what: "answer",
                        after: wait,
                    }
                    .into());
                }
            }
        };
        outcome.map_err(|e| {
            if let Some(error) = source.fault(&monitor) {
                return error.into();
            }
            if let Some(error) = tls_error(url, &e) {
                return error.into();
            }
            let unsent = e.is_connect();
            Failure { error: connect_error(url, &e), unsent, retry_after: None }
        })
    }
}

/// A handshake that failed for a reason that will not pass.
fn tls_error(url: &str, error: &legacy::Error) -> Option<ClientError> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        // An io::Error shows its inner error as its own text, not as its source.
        let wrapped = inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let found = inner
            .downcast_ref::<rustls::Error>()
            .or_else(|| wrapped.and_then(|wrapped| wrapped.downcast_ref()));
        if let Some(found) = found {
            return Some(ClientError::Tls { url: url.to_owned(), message: tls::explain(found) });
        }
        if let Some(bad_file) = inner.downcast_ref::<tls::TlsError>() {
            return Some(ClientError::Invalid(bad_file.to_string()));
        }
        cause = inner.source();
    }
    None
}

/// Flattens the transport's chain of causes into the one that people understand.
fn connect_error(url: &str, error: &legacy::Error) -> ClientError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    ClientError::Connect { url: url.to_owned(), source: Box::new(io::Error::other(text)) }
}

/// Reads a whole body, at most `limit` bytes.
pub(crate) async fn collect(
    response: Response<Incoming>,
    url: &str,
    wait: Duration,
    limit: usize,
) -> Result<Bytes, ClientError> {
    let mut reader = BodyReader::new(response.into_body(), url.to_owned(), wait);
    let Some(first) = reader.next().await? else { return Ok(Bytes::new()) };
    let Some(second) = reader.next().await? else { return Ok(first) };
    let mut whole = BytesMut::with_capacity((first.len() + second.len()) * 2);
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    while let Some(piece) = reader.next().await? {
        if whole.len() + piece.len() > limit {
            let message = format!("answer is larger than {limit} bytes");
            return Err(ClientError::Protocol { url: url.to_owned(), message });
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// Body of an answer, piece by piece, each within the deadline.
#[derive(Debug)]
pub(crate) struct BodyReader {
    body: Incoming,
    url: String,
    wait: Duration,
    expected: Option<u64>,
    got: u64,
    /// The mark at the end is still to come.
    marked: bool,
}

impl BodyReader {
    pub(crate) fn new(body: Incoming, url: String, wait: Duration) -> Self {
        let expected = hyper::body::Body::size_hint(&body).exact();
        Self { body, url, wait, expected, got: 0, marked: false }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn expected(&self) -> Option<u64> {
        self.expected
    }

    /// The next piece, `None` at the end. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let frame =
                timeout(self.wait, self.body.frame()).await.map_err(|_| ClientError::Timeout {
                    method: "GET".to_owned(),
                    url: self.url.clone(),
                    what: "further bytes",
                    after: self.wait,
                })?;
            match frame {
                None if self.expected.is_some_and(|n| n != self.got) => return self.cut(),
                None if self.marked => return self.cut(),
                None => return Ok(None),
                Some(Err(_)) => return self.cut(),
                Some(Ok(frame)) => {
                    let piece = match frame.into_data() {
                        Ok(piece) => piece,
                        Err(frame) => {
                            self.check_mark(frame.trailers_ref());
                            continue;
                        }
                    };
                    if piece.is_empty() {
                        continue;
                    }
                    self.got += piece.len() as u64;
                    return Ok(Some(piece));
                }
            }
        }
    }

    /// Whether the mark at the end agrees with what came.
    fn check_mark(&mut self, trailers: Option<&HeaderMap>) {
        let text = trailers.and_then(|map| map.get(BATCH_END)?.to_str().ok()).unwrap_or_default();
        let sent = text.split(", ").find_map(|item| item.strip_prefix("bytes=")?.parse().ok());
        if sent == Some(self.got) {
            self.marked = false;
        }
    }

    fn cut<T>(&self) -> Result<T, ClientError> {
        Err(ClientError::Truncated {
            url: self.url.clone(),
            expected: self.expected,
            got: self.got,
        })
    }
}

/// Whether an answer says that it will end with a mark.
fn announces_mark(headers: &HeaderMap) -> bool {
    let announced = headers.get(TRAILER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    announced.split(',').any(|name| name.trim().eq_ignore_ascii_case(BATCH_END))
}

/// Checks a base URL and says what is wrong with it.
pub(crate) fn check_base(base: &str) -> Result<(), ClientError> {
    let bad = |why: &str| {
        Err(ClientError::Invalid(format!(
            "invalid endpoint \"{base}\": {why}; expected http://HOST:PORT"
        )))
    };
    match base.parse::<Uri>() {
        Err(e) => bad(&e.to_string()),
        Ok(uri) if !matches!(uri.scheme_str(), Some("http" | "https")) => {
            bad("it must start with http:// or https://")
        }
        Ok(uri) if uri.host().is_none_or(str::is_empty) => bad("the host is missing"),
        Ok(_) => Ok(()),
    }
}

fn authority(url: &str) -> Option<&str> {
    url.split_once("://").and_then(|(_, rest)| rest.split('/').next())
}

fn location(url: &str, response: &Response<Incoming>) -> Result<String, ClientError> {
    let target = response.headers().get(LOCATION).and_then(|v| v.to_str().ok());
    let next = match target {
        Some(absolute) if absolute.contains("://") => absolute.to_owned(),
        Some(path) if path.starts_with('/') => {
            let scheme = url.split_once("://").map_or("http", |(scheme, _)| scheme);
            format!("{scheme}://{}{path}", authority(url).unwrap_or_default())
        }
        _ => {
            let message = "redirect without a usable location".to_owned();
            return Err(ClientError::Protocol { url: url.to_owned(), message });
        }
    };
    check_base(&next)?;
    Ok(next)
}

/// Checks a header value.
pub(crate) fn header_value(what: &str, text: &str) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_str(text).map_err(|_| {
        ClientError::Invalid(format!("{what} holds characters that headers cannot carry"))
    })
}

/// Adds caller's headers to a map.
pub(crate) fn add_headers(
    map: &mut HeaderMap,
    extra: &[(String, String)],
) -> Result<(), ClientError> {
    for (name, value) in extra {
        let key: http::HeaderName = name
            .parse()
            .map_err(|_| ClientError::Invalid(format!("invalid header name \"{name}\"")))?;
        map.append(key, header_value(name, value)?);
    }
    Ok(())
}
