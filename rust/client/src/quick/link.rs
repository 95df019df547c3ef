//! The bytes below HTTP: a socket, or a TLS session over one, into any memory.

use std::io::{self, BufRead as _, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, recv};
use rustls::{ClientConfig, ClientConnection};

use super::Tick;
use crate::tls::server_name;

/// Encrypted bytes read at once; a record has at most 16 KiB.
const TLS_READ_BYTES: usize = 64 << 10;

/// Memory that can be received into: bytes, or room for bytes.
pub trait Byte: Sized + Send + sealed::Receive {}

impl Byte for u8 {}
impl Byte for MaybeUninit<u8> {}

mod sealed {
    use super::{MaybeUninit, RecvFlags, TcpStream, io, recv};

    /// What differs between bytes and room for bytes.
    pub trait Receive: Sized {
        /// Receives up to `dst.len()` bytes into the front of `dst`.
        fn receive(dst: &mut [Self], stream: &TcpStream) -> io::Result<usize>;
        /// Copies as much as fits into the front of `dst`; returns how much that was.
        fn store(dst: &mut [Self], from: &[u8]) -> usize;
    }

    impl Receive for u8 {
        fn receive(dst: &mut [Self], stream: &TcpStream) -> io::Result<usize> {
            Ok(recv(stream, dst, RecvFlags::empty())?.0)
        }

        fn store(dst: &mut [Self], from: &[u8]) -> usize {
            let count = dst.len().min(from.len());
            if let (Some(to), Some(from)) = (dst.get_mut(..count), from.get(..count)) {
                to.copy_from_slice(from);
            }
            count
        }
    }

    impl Receive for MaybeUninit<u8> {
        fn receive(dst: &mut [Self], stream: &TcpStream) -> io::Result<usize> {
            let ((filled, _), _) = recv(stream, dst, RecvFlags::empty())?;
            Ok(filled.len())
        }

        fn store(dst: &mut [Self], from: &[u8]) -> usize {
            let count = dst.len().min(from.len());
            if let (Some(to), Some(from)) = (dst.get_mut(..count), from.get(..count)) {
                to.write_copy_of_slice(from);
            }
            count
        }
    }
}

/// One open connection to a node.
pub(crate) enum Link {
    /// `http://`: received straight into the caller's memory.
    Plain(TcpStream),
    /// `https://`: decrypted, then copied.
    Tls(Box<Session>),
}

/// A TLS session and its socket.
pub(crate) struct Session {
    session: ClientConnection,
    socket: Socket,
}

/// Reads much at once, writes straight through.
struct Socket(BufReader<TcpStream>);

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.get_ref().write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_ref().write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link {
    /// Shakes hands over `stream`, whose read and write timeouts are one tick.
    ///
    /// # Errors
    ///
    /// A certificate that is not trusted, a host that is no name, no handshake within `wait`.
    pub(crate) fn encrypted(
        stream: TcpStream,
        config: Arc<ClientConfig>,
        host: &str,
        wait: Duration,
        tick: Tick<'_>,
    ) -> io::Result<Self> {
        let mut session =
            ClientConnection::new(config, server_name(host)?).map_err(io::Error::other)?;
        let mut socket = Socket(BufReader::with_capacity(TLS_READ_BYTES, stream));
        let began = Instant::now();
        while session.is_handshaking() {
            if let Err(err) = session.complete_io(&mut socket) {
                let passing =
                    matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                if !passing || began.elapsed() >= wait || !tick() {
                    return Err(err);
                }
            }
        }
        Ok(Self::Tls(Box::new(Session { session, socket })))
    }

    /// Receives up to `dst.len()` bytes into the front of `dst`; 0 is the end.
    pub(crate) fn receive<B: Byte>(&mut self, dst: &mut [B]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => B::receive(dst, stream),
            Self::Tls(tls) => tls.receive(dst),
        }
    }

    /// Takes some of the bytes; they are on their way once nothing is held back.
    pub(crate) fn send(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write_vectored(bufs),
            Self::Tls(tls) => {
                while tls.session.wants_write() {
                    tls.session.write_tls(&mut tls.socket)?;
                }
                tls.session.writer().write_vectored(bufs)
            }
        }
    }

    /// Whether bytes were taken and not sent.
    pub(crate) fn holds_back(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.session.wants_write(),
        }
    }

    /// Sends some of what is held back.
    pub(crate) fn push(&mut self) -> io::Result<usize> {
        match self {
            Self::Plain(_) => Ok(0),
            Self::Tls(tls) => tls.session.write_tls(&mut tls.socket),
        }
    }
}

impl Session {
    fn receive<B: Byte>(&mut self, dst: &mut [B]) -> io::Result<usize> {
        loop {
            let mut reader = self.session.reader();
            match reader.fill_buf() {
                Ok(ready) => {
                    // Nothing there is the orderly end.
                    let count = B::store(dst, ready);
                    reader.consume(count);
                    return Ok(count);
                }
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                Err(err) => return Err(err),
            }
            self.session.read_tls(&mut self.socket)?;
            self.session.process_new_packets().map_err(io::Error::other)?;
        }
    }
}
