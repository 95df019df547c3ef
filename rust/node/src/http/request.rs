//! One request as the handlers see it.

use std::net::SocketAddr;
use std::time::Duration;

use aistore_core::bucket::{Bucket, Namespace, Provider};
use aistore_core::error::ApiError;
use aistore_core::wire::ActionMsg;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::memory::{Budget, Permit, Purpose};

use super::{Query, Reply, reply};
use crate::tasks::lost_task;

/// Largest body of an action message or another small control request: a full configuration is 20 KiB.
pub const MAX_ACTION_BYTES: usize = 1 << 20;
/// Largest body that names many things: a batch of a million short names.
const MAX_CONTROL_BODY_BYTES: usize = 64 << 20;
/// Memory of a parsed batch request, and of the plan made of it, per byte of JSON: an entry of 40 bytes takes some 400.
const PARSED_FACTOR: u64 = 10;
/// Bodies up to this size are parsed on the worker; it takes some 100 us.
const INLINE_JSON_BYTES: usize = 64 << 10;
/// Longest wait for the next piece of a control body; a silent client must not hold a connection.
pub const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A request whose body has not been read yet.
#[derive(Debug)]
pub struct Req {
    /// Method.
    pub method: Method,
    /// Path as sent, still percent-encoded.
    pub raw_path: String,
    /// Query.
    pub query: Query,
    /// Headers.
    pub headers: HeaderMap,
    /// Body; see [`Req::read_body`].
    pub body: Incoming,
    /// Peer.
    pub remote: SocketAddr,
    /// What reading the body draws on.
    pub(crate) memory: Budget,
}

impl Req {
    /// Reads the whole body.
    ///
    /// # Errors
    ///
    /// 413 above `limit` bytes, 429 when there is no memory for them, 408 when nothing arrives for [`BODY_IDLE_TIMEOUT`], 400 when the
    /// client breaks off or the body is shorter than announced.
    pub async fn read_body(&mut self, limit: usize) -> Result<Bytes, ApiError> {
        let room = Room { memory: &self.memory, limit, what: &self.raw_path };
        read_all(&mut self.body, self.headers.get(CONTENT_LENGTH), room).await
    }

    /// Reads the body as JSON of type `T`.
    ///
    /// # Errors
    ///
    /// As [`Req::read_body`], and 400 for malformed JSON.
    pub async fn read_json<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        let body = self.read_body(MAX_ACTION_BYTES).await?;
        serde_json::from_slice(&body).map_err(|err| {
            ApiError::bad_request(format!("malformed JSON in the body of the request: {err}"))
        })
    }

    /// Reads a batch request, which may have very many entries, without holding up the worker. Also takes memory:
    /// for what it becomes, and `working` bytes to work on it.
    ///
    /// # Errors
    ///
    /// As [`Req::read_json`].
    pub(crate) async fn read_batch_json<T>(
        &mut self,
        purpose: Purpose,
        working: u64,
    ) -> Result<(T, Permit), ApiError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let body = self.read_body(MAX_CONTROL_BODY_BYTES).await?;
        let parsed = working.saturating_add(body.len() as u64 * PARSED_FACTOR);
        let permit = self.memory.take(purpose, parsed, &self.raw_path).await?;
        let parse = |body: &[u8]| {
            serde_json::from_slice(body).map_err(|err| {
                ApiError::bad_request(format!(
                    "malformed JSON in the body of the batch request: {err}"
                ))
            })
        };
        if body.len() <= INLINE_JSON_BYTES {
            return Ok((parse(&body)?, permit));
        }
        let parsed = tokio::task::spawn_blocking(move || parse(&body));
        Ok((parsed.await.map_err(|err| lost_task(&err))??, permit))
    }

    /// Reads the body as an action message; `None` when there is no body.
    ///
    /// # Errors
    ///
    /// As [`Req::read_json`].
    pub async fn read_action(&mut self) -> Result<Option<ActionMsg>, ApiError> {
        let body = self.read_body(MAX_ACTION_BYTES).await?;
        if body.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&body).map(Some).map_err(|err| {
            ApiError::bad_request(format!(
                "malformed action message, expected {{\"action\",\"name\",\"value\"}}: {err}"
            ))
        })
    }

    /// Builds the bucket that a path segment and the query name.
    ///
    /// # Errors
    ///
    /// 400 for a bad name, namespace or provider.
    pub fn bucket(&self, name: &str) -> Result<Bucket, ApiError> {
        let bucket = Bucket {
            name: name.to_owned(),
            provider: Provider::parse(self.query.text("provider"))?,
            namespace: Namespace::parse(self.query.text("namespace"))?,
        };
        bucket.validate()?;
        Ok(bucket)
    }

    /// Value of a header; absent and non-text are alike.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether `Accept` names `application/msgpack`.
    pub fn wants_msgpack(&self) -> bool {
        self.header("accept").is_some_and(|accept| accept.contains(reply::MSGPACK))
    }

    /// A JSON reply, indented for browsers.
    pub fn json(&self, value: &impl Serialize) -> Reply {
        let browser = self.header("user-agent").is_some_and(|ua| ua.starts_with("Mozilla/5.0"));
        if browser { reply::json_pretty(value) } else { reply::json(value) }
    }
}

/// Memory for a body.
pub(crate) struct Room<'a> {
    pub(crate) memory: &'a Budget,
    /// Most bytes.
    pub(crate) limit: usize,
    /// Begins the message of a refusal.
    pub(crate) what: &'a str,
}

impl Room<'_> {
    fn too_large(&self) -> ApiError {
        let limit = self.limit;
        ApiError::new(413, "", format!("the request's body is larger than {limit} bytes"))
    }

    /// Takes memory for what is announced, and makes room for more as it comes.
    async fn first(&self, announced: Option<usize>) -> Result<Permit, ApiError> {
        let bytes = announced.unwrap_or(0);
        if bytes > self.limit {
            return Err(self.too_large());
        }
        self.memory.take(Purpose::Bodies, bytes as u64, self.what).await
    }

    /// Takes memory for `bytes` in all. Doubles, so that a body is moved a few times only; does not wait, because
    /// what was taken may be what others wait for.
    fn grow(&self, permit: &mut Permit, bytes: usize) -> Result<(), ApiError> {
        let has = permit.bytes();
        if bytes as u64 <= has {
            return Ok(());
        }
        let more = (bytes as u64 - has).max(has);
        let more = more.min((self.limit as u64).saturating_sub(has)).max(1);
        let taken = self.memory.try_take(Purpose::Bodies, more);
        permit.add(taken.ok_or_else(|| self.memory.refuse(Purpose::Bodies, self.what))?);
        Ok(())
    }
}

/// Collects a body of at most `room.limit` bytes; `announced` is its `Content-Length`. The memory is given
/// back when the last reference to the bytes goes.
pub(crate) async fn read_all(
    body: &mut Incoming,
    announced: Option<&HeaderValue>,
    room: Room<'_>,
) -> Result<Bytes, ApiError> {
    let announced = announced.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut permit = room.first(announced).await?;
    let mut whole = BytesMut::new();
    loop {
        let frame = tokio::time::timeout(BODY_IDLE_TIMEOUT, body.frame()).await.map_err(|_| {
            let idle = BODY_IDLE_TIMEOUT.as_secs();
            ApiError::new(408, "", format!("no byte of the request's body came for {idle} s"))
        })?;
        let Some(frame) = frame else { break };
        let frame = frame
            .map_err(|err| ApiError::bad_request(format!("the request's body broke off: {err}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = whole.len().saturating_add(data.len());
        if length > room.limit {
            return Err(room.too_large());
        }
        room.grow(&mut permit, length)?;
        if whole.is_empty() && hyper::body::Body::is_end_stream(body) {
            return Ok(permit.attach(data));
        }
        if whole.is_empty() {
            // Once, where the length is known.
            whole.reserve(announced.unwrap_or(0).max(data.len()));
        }
        whole.extend_from_slice(&data);
    }
    Ok(permit.attach(whole.freeze()))
}
