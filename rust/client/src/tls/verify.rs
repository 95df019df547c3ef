//! Whose certificates are accepted.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::TlsError;

/// Judges the certificate of a server, which must hold its key in any case.
#[derive(Debug)]
pub(super) struct Verifier {
    accepted: Accepted,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Accepted {
    /// Whoever answers.
    Anyone,
    /// The usual rules, and one more: a certificate that is itself listed as trusted is good for the names
    /// it holds. Self-made certificates of small clusters are their own authority; OpenSSL takes them too.
    Trusted {
        /// `None` without a single authority: then only listed certificates are good.
        usual: Option<Arc<WebPkiServerVerifier>>,
        listed: Vec<CertificateDer<'static>>,
    },
}

impl Verifier {
    /// Accepts whoever answers.
    pub(super) fn anyone(provider: Arc<CryptoProvider>) -> Self {
        Self { accepted: Accepted::Anyone, provider }
    }

    /// Accepts what these authorities signed, and the certificates that are listed.
    pub(super) fn trusted(
        provider: Arc<CryptoProvider>,
        roots: RootCertStore,
        listed: Vec<CertificateDer<'static>>,
    ) -> Result<Self, TlsError> {
        let usual = if roots.is_empty() {
            None
        } else {
            let built =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            let built = built.build();
            Some(built.map_err(|err| TlsError(format!("cannot set up TLS: {err}")))?)
        };
        Ok(Self { accepted: Accepted::Trusted { usual, listed }, provider })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Accepted::Trusted { usual, listed } = &self.accepted else {
            return Ok(ServerCertVerified::assertion());
        };
        if listed.iter().any(|listed| listed == end_entity) {
            check_time(end_entity, now)?;
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        match usual {
            Some(usual) => usual
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|err| match err {
                    // Its own authority, and nobody listed it.
                    Error::InvalidCertificate(CertificateError::Other(_)) => {
                        CertificateError::UnknownIssuer.into()
                    }
                    err => err,
                }),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn check_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < parsed.validity().not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > parsed.validity().not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}
