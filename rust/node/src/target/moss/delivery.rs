//! Sending an assembled batch, and counting it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aistore_core::error::ApiError;
use futures_util::stream;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::assemble::Assembler;
use super::layout::Layout;
use super::plan::Route;
use crate::context::NodeContext;
use crate::http::Reply;
use crate::memory::Permit;
use crate::target::Target;

impl Target {
    /// Takes one of the places that `gate` has.
    pub(in crate::target) fn admit(&self, gate: &Arc<Semaphore>) -> Result<Delivery, ApiError> {
        let permit = Arc::clone(gate).try_acquire_owned().map_err(|_| {
            ApiError::new(
                429,
                "ErrTooManyRequests",
                format!("{}: too many batches are pending: try again shortly", self.ctx.display()),
            )
        })?;
        let (ctx, started) = (Arc::clone(&self.ctx), Instant::now());
        Ok(Delivery { ctx, started, bytes: 0, _permit: permit, _memory: Permit::default() })
    }
}

/// A batch on its way out: holds its place and counts it at the end.
pub(in crate::target) struct Delivery {
    ctx: Arc<NodeContext>,
    started: Instant,
    /// Bytes sent so far.
    pub(super) bytes: u64,
    _permit: OwnedSemaphorePermit,
    /// What the request itself takes.
    _memory: Permit,
}

impl Delivery {
    /// The same, with the memory that the request takes.
    pub(in crate::target) fn holding(self, memory: Permit) -> Self {
        Self { _memory: memory, ..self }
    }

    /// Answers with the stream. Waits for its first piece, because until then a failure can still be
    /// answered with its own status; afterwards the connection is cut, so that what came is recognisably
    /// incomplete.
    pub(in crate::target) async fn stream(
        self,
        mut assembler: Assembler,
        content_type: &'static str,
    ) -> Result<Reply, ApiError> {
        let first = assembler.next().await?;
        let state = (first, assembler, self.ctx.clone());
        let pieces = stream::try_unfold(
            (state, self),
            |((first, mut assembler, ctx), mut this)| async move {
                let piece = match first {
                    Some(first) => Some(first),
                    None => assembler.next().await.map_err(|err| {
                        ctx.metrics.batch.failed();
                        tracing::warn!(error = %err, "batch ended after its answer had begun");
                        io::Error::other(err)
                    })?,
                };
                let Some(piece) = piece else {
                    this.finish(&assembler);
                    return Ok(None);
                };
                this.bytes += piece.len() as u64;
                Ok(Some((Frame::data(piece), ((None, assembler, ctx), this))))
            },
        );
        let mut reply = Response::new(StreamBody::new(pieces).boxed_unsync());
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Ok(reply)
    }

    /// Counts a completed batch and the entries that were read here.
    pub(super) fn finish(&mut self, assembler: &Assembler) {
        let metrics = &self.ctx.metrics;
        if assembler.layout() != Layout::Frames {
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
