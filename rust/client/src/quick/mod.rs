//! Requests on the calling thread, over blocking sockets: no runtime, no hand-over between threads.
//!
//! A caller that waits anyway (Python, above all) pays one write and one or two reads per small object,
//! and a large object is received straight into its memory. Only what usually happens is done here: one
//! request to the object's owner, repeated while the node is busy or silent as often as the settings say.
//! Whatever else comes (no map yet, a redirect, a stale map, an unreachable node, an answer of unknown
//! length) is left to the asynchronous client, which
//! has all the policies; such requests can be repeated without harm.

mod conn;
mod large;
mod link;
mod pool;

use std::time::{Duration, Instant};

use aistore_core::bucket::Bucket;
use aistore_core::headers::SMAP_VERSION;
use aistore_core::placement;
use http::{HeaderMap, Method};

pub use self::conn::Byte;
use self::conn::{Broken, Conn};
pub use self::large::{Download, MAX_PARALLEL_RANGES, Received, Span};
pub(crate) use self::pool::{Place, QuickPool};
use crate::body::Source;
use crate::client::Client;
use crate::error::{ClientError, MAX_ERROR_BODY_BYTES};
use crate::objects::check_names;
use crate::retry::{Budget, Repeat};
use crate::routing::ObjectRequest;
use crate::transport::{Failure, retry_after};

/// Called now and then during waits, at most every [`TICK`]; false ends the request with
/// [`ClientError::Interrupted`].
pub type Tick<'a> = &'a (dyn Fn() -> bool + Sync);

/// Longest wait between two calls of a [`Tick`].
pub const TICK: Duration = Duration::from_millis(100);

/// One object request. `method` must be safe to repeat: GET, HEAD, PUT or DELETE.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// Method.
    pub method: Method,
    /// Bucket.
    pub bucket: &'a Bucket,
    /// Object.
    pub name: &'a str,
    /// Further query parameters.
    pub query: &'a [(String, String)],
    /// Further headers.
    pub headers: &'a [(String, String)],
    /// Body.
    pub body: &'a [u8],
}

/// An answer with status below 300 whose body is still to be read.
///
/// Dropped before that, its connection is closed.
pub struct Answer<'c> {
    client: &'c Client,
    conn: Option<Conn>,
    status: u16,
    headers: HeaderMap,
    remaining: u64,
    reusable: bool,
    url: String,
    authority: String,
    encrypted: bool,
}

impl std::fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Answer<'_> {
    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Hands the headers out; they are empty afterwards.
    pub fn take_headers(&mut self) -> HeaderMap {
        std::mem::take(&mut self.headers)
    }

    /// URL that answered.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Bytes of the body still to be read.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Those of them that are here already.
    pub fn ready(&self) -> &[u8] {
        let ready = self.conn.as_ref().map(Conn::buffered).unwrap_or_default();
        let end = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(ready.len());
        ready.get(..end).unwrap_or_default()
    }

    /// Reads exactly `dst.len()` bytes; all of `dst` is written when this returns `Ok`.
    pub fn read<B: Byte>(&mut self, dst: &mut [B], tick: Tick<'_>) -> Result<(), ClientError> {
        let (url, wanted) = (&self.url, dst.len() as u64);
        let cut =
            |got: u64| ClientError::Truncated { url: url.clone(), expected: Some(wanted), got };
        if wanted > self.remaining {
            return Err(cut(self.remaining));
        }
        let Some(conn) = &mut self.conn else {
            return if dst.is_empty() { Ok(()) } else { Err(cut(0)) };
        };
        let wait = self.client.config().read_wait();
        if let Err((broken, got)) = conn.read_exact(dst, wait, tick) {
            self.conn = None;
            return Err(match broken {
                Broken::Interrupted => ClientError::Interrupted { url: url.clone() },
                Broken::Timeout => ClientError::Timeout {
                    method: "GET".to_owned(),
                    url: url.clone(),
                    what: "further bytes",
                    after: wait,
                },
                Broken::Io(_) | Broken::Malformed => cut(got),
            });
        }
        self.remaining -= wanted;
        self.settle();
        Ok(())
    }

    /// Takes what [`Answer::ready`] showed when that was all.
    pub fn finish_ready(&mut self) {
        let ready = self.ready().len();
        if ready as u64 == self.remaining
            && let Some(conn) = &mut self.conn
        {
            conn.consume(ready);
            self.remaining = 0;
        }
        self.settle();
    }

    /// Gives the connection back once the body is read.
    fn settle(&mut self) {
        if self.remaining == 0
            && self.reusable
            && let Some(conn) = self.conn.take()
        {
            let place = Place { authority: &self.authority, encrypted: self.encrypted };
            self.client.shared.quick.put(place, conn);
        }
    }
}

impl Client {
    /// An object request on the calling thread; `None` when it takes the asynchronous client.
    ///
    /// Blocks; not for use on a runtime's workers.
    pub fn quick(&self, ask: &Ask<'_>, tick: Tick<'_>) -> Result<Option<Answer<'_>>, ClientError> {
        check_names(&ask.method, ask.bucket, ask.name)?;
        if self.must_redirect(&ask.method) {
            return Ok(None);
        }
        let Some(map) = self.shared.map.get() else { return Ok(None) };
        let uname = ask.bucket.object_uname(ask.name);
        let Some(owner) = placement::owner(&map, &uname) else { return Ok(None) };
        let base = owner.url();
        // Goes into the request as it is.
        let plain = |text: &&str| text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        let Some((scheme @ ("http" | "https"), authority)) = base.split_once("://") else {
            return Ok(None);
        };
        if !plain(&authority) {
            return Ok(None);
        }
        let place = Place { authority, encrypted: scheme == "https" };
        let target = ObjectRequest {
            method: ask.method.clone(),
            bucket: ask.bucket,
            name: ask.name,
            query: ask.query,
            headers: &[],
            body: &Source::Bytes(bytes::Bytes::new()),
            via_gateway: false,
            repeat: Repeat::Unsent,
        }
        .target();
        let url = format!("{base}{target}");
        let head = self.head_bytes(ask, &target, authority, map.version)?;
        let mut budget = Budget::new(self.config());
        loop {
            let failure = match self.quick_exchange(ask, place, url.clone(), &head, tick) {
                Ok(outcome) => return Ok(outcome),
                Err(failure) if budget.applies(Repeat::Busy, &failure) => failure,
                Err(failure) => return Err(failure.error),
            };
            let wait = budget.pause(failure)?;
            if !pause(wait, tick) {
                return Err(ClientError::Interrupted { url });
            }
        }
    }

    fn head_bytes(
        &self,
        ask: &Ask<'_>,
        target: &str,
        authority: &str,
        map_version: u64,
    ) -> Result<Vec<u8>, ClientError> {
        use std::io::Write as _;
        let mut head = Vec::with_capacity(512 + target.len());
        // Writing to a Vec cannot fail; the results are discarded for that reason.
        let _ = write!(head, "{} {target} HTTP/1.1\r\nhost: {authority}\r\n", ask.method);
        let _ = write!(head, "{SMAP_VERSION}: {map_version}\r\n");
        head.extend_from_slice(self.shared.quick.common_headers());
        if !ask.body.is_empty() || ask.method == Method::PUT {
            let _ = write!(head, "content-length: {}\r\n", ask.body.len());
        }
        if !ask.headers.is_empty() {
            let mut checked = HeaderMap::new();
            crate::transport::add_headers(&mut checked, ask.headers)?;
            for (name, value) in &checked {
                head.extend_from_slice(name.as_str().as_bytes());
                head.extend_from_slice(b": ");
                head.extend_from_slice(value.as_bytes());
                head.extend_from_slice(b"\r\n");
            }
        }
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }

    fn quick_exchange(
        &self,
        ask: &Ask<'_>,
        place: Place<'_>,
        url: String,
        head: &[u8],
        tick: Tick<'_>,
    ) -> Result<Option<Answer<'_>>, Failure> {
        let wait = self.config().read_wait();
        let pool = &self.shared.quick;
        let (conn, parsed) = loop {
            let (mut conn, used) = match pool.take(place) {
                Some(conn) => (conn, true),
                None => match pool.connect(place, tick) {
                    Ok(Some(conn)) => (conn, false),
                    Ok(None) => return Ok(None),
                    Err(_) => return Err(ClientError::Interrupted { url }.into()),
                },
            };
            match conn.exchange(head, ask.body, wait, tick) {
                Ok(parsed) => break (conn, parsed),
                Err(Broken::Interrupted) => return Err(ClientError::Interrupted { url }.into()),
                Err(Broken::Timeout) => {
                    let method = ask.method.to_string();
                    let what = "answer";
                    return Err(ClientError::Timeout { method, url, what, after: wait }.into());
                }
                // The node closes idle connections when it likes; a new one tells whether it lives.
                Err(Broken::Io(_)) if used => {}
                Err(Broken::Io(_) | Broken::Malformed) => return Ok(None),
            }
        };
        let bodiless = ask.method == Method::HEAD || matches!(parsed.status, 204 | 304);
        let length = if bodiless { Some(0) } else { parsed.length };
        let Some(remaining) = length else { return Ok(None) };
        let mut answer = Answer {
            client: self,
            conn: Some(conn),
            status: parsed.status,
            headers: parsed.headers,
            remaining,
            reusable: parsed.reusable,
            url,
            authority: place.authority.to_owned(),
            encrypted: place.encrypted,
        };
        if answer.status >= 300 {
            return refusal(ask, answer, tick);
        }
        if remaining == 0 {
            answer.settle();
        }
        Ok(Some(answer))
    }
}

/// An answer that is an error for good, or not for this path to handle.
fn refusal<'c>(
    ask: &Ask<'_>,
    mut answer: Answer<'c>,
    tick: Tick<'_>,
) -> Result<Option<Answer<'c>>, Failure> {
    let status = answer.status;
    let left = usize::try_from(answer.remaining).unwrap_or(usize::MAX);
    let passing = status < 400 || status == 421;
    // 400 may be a target of another make that wants changes redirected.
    if passing || (status == 400 && !ask.method.is_safe()) || left > MAX_ERROR_BODY_BYTES {
        return Ok(None);
    }
    let mut body = vec![0; left];
    answer.read(&mut body, tick)?;
    let (method, headers) = (ask.method.as_str(), answer.take_headers());
    let error = ClientError::from_answer(method, &answer.url, status, &headers, &body);
    Err(Failure { error, unsent: false, retry_after: retry_after(&headers) })
}

/// Sleeps; false when the caller wants an end.
fn pause(wait: Duration, tick: Tick<'_>) -> bool {
    let end = Instant::now() + wait;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(TICK));
        if !tick() {
            return false;
        }
    }
}
