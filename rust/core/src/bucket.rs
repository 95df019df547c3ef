//! Names: providers, namespaces, buckets, objects, and the two ways to spell them.
//!
//! *uname* (`ais/@#/bucket/object`) is the placement key and travels in requests; *cname*
//! (`ais://bucket/object`) is what people read in messages, and what clients match on.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest bucket or namespace name in bytes.
pub const MAX_BUCKET_NAME_BYTES: usize = 64;
/// Longest object name in bytes that the store accepts.
pub const MAX_OBJECT_NAME_BYTES: usize = 8 << 10;

/// A name that breaks the rules, with the rule in the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Bad bucket name.
    #[error(
        "invalid bucket name \"{}\": use 1 to 64 letters, digits, '-', '_' or '.', without \"..\" and not starting with '.'", shown(.0)
    )]
    Bucket(String),
    /// Bad object name.
    #[error(
        "invalid object name \"{}\": it must be non-empty UTF-8 of at most 8192 bytes without NUL, not end in '/', not start with \"~/\" and have no '.' or '..' path element", shown(.0)
    )]
    Object(String),
    /// Bad namespace.
    #[error("invalid namespace \"{}\": expected \"@uuid#name\" with letters, digits, '-' and '_'", shown(.0))]
    Namespace(String),
    /// Unknown provider.
    #[error("unknown backend provider \"{0}\" (expected ais, aws, gcp, azure or oci)")]
    Provider(String),
    /// Not a `provider://bucket[/object]` or uname form.
    #[error("invalid bucket URL or uname \"{0}\": expected \"ais://bucket[/object]\"")]
    Uname(String),
}

/// A name as it is shown: control characters, which a terminal swallows, as escapes.
fn shown(name: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    name.chars().map(escape).collect()
}

/// Where a bucket's data comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Provider {
    /// Native: data lives only in the cluster (or in a remote cluster of the same kind).
    #[default]
    Ais,
    /// Amazon S3.
    Aws,
    /// Google Cloud Storage.
    Gcp,
    /// Azure Blob Storage.
    Azure,
    /// Oracle Cloud.
    Oci,
}

impl Provider {
    /// Parses the normalized name or its alias; the empty string is [`Provider::Ais`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match text {
            "" | "ais" => Ok(Self::Ais),
            "aws" | "s3" => Ok(Self::Aws),
            "gcp" | "gs" => Ok(Self::Gcp),
            "azure" | "az" => Ok(Self::Azure),
            "oci" | "oc" => Ok(Self::Oci),
            other => Err(NameError::Provider(other.to_owned())),
        }
    }

    /// Normalized name, as in query parameters and unames.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ais => "ais",
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Azure => "azure",
            Self::Oci => "oci",
        }
    }

    /// URL scheme, as in cnames.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Ais => "ais",
            Self::Aws => "s3",
            Self::Gcp => "gs",
            Self::Azure => "az",
            Self::Oci => "oc",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Provider {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Provider {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Namespace of a bucket: a remote cluster (`uuid`), a name inside a cluster, both or neither.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Namespace {
    /// Remote cluster, empty for this one.
    #[serde(default)]
    pub uuid: String,
    /// Name within the cluster, empty for the global namespace.
    #[serde(default)]
    pub name: String,
}

impl Namespace {
    /// Parses the query form `@uuid#name`; empty and `@#` are the global namespace.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let body = text.strip_prefix('@').unwrap_or(text);
        let (uuid, name) = body.split_once('#').unwrap_or((body, ""));
        let ok = |s: &str| s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if uuid.len() > 32 || name.len() > MAX_BUCKET_NAME_BYTES || !ok(uuid) || !ok(name) {
            return Err(NameError::Namespace(text.to_owned()));
        }
        Ok(Self { uuid: uuid.to_owned(), name: name.to_owned() })
    }

    /// Whether this is the global namespace of this cluster.
    pub fn is_global(&self) -> bool {
        self.uuid.is_empty() && self.name.is_empty()
    }
}

/// `@uuid#name`; the global namespace is `@#`.
impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}#{}", self.uuid, self.name)
    }
}

/// A bucket's full identity. Its JSON form is the wire form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Bucket {
    /// Name, unique within provider and namespace.
    pub name: String,
    /// Provider; absent on the wire means `ais`.
    #[serde(default)]
    pub provider: Provider,
    /// Namespace; absent on the wire means global.
    #[serde(default)]
    pub namespace: Namespace,
}

impl Bucket {
    /// A native bucket in the global namespace. Does not validate.
    pub fn ais(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Validates and builds a bucket from path and query parts of a request.
    pub fn from_parts(name: &str, provider: &str, namespace: &str) -> Result<Self, NameError> {
        let bucket = Self {
            name: name.to_owned(),
            provider: Provider::parse(provider)?,
            namespace: Namespace::parse(namespace)?,
        };
        bucket.validate()?;
        Ok(bucket)
    }

    /// Checks the name's alphabet and length.
    pub fn validate(&self) -> Result<(), NameError> {
        let name = self.name.as_str();
        let alphabet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let good = !name.is_empty()
            && name.len() <= MAX_BUCKET_NAME_BYTES
            && name.bytes().all(alphabet)
            && !name.contains("..")
            && !name.starts_with('.');
        if good { Ok(()) } else { Err(NameError::Bucket(name.to_owned())) }
    }

    /// Whether the data's home is outside this cluster.
    pub fn is_remote(&self) -> bool {
        self.provider != Provider::Ais || !self.namespace.uuid.is_empty()
    }

    /// `ais/@#/bucket/`, with the trailing slash.
    pub fn uname(&self) -> String {
        format!("{}/{}/{}/", self.provider, self.namespace, self.name)
    }

    /// `ais/@#/bucket/object`: the placement key.
    pub fn object_uname(&self, object: &str) -> String {
        // Made for every request: without the detour over formatting.
        let Namespace { uuid, name } = &self.namespace;
        [self.provider.as_str(), "/@", uuid, "#", name, "/", &self.name, "/", object].concat()
    }

    /// `ais://bucket`, `s3://#ns/bucket`, `ais://@uuid#ns/bucket`.
    pub fn cname(&self) -> String {
        let scheme = self.provider.scheme();
        let Namespace { uuid, name: ns } = &self.namespace;
        match (uuid.is_empty(), ns.is_empty()) {
            (true, true) => format!("{scheme}://{}", self.name),
            (true, false) => format!("{scheme}://#{ns}/{}", self.name),
            (false, true) => format!("{scheme}://@{uuid}/{}", self.name),
            (false, false) => format!("{scheme}://@{uuid}#{ns}/{}", self.name),
        }
    }

    /// `ais://bucket/object`.
    pub fn object_cname(&self, object: &str) -> String {
        format!("{}/{object}", self.cname())
    }

    /// Parses `provider/@uuid#ns/bucket/[object]`.
    pub fn parse_uname(uname: &str) -> Result<(Self, String), NameError> {
        let bad = || NameError::Uname(uname.to_owned());
        let mut parts = uname.splitn(4, '/');
        let (Some(provider), Some(namespace), Some(name)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        let bucket = Self::from_parts(name, provider, namespace)?;
        Ok((bucket, parts.next().unwrap_or_default().to_owned()))
    }

    /// Parses a cname: `provider://[@uuid][#ns/]bucket[/object]`.
    pub fn parse_url(url: &str) -> Result<(Self, String), NameError> {
        let (scheme, mut rest) =
            url.split_once("://").ok_or_else(|| NameError::Uname(url.to_owned()))?;
        let mut namespace = "";
        if rest.starts_with('@') || rest.starts_with('#') {
            (namespace, rest) =
                rest.split_once('/').ok_or_else(|| NameError::Uname(url.to_owned()))?;
        }
        let (name, object) = rest.split_once('/').unwrap_or((rest, ""));
        Ok((Self::from_parts(name, scheme, namespace)?, object.to_owned()))
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cname())
    }
}

/// Checks an object name against the rules that every verb but HEAD applies.
pub fn validate_object_name(name: &str) -> Result<(), NameError> {
    let bad_element = |part: &str| part == "." || part == "..";
    let good = !name.is_empty()
        && name.len() <= MAX_OBJECT_NAME_BYTES
        && !name.ends_with('/')
        && !name.starts_with("~/")
        && !name.contains('\0')
        && !name.split('/').any(bad_element);
    if good { Ok(()) } else { Err(NameError::Object(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_both_spellings() {
        let plain = Bucket::ais("b");
        assert_eq!(plain.uname(), "ais/@#/b/");
        assert_eq!(plain.object_cname("x/y"), "ais://b/x/y");
        let far = Bucket::from_parts("b", "s3", "@u#n").unwrap();
        assert_eq!(far.object_uname("o"), "aws/@u#n/b/o");
        assert_eq!(far.cname(), "s3://@u#n/b");
        assert_eq!(Bucket::parse_url(&far.object_cname("o")).unwrap(), (far, "o".to_owned()));
        assert_eq!(Bucket::parse_uname("ais/@#/b/").unwrap(), (plain, String::new()));
    }

    #[test]
    fn bad_bucket_names_are_refused_with_the_name_in_the_message() {
        for name in ["", "a..b", ".sys", "a/b", "a b", "ü", &"x".repeat(65)] {
            let err = Bucket::from_parts(name, "ais", "").unwrap_err();
            assert!(err.to_string().contains(name), "{err}");
        }
        assert!(Bucket::from_parts("b", "ftp", "").is_err());
    }

    #[test]
    fn object_names_keep_double_slashes_and_refuse_dots() {
        for good in ["a", "a//b", "/a", "ü/日本", "a/...", &"n".repeat(3000)] {
            validate_object_name(good).unwrap();
        }
        for bad in ["", "a/", "../a", "a/./b", "~/x", "a\0b"] {
            assert!(validate_object_name(bad).is_err(), "{bad:?}");
        }
        let nul = validate_object_name("a\0b").unwrap_err().to_string();
        assert!(nul.contains("a\\u{0}b") && nul.contains("NUL"), "{nul}");
    }
}
