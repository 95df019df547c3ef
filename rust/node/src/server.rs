//! Connections: accepting, bounding, serving and draining them.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::Reply;
use crate::node::Node;
use crate::process::worker_threads;
use crate::quick::{Answered, QuickIo, Threads};
use crate::sendfile::{Outgoing, Queue, SendfileIo};

/// Connections served at once by one listener; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 8192;
/// Time for a request's head to arrive, and for a kept connection to be used again.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// Time that a client may leave sent bytes unacknowledged, or its window shut, before the connection
/// is given up. Generous, because a loader that pauses for a validation run is no enemy.
const STALL_TIMEOUT: Duration = Duration::from_mins(5);
/// What hyper gathers of an answer before it writes, and the longest head of a request. A plain connection sends
/// files; hyper's own default is as good as any.
const PLAIN_BUFFER_BYTES: usize = 8192 + 4096 * 100;
/// Over TLS all bodies are copied: less was measured to cost 7 to 50 % more of a processor. What an answer really
/// holds is bounded by its share of the memory budget; a request arrives in TLS records of 16 KiB, so the
/// buffer for those stays small.
const TLS_BUFFER_BYTES: usize = 2 << 20;
/// Pause after a failed accept: out of descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts and serves until the node stops. Returns at once; connections outlive the call.
pub(crate) fn serve(node: Arc<Node>, listener: TcpListener) {
    let tasks = node.ctx().tasks.clone();
    let server = Arc::new(Server { quick: quick_threads(&node), node });
    tasks.clone().spawn_until_stop(async move {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(permit) = permits.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, remote)) => {
                    let server = Arc::clone(&server);
                    tasks.spawn(async move { server.connection(stream, remote, permit).await });
                }
                Err(err) => {
                    tracing::warn!(error = %err, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
}

/// What all connections of a listener share.
struct Server {
    node: Arc<Node>,
    quick: Option<Threads>,
}

/// Only targets have what can be answered quickly. Without these threads the others do it, at a higher cost.
fn quick_threads(node: &Node) -> Option<Threads> {
    if !node.is_target() || node.ctx().tls.is_some() {
        return None;
    }
    let started = Threads::start(worker_threads());
    started.inspect_err(|err| tracing::warn!(error = %err, "no threads for quick answers")).ok()
}

impl Server {
    async fn connection(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
        _permit: OwnedSemaphorePermit,
    ) {
        let node = &self.node;
        // Small answers must not wait for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let stall = u32::try_from(STALL_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
        // The kernel counts while hyper waits for room to write, so no timer runs per request.
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, stall);
        let _open = Open::count(node);
        let Some(tls) = node.ctx().tls.clone() else {
            if let Err(err) = self.plain(stream, remote).await {
                tracing::debug!(%remote, error = %err, "connection ended early");
            }
            return;
        };
        let shaken = tokio::select! {
            shaken = tls.accept(stream) => shaken,
            () = node.ctx().tasks.stop().cancelled() => return,
        };
        match shaken {
            Ok(stream) => {
                let io = TokioIo::new(stream);
                requests(node, io, remote, TLS_BUFFER_BYTES, Outgoing::plain).await;
            }
            // Scanners and clients without our authority do this all day.
            Err(err) => tracing::debug!(%remote, error = %err, "no TLS handshake"),
        }
    }

    async fn plain(&self, stream: TcpStream, remote: SocketAddr) -> io::Result<()> {
        let queue = Arc::new(Queue::default());
        let answered = Answered::default();
        let io = SendfileIo::new(stream, Arc::clone(&queue));
        let mut io = QuickIo::new(io, Arc::clone(&self.node), answered.clone());
        let send = |reply| Outgoing::over(&queue, answered.clone(), reply);
        let stop = self.node.ctx().tasks.stop();
        loop {
            let goes_on = match &self.quick {
                Some(threads) => {
                    let (same, goes_on) = threads.alone(io, stop).await?;
                    io = same;
                    goes_on
                }
                None => io.alone(stop).await?,
            };
            if !goes_on {
                return Ok(());
            }
            requests(&self.node, &mut io, remote, PLAIN_BUFFER_BYTES, send).await;
            if !io.is_back() {
                return Ok(());
            }
        }
    }
}

/// One of the open connections.
struct Open<'a>(&'a Node);

impl<'a> Open<'a> {
    fn count(node: &'a Node) -> Self {
        node.ctx().metrics.connections.inc();
        Self(node)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.ctx().metrics.connections.dec();
    }
}

/// Serves one connection's requests to its end; `outgoing` says how it sends a reply, `buffer_bytes` how much of one
/// hyper gathers.
async fn requests(
    node: &Arc<Node>,
    io: impl Read + Write + Unpin,
    remote: SocketAddr,
    buffer_bytes: usize,
    outgoing: impl Fn(Reply) -> http::Response<Outgoing>,
) {
    let service = service_fn(|request| async {
        Ok::<_, Infallible>(outgoing(node.answer(request, remote).await))
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).writev(true);
    builder.max_buf_size(buffer_bytes);
    let served = builder.serve_connection(io, service);
    let mut served = std::pin::pin!(served);
    let stop = node.ctx().tasks.stop();
    let result = tokio::select! {
        // A request that was received already is seen before the stop.
        biased;
        result = served.as_mut() => result,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(err) = result {
        // Clients hang up whenever they like; worth a line only to someone who looks for it.
        tracing::debug!(%remote, error = %err, "connection ended early");
    }
}

/// Binds `address`; an error names the address and the remedy.
///
/// # Errors
///
/// Text for the operator.
pub(crate) fn bind(address: SocketAddr) -> Result<std::net::TcpListener, String> {
    let listener = std::net::TcpListener::bind(address).map_err(|err| match err.kind() {
        io::ErrorKind::AddrInUse => format!(
            "address {address} is in use by another process: stop it, or choose another with --listen HOST:PORT (port 0 takes any free one)"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "no permission to listen on {address}: choose a port above 1023 with --listen HOST:PORT"
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "{address} is not an address of this machine: choose another with --listen HOST:PORT"
        ),
        _ => format!("cannot listen on {address}: {err}"),
    })?;
    listener.set_nonblocking(true).map_err(|err| format!("listener {address}: {err}"))?;
    Ok(listener)
}
