//! A cluster that does what a test tells it: real sockets, answers from a closure.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use aistore_client::{Client, ClientConfig};
use aistore_core::bucket::Bucket;
use aistore_core::smap::{NetInfo, NodeKind, Smap, Snode};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// One request as the closure sees it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// First and last byte of the wanted range.
    pub fn range(&self) -> Option<(u64, u64)> {
        let (a, b) = self.header("range").strip_prefix("bytes=")?.split_once('-')?;
        Some((a.parse().unwrap(), b.parse().unwrap_or(u64::MAX)))
    }
}

/// Pieces of a body; an end before `announced` breaks the connection.
pub struct Pieces {
    pub announced: Option<u64>,
    pub left: Vec<Bytes>,
    pub cut: bool,
    pub delay: u32,
    /// Value of the trailer at the end; empty for one of another name.
    pub mark: Option<&'static str>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if !self.left.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(self.left.remove(0)))));
        }
        if self.cut && self.delay > 0 {
            // Lets what was announced and sent so far get out.
            self.delay -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(mark) = self.mark.take() {
            let mut trailers = http::HeaderMap::new();
            trailers.insert("ais-batch-end", mark.parse().unwrap());
            if mark.is_empty() {
                trailers.clear();
            }
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        if self.cut {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && !self.cut && self.mark.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.announced.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

pub type Answer = Option<Response<Pieces>>;

/// An answer with a body.
pub fn answer(status: u16, body: impl Into<Bytes>) -> Response<Pieces> {
    let body = body.into();
    let announced = Some(body.len() as u64);
    let pieces = if body.is_empty() { vec![] } else { vec![body] };
    let mut response =
        Response::new(Pieces { announced, left: pieces, cut: false, delay: 0, mark: None });
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

pub fn with(mut response: Response<Pieces>, name: &'static str, value: &str) -> Response<Pieces> {
    response.headers_mut().insert(name, value.parse().unwrap());
    response
}

/// An error as the cluster words it.
pub fn error(status: u16, tcode: &str, message: &str) -> Response<Pieces> {
    let body = serde_json::json!({"tcode": tcode, "message": message, "status": status});
    answer(status, body.to_string())
}

/// An answer that announces `announced` bytes and breaks off after `body`.
pub fn broken(announced: u64, body: impl Into<Bytes>) -> Response<Pieces> {
    Response::new(Pieces {
        announced: Some(announced),
        left: vec![body.into()],
        cut: true,
        delay: 3,
        mark: None,
    })
}

/// A node on a port of its own.
#[derive(Clone)]
pub struct Server {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Serves what `handler` says; `None` closes the connection without an answer.
    pub async fn start(handler: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (log, handler) = (seen.clone(), Arc::new(handler));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let (log, handler) = (log.clone(), handler.clone());
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let (log, handler) = (log.clone(), handler.clone());
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
                        let seen = Seen {
                            method: head.method.to_string(),
                            path: head.uri.path().to_owned(),
                            query: head.uri.query().unwrap_or_default().to_owned(),
                            headers: head.headers,
                            body,
                        };
                        let count = {
                            let mut log = log.lock().unwrap();
                            log.push(seen.clone());
                            log.len()
                        };
                        handler(&seen, count).ok_or_else(|| io::Error::other("hang up"))
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
            Ok::<_, Infallible>(())
        });
        Self { url, seen }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Requests whose path starts with `prefix`.
    pub fn count(&self, prefix: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path.starts_with(prefix)).count()
    }
}

/// A map of the given targets.
pub fn map(version: u64, gateway: &str, targets: &[&str]) -> Smap {
    let net = |url: &str| {
        let address: std::net::SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
        NetInfo::http(&address.ip().to_string(), address.port())
    };
    let gateway = Snode::new("gateway0", NodeKind::Gateway, net(gateway));
    let nodes = targets.iter().enumerate().map(|(i, url)| {
        let node = Snode::new(&format!("target{i}"), NodeKind::Target, net(url));
        (node.daemon_id.clone(), node)
    });
    Smap {
        pmap: [(gateway.daemon_id.clone(), gateway.clone())].into(),
        proxy_si: gateway,
        tmap: nodes.collect(),
        uuid: "cluster".into(),
        version,
        ..Smap::default()
    }
}

/// A gateway that knows the targets and otherwise does what `handler` says.
pub async fn gateway(
    targets: &[&Server],
    handler: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static,
) -> Server {
    let urls: Vec<String> = targets.iter().map(|target| target.url.clone()).collect();
    let versions = std::sync::atomic::AtomicU64::new(1);
    Server::start(move |seen, count| {
        if seen.path == "/v1/daemon" {
            let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
            let version = versions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let map = map(version, "http://127.0.0.1:1", &urls);
            return Some(answer(200, serde_json::to_vec(&map).unwrap()));
        }
        handler(seen, count)
    })
    .await
}

/// A client with short waits.
pub fn client(gateway: &Server) -> Client {
    let mut config = ClientConfig::new(gateway.url.clone());
    config.read_timeout = Some(std::time::Duration::from_millis(700));
    config.attempts = 4;
    config.patience = std::time::Duration::from_millis(300);
    Client::new(config).unwrap()
}

pub fn bucket() -> Bucket {
    Bucket::ais("b")
}

pub fn nothing(_: &Seen, _: usize) -> Answer {
    Some(error(404, "", "no such path"))
}
