//! The body that a connection sends: a handler's own, or a file's bytes for which it puts in stand-ins.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::queue::{Queue, WINDOW_BYTES};
use crate::http::{Body, Reply};
use crate::quick::Answered;
use crate::target::buffers::{BufferPool, Pieces};
use crate::target::read::{ColdRead, Extent, Supply, cold_read, poll_cold};

/// Shorter bodies are copied: one read and one write cost less than two calls and the checks.
pub(crate) const MIN_BYTES: usize = 32 << 10;

/// Whether sending this from the file beats copying it.
pub(crate) fn worth_it(extent: &Extent) -> bool {
    extent.length() >= MIN_BYTES as u64
}

/// The bytes of a reply that may be sent from the file instead of its body.
#[derive(Clone)]
struct Offer {
    first: Bytes,
    extent: Extent,
    pool: BufferPool,
    pieces: Option<Pieces>,
}

/// Tells the connection that the body of `reply` is exactly `first` and then `extent`; what has to come from the
/// disk is read into `pieces`, or into buffers that are asked for then.
pub(crate) fn offer(
    reply: &mut Reply,
    first: Bytes,
    extent: Extent,
    (pool, pieces): (BufferPool, Option<Pieces>),
) {
    reply.extensions_mut().insert(Offer { first, extent, pool, pieces });
}

/// What a connection sends.
pub(crate) struct Outgoing {
    what: What,
    /// Told when this ends.
    answered: Option<Answered>,
}

enum What {
    /// The handler's body as it is.
    Plain(Body),
    /// A file.
    File(FileBody),
}

/// Sends an extent by stand-ins where it is in memory, by copies where it has to come from the disk.
struct FileBody {
    /// What was read while the object was looked up.
    first: Option<Bytes>,
    extent: Extent,
    supply: Supply,
    queue: Arc<Queue>,
    cold: Option<ColdRead>,
}

impl Outgoing {
    /// The reply as a connection with this queue sends it, which wants to be told when it ends.
    pub(crate) fn over(
        queue: &Arc<Queue>,
        answered: Answered,
        mut reply: Reply,
    ) -> http::Response<Self> {
        let offer = reply.extensions_mut().remove::<Offer>();
        let what = |body| match offer {
            Some(Offer { first, extent, pool, pieces }) => {
                let (first, queue) = (Some(first).filter(|b| !b.is_empty()), Arc::clone(queue));
                let supply = Supply::new(pool, extent.length(), pieces);
                What::File(FileBody { first, extent, supply, queue, cold: None })
            }
            None => What::Plain(body),
        };
        reply.map(|body| Self { what: what(body), answered: Some(answered) })
    }

    /// The reply with its ordinary body.
    pub(crate) fn plain(reply: Reply) -> http::Response<Self> {
        reply.map(|body| Self { what: What::Plain(body), answered: None })
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(answered) = &self.answered {
            answered.set();
        }
    }
}

impl FileBody {
    fn left(&self) -> u64 {
        self.first.as_ref().map_or(0, |first| first.len() as u64) + self.extent.length()
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if self.cold.is_none() {
            if self.extent.length() == 0 {
                return Poll::Ready(None);
            }
            if let Some(stand_in) = self.warm_piece() {
                return Poll::Ready(Some(stand_in));
            }
            let space = ready!(self.supply.poll_space(self.extent.length(), cx))?;
            self.cold = Some(cold_read(self.extent.clone(), space));
        }
        poll_cold(&mut self.cold, &mut self.extent, cx).map(Some)
    }

    /// The stand-in for the next window, if all of it is in memory.
    fn warm_piece(&mut self) -> Option<io::Result<Bytes>> {
        if !self.extent.starts_in_memory(WINDOW_BYTES as u64) {
            return None;
        }
        let (file, offset, length) = self.extent.in_file()?;
        let stand_in = self.queue.push(file, offset, length);
        Some(self.extent.advance(stand_in.len()).map(|()| stand_in))
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut self.what {
            What::Plain(body) => Pin::new(body).poll_frame(cx),
            What::File(body) => body.poll_piece(cx).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.what {
            What::Plain(body) => body.is_end_stream(),
            What::File(body) => body.left() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.what {
            What::Plain(body) => body.size_hint(),
            What::File(body) => SizeHint::with_exact(body.left()),
        }
    }
}
