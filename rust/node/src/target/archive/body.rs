//! Answers whose bytes are made while they are sent: a visit to the blocking pool for each piece, so that no
//! thread waits for a client.

use std::future::Future;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aistore_core::error::ApiError;
use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::task::JoinHandle;

use super::super::Target;
use super::super::buffers::{BufferPool, Pieces, Space};
use super::super::failure::read_failure;
use super::super::headers::add_length;
use super::super::objects::Objects;
use super::super::read::Supply;
use super::{Packed, Watch};
use crate::http::{Reply, reply};
use crate::memory::{Permit, Purpose};

/// Bytes in the making.
pub(super) struct Source {
    /// How many there will be, if that is known.
    pub(super) size: Option<u64>,
    pub(super) data: Box<dyn Read + Send>,
}

impl From<Packed> for Source {
    fn from(packed: Packed) -> Self {
        Self { size: Some(packed.size), data: packed.data }
    }
}

/// An answer with its first piece made.
pub(super) struct Begun {
    source: Source,
    first: Bytes,
    pieces: Pieces,
}

/// Makes the first piece. Blocks.
pub(super) fn begin(mut source: Source, pool: &BufferPool, memory: Permit) -> io::Result<Begun> {
    let pieces = Pieces::new(pool, Purpose::Replies, memory);
    let space = pieces.any_space(source.size.unwrap_or(u64::MAX));
    let first = source.fill(space)?;
    Ok(Begun { source, first, pieces })
}

/// What a client is told whose answer could not be begun.
pub(crate) fn failure(err: &io::Error, cname: &str) -> ApiError {
    if err.raw_os_error().is_some() {
        return read_failure(err, cname);
    }
    ApiError::bad_request(format!("{cname}: cannot read a file of the archive: {err}"))
}

impl Source {
    /// Makes the next piece; empty at the end.
    fn fill(&mut self, mut space: Space) -> io::Result<Bytes> {
        let mut filled = 0;
        while let Some(free) = space.bytes().get_mut(filled..).filter(|free| !free.is_empty()) {
            match self.data.read(free) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        if let Some(left) = &mut self.size {
            *left = left.saturating_sub(filled as u64);
            if *left > 0 && filled < space.bytes().len() {
                let text = "a file of the archive is shorter than it claims";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
        }
        Ok(space.freeze(filled))
    }
}

/// A file that is unpacked for an answer with more in it than this file.
pub(crate) struct Unpacking {
    /// `None` after an error.
    source: Option<Source>,
    _watch: Watch,
    _decoder: Permit,
}

impl Unpacking {
    /// The file; `decoder` is the memory that its decoder takes.
    pub(crate) fn new(packed: Packed, watch: Watch, decoder: Permit) -> Self {
        Self { source: Some(packed.into()), _watch: watch, _decoder: decoder }
    }

    /// Bytes still to come.
    pub(crate) fn left(&self) -> u64 {
        self.source.as_ref().and_then(|source| source.size).unwrap_or_default()
    }

    /// Makes the next piece on the blocking pool; empty at the end. For who waited for room in `pieces`. Not cancel
    /// safe: a dropped call loses the rest.
    pub(crate) async fn next(&mut self, pieces: &Pieces) -> io::Result<Bytes> {
        let Some(mut source) = self.source.take().filter(|source| source.size != Some(0)) else {
            return Ok(Bytes::new());
        };
        let space = pieces.any_space(source.size.unwrap_or(u64::MAX));
        let made = tokio::task::spawn_blocking(move || {
            let bytes = source.fill(space)?;
            Ok((source, bytes))
        });
        let (source, bytes) = made.await.map_err(io::Error::other).flatten()?;
        self.source = Some(source);
        Ok(bytes)
    }
}

type Making = JoinHandle<io::Result<(Source, Bytes)>>;

/// Response body of a [`Source`]. An error ends it early, which the client sees.
struct MadeBody {
    first: Option<Bytes>,
    /// `None` while the next piece is being made, and after an error.
    source: Option<Source>,
    making: Option<Making>,
    supply: Supply,
    cname: String,
    _watch: Watch,
    _decoder: Permit,
}

impl MadeBody {
    fn left(&self) -> Option<u64> {
        let first = self.first.as_ref().map_or(0, Bytes::len) as u64;
        self.source.as_ref()?.size.map(|left| left + first)
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if let Some(mut source) = self.source.take() {
            if source.size == Some(0) {
                self.source = Some(source);
                return Poll::Ready(None);
            }
            let space = match self.supply.poll_space(source.size.unwrap_or(u64::MAX), cx) {
                Poll::Ready(space) => space?,
                Poll::Pending => {
                    self.source = Some(source);
                    return Poll::Pending;
                }
            };
            self.making = Some(tokio::task::spawn_blocking(move || {
                let bytes = source.fill(space)?;
                Ok((source, bytes))
            }));
        }
        let Some(making) = &mut self.making else { return Poll::Ready(None) };
        let made = ready!(Pin::new(making).poll(cx)).map_err(io::Error::other).flatten();
        self.making = None;
        match made {
            Ok((mut source, bytes)) => {
                if bytes.is_empty() {
                    source.size = Some(0);
                }
                self.source = Some(source);
                Poll::Ready(Some(bytes).filter(|bytes| !bytes.is_empty()).map(Ok))
            }
            Err(err) => {
                tracing::warn!(object = self.cname, error = %err, "an answer out of an archive broke off");
                Poll::Ready(Some(Err(err)))
            }
        }
    }
}

impl http_body::Body for MadeBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.poll_piece(cx).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        self.left() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Objects {
    /// Memory for unpacking one file.
    pub(crate) async fn decoder_memory(&self, cname: &str) -> Result<Permit, ApiError> {
        let budget = self.pool.budget();
        let bytes = super::DECODER_BYTES.min(budget.share(Purpose::Replies) / 4);
        budget.take(Purpose::Replies, bytes, cname).await
    }
}

impl Target {
    /// The answer that sends what is being made, and its bytes as far as they are known.
    pub(super) async fn unpacked_reply(
        &self,
        begun: Begun,
        watch: Watch,
        kind: &'static str,
        cname: &str,
    ) -> Result<(Reply, u64), ApiError> {
        let Begun { source, first, pieces } = begun;
        let bytes = source.size.map(|left| left + first.len() as u64);
        let body = if source.size == Some(0) {
            reply::full_body(first.clone())
        } else {
            // What the decoder holds was not known before; it is there already, in small numbers.
            let decoder = self.objects.decoder_memory(cname).await?;
            let pool = self.objects.pool.clone();
            let supply = Supply::new(pool, source.size.unwrap_or(u64::MAX), Some(pieces));
            let first = Some(first.clone()).filter(|first| !first.is_empty());
            let (source, making, cname) = (Some(source), None, cname.to_owned());
            MadeBody { first, source, making, supply, cname, _watch: watch, _decoder: decoder }
                .boxed_unsync()
        };
        let mut reply: Reply = Response::new(body);
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(bytes) = bytes {
            add_length(headers, bytes);
        }
        Ok((reply, bytes.unwrap_or(first.len() as u64)))
    }
}
