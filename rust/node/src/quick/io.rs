//! The stream under hyper that answers what it can before hyper sees it.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

use super::date::add_date;
use super::head::{Head, parse};
use super::lane::{Answered, Lane};
use crate::node::Node;
use crate::sendfile::SendfileIo;
use crate::target::hot::{Answer, Asked, MAX_BODY};

/// Most bytes read at once. hyper doubles its buffer while reads fill it, up to 408 KiB per connection. With reads
/// of this size it stops at 64 KiB, which stays in a processor's cache from the socket to the aligned buffer
/// that it is copied to, and below the size from which malloc returns the slow place 16 bytes into a page.
const RECEIVE_BYTES: usize = 60 << 10;
/// Where the kernel copies to fastest.
const PAGE: usize = 4096;

/// A plain connection.
pub(crate) struct QuickIo {
    io: SendfileIo,
    node: Arc<Node>,
    lane: Lane,
    /// What of an answer the socket has not taken yet.
    rest: Bytes,
}

/// What one worker writes answers to; what does not leave at once is copied.
struct Scratch {
    head: Vec<u8>,
    /// [`MAX_BODY`] bytes from a page's beginning on, somewhere within.
    body: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        const { RefCell::new(Scratch { head: Vec::new(), body: Vec::new() }) };
}

impl Scratch {
    /// Empty lines, and space for a body.
    fn parts(&mut self) -> (&mut Vec<u8>, &mut [u8]) {
        self.head.clear();
        self.body.resize(MAX_BODY + PAGE, 0);
        let start = Some(self.body.as_ptr().align_offset(PAGE)).filter(|n| *n < PAGE).unwrap_or(0);
        let body = self.body.get_mut(start..start + MAX_BODY).unwrap_or_default();
        (&mut self.head, body)
    }
}

impl QuickIo {
    /// Over `io`; `answered` is set when a body of hyper's answers has ended.
    pub(crate) fn new(io: SendfileIo, node: Arc<Node>, answered: Answered) -> Self {
        Self { io, node, lane: Lane::new(answered), rest: Bytes::new() }
    }

    /// Answers what is asked. `false`: that is hyper's to do.
    fn answer(&mut self, asked: &Asked<'_>, cx: &mut Context<'_>) -> io::Result<bool> {
        let Some(target) = self.node.quick_target() else { return Ok(false) };
        SCRATCH.with_borrow_mut(|scratch| {
            let (head, body) = scratch.parts();
            head.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
            let Some(written) = target.hot(asked, &mut Answer { head, body }) else {
                return Ok(false);
            };
            add_date(head);
            head.extend_from_slice(b"\r\n");
            let body = body.get(..written.length).unwrap_or_default();
            let slices = [IoSlice::new(head), IoSlice::new(body)];
            let sent = match Pin::new(&mut self.io).poll_write_vectored(cx, &slices) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => 0,
            };
            if sent < head.len() + body.len() {
                let mut rest = [&**head, body].concat();
                rest.drain(..sent);
                self.rest = written.permit.attach(rest.into());
            }
            Ok(true)
        })
    }

    /// Sends what is left of an answer.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest.advance(sent);
        }
        // Gives its memory back.
        self.rest = Bytes::new();
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
                    && this.answer(&asked, cx)?
                {
                    continue;
                }
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
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.lane.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
