use std::fs;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a pair valid until `year`, and opens it.
    fn make(&self, year: i32, tag: &str) -> (PathBuf, PathBuf) {
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        let (cert_path, key_path) =
            (self.path(&format!("{tag}.crt")), self.path(&format!("{tag}.key")));
        fs::write(&cert_path, cert.pem()).unwrap();
        fs::write(&key_path, key.serialize_pem()).unwrap();
        (cert_path, key_path)
    }
}

#[test]
fn unusable_files_are_named_with_the_reason() {
    let files = Files::new();
    let (cert, key) = files.make(2100, "good");
    let (other, _) = files.make(2100, "other");
    let (old, old_key) = files.make(2002, "old");
    let open = |cert: &Path, key: &Path| {
        ServerTls::open(cert.to_owned(), key.to_owned()).map(drop).unwrap_err().0
    };
    let text = open(&other, &key);
    assert!(text.contains("other.crt") && text.contains("good.key"), "{text}");
    let text = open(&old, &old_key);
    assert!(text.contains("old.crt") && text.contains("expired"), "{text}");
    let text = open(&key, &key);
    assert!(text.contains("good.key holds no certificate"), "{text}");
    let text = open(&cert, &cert);
    assert!(text.contains("good.crt holds no private key"), "{text}");
    assert!(open(&files.path("none"), &key).contains("none"));
    ServerTls::open(cert, key).unwrap();
}

#[test]
fn a_new_pair_is_taken_over_and_a_bad_one_is_not() {
    let files = Files::new();
    let (cert, key) = files.make(2100, "a");
    let tls = ServerTls::open(cert.clone(), key.clone()).unwrap();
    assert!(!tls.has_changed());
    let serial = tls.facts()["serial-number"].clone();
    let (new_cert, new_key) = files.make(2101, "b");
    fs::copy(&new_cert, &cert).unwrap();
    assert!(tls.has_changed());
    // Half of the pair is there: the old one stays.
    assert!(tls.reload().is_err());
    assert!(!tls.has_changed());
    assert_eq!(tls.facts()["serial-number"], serial);
    fs::copy(&new_key, &key).unwrap();
    assert!(tls.has_changed());
    tls.reload().unwrap();
    assert_ne!(tls.facts()["serial-number"], serial);
    assert_eq!(tls.trusted().len(), 2);
}

#[test]
fn facts_name_the_hosts_and_warn_before_the_end() {
    let files = Files::new();
    let (cert, key) = files.make(2100, "a");
    let tls = ServerTls::open(cert.clone(), key).unwrap();
    let facts = tls.facts();
    assert_eq!(facts["names"], "localhost,127.0.0.1");
    assert!(facts["valid-until"].contains("2100"), "{facts:?}");
    assert!(!facts.contains_key("warning"), "{facts:?}");
    let read = facts::read(&read_chain(&cert).unwrap()[0]).unwrap();
    let end = std::time::UNIX_EPOCH + Duration::from_hours(1_139_568);
    assert!(read.properties(end - Duration::from_hours(2)).contains_key("warning"));
    assert!(read.properties(end + Duration::from_hours(2))["error"].contains("expired"));
}
