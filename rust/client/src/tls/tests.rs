use std::fs;

use super::*;

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn made() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap()
}

#[test]
fn bad_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = write(folder.path(), "empty.pem", "");
    let missing = folder.path().join("missing.pem");
    for path in [&empty, &missing] {
        let name = path.display().to_string();
        assert!(read_chain(path).unwrap_err().0.contains(&name));
        assert!(read_key(path).unwrap_err().0.contains(&name));
        let options = TlsOptions { ca: Some(path.clone()), ..TlsOptions::default() };
        let tls = Tls::new(options);
        assert!(tls.config().unwrap_err().0.contains(&name));
    }
    let options = TlsOptions { ca: Some(folder.path().to_owned()), ..TlsOptions::default() };
    assert!(Tls::new(options).config().unwrap_err().0.contains("folder"));
}

#[test]
fn a_key_that_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (made(), made());
    let cert = write(folder.path(), "c.pem", &one.cert.pem());
    let key = write(folder.path(), "k.pem", &other.signing_key.serialize_pem());
    let options = TlsOptions { client_cert: Some((cert, key)), ..TlsOptions::default() };
    let text = Tls::new(options).config().unwrap_err().0;
    assert!(text.contains("c.pem") && text.contains("k.pem"), "{text}");
}

#[test]
fn a_folder_of_certificates_is_trusted_and_the_system_is_the_default() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.pem", &made().cert.pem());
    write(folder.path(), "readme.txt", "no certificate");
    let options = TlsOptions { ca: Some(folder.path().to_owned()), ..TlsOptions::default() };
    Tls::new(options).config().unwrap();
    Tls::new(TlsOptions::default()).config().unwrap();
    assert!(!roots(&[], true).is_empty());
}

#[test]
fn hosts_may_be_addresses() {
    for host in ["localhost", "127.0.0.1", "[::1]", "a.example.com"] {
        assert!(server_name(host).is_ok(), "{host}");
    }
    assert!(server_name("").is_err());
}
