//! Serving `https://`: the node's certificate, and handshakes within bounds.

mod facts;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aistore_client::tls::{TlsError, provider, read_chain, read_key};
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Time for a handshake, the wait for its turn included.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes at once: each costs a signature, and must not starve the requests under way.
const MAX_HANDSHAKES: usize = 256;
/// Own certificates that peers may still show: the current one and those before it.
const MAX_TRUSTED_CHAINS: usize = 3;
/// First byte of a TLS handshake; anything else is another protocol.
const HANDSHAKE_RECORD: u8 = 0x16;
/// What a client that speaks plain HTTP is told.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 50\r\nconnection: close\r\n\r\nthis node serves https only: use an https:// URL.\n";

/// The certificate of this process and the handshakes that show it.
pub struct ServerTls {
    cert: PathBuf,
    key: PathBuf,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
    handshakes: Semaphore,
    /// When the files were changed last, as of the last reading.
    seen: Mutex<[Option<SystemTime>; 2]>,
    /// Chains in use lately, newest first.
    chains: Mutex<Vec<Vec<CertificateDer<'static>>>>,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("cert", &self.cert).finish_non_exhaustive()
    }
}

/// The key to show, replaced on reload.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ServerTls {
    /// Reads a certificate chain and its key. Blocks.
    ///
    /// # Errors
    ///
    /// A file that is missing or no PEM, a key that does not fit, a certificate that is not valid now.
    pub fn open(cert: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let seen = changed(&cert, &key);
        let pair = Arc::new(load(&cert, &key)?);
        let chain = pair.cert.clone();
        let current = Arc::new(Current(ArcSwap::new(pair)));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|err| TlsError(format!("cannot set up TLS: {err}")))?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            cert,
            key,
            current,
            config: Arc::new(config),
            handshakes: Semaphore::new(MAX_HANDSHAKES),
            seen: Mutex::new(seen),
            chains: Mutex::new(vec![chain]),
        })
    }

    /// Whether a file has changed since it was read. Blocks.
    pub fn has_changed(&self) -> bool {
        changed(&self.cert, &self.key) != *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files again; new connections are shown the new certificate. Blocks.
    ///
    /// # Errors
    ///
    /// As [`ServerTls::open`]; the old certificate then stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let seen = changed(&self.cert, &self.key);
        // Also after a failure: one line in the log per change of the files is enough.
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        let pair = Arc::new(load(&self.cert, &self.key)?);
        let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        if chains.first() != Some(&pair.cert) {
            chains.insert(0, pair.cert.clone());
            chains.truncate(MAX_TRUSTED_CHAINS);
        }
        drop(chains);
        self.current.0.store(pair);
        Ok(())
    }

    /// Certificates that peers with the same files may show.
    pub fn trusted(&self) -> Vec<CertificateDer<'static>> {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner).concat()
    }

    /// What there is to know about the certificate in use, by property.
    pub fn facts(&self) -> BTreeMap<String, String> {
        let pair = self.current.0.load();
        match pair.cert.first().map(|leaf| facts::read(leaf)) {
            Some(Ok(facts)) => facts.properties(SystemTime::now()),
            Some(Err(text)) => BTreeMap::from([("error".to_owned(), text)]),
            None => BTreeMap::from([("error".to_owned(), "no certificate is loaded".to_owned())]),
        }
    }

    /// Shakes hands with a new connection, within bounds of time and number. Cancel safe.
    ///
    /// # Errors
    ///
    /// What the client did wrong, or that it took too long.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let shake = async {
            // Who says nothing holds no turn.
            let mut first = [0];
            if stream.peek(&mut first).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if first[0] != HANDSHAKE_RECORD {
                return Err(refuse_plain(stream).await);
            }
            let _turn = self.handshakes.acquire().await.map_err(io::Error::other)?;
            TlsAcceptor::from(self.config.clone()).accept(stream).await
        };
        tokio::time::timeout(HANDSHAKE_TIMEOUT, shake)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Tells a client of another protocol, most likely HTTP, what to use.
async fn refuse_plain(mut stream: TcpStream) -> io::Error {
    let mut request = [0; 4096];
    // Unread bytes would turn the close into a reset that takes the answer with it.
    let _ = stream.try_read(&mut request);
    let _ = stream.write_all(PLAIN_HTTP).await;
    let _ = stream.shutdown().await;
    io::Error::new(io::ErrorKind::InvalidData, "the client does not speak TLS")
}

fn changed(cert: &Path, key: &Path) -> [Option<SystemTime>; 2] {
    [cert, key].map(|path| path.metadata().and_then(|meta| meta.modified()).ok())
}

fn load(cert: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let (chain, private) = (read_chain(cert)?, read_key(key)?);
    let (cert_name, key_name) = (cert.display(), key.display());
    let leaf = chain.first().map(|leaf| facts::read(leaf));
    let facts = leaf
        .unwrap_or_else(|| Err("it is empty".to_owned()))
        .map_err(|err| TlsError(format!("cannot use the certificate {cert_name}: {err}")))?;
    facts
        .check(SystemTime::now())
        .map_err(|err| TlsError(format!("cannot use the certificate {cert_name}: {err}")))?;
    CertifiedKey::from_der(chain, private, &provider()).map_err(|err| match err {
        rustls::Error::InconsistentKeys(_) => TlsError(format!(
            "the key {key_name} does not belong to the certificate {cert_name}: name the pair that was made together"
        )),
        err => TlsError(format!("cannot use the key {key_name} with {cert_name}: {err}")),
    })
}

#[cfg(test)]
mod tests;
