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
    let given = source.custom.map(|tag| tag.trim_matches('"')).filter(|tag| is_opaque(tag));
    if let Some(tag) = given {
        return tag.to_owned();
    }
    let time = base36(source.mtime_ns);
    match source.kind {
        _ if source.checksum.is_empty() => ["v0-", &base36(source.size), "-", &time].concat(),
        ChecksumType::None => ["v0-", &base36(source.size), "-", &time].concat(),
        ChecksumType::Md5 if !source.chunked => source.checksum.to_owned(),
        _ => ["v1-", source.checksum, "-", &time].concat(),
    }
}

/// The tag in double quotes, as headers carry it.
pub fn strong_etag(source: EtagSource<'_>) -> String {
    ["\"", &bare_etag(source), "\""].concat()
}

/// Whether `text` can stand between the quotes of a tag (RFC 9110, `etagc`); not empty.
fn is_opaque(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte > b' ' && byte != b'"' && byte != 0x7f)
}

/// Number in base 36, lower case.
pub fn base36(mut number: u64) -> String {
    let mut digits = Vec::with_capacity(13);
    loop {
        let digit = u32::try_from(number % 36).unwrap_or_default();
        digits.push(char::from_digit(digit, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
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
