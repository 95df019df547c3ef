//! Object metadata as response headers.

use std::io::Write as _;

use aistore_core::bucket::Bucket;
use aistore_core::checksum::ChecksumType;
use aistore_core::etag::{CUSTOM_ETAG, EtagSource, bare_etag, strong_etag};
use aistore_core::headers;
use aistore_core::http_date::{http_date, parse_http_date};
use aistore_store::ObjectMeta;
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Custom key that holds a backend's modification time.
const CUSTOM_LAST_MODIFIED: &str = "Last-Modified";
const NS_PER_S: u64 = 1_000_000_000;
pub(crate) const CONTENT_LENGTH: &str = "content-length";
const ETAG: &str = "etag";
const LAST_MODIFIED: &str = "last-modified";

/// Where headers are written to: a map for hyper, or text.
pub(crate) trait HeaderSink {
    /// Adds a header; a value that no header can carry is left out.
    fn add(&mut self, name: &'static str, value: &[u8]);

    /// Adds a header that is a number.
    fn add_number(&mut self, name: &'static str, value: u64);
}

impl HeaderSink for HeaderMap {
    fn add(&mut self, name: &'static str, value: &[u8]) {
        // Bytes, not `from_str`: values may hold UTF-8.
        if let Ok(value) = HeaderValue::from_bytes(value) {
            self.append(HeaderName::from_static(name), value);
        }
    }

    fn add_number(&mut self, name: &'static str, value: u64) {
        self.append(HeaderName::from_static(name), HeaderValue::from(value));
    }
}

/// The lines of a head.
impl HeaderSink for Vec<u8> {
    fn add(&mut self, name: &'static str, value: &[u8]) {
        // As `HeaderValue` has it; a line break would begin a header of its own.
        let bad = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
        // All of them whatever comes: that is done in a few steps for many at once.
        if !value.iter().fold(false, |any, byte| any | bad(byte)) {
            self.extend_from_slice(name.as_bytes());
            self.extend_from_slice(b": ");
            self.extend_from_slice(value);
            self.extend_from_slice(b"\r\n");
        }
    }

    fn add_number(&mut self, name: &'static str, value: u64) {
        // Writing to memory does not fail.
        let _ = write!(self, "{name}: {value}\r\n");
    }
}

/// Adds a header; a value that no header can carry is left out.
pub(crate) fn add(to: &mut impl HeaderSink, name: &'static str, value: &str) {
    to.add(name, value.as_bytes());
}

pub(crate) fn add_length(to: &mut impl HeaderSink, bytes: u64) {
    to.add_number(CONTENT_LENGTH, bytes);
}

pub(crate) fn add_checksum(to: &mut impl HeaderSink, meta: &ObjectMeta) {
    if meta.checksum_type != ChecksumType::None && !meta.checksum.is_empty() {
        add(to, headers::CHECKSUM_TYPE, meta.checksum_type.as_str());
        add(to, headers::CHECKSUM_VALUE, &meta.checksum);
    }
}

pub(crate) fn add_atime(to: &mut impl HeaderSink, meta: &ObjectMeta) {
    if meta.atime_ns != 0 {
        to.add_number(headers::ATIME, meta.atime_ns);
    }
}

pub(crate) fn add_version(to: &mut impl HeaderSink, meta: &ObjectMeta) {
    if meta.version != 0 {
        to.add_number(headers::VERSION, meta.version);
    }
}

pub(crate) fn add_custom(to: &mut impl HeaderSink, meta: &ObjectMeta) {
    for (key, value) in &meta.custom {
        add(to, headers::CUSTOM_MD, &format!("{key}={value}"));
    }
}

/// The headers of GET and PUT answers; length and content type are the caller's.
pub(crate) fn add_object(to: &mut impl HeaderSink, meta: &ObjectMeta) {
    add_checksum(to, meta);
    add_atime(to, meta);
    add_version(to, meta);
    add_custom(to, meta);
    add_validators(to, meta);
}

/// What conditional requests compare with.
pub(crate) fn add_validators(to: &mut impl HeaderSink, meta: &ObjectMeta) {
    add_etag(to, meta);
    add_last_modified(to, meta);
}

fn add_etag(to: &mut impl HeaderSink, meta: &ObjectMeta) {
    add(to, ETAG, &strong_etag(etag_source(meta)));
}

/// `Last-Modified`: what the backend said, else when the object was put.
fn add_last_modified(to: &mut impl HeaderSink, meta: &ObjectMeta) {
    match meta.custom.get(CUSTOM_LAST_MODIFIED) {
        Some(known) => add(to, LAST_MODIFIED, known),
        None => add(to, LAST_MODIFIED, &http_date(meta.mtime_ns)),
    }
}

/// The strong entity tag of a version, without quotes.
pub(crate) fn bare_etag_of(meta: &ObjectMeta) -> String {
    bare_etag(etag_source(meta))
}

fn etag_source(meta: &ObjectMeta) -> EtagSource<'_> {
    EtagSource {
        custom: meta.custom.get(CUSTOM_ETAG).map(String::as_str),
        kind: meta.checksum_type,
        checksum: &meta.checksum,
        chunked: meta.chunked,
        size: meta.size,
        mtime_ns: meta.mtime_ns,
    }
}

/// When a version was made, in seconds since the epoch; the moment that `Last-Modified` names.
pub(crate) fn modified_s(meta: &ObjectMeta) -> u64 {
    let known = meta.custom.get(CUSTOM_LAST_MODIFIED).and_then(|date| parse_http_date(date));
    known.unwrap_or(meta.mtime_ns / NS_PER_S)
}

/// One name in the `props` query of a HEAD request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prop {
    /// `name` and `size`: nothing beyond what is always there; `ec`: nothing here yet.
    Implied,
    Checksum,
    Atime,
    Version,
    Custom,
    LastModified,
    Etag,
    Location,
    Copies,
    Chunked,
}

impl Prop {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "name" | "size" | "ec" => Self::Implied,
            "checksum" => Self::Checksum,
            "atime" => Self::Atime,
            "version" => Self::Version,
            "custom" => Self::Custom,
            "last-modified" => Self::LastModified,
            "etag" => Self::Etag,
            "location" => Self::Location,
            "copies" => Self::Copies,
            "chunked" => Self::Chunked,
            _ => return None,
        })
    }

    /// Adds the headers of this property. `place` is where the object lies: its location text and its
    /// mountpath.
    pub(crate) fn add(self, map: &mut impl HeaderSink, meta: &ObjectMeta, place: (&str, &str)) {
        match self {
            Self::Implied => {}
            Self::Checksum => add_checksum(map, meta),
            Self::Atime => add_atime(map, meta),
            Self::Version => add_version(map, meta),
            Self::Custom => add_custom(map, meta),
            Self::LastModified => add_last_modified(map, meta),
            Self::Etag => add_etag(map, meta),
            Self::Location => add(map, headers::LOCATION, place.0),
            Self::Copies => {
                add(map, headers::MIRROR_COPIES, &(1 + meta.copies.len()).to_string());
                add(map, headers::MIRROR_PATHS, place.1);
            }
            Self::Chunked => {
                if let Some((count, largest)) = meta.chunks() {
                    add(map, headers::CHUNKS_COUNT, &count.to_string());
                    add(map, headers::CHUNKS_MAX_SIZE, &largest.to_string());
                }
            }
        }
    }
}

/// The answer to a HEAD without `props`, for clients of older versions: everything at once.
pub(crate) fn add_head_v1(
    map: &mut impl HeaderSink,
    meta: &ObjectMeta,
    bucket: &Bucket,
    name: &str,
    place: (&str, &str),
) {
    add_object(map, meta);
    if meta.size > 0 {
        add_length(map, meta.size);
    }
    add(map, headers::PRESENT, "true");
    add(map, "ais-name", name);
    add(map, "ais-bucket-name", &bucket.name);
    add(map, "ais-bucket-provider", bucket.provider.as_str());
    for (header, value) in [
        ("ais-bucket-namespace-uuid", &bucket.namespace.uuid),
        ("ais-bucket-namespace-name", &bucket.namespace.name),
    ] {
        if !value.is_empty() {
            add(map, header, value);
        }
    }
    add(map, headers::LOCATION, place.0);
    add(map, headers::MIRROR_COPIES, &(1 + meta.copies.len()).to_string());
    // Go prints lists in brackets, and the readers of this form expect it.
    add(map, headers::MIRROR_PATHS, &format!("[{}]", place.1.replace(',', " ")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> ObjectMeta {
        let custom = [("a".to_owned(), "1".to_owned()), ("ü".to_owned(), "日".to_owned())];
        ObjectMeta {
            size: 3,
            checksum_type: ChecksumType::Xxhash2,
            checksum: "44bc2cf5ad770999".into(),
            atime_ns: 5,
            mtime_ns: 1_747_233_022_000_000_000,
            version: 2,
            custom: custom.into(),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn get_headers_hold_what_clients_read() {
        let mut map = HeaderMap::new();
        add_object(&mut map, &meta());
        assert_eq!(map["ais-checksum-type"], "xxhash2");
        assert_eq!(map["ais-checksum-value"], "44bc2cf5ad770999");
        assert_eq!(
            (&map["ais-atime"], &map["ais-version"]),
            (&"5".parse().unwrap(), &"2".parse().unwrap())
        );
        let custom: Vec<_> =
            map.get_all("ais-custom-md").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(custom, [b"a=1".as_slice(), "ü=日".as_bytes()]);
        assert_eq!(map["etag"], "\"v1-44bc2cf5ad770999-d9vyexcn0zr4\"");
        assert_eq!(map["last-modified"], "Wed, 14 May 2025 14:30:22 GMT");
    }

    #[test]
    fn absent_properties_give_no_headers() {
        let mut map = HeaderMap::new();
        add_object(&mut map, &ObjectMeta::default());
        let names: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["etag", "last-modified"]);
    }

    #[test]
    fn what_a_backend_said_of_tag_and_date_wins() {
        let given = [("ETag", "abc"), ("Last-Modified", "Thu, 01 Jan 1970 00:00:07 GMT")];
        let custom = given.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let meta = ObjectMeta { custom, ..meta() };
        let mut map = HeaderMap::new();
        add_object(&mut map, &meta);
        assert_eq!((map["etag"].as_bytes(), modified_s(&meta)), (b"\"abc\"".as_slice(), 7));
        assert_eq!(map["last-modified"], "Thu, 01 Jan 1970 00:00:07 GMT");
    }

    #[test]
    fn head_properties_are_spelt_as_the_protocol_has_them() {
        let mut map = HeaderMap::new();
        for name in ["etag", "last-modified", "location", "copies", "ec", "size"] {
            Prop::parse(name).unwrap().add(&mut map, &meta(), ("t[x]:mp[/m, sda]", "/m"));
        }
        assert_eq!(map["last-modified"], "Wed, 14 May 2025 14:30:22 GMT");
        assert_eq!(map["etag"], "\"v1-44bc2cf5ad770999-d9vyexcn0zr4\"");
        assert_eq!(map["ais-location"], "t[x]:mp[/m, sda]");
        assert_eq!(
            (&map["ais-mirror-copies"], &map["ais-mirror-paths"]),
            (&"1".parse().unwrap(), &"/m".parse().unwrap())
        );
        assert_eq!(map.len(), 5);
        assert_eq!(Prop::parse("cached"), None);
    }
}
