//! Text forms shared by headers and queries.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but unreserved characters and `/` is escaped, as Python's `urllib.parse.quote` does.
const OBJECT_PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Percent-encodes an object name for use in a URL path; slashes stay.
pub fn encode_object_name(name: &str) -> String {
    utf8_percent_encode(name, OBJECT_PATH).to_string()
}

/// Percent-encodes a query value; everything but unreserved characters is escaped.
pub fn encode_query(value: &str) -> String {
    utf8_percent_encode(value, QUERY).to_string()
}

/// Percent-decodes a path part; `None` when the result is not UTF-8.
pub fn decode_path(part: &str) -> Option<String> {
    percent_decode_str(part).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names_survive_the_url() {
        for name in ["a/b//c", "sp ace%+?#&=", "ü/日本", "a\tb\"'<>"] {
            let encoded = encode_object_name(name);
            assert!(encoded.is_ascii() && !encoded.contains(' '), "{encoded}");
            assert_eq!(decode_path(&encoded).unwrap(), name);
        }
        assert_eq!(decode_path("%ff"), None);
    }
}
