//! Opens connections: TCP and, for `https://`, the handshake, both with a deadline.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::{MaybeTls, Tls};
use crate::error::BoxError;

/// Connects to nodes by their URLs; cheap to clone.
#[derive(Debug, Clone)]
pub struct Connector {
    tcp: HttpConnector,
    tls: Tls,
    handshake_wait: Duration,
}

/// A connection that is being opened.
pub type Connecting = Pin<Box<dyn Future<Output = Result<MaybeTls, BoxError>> + Send>>;

impl Connector {
    /// Connections within `wait` each for TCP and for the handshake.
    pub fn new(tls: Tls, wait: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(wait));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        Self { tcp, tls, handshake_wait: wait }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeTls;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let encrypted = uri.scheme() == Some(&Scheme::HTTPS);
        let name = encrypted.then(|| server_name(uri.host().unwrap_or_default()));
        let (tls, wait) = (self.tls.clone(), self.handshake_wait);
        let opening = self.tcp.call(uri);
        Box::pin(async move {
            let Some(name) = name else { return Ok(MaybeTls::Plain(opening.await?)) };
            let name = name?;
            let config = tls.config()?;
            let tcp = opening.await?.into_inner();
            let handshake = TlsConnector::from(config).connect(name, tcp);
            let stream = tokio::time::timeout(wait, handshake).await.map_err(|_| {
                let text = format!("no TLS handshake within {:.1} s", wait.as_secs_f64());
                io::Error::new(io::ErrorKind::TimedOut, text)
            })??;
            Ok(MaybeTls::Tls(Box::new(TokioIo::new(stream))))
        })
    }
}

/// The name that the node's certificate must be for; addresses too.
pub(crate) fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned()).map_err(|err| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("host \"{host}\": {err}"))
    })
}
