//! Request paths: decoding, splitting, and the short forms.

use aistore_core::error::ApiError;
use aistore_core::text::{decode_path, encode_object_name};

/// Path of a native object request in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPath {
    /// Bucket name.
    pub bucket: String,
    /// Object name: all after the bucket's slash, verbatim; empty when there is none.
    pub object: String,
}

/// Decodes a whole path.
///
/// # Errors
///
/// 400 when it does not decode to UTF-8.
pub fn decode(raw_path: &str) -> Result<String, ApiError> {
    decode_path(raw_path).ok_or_else(|| {
        ApiError::bad_request(format!(
            "path \"{raw_path}\" is not UTF-8: bucket and object name must be percent-encoded UTF-8"
        ))
    })
}

/// Non-empty decoded segments.
///
/// # Errors
///
/// 400 when the path does not decode to UTF-8.
pub fn segments(raw_path: &str) -> Result<Vec<String>, ApiError> {
    let decoded = decode(raw_path)?;
    Ok(decoded.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

/// Splits `/v1/objects/BUCKET/OBJECT`; what follows the bucket's slash is the name verbatim, so that
/// names with `//` or a leading `/` survive.
///
/// # Errors
///
/// 400 when the path does not decode to UTF-8 or names no bucket.
pub fn object(raw_path: &str) -> Result<ObjectPath, ApiError> {
    let decoded = decode(raw_path)?;
    let rest = decoded.trim_start_matches('/');
    let mut parts = rest.splitn(4, '/').skip(2);
    let bucket = parts.next().unwrap_or_default();
    if bucket.is_empty() {
        return Err(ApiError::bad_request(format!(
            "path \"{decoded}\" names no bucket: expected /v1/objects/BUCKET/OBJECT"
        )));
    }
    let object = parts.next().unwrap_or_default();
    Ok(ObjectPath { bucket: bucket.to_owned(), object: object.to_owned() })
}

/// Rewrites the short form `/ais/BUCKET[/OBJECT]` (also `/gs`, `/az`) to its native path and the
/// provider; `None` for other paths.
pub fn easy(raw_path: &str) -> Option<(String, &'static str)> {
    let rest = raw_path.trim_start_matches('/');
    let (scheme, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let provider = match scheme {
        "ais" => "ais",
        "gs" => "gcp",
        "az" => "azure",
        _ => return None,
    };
    let (bucket, object) = rest.split_once('/').unwrap_or((rest, ""));
    let path = match (bucket.is_empty(), object.is_empty()) {
        (true, _) => "/v1/buckets".to_owned(),
        (_, true) => format!("/v1/buckets/{bucket}"),
        _ => format!("/v1/objects/{bucket}/{object}"),
    };
    Some((path, provider))
}

/// Path for a `Location` header: copied byte for byte, unless its decoded form has characters that a
/// client might read as something else; then it is encoded anew.
pub fn for_location(raw_path: &str) -> String {
    let decoded = decode_path(raw_path);
    let needs = |text: &str| text.contains(['%', '?', '#', '+', ' ']) || !raw_path.is_ascii();
    match decoded {
        Some(text) if needs(&text) => encode_object_name(&text),
        _ => raw_path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn object_names_are_verbatim() {
        for (raw, name) in [
            ("/v1/objects/b/a/b//c", "a/b//c"),
            ("/v1/objects/b//a", "/a"),
            ("//v1/objects/b/a%2Fb%20c", "a/b c"),
            ("/v1/objects/b/a/", "a/"),
            ("/v1/objects/b", ""),
        ] {
            let path = object(raw).unwrap();
            assert_eq!((path.bucket.as_str(), path.object.as_str()), ("b", name), "{raw}");
        }
        assert_eq!(object("/v1/objects/").unwrap_err().status, 400);
        assert_eq!(object("/v1/objects/b/%ff").unwrap_err().status, 400);
    }

    #[test]
    fn short_forms_become_native_paths() {
        assert_eq!(easy("/ais"), Some(("/v1/buckets".into(), "ais")));
        assert_eq!(easy("/gs/b/"), Some(("/v1/buckets/b".into(), "gcp")));
        assert_eq!(easy("/ais/b/x/y%20z"), Some(("/v1/objects/b/x/y%20z".into(), "ais")));
        assert_eq!(easy("/v1/buckets"), None);
        assert_eq!(easy("/aisx/b"), None);
    }

    #[test]
    fn plain_locations_are_copied_and_odd_ones_encoded() {
        assert_eq!(for_location("/v1/objects/b/a%2Fb"), "/v1/objects/b/a%2Fb");
        assert_eq!(for_location("/v1/objects/b/a+b"), "/v1/objects/b/a%2Bb");
        assert_eq!(for_location("/v1/objects/b/100%25"), "/v1/objects/b/100%25");
        assert_eq!(for_location("/v1/objects/b/%C3%BC"), "/v1/objects/b/%C3%BC");
    }

    proptest! {
        #[test]
        fn a_location_names_the_same_object(name in "[^\0]{1,30}") {
            let raw = format!("/v1/objects/b/{}", encode_object_name(&name));
            let location = for_location(&raw);
            prop_assert!(location.is_ascii());
            prop_assert_eq!(object(&location).unwrap(), object(&raw).unwrap());
        }

        #[test]
        fn any_path_splits_or_fails_cleanly(raw in ".{0,60}") {
            let _ = (object(&raw), segments(&raw), easy(&raw), for_location(&raw));
        }
    }
}
