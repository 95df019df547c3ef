//! Just enough HTTP/1.1 to ask and to read the whole answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A prepared request.
pub struct Request {
    pub host: String,
    pub head: Vec<u8>,
}

/// What all requests of a run have in common.
pub struct Shape {
    /// Whether answers have no body, whatever their length says.
    pub head_only: bool,
    /// Bytes that follow each head, sent from one block again and again.
    pub body: u64,
    pub block: Vec<u8>,
}

pub type Socket = BufReader<TcpStream>;

pub fn connect(host: &str) -> io::Result<Socket> {
    let stream = TcpStream::connect(host)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(BufReader::with_capacity(256 << 10, stream))
}

fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// One request; returns the bytes of the bodies of both sides. Fails on any status but 200.
pub fn exchange(
    socket: &mut Socket,
    head: &[u8],
    shape: &Shape,
    scratch: &mut [u8],
) -> io::Result<u64> {
    send(socket.get_mut(), head, shape)?;
    let mut line = String::new();
    socket.read_line(&mut line)?;
    let status = line.trim_end().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        if socket.read_line(&mut line)? == 0 {
            return Err(bad("connection closed in the head"));
        }
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        if let Some((name, value)) = text.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse::<u64>().map_err(|_| bad("a bad content-length"))?;
        }
    }
    let mut rest = if shape.head_only { 0 } else { length };
    let total = rest + shape.body;
    while rest > 0 {
        let want = usize::try_from(rest).unwrap_or(usize::MAX).min(scratch.len());
        let got = socket.read(&mut scratch[..want])?;
        if got == 0 {
            return Err(bad("connection closed in the body"));
        }
        rest -= got as u64;
    }
    if status.split(' ').nth(1) == Some("200") { Ok(total) } else { Err(bad(status)) }
}

fn send(stream: &mut TcpStream, head: &[u8], shape: &Shape) -> io::Result<()> {
    let mut rest = shape.body;
    if rest <= shape.block.len() as u64 {
        // One call for all, as a client does that has the body at hand.
        let body = &shape.block[..usize::try_from(rest).unwrap_or(0)];
        return stream.write_all(&[head, body].concat());
    }
    stream.write_all(head)?;
    while rest > 0 {
        let now = usize::try_from(rest).unwrap_or(usize::MAX).min(shape.block.len());
        stream.write_all(&shape.block[..now])?;
        rest -= now as u64;
    }
    Ok(())
}
