//! The stream under hyper that answers what it can before hyper sees it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::date::add_date;
use super::head::{Head, parse};
use super::lane::{Answered, Lane};
use super::scratch::Scratch;
use crate::node::Node;
use crate::sendfile::SendfileIo;
use crate::target::hot::{Answer, Asked, Payload};

/// Most bytes read at once. hyper doubles its buffer while reads fill it, up to 408 KiB per connection. With reads
/// of this size it stops at 64 KiB, which stays in a processor's cache from the socket to the aligned buffer
/// that it is copied to, and below the size from which malloc returns the slow place 16 bytes into a page.
const RECEIVE_BYTES: usize = 60 << 10;
/// A connection without hyper that was not used for this long, and at most twice as long, is closed.
const IDLE: Duration = Duration::from_mins(1);

/// After so many requests in a row that hyper did not see, the connection goes on without it: asking it about each
/// costs more than to set it up again.
const BACK_AFTER: u32 = 16;

/// A plain connection.
pub(crate) struct QuickIo {
    io: SendfileIo,
    node: Arc<Node>,
    lane: Lane,
    /// What was received before there was a hyper to receive it.
    first: Bytes,
    rest: Rest,
    /// Requests answered here since hyper has seen one.
    in_a_row: u32,
    /// Whether hyper was told that the connection has ended, to have it back.
    back: bool,
}

/// What of an answer the socket has not taken yet.
#[derive(Default)]
struct Rest {
    head: Bytes,
    /// Or what stands for a file.
    body: Bytes,
}

impl Rest {
    fn is_empty(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }

    fn advance(&mut self, sent: usize) {
        let of_head = sent.min(self.head.len());
        self.head.advance(of_head);
        self.body.advance(sent - of_head);
    }
}

/// What became of what a connection without hyper received.
enum Received {
    Answered,
    ForHyper,
    End,
}

impl QuickIo {
    /// Over `io`; `answered` is set when a body of hyper's answers has ended.
    pub(crate) fn new(io: SendfileIo, node: Arc<Node>, answered: Answered) -> Self {
        let (lane, first, rest) = (Lane::new(answered), Bytes::new(), Rest::default());
        Self { io, node, lane, first, rest, in_a_row: 0, back: false }
    }

    /// Whether hyper has ended because it was not needed any more; the connection goes on [alone](Self::alone).
    pub(crate) fn is_back(&mut self) -> bool {
        std::mem::take(&mut self.back)
    }

    /// Belongs to the runtime that calls this from now on.
    pub(super) fn change_runtime(&mut self) -> io::Result<()> {
        self.io.change_runtime()
    }

    /// Answers requests until one comes that is for hyper. `false`: the connection has ended or was idle for too
    /// long, or the node stops.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    pub(crate) async fn alone(&mut self, stop: &CancellationToken) -> io::Result<bool> {
        let mut stopped = pin!(stop.cancelled());
        let mut idle = pin!(tokio::time::sleep(IDLE));
        let (mut asked, mut used, mut stopping) = (false, false, false);
        poll_fn(|cx| {
            let mut answered = false;
            loop {
                match self.poll_request(cx)? {
                    Poll::Ready(Received::Answered) => answered = true,
                    Poll::Ready(Received::ForHyper) => return Poll::Ready(Ok(true)),
                    Poll::Ready(Received::End) => return Poll::Ready(Ok(false)),
                    Poll::Pending => break,
                }
            }
            used |= answered || !self.rest.is_empty();
            // Both know whom to wake since they were asked first; asking for every request costs more than looking.
            if answered && asked && !stop.is_cancelled() && !idle.is_elapsed() {
                return Poll::Pending;
            }
            asked = true;
            stopping = stopping || stopped.as_mut().poll(cx).is_ready();
            if stopping && self.rest.is_empty() {
                return Poll::Ready(Ok(false));
            }
            while idle.as_mut().poll(cx).is_ready() {
                if !std::mem::take(&mut used) {
                    return Poll::Ready(Ok(false));
                }
                idle.as_mut().reset(Instant::now() + IDLE);
            }
            Poll::Pending
        })
        .await
    }

    /// Receives and answers one request, if that may be done here.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
        ready!(self.poll_rest(cx))?;
        Scratch::lend(|scratch| {
            let (space, answer) = scratch.parts();
            let mut space = ReadBuf::new(space);
            ready!(Pin::new(&mut self.io).poll_read(cx, space.unfilled()))?;
            let received = space.filled();
            if received.is_empty() {
                return Poll::Ready(Ok(Received::End));
            }
            let Head { asked, left } = parse(received);
            if let Some(asked) = asked
                && self.answer(&asked, answer, cx)?
            {
                return Poll::Ready(Ok(Received::Answered));
            }
            self.lane.hand(left);
            self.in_a_row = 0;
            self.first = Bytes::copy_from_slice(received);
            Poll::Ready(Ok(Received::ForHyper))
        })
    }

    /// Answers what is asked. `false`: that is for hyper to do.
    fn answer(
        &mut self,
        asked: &Asked<'_>,
        mut answer: Answer<'_>,
        cx: &mut Context<'_>,
    ) -> io::Result<bool> {
        let Some(target) = self.node.quick_target() else { return Ok(false) };
        answer.head.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        let Some(payload) = target.hot(asked, &mut answer) else { return Ok(false) };
        let Answer { head, body } = answer;
        add_date(head);
        head.extend_from_slice(b"\r\n");
        match payload {
            Payload::Copied(length, permit) => {
                let body = body.get(..length).unwrap_or_default();
                let sent = self.begin([head, body], cx)?;
                if sent < head.len() + body.len() {
                    // Both in one piece of memory that holds the permit.
                    let mut rest = [&**head, body].concat();
                    rest.drain(..sent);
                    self.rest.body = permit.attach(rest.into());
                }
            }
            Payload::File(file, offset, length) => {
                let body = self.io.stand_in(file, offset, length);
                let sent = self.begin([head, &body], cx)?;
                if sent < head.len() + body.len() {
                    self.rest = Rest { head: Bytes::copy_from_slice(head), body };
                    self.rest.advance(sent);
                }
            }
        }
        Ok(true)
    }

    /// Writes what the socket takes now.
    fn begin(&mut self, answer: [&[u8]; 2], cx: &mut Context<'_>) -> io::Result<usize> {
        match Pin::new(&mut self.io).poll_write_vectored(cx, &answer.map(IoSlice::new)) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(0),
        }
    }

    /// Sends what is left of an answer.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.rest.is_empty() {
            let parts = [&*self.rest.head, &*self.rest.body].map(IoSlice::new);
            let from = usize::from(self.rest.head.is_empty());
            let parts = parts.get(from..).unwrap_or_default();
            let sent = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, parts))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest.advance(sent);
        }
        // Gives its memory back.
        self.rest = Rest::default();
        Poll::Ready(Ok(()))
    }
}

impl Read for QuickIo {
    #[expect(unsafe_code, reason = "hyper's cursor can be looked into in no other way")]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let most = buf.remaining().min(RECEIVE_BYTES);
        if !this.first.is_empty() {
            buf.put_slice(&this.first.split_to(most.min(this.first.len())));
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(this.poll_rest(cx))?;
            let begins = this.lane.begins();
            // SAFETY: nothing is made uninitialised: the memory is only written to, through another `ReadBuf`.
            let space = unsafe { buf.as_mut() };
            let mut part = ReadBuf::uninit(space.get_mut(..most).unwrap_or_default());
            ready!(Pin::new(&mut this.io).poll_read(cx, part.unfilled()))?;
            let received = part.filled();
            if begins {
                let Head { asked, left } = parse(received);
                if let Some(asked) = asked.filter(|_| this.lane.may_answer())
                    && Scratch::lend(|scratch| this.answer(&asked, scratch.parts().1, cx))?
                {
                    this.in_a_row += 1;
                    // hyper would end a connection whose client takes an answer slowly.
                    if this.in_a_row < BACK_AFTER && this.rest.is_empty() {
                        continue;
                    }
                    // Nothing received is the end of a connection.
                    this.back = true;
                    return Poll::Ready(Ok(()));
                }
                this.in_a_row = 0;
                this.lane.hand(left);
            } else {
                this.lane.hand_more(received.len());
            }
            let received = received.len();
            // SAFETY: `part` was a prefix of the unfilled memory, and so many bytes of it are filled now.
            unsafe { buf.advance(received) };
            return Poll::Ready(Ok(()));
        }
    }
}

impl Write for QuickIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        self.lane.writing();
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        self.lane.writing();
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.lane.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.back {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_rest(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
