//! What to trust and who we are on `https://` connections, from the environment.

use std::path::PathBuf;

use aistore_client::tls::TlsOptions;

use crate::failure::Failure;

/// Words for yes.
const TRUE: [&str; 6] = ["1", "t", "true", "y", "yes", "on"];

/// Whether a variable's value means yes.
pub(crate) fn is_true(value: &str) -> bool {
    TRUE.contains(&value.trim().to_ascii_lowercase().as_str())
}

/// `AIS_CLIENT_CA`, `AIS_CRT` with `AIS_CRT_KEY`, `AIS_SKIP_VERIFY_CRT` (else `AIS_SKIP_VERIFY`).
pub(crate) fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<TlsOptions, Failure> {
    let path = |name: &str| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let client_cert = match (path("AIS_CRT"), path("AIS_CRT_KEY")) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => return Err(Failure::usage("AIS_CRT and AIS_CRT_KEY go together: set both or none")),
    };
    let skip = get("AIS_SKIP_VERIFY_CRT").or_else(|| get("AIS_SKIP_VERIFY"));
    Ok(TlsOptions {
        ca: path("AIS_CLIENT_CA"),
        system_too: false,
        client_cert,
        skip_verify: skip.is_some_and(|value| is_true(&value)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Result<TlsOptions, Failure> {
        from_env(|name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_says_whom_to_trust() {
        assert_eq!(options(&[]).unwrap(), TlsOptions::default());
        let all = [("AIS_CLIENT_CA", "ca"), ("AIS_CRT", "c"), ("AIS_CRT_KEY", "k")];
        let read = options(&all).unwrap();
        assert_eq!(read.ca, Some("ca".into()));
        assert_eq!(read.client_cert, Some(("c".into(), "k".into())));
        assert!(!read.skip_verify);
        assert!(options(&[("AIS_CRT", "c")]).is_err());
    }

    #[test]
    fn the_newer_name_of_skip_verify_wins() {
        for (pairs, skip) in [
            (&[("AIS_SKIP_VERIFY", "true")][..], true),
            (&[("AIS_SKIP_VERIFY_CRT", "Yes")][..], true),
            (&[("AIS_SKIP_VERIFY_CRT", "false"), ("AIS_SKIP_VERIFY", "1")][..], false),
        ] {
            assert_eq!(options(pairs).unwrap().skip_verify, skip, "{pairs:?}");
        }
    }
}
