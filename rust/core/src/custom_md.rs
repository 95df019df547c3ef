//! Custom metadata of objects: what a request may set.

use std::collections::BTreeMap;

use crate::error::ApiError;

/// Most bytes that one request may set, keys and values together.
pub const MAX_BYTES: usize = 2048;
/// Byte that separates stored pairs in files of the protocol's origin.
const FORBIDDEN_BYTE: u8 = 0x01;
/// Byte sequence that marks the end of metadata there. It is no valid UTF-8, so it can only come from a
/// client that sends raw bytes.
const FORBIDDEN_SEQUENCE: [u8; 3] = [0xe3, 0x2f, 0xbd];

/// Checks what a request wants to set.
///
/// # Errors
///
/// 400 for an empty key, more than [`MAX_BYTES`], a control character that no header can carry, or the
/// bytes that the protocol keeps for itself.
pub fn validate(custom: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let mut bytes = 0_usize;
    for (key, value) in custom {
        if key.is_empty() {
            return Err(ApiError::bad_request(format!(
                "custom metadata with an empty key (value \"{value}\"): every key needs a name"
            )));
        }
        if key.contains('=') {
            return Err(ApiError::bad_request(format!(
                "custom metadata key {key:?} has a '=': it could not be told from its value"
            )));
        }
        for text in [key, value] {
            check_text(text)?;
        }
        bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
    }
    if bytes > MAX_BYTES {
        return Err(ApiError::bad_request(format!(
            "custom metadata of {bytes} bytes is too large: at most {MAX_BYTES} for all keys and values"
        )));
    }
    Ok(())
}

fn check_text(text: &str) -> Result<(), ApiError> {
    let raw = text.as_bytes();
    let reserved = raw.contains(&FORBIDDEN_BYTE)
        || raw.windows(FORBIDDEN_SEQUENCE.len()).any(|part| part == FORBIDDEN_SEQUENCE);
    // It goes out as a header line, where these would end the line or be refused.
    let control = raw.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f);
    if reserved || control {
        return Err(ApiError::bad_request(format!(
            "custom metadata {text:?} has a byte that is not allowed: leave out control characters"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, value: &str) -> Result<(), ApiError> {
        validate(&[(key.to_owned(), value.to_owned())].into())
    }

    #[test]
    fn limits_are_those_of_the_protocol() {
        for (key, value) in [("k", ""), ("a", "1=2"), ("ü", "日本"), ("k", &"v".repeat(2047))] {
            check(key, value).unwrap();
        }
        for (key, value, word) in [
            ("", "v", "empty key"),
            ("a=b", "v", "'='"),
            ("k", "a\u{1}b", "not allowed"),
            ("k", "a\nb", "not allowed"),
            ("k\u{1}", "", "not allowed"),
            ("k", &"v".repeat(2048), "2049"),
        ] {
            let err = check(key, value).unwrap_err();
            assert!(err.status == 400 && err.message.contains(word), "{err}");
        }
        assert!(validate(&BTreeMap::new()).is_ok());
    }
}
