//! Whether sending files works on this machine, asked once at start.
//!
//! The way relies on how hyper hands out its buffers. Should an update change that, connections would
//! close where files are to be sent; so a node first sends one to itself and copies if that fails.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Queue, SendfileIo};

const FILE_BYTES: usize = 300_000;
/// Odd, so that windows start anywhere in a page.
const WINDOW: usize = 70_001;
/// Sent one behind the other without waiting, the last of which ends the connection.
const REQUESTS: &[u8] =
    b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
const DEADLINE: Duration = Duration::from_secs(5);

/// Sends a file that lies in `directory` over loopback, twice, and compares what arrives.
pub(crate) async fn works_in(directory: &Path) -> Result<(), String> {
    let directory = directory.to_owned();
    let made = tokio::task::spawn_blocking(move || make_file(&directory)).await;
    let made = made.map_err(io::Error::other).flatten();
    let (file, content) = made.map_err(|err| format!("cannot write a file to send: {err}"))?;
    let arrived = tokio::time::timeout(DEADLINE, exchange(Arc::new(file))).await;
    let arrived = arrived.map_err(|_| "it never arrived".to_owned())?;
    let arrived = arrived.map_err(|err| err.to_string())?;
    let bodies: Vec<&[u8]> = split_bodies(&arrived);
    match bodies.as_slice() {
        [first, second] if *first == content && *second == content => Ok(()),
        _ => Err("what arrived is not what was sent".to_owned()),
    }
}

fn make_file(directory: &Path) -> io::Result<(File, Vec<u8>)> {
    let content: Vec<u8> = (0..FILE_BYTES).map(|i| (i % 251 + 1).to_le_bytes()[0]).collect();
    let mut file = tempfile::tempfile_in(directory)?;
    file.write_all(&content)?;
    Ok((file, content))
}

async fn exchange(file: Arc<File>) -> io::Result<Vec<u8>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let mut client = TcpStream::connect(listener.local_addr()?).await?;
    let own = client.local_addr()?;
    let (server, remote) = listener.accept().await?;
    if remote != own {
        return Err(io::Error::other("somebody else connected"));
    }
    let queue = Arc::new(Queue::default());
    let io = SendfileIo::new(server, Arc::clone(&queue));
    let service = service_fn(|_| {
        let reply = reply(Arc::clone(&queue), Arc::clone(&file));
        async { Ok::<_, Infallible>(reply) }
    });
    let mut builder = http1::Builder::new();
    builder.writev(true);
    let serve = builder.serve_connection(io, service);
    let ask = async {
        client.write_all(REQUESTS).await?;
        let mut arrived = Vec::new();
        client.read_to_end(&mut arrived).await?;
        Ok::<_, io::Error>(arrived)
    };
    let (end, arrived) = tokio::join!(serve, ask);
    end.map_err(io::Error::other)?;
    arrived
}

type TestBody = StreamBody<futures_util::stream::BoxStream<'static, io::Result<Frame<Bytes>>>>;

fn reply(queue: Arc<Queue>, file: Arc<File>) -> http::Response<TestBody> {
    let windows = (0..FILE_BYTES).step_by(WINDOW).map(move |start| {
        let length = WINDOW.min(FILE_BYTES - start);
        Ok(Frame::data(queue.push(Arc::clone(&file), start as u64, length as u64)))
    });
    let stream: futures_util::stream::BoxStream<'static, _> =
        Box::pin(futures_util::stream::iter(windows));
    let mut reply = http::Response::new(StreamBody::new(stream));
    reply.headers_mut().insert(CONTENT_LENGTH, FILE_BYTES.into());
    reply
}

/// The bodies of the answers, which are all of one length.
fn split_bodies(mut arrived: &[u8]) -> Vec<&[u8]> {
    const END_OF_HEAD: &[u8] = b"\r\n\r\n";
    let mut bodies = Vec::new();
    while let Some(head) = arrived.windows(END_OF_HEAD.len()).position(|w| w == END_OF_HEAD) {
        let rest = arrived.get(head + END_OF_HEAD.len()..).unwrap_or_default();
        let (body, after) = rest.split_at(FILE_BYTES.min(rest.len()));
        bodies.push(body);
        arrived = after;
    }
    bodies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_passes_here_and_notices_wrong_bytes() {
        works_in(Path::new(env!("CARGO_MANIFEST_DIR"))).await.unwrap();
        works_in(Path::new("/nowhere")).await.unwrap_err();
        let head = b"HTTP/1.1 200 OK\r\n\r\n";
        let answer = [&head[..], &vec![7; FILE_BYTES]].concat();
        let both = answer.repeat(2);
        assert_eq!(split_bodies(&both).len(), 2);
        assert!(split_bodies(&both).iter().all(|body| body.len() == FILE_BYTES));
    }
}
