//! Entity tags: the strong validator of an object's bytes.
//!
//! A tag is a function of what every replica of an object stores, so all of them answer the same, and
//! it changes whenever the bytes do.

use crate::checksum::ChecksumType;

/// Custom key that holds a tag given from outside (a backend's), unquoted.
pub const CUSTOM_ETAG: &str = "ETag";

/// What a tag is made of.
#[derive(Debug, Clone, Copy)]
pub struct EtagSource<'a> {
    /// Value of the custom key [`CUSTOM_ETAG`], with or without quotes.
    pub custom: Option<&'a str>,
    /// Type of `checksum`.
    pub kind: ChecksumType,
    /// Checksum of the whole object, lower-case hex.
    pub checksum: &'a str,
    /// Whether the object is stored in chunks; its MD5 is then not what clients expect of a tag.
    pub chunked: bool,
    /// Bytes.
    pub size: u64,
    /// Last modification in nanoseconds since the epoch.
    pub mtime_ns: u64,
}

/// The tag without quotes.
///
/// First that applies: the tag given from outside; the MD5 that the object has anyway; checksum and time;
/// size and time.
pub fn bare_etag(source: EtagSource<'_>) -> String {
    let mut tag = String::new();
    append_etag(&mut tag, source);
    tag
}

/// The tag in double quotes, as headers carry it.
pub fn strong_etag(source: EtagSource<'_>) -> String {
    // Made for every read: in one piece of memory.
    let mut tag = String::with_capacity(source.checksum.len() + 2 * MAX_DIGITS + 8);
    tag.push('"');
    append_etag(&mut tag, source);
    tag.push('"');
    tag
}

fn append_etag(tag: &mut String, source: EtagSource<'_>) {
    let given = source.custom.map(|tag| tag.trim_matches('"')).filter(|tag| is_opaque(tag));
    match source.kind {
        _ if given.is_some() => tag.push_str(given.unwrap_or_default()),
        ChecksumType::Md5 if !source.chunked && !source.checksum.is_empty() => {
            tag.push_str(source.checksum);
        }
        kind => {
            if kind == ChecksumType::None || source.checksum.is_empty() {
                tag.push_str("v0-");
                append_base36(tag, source.size);
            } else {
                tag.push_str("v1-");
                tag.push_str(source.checksum);
            }
            tag.push('-');
            append_base36(tag, source.mtime_ns);
        }
    }
}

/// Whether `text` can stand between the quotes of a tag (RFC 9110, `etagc`); not empty.
fn is_opaque(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte > b' ' && byte != b'"' && byte != 0x7f)
}

/// Digits of the largest number in base 36.
const MAX_DIGITS: usize = 13;

/// Number in base 36, lower case.
pub fn base36(number: u64) -> String {
    let mut text = String::with_capacity(MAX_DIGITS);
    append_base36(&mut text, number);
    text
}

fn append_base36(text: &mut String, mut number: u64) {
    let mut digits = ['0'; MAX_DIGITS];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit =
            u32::try_from(number % 36).ok().and_then(|n| char::from_digit(n, 36)).unwrap_or('0');
        number /= 36;
        used += 1;
        if number == 0 {
            break;
        }
    }
    text.extend(digits.iter().skip(MAX_DIGITS - used));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOURCE: EtagSource<'_> = EtagSource {
        custom: None,
        kind: ChecksumType::Xxhash2,
        checksum: "44bc2cf5ad770999",
        chunked: false,
        size: 3,
        mtime_ns: 36,
    };

    #[test]
    fn the_first_rule_that_applies_makes_the_tag() {
        assert_eq!(strong_etag(SOURCE), "\"v1-44bc2cf5ad770999-10\"");
        let md5 = EtagSource { kind: ChecksumType::Md5, checksum: "90015098", ..SOURCE };
        assert_eq!(bare_etag(md5), "90015098");
        assert_eq!(bare_etag(EtagSource { chunked: true, ..md5 }), "v1-90015098-10");
        let none = EtagSource { kind: ChecksumType::None, checksum: "", ..SOURCE };
        assert_eq!(bare_etag(none), "v0-3-10");
        for (custom, tag) in
            [("abc-2", "abc-2"), ("\"abc\"", "abc"), ("a b", "v0-3-10"), ("", "v0-3-10")]
        {
            assert_eq!(bare_etag(EtagSource { custom: Some(custom), ..none }), tag, "{custom}");
        }
    }

    proptest! {
        #[test]
        fn base36_is_the_usual_one(number in any::<u64>()) {
            prop_assert_eq!(u64::from_str_radix(&base36(number), 36).unwrap(), number);
        }

        #[test]
        fn any_custom_tag_gives_a_well_formed_one(custom in ".{0,20}") {
            let tag = strong_etag(EtagSource { custom: Some(&custom), ..SOURCE });
            let inner = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
            prop_assert!(is_opaque(inner), "{}", tag);
        }
    }
}
