//! One blocking HTTP/1.1 connection: a request out, the answer's head in, its body into any memory.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};

pub use super::link::Byte;
use super::link::Link;
use super::{TICK, Tick};

/// Read buffer: an answer's head and, of small objects, the whole body.
const BUFFER_BYTES: usize = 64 << 10;
/// Most headers of an answer.
const MAX_HEADERS: usize = 64;

/// Why a connection is of no further use.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The caller's check said so.
    Interrupted,
    /// Nothing moved for too long.
    Timeout,
    /// Closed, reset or otherwise failed.
    Io(#[expect(dead_code, reason = "shown by Debug")] io::Error),
    /// The answer is not HTTP as expected here.
    Malformed,
}

/// Head of an answer.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Length of the body, when announced.
    pub(crate) length: Option<u64>,
    pub(crate) reusable: bool,
}

/// An open connection, between requests or within one.
pub(crate) struct Conn {
    link: Link,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

/// Deadline of one wait, with the caller's check in between.
struct Watch<'a> {
    since: Instant,
    ticked: Instant,
    wait: Duration,
    tick: Tick<'a>,
}

impl<'a> Watch<'a> {
    fn new(wait: Duration, tick: Tick<'a>) -> Self {
        let now = Instant::now();
        Self { since: now, ticked: now, wait, tick }
    }

    /// Judges the outcome of one system call: bytes moved, or nothing yet.
    fn judge(&mut self, outcome: io::Result<usize>) -> Result<Option<usize>, Broken> {
        match outcome {
            Ok(0) => Err(Broken::Io(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => {
                self.since = Instant::now();
                // Also while bytes trickle in, each before the socket's own timeout.
                if self.since - self.ticked >= TICK {
                    self.ticked = self.since;
                    if !(self.tick)() {
                        return Err(Broken::Interrupted);
                    }
                }
                Ok(Some(count))
            }
            Err(e) => match e.kind() {
                io::ErrorKind::Interrupted
                | io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut => {
                    if !(self.tick)() {
                        return Err(Broken::Interrupted);
                    }
                    if self.since.elapsed() >= self.wait { Err(Broken::Timeout) } else { Ok(None) }
                }
                _ => Err(Broken::Io(e)),
            },
        }
    }
}

impl Conn {
    /// The socket of `link` has read and write timeouts of one tick.
    pub(crate) fn new(link: Link) -> Self {
        Self { link, buffer: vec![0; BUFFER_BYTES].into(), start: 0, end: 0 }
    }

    /// Bytes received and not consumed.
    pub(crate) fn buffered(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Sends a request and reads the head of its answer.
    pub(crate) fn exchange(
        &mut self,
        head: &[u8],
        body: &[u8],
        wait: Duration,
        tick: Tick<'_>,
    ) -> Result<Head, Broken> {
        // Something left over would be taken for the answer.
        if self.start != self.end {
            return Err(Broken::Io(io::ErrorKind::InvalidData.into()));
        }
        (self.start, self.end) = (0, 0);
        self.send(head, body, wait, tick)?;
        let mut watch = Watch::new(wait, tick);
        loop {
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            if room.is_empty() {
                return Err(Broken::Malformed);
            }
            let outcome = self.link.receive(room);
            if let Some(count) = watch.judge(outcome)? {
                self.end += count;
                while let Some((parsed, used)) = parse(self.buffered())? {
                    self.start += used;
                    // Interim answers precede the real one.
                    if parsed.status >= 200 {
                        return Ok(parsed);
                    }
                }
            }
        }
    }

    fn send(
        &mut self,
        head: &[u8],
        body: &[u8],
        wait: Duration,
        tick: Tick<'_>,
    ) -> Result<(), Broken> {
        let mut watch = Watch::new(wait, tick);
        let mut slices = [IoSlice::new(head), IoSlice::new(body)];
        let mut left = slices.as_mut_slice();
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let outcome = self.link.send(left);
            if let Some(count) = watch.judge(outcome)? {
                IoSlice::advance_slices(&mut left, count);
            }
        }
        while self.link.holds_back() {
            let outcome = self.link.push();
            watch.judge(outcome)?;
        }
        Ok(())
    }

    /// Fills `dst`; on failure also says how much of it was.
    pub(crate) fn read_exact<B: Byte>(
        &mut self,
        dst: &mut [B],
        wait: Duration,
        tick: Tick<'_>,
    ) -> Result<(), (Broken, u64)> {
        let mut done = B::store(dst, self.buffered());
        self.consume(done);
        let mut watch = Watch::new(wait, tick);
        while done < dst.len() {
            let outcome = self.link.receive(dst.get_mut(done..).unwrap_or_default());
            match watch.judge(outcome) {
                Ok(Some(count)) => done += count,
                Ok(None) => {}
                Err(broken) => return Err((broken, done as u64)),
            }
        }
        Ok(())
    }
}

/// Parses the head of an answer; `None` when more is needed, else with the bytes it took.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Broken> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(used) = response.parse(bytes).map_err(|_| Broken::Malformed)?
    else {
        return Ok(None);
    };
    let status = response.code.ok_or(Broken::Malformed)?;
    let mut headers = HeaderMap::with_capacity(response.headers.len());
    let (mut length, mut chunked) = (None, false);
    // HTTP/1.0 closes unless it says otherwise; it is not worth more here.
    let mut reusable = response.version == Some(1);
    for field in &*response.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Broken::Malformed)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| Broken::Malformed)?;
        if name == http::header::CONTENT_LENGTH {
            let parsed = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
            let parsed = parsed.ok_or(Broken::Malformed)?;
            if length.is_some_and(|known| known != parsed) {
                return Err(Broken::Malformed);
            }
            length = Some(parsed);
        } else if name == http::header::TRANSFER_ENCODING {
            chunked = true;
        } else if name == http::header::CONNECTION {
            reusable &= !value.as_bytes().eq_ignore_ascii_case(b"close");
        }
        headers.append(name, value);
    }
    if chunked {
        length = None;
    }
    Ok(Some((Head { status, headers, length, reusable }, used)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_parsed_with_their_framing() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nAis-Version: 3\r\n\r\nhello";
        let (head, used) = parse(text).unwrap().unwrap();
        assert_eq!((head.status, head.length, head.reusable), (200, Some(5), true));
        assert_eq!(&text[used..], b"hello");
        assert!(parse(&text[..20]).unwrap().is_none());
        let close = b"HTTP/1.1 200 OK\r\nconnection: Close\r\ntransfer-encoding: chunked\r\n\r\n";
        let (head, _) = parse(close).unwrap().unwrap();
        assert_eq!((head.length, head.reusable), (None, false));
    }

    #[test]
    fn lies_about_the_length_are_refused() {
        for text in [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
            "SMTP ready\r\n\r\n",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
