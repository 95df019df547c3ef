//! The stream under hyper that writes files where it is given stand-ins.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::queue::{Entry, Queue, check, out_of_step, stand_in};

/// A TCP connection and the files queued on it.
pub(crate) struct SendfileIo {
    io: TokioIo<TcpStream>,
    queue: Arc<Queue>,
}

impl SendfileIo {
    /// Wraps a connection; bodies queue their files on `queue`.
    pub(crate) fn new(stream: TcpStream, queue: Arc<Queue>) -> Self {
        Self { io: TokioIo::new(stream), queue }
    }

    /// Belongs to the runtime that calls this from now on.
    pub(crate) fn change_runtime(&mut self) -> io::Result<()> {
        let same = self.io.inner().as_fd().try_clone_to_owned()?;
        self.io = TokioIo::new(TcpStream::from_std(same.into())?);
        Ok(())
    }

    /// Queues a file; what is returned stands for its bytes and must be written next.
    pub(crate) fn stand_in(&self, file: Arc<File>, offset: u64, length: u64) -> Bytes {
        self.queue.push(file, offset, length)
    }
}

impl Read for SendfileIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for SendfileIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        // hyper flattens bodies only when it is told not to use vectored writes. If that ever changed,
        // stand-ins would be copied as zeros: refuse.
        if !self.queue.lock().is_empty() {
            return Poll::Ready(Err(out_of_step()));
        }
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let mut queue = this.queue.lock();
        check(slices, &queue)?;
        if queue.is_empty() {
            drop(queue);
            return Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        }
        let stream = this.io.inner();
        loop {
            ready!(stream.poll_write_ready(cx))?;
            let mut sent = 0;
            // The closure's `WouldBlock` tells tokio to wait for the next readiness; it must be said
            // only where the socket said so, never for a short write.
            let written = stream
                .try_io(Interest::WRITABLE, || write_some(stream, slices, &mut queue, &mut sent));
            match written {
                Err(err) if sent == 0 && err.kind() == io::ErrorKind::WouldBlock => {}
                Err(err) if sent == 0 => return Poll::Ready(Err(err)),
                // An error after some bytes comes again with the next call.
                Ok(()) | Err(_) => return Poll::Ready(Ok(sent)),
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Writes slices in order until one is not taken whole, adding to `sent`.
fn write_some(
    stream: &TcpStream,
    slices: &[IoSlice<'_>],
    queue: &mut VecDeque<Entry>,
    sent: &mut usize,
) -> io::Result<()> {
    let mut rest = slices;
    while let Some(first) = rest.first() {
        let (whole, taken) = if stand_in(first).is_some() {
            let whole = first.len();
            let taken = send_file(stream, queue)?;
            rest = rest.get(1..).unwrap_or_default();
            (whole, taken)
        } else {
            let run = rest.iter().take_while(|slice| stand_in(slice).is_none()).count();
            let (memory, after) = rest.split_at(run);
            rest = after;
            let whole = memory.iter().map(|slice| slice.len()).sum();
            (whole, send_memory(stream, memory, !after.is_empty())?)
        };
        *sent += taken;
        if taken < whole {
            break;
        }
    }
    Ok(())
}

fn send_memory(stream: &TcpStream, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    let mut flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    // A head must not leave in a packet of its own when its payload follows at once.
    flags.set(SendFlags::MORE, more);
    loop {
        match rustix::net::sendmsg(stream, slices, &mut SendAncillaryBuffer::default(), flags) {
            Err(Errno::INTR) => {}
            sent => return Ok(sent?),
        }
    }
}

/// Sends from the file at the head of the queue, which is done when its stand-in is.
fn send_file(stream: &TcpStream, queue: &mut VecDeque<Entry>) -> io::Result<usize> {
    let entry = queue.front_mut().ok_or_else(out_of_step)?;
    loop {
        let mut position = entry.position();
        match rustix::fs::sendfile(stream, &entry.file, Some(&mut position), entry.left()) {
            Err(Errno::INTR) => {}
            Err(err) => return Err(err.into()),
            Ok(0) => {
                let message = "a stored payload is shorter than its index entry says";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
            }
            Ok(taken) => {
                entry.advance(taken);
                if entry.left() == 0 {
                    queue.pop_front();
                }
                return Ok(taken);
            }
        }
    }
}
