//! TLS: what is trusted, who we are, and connections that may be encrypted.
//!
//! Used by the client and, between nodes, by the server.

mod connector;
mod stream;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

pub(crate) use self::connector::server_name;
pub use self::connector::{Connecting, Connector};
pub use self::stream::MaybeTls;

/// Where systems keep the certificates they trust, the first that exists being used.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Environment variable that names another bundle, as for OpenSSL.
const SYSTEM_BUNDLE_ENV: &str = "SSL_CERT_FILE";

/// Settings for connections to `https://` nodes. Plain data; files are read on first use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsOptions {
    /// File of trusted certificates (PEM), or a folder of such files, in place of the system's.
    pub ca: Option<PathBuf>,
    /// Trust the system's certificates besides those of `ca`.
    pub system_too: bool,
    /// Files of our own certificate chain and its key, for nodes that ask for one.
    pub client_cert: Option<(PathBuf, PathBuf)>,
    /// Accept any certificate. For tests only: whoever is on the way can read and change everything.
    pub skip_verify: bool,
}

/// A file that cannot be used; the text names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(pub String);

/// What reading the settings came to.
type Built = Result<Arc<ClientConfig>, TlsError>;

/// TLS settings, read when first needed. Clones share what was read.
#[derive(Clone)]
pub struct Tls {
    options: Arc<TlsOptions>,
    built: Arc<Mutex<Option<Built>>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Tls {
    /// Settings to be read on first use.
    pub fn new(options: TlsOptions) -> Self {
        Self { options: Arc::new(options), built: Arc::default() }
    }

    /// Ready settings; reads files on the first call.
    ///
    /// # Errors
    ///
    /// A file that is missing, unreadable or holds no certificate.
    pub fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        built.get_or_insert_with(|| client_config(&self.options, &[])).clone()
    }

    /// Reads the files again and trusts `certificates` too, from the next connection on.
    ///
    /// # Errors
    ///
    /// As [`Tls::config`]; what was in use stays in use.
    pub fn trust(&self, certificates: &[CertificateDer<'static>]) -> Result<(), TlsError> {
        let config = client_config(&self.options, certificates)?;
        *self.built.lock().unwrap_or_else(PoisonError::into_inner) = Some(Ok(config));
        Ok(())
    }
}

/// The one provider of cryptography in this workspace.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}

fn client_config(
    options: &TlsOptions,
    own: &[CertificateDer<'static>],
) -> Result<Arc<ClientConfig>, TlsError> {
    let failed = |err: rustls::Error| TlsError(format!("cannot set up TLS: {err}"));
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous();
    let verifier: Arc<dyn rustls::client::danger::ServerCertVerifier> = if options.skip_verify {
        Arc::new(verify::Verifier::anyone(provider()))
    } else {
        let mut trusted = own.to_vec();
        if let Some(path) = &options.ca {
            trusted.extend(read_trusted(path)?);
        }
        let system = options.ca.is_none() || options.system_too;
        Arc::new(verify::Verifier::trusted(provider(), roots(&trusted, system), trusted)?)
    };
    let builder = builder.with_custom_certificate_verifier(verifier);
    let mut config = match &options.client_cert {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let pair = builder.with_client_auth_cert(read_chain(cert)?, read_key(key)?);
            pair.map_err(|err| {
                let (cert, key) = (cert.display(), key.display());
                TlsError(format!("client certificate {cert} with key {key}: {err}"))
            })?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Certificates to trust: the given ones and, if wished for, the system's, else the web's usual ones.
fn roots(trusted: &[CertificateDer<'static>], system: bool) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    if system {
        let named = std::env::var_os(SYSTEM_BUNDLE_ENV).map(PathBuf::from);
        let mut bundle = named.into_iter().chain(SYSTEM_BUNDLES.map(PathBuf::from));
        let found = bundle.find_map(|path| read_chain(&path).ok());
        match found {
            Some(certificates) => drop(roots.add_parsable_certificates(certificates)),
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
    }
    roots
}

fn read_trusted(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    if !path.is_dir() {
        return read_chain(path);
    }
    let bad = |err| TlsError(format!("cannot read the folder {}: {err}", path.display()));
    let mut all = Vec::new();
    for entry in std::fs::read_dir(path).map_err(bad)? {
        // Other files may lie beside the certificates.
        all.extend(read_chain(&entry.map_err(bad)?.path()).unwrap_or_default());
    }
    if all.is_empty() {
        return Err(TlsError(format!("no certificate (PEM) in the folder {}", path.display())));
    }
    Ok(all)
}

/// Reads a file of one or more certificates in PEM form.
///
/// # Errors
///
/// Names the file.
pub fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let name = path.display();
    let bad =
        |err: pem::Error| TlsError(format!("cannot read certificates from {name}: {}", said(&err)));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(bad)?.collect();
    let chain = chain.map_err(bad)?;
    if chain.is_empty() {
        return Err(TlsError(format!("{name} holds no certificate: a PEM file is expected")));
    }
    Ok(chain)
}

/// Reads a private key in PEM form.
///
/// # Errors
///
/// Names the file.
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let name = path.display();
    PrivateKeyDer::from_pem_file(path).map_err(|err| match err {
        pem::Error::NoItemsFound => TlsError(format!(
            "{name} holds no private key: an unencrypted PEM file (PKCS #8, PKCS #1 or SEC 1) is expected"
        )),
        err => TlsError(format!("cannot read a private key from {name}: {}", said(&err))),
    })
}

fn said(err: &pem::Error) -> String {
    match err {
        pem::Error::Io(err) => err.to_string(),
        other => other.to_string(),
    }
}

/// What to say about a failed handshake: the reason and, where there is one, the remedy.
pub fn explain(err: &rustls::Error) -> String {
    use rustls::CertificateError as C;
    match err {
        rustls::Error::InvalidCertificate(C::UnknownIssuer) => {
            "its certificate is not signed by a trusted authority: name the authority's file (ca_cert, AIS_CLIENT_CA or, for a node, --tls-ca)".to_owned()
        }
        rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            "its certificate is for another host name: use a name or address that the certificate lists".to_owned()
        }
        rustls::Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
            "its certificate has expired: renew it".to_owned()
        }
        rustls::Error::InvalidMessage(_) => {
            format!("{err}; it may speak plain HTTP: try http://")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
