//! Certificates for embedded clusters.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// PEM texts of an authority, of a certificate for the names that it signed, and of that one's key.
///
/// The authority's key is not kept: it signs nothing else.
#[pyfunction]
pub(crate) fn make_certificate(names: Vec<String>) -> PyResult<(String, String, String)> {
    made(names).map_err(|error| PyValueError::new_err(format!("no certificate made: {error}")))
}

fn made(names: Vec<String>) -> Result<(String, String, String), rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "aistore local cluster authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_key = KeyPair::generate()?;
    let trusted = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let mut node = CertificateParams::new(names)?;
    node.distinguished_name.push(DnType::CommonName, "aistore local cluster");
    node.use_authority_key_identifier_extension = true;
    node.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    node.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let node_key = KeyPair::generate()?;
    let signed = node.signed_by(&node_key, &issuer)?;
    Ok((trusted.pem(), signed.pem(), node_key.serialize_pem()))
}
