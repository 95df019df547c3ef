//! Sending an assembled batch, and counting it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aistore_core::error::ApiError;
use aistore_core::headers::BATCH_END;
use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRAILER};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::assemble::Assembler;
use super::pack::Packed;
use super::plan::Route;
use crate::context::NodeContext;
use crate::http::Reply;
use crate::memory::Permit;
use crate::target::Target;

impl Target {
    /// Takes one of the places that `gate` has.
    pub(in crate::target) fn admit(&self, gate: &Arc<Semaphore>) -> Result<Delivery, ApiError> {
        let permit = place(gate, &self.ctx.display())?;
        let (ctx, started) = (Arc::clone(&self.ctx), Instant::now());
        Ok(Delivery {
            ctx,
            started,
            bytes: 0,
            is_archive: false,
            _permit: permit,
            _memory: Permit::default(),
        })
    }
}

fn place(gate: &Arc<Semaphore>, node: &str) -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(gate).try_acquire_owned().map_err(|_| {
        let text = format!("{node}: too many batches are pending: try again shortly");
        ApiError::new(429, "ErrTooManyRequests", text)
    })
}

static END: HeaderName = HeaderName::from_static(BATCH_END);

/// A batch on its way out: holds its place and counts it at the end.
pub(in crate::target) struct Delivery {
    ctx: Arc<NodeContext>,
    started: Instant,
    /// Bytes sent so far.
    pub(super) bytes: u64,
    /// Counts as a batch, and ends with [`BATCH_END`]; not so what other nodes and map-aware clients assemble.
    is_archive: bool,
    _permit: OwnedSemaphorePermit,
    /// What the request itself takes.
    _memory: Permit,
}

impl Delivery {
    /// The same, with the memory that the request takes.
    pub(in crate::target) fn holding(self, memory: Permit) -> Self {
        Self { _memory: memory, ..self }
    }

    /// The same, as a batch in the eyes of a client.
    pub(super) fn archive(self) -> Self {
        Self { is_archive: true, ..self }
    }

    /// Answers with the stream. Waits for its first piece, because until then a failure can still be
    /// answered with its own status; afterwards the connection is cut, so that what came is recognisably
    /// incomplete.
    pub(in crate::target) async fn stream(
        self,
        mut packed: Packed,
        content_type: &'static str,
    ) -> Result<Reply, ApiError> {
        let first = packed.next().await?;
        let (ctx, is_archive) = (Arc::clone(&self.ctx), self.is_archive);
        let state = Sending { first, packed, ctx, delivery: self, ended: false };
        let frames = stream::try_unfold(state, Sending::next);
        let mut reply = Response::new(StreamBody::new(frames).boxed_unsync());
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if is_archive {
            headers.insert(TRAILER, HeaderValue::from_static(END.as_str()));
        }
        Ok(reply)
    }

    /// Counts a completed batch and the entries that were read here.
    pub(super) fn finish(&mut self, assembler: &Assembler) {
        let metrics = &self.ctx.metrics;
        if self.is_archive {
            metrics.batch.done(self.bytes, self.started.elapsed());
        }
        let entries = assembler.plan().entries.iter().zip(assembler.results());
        for (entry, result) in entries.filter(|(entry, _)| entry.route == Route::Here) {
            let is_file = !entry.wanted.archpath.is_empty();
            let op = if is_file { &metrics.batch_files } else { &metrics.batch_objects };
            match result.error {
                None => op.done(result.bytes, Duration::ZERO),
                Some(_) => op.failed(),
            }
        }
    }
}

/// An answer that has begun.
struct Sending {
    first: Option<Bytes>,
    packed: Packed,
    ctx: Arc<NodeContext>,
    delivery: Delivery,
    ended: bool,
}

impl Sending {
    async fn next(mut self) -> io::Result<Option<(Frame<Bytes>, Self)>> {
        if self.ended {
            return Ok(None);
        }
        let piece = match self.first.take() {
            Some(first) => Some(first),
            None => self.packed.next().await.map_err(|err| {
                self.ctx.metrics.batch.failed();
                tracing::warn!(error = %err, "batch ended after its answer had begun");
                io::Error::other(err)
            })?,
        };
        if let Some(piece) = piece {
            self.delivery.bytes += piece.len() as u64;
            return Ok(Some((Frame::data(piece), self)));
        }
        let assembler = self.packed.assembler();
        self.delivery.finish(assembler);
        if !self.delivery.is_archive {
            return Ok(None);
        }
        self.ended = true;
        let results = assembler.results();
        let missing = results.iter().filter(|result| result.error.is_some()).count();
        let text =
            format!("entries={}, missing={missing}, bytes={}", results.len(), self.delivery.bytes);
        let mut trailers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&text) {
            trailers.insert(END.clone(), value);
        }
        Ok(Some((Frame::trailers(trailers), self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_place_is_told_when_to_come_again() {
        let gate = Arc::new(Semaphore::new(2));
        let held = (place(&gate, "t[me]").unwrap(), place(&gate, "t[me]").unwrap());
        let err = place(&gate, "t[me]").unwrap_err();
        assert!(err.status == 429 && err.message.contains("t[me]"), "{err}");
        assert_eq!(err.tcode, "ErrTooManyRequests", "so that the answer says when to come again");
        drop(held);
        assert!(place(&gate, "t[me]").is_ok());
    }
}
