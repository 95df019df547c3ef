//! What a certificate says.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Days before the end of validity from which on a certificate is worth a warning.
const SOON_DAYS: i64 = 3;
const SECONDS_PER_DAY: i64 = 86_400;

/// The parts of a certificate that people ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    version: String,
    serial: String,
    subject: String,
    issuer: String,
    names: String,
    signature: String,
    public_key: String,
    not_before: (i64, String),
    not_after: (i64, String),
}

/// Reads a certificate.
///
/// # Errors
///
/// Text for people.
pub(super) fn read(der: &[u8]) -> Result<Facts, String> {
    let (_, cert) = X509Certificate::from_der(der)
        .map_err(|err| format!("it is not an X.509 certificate: {err}"))?;
    let names = cert.subject_alternative_name().ok().flatten().map(|names| {
        let all = names.value.general_names.iter().filter_map(name);
        all.collect::<Vec<_>>().join(",")
    });
    let validity = cert.validity();
    let key = cert.public_key();
    Ok(Facts {
        version: cert.version().to_string(),
        serial: cert.raw_serial_as_string(),
        subject: cert.subject().to_string(),
        issuer: cert.issuer().to_string(),
        names: names.unwrap_or_default(),
        signature: algorithm(&cert.signature_algorithm.algorithm.to_id_string()),
        public_key: algorithm(&key.algorithm.algorithm.to_id_string()),
        not_before: (validity.not_before.timestamp(), validity.not_before.to_string()),
        not_after: (validity.not_after.timestamp(), validity.not_after.to_string()),
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            if let Ok(v4) = <[u8; 4]>::try_from(*bytes) {
                return Some(IpAddr::from(v4).to_string());
            }
            <[u8; 16]>::try_from(*bytes).ok().map(|v6| IpAddr::from(v6).to_string())
        }
        _ => None,
    }
}

/// Common algorithms by name, others by number.
fn algorithm(id: &str) -> String {
    let name = match id {
        "1.2.840.113549.1.1.1" => "RSA",
        "1.2.840.113549.1.1.11" => "SHA256-RSA",
        "1.2.840.113549.1.1.12" => "SHA384-RSA",
        "1.2.840.113549.1.1.13" => "SHA512-RSA",
        "1.2.840.10045.2.1" => "ECDSA",
        "1.2.840.10045.4.3.2" => "ECDSA-SHA256",
        "1.2.840.10045.4.3.3" => "ECDSA-SHA384",
        "1.3.101.112" => "Ed25519",
        other => other,
    };
    name.to_owned()
}

fn seconds(now: SystemTime) -> i64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl Facts {
    /// Whether the certificate is valid at `now`.
    ///
    /// # Errors
    ///
    /// Since or until when not, and the remedy.
    pub(super) fn check(&self, now: SystemTime) -> Result<(), String> {
        if seconds(now) > self.not_after.0 {
            return Err(format!("it expired on {}: renew it", self.not_after.1));
        }
        if seconds(now) < self.not_before.0 {
            let clock = "check this machine's clock";
            return Err(format!("it is not valid before {}: {clock}", self.not_before.1));
        }
        Ok(())
    }

    /// All of it as texts; `error` and `warning` only when there is something to say.
    pub(super) fn properties(&self, now: SystemTime) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let pairs = [
            ("version", &self.version),
            ("serial-number", &self.serial),
            ("subject", &self.subject),
            ("issued-by", &self.issuer),
            ("names", &self.names),
            ("signature-algorithm", &self.signature),
            ("public-key-algorithm", &self.public_key),
            ("valid-from", &self.not_before.1),
            ("valid-until", &self.not_after.1),
        ];
        for (name, value) in pairs {
            all.insert(name.to_owned(), value.clone());
        }
        let left = self.not_after.0 - seconds(now);
        if let Err(text) = self.check(now) {
            all.insert("error".to_owned(), text);
        } else if left < SOON_DAYS * SECONDS_PER_DAY {
            let text = format!("expires in {} h: renew it", left / 3600);
            all.insert("warning".to_owned(), text);
        }
        all
    }
}
