//! Query strings: flat `key=value` pairs, form-encoded.

use aistore_core::error::ApiError;
use aistore_core::wire::parse_bool;
use percent_encoding::percent_decode;

/// Most pairs in one query; more is an attack or a mistake.
pub const MAX_PAIRS: usize = 100;

/// A parsed query that still knows its raw text, because redirects copy it byte for byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    raw: String,
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Parses the text after `?`.
    ///
    /// # Errors
    ///
    /// 400 starting with `dpq:` for more than [`MAX_PAIRS`] pairs, a broken escape, or text that is
    /// not UTF-8.
    pub fn parse(raw: &str) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == MAX_PAIRS {
                return Err(ApiError::bad_request(format!(
                    "dpq: the query has more than {MAX_PAIRS} pairs"
                )));
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((unescape(key)?, unescape(value)?));
        }
        Ok(Self { raw: raw.to_owned(), pairs })
    }

    /// First value of `name`, decoded.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Value of `name`; absent and empty are alike.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Boolean value of `name`; absent and unparsable are false.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(parse_bool)
    }

    /// The undecoded text, without `?`.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// All pairs in order, decoded.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The same query with `name` in front; for paths that carry a value in another place.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.pairs.insert(0, (name.to_owned(), value.to_owned()));
        let pair = format!("{name}={}", aistore_core::text::encode_query(value));
        self.raw = if self.raw.is_empty() { pair } else { format!("{pair}&{}", self.raw) };
        self
    }
}

/// Decodes one form-encoded part.
fn unescape(part: &str) -> Result<String, ApiError> {
    let bytes = part.as_bytes();
    let broken = bytes.iter().enumerate().any(|(at, byte)| {
        let hex = |offset: usize| bytes.get(at + offset).is_some_and(u8::is_ascii_hexdigit);
        *byte == b'%' && !(hex(1) && hex(2))
    });
    if broken {
        return Err(ApiError::bad_request(format!("dpq: invalid URL escape in \"{part}\"")));
    }
    let spaced: Vec<u8> =
        bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let decoded: Vec<u8> = percent_decode(&spaced).collect();
    String::from_utf8(decoded)
        .map_err(|_| ApiError::bad_request(format!("dpq: \"{part}\" does not decode to UTF-8")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_are_decoded_and_the_raw_text_stays() {
        let query = Query::parse("provider=ais&x=a%2Fb+c&flag&n=%40u%23n").unwrap();
        assert_eq!(query.get("x"), Some("a/b c"));
        assert_eq!(query.get("n"), Some("@u#n"));
        assert_eq!(query.get("flag"), Some(""));
        assert_eq!(query.get("none"), None);
        assert_eq!(query.raw(), "provider=ais&x=a%2Fb+c&flag&n=%40u%23n");
    }

    #[test]
    fn booleans_are_true_only_for_the_listed_spellings() {
        let query = Query::parse("a=True&b=yes&c=0&d=TrUe").unwrap();
        assert!(query.flag("a") && query.flag("b"));
        assert!(!query.flag("c") && !query.flag("d") && !query.flag("e"));
    }

    #[test]
    fn broken_queries_say_dpq() {
        let many = "a=1&".repeat(MAX_PAIRS + 1);
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff", many.as_str()] {
            let err = Query::parse(bad).unwrap_err();
            assert!(err.status == 400 && err.message.starts_with("dpq:"), "{err}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_fails_cleanly(raw in ".{0,60}") {
            let _ = Query::parse(&raw);
        }

        #[test]
        fn encoded_values_come_back(value in ".{0,40}") {
            let raw = format!("k={}", aistore_core::text::encode_query(&value));
            let query = Query::parse(&raw).unwrap();
            prop_assert_eq!(query.get("k"), Some(value.as_str()));
        }
    }
}
