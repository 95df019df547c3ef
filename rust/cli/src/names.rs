//! Buckets and objects as they are written on the command line.

use aistore_core::bucket::{Bucket, NameError, Provider, validate_object_name};

use crate::failure::Failure;

/// A bucket and what follows it: an object name, a prefix, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Bucket.
    pub(crate) bucket: Bucket,
    /// Rest after the slash, maybe empty.
    pub(crate) name: String,
}

impl Target {
    /// `ais://bucket[/name]`.
    pub(crate) fn cname(&self) -> String {
        if self.name.is_empty() {
            self.bucket.cname()
        } else {
            self.bucket.object_cname(&self.name)
        }
    }
}

/// What `ais ls` was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listing {
    /// Buckets of one or of all providers.
    Buckets(Option<Provider>),
    /// Objects.
    Objects(Target),
}

/// Parses `PROVIDER://BUCKET[/NAME]`.
pub(crate) fn parse_target(text: &str) -> Result<Target, Failure> {
    if !text.contains("://") {
        return Err(Failure::usage(spelling_hint(text)));
    }
    match Bucket::parse_url(text) {
        Ok((bucket, name)) => Ok(Target { bucket, name }),
        Err(NameError::Bucket(name)) if name.is_empty() => {
            Err(Failure::usage(format!("\"{text}\" names no bucket: expected \"ais://BUCKET\"")))
        }
        Err(err) => Err(Failure::usage(format!("\"{text}\": {err}"))),
    }
}

/// Parses a bucket that must not be followed by a name.
pub(crate) fn parse_bucket(text: &str) -> Result<Bucket, Failure> {
    let Target { bucket, name } = parse_target(text)?;
    if name.is_empty() {
        Ok(bucket)
    } else {
        Err(Failure::usage(format!(
            "\"{text}\" is an object: expected a bucket such as \"{bucket}\""
        )))
    }
}

/// Parses a bucket and a valid object name.
pub(crate) fn parse_object(text: &str) -> Result<Target, Failure> {
    let target = parse_target(text)?;
    if target.name.is_empty() {
        return Err(Failure::usage(format!(
            "\"{text}\" is a bucket: expected an object, \"{}/NAME\"",
            target.bucket
        )));
    }
    validate_object_name(&target.name)?;
    Ok(target)
}

/// Parses the argument of `ais ls`: nothing, a provider (`s3`, `s3:`, `s3://`), a bucket or a prefix.
pub(crate) fn parse_listing(text: Option<&str>) -> Result<Listing, Failure> {
    let Some(text) = text else { return Ok(Listing::Buckets(None)) };
    let scheme = text.strip_suffix("://").or_else(|| text.strip_suffix(':')).unwrap_or(text);
    match Provider::parse(scheme) {
        Ok(provider) if !scheme.is_empty() => Ok(Listing::Buckets(Some(provider))),
        _ => parse_target(text).map(Listing::Objects),
    }
}

fn spelling_hint(text: &str) -> String {
    if text.is_empty() {
        return "bucket is missing: expected \"ais://BUCKET\"".to_owned();
    }
    if text.starts_with('/') || text.starts_with('.') || text == "-" {
        return format!("\"{text}\" is not a bucket: expected \"ais://BUCKET\"");
    }
    // A known scheme with the wrong number of slashes or colons.
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    let scheme = match Provider::parse(scheme) {
        Ok(provider) => provider.scheme(),
        Err(_) => return format!("\"{text}\" is not a bucket: expected \"ais://BUCKET\""),
    };
    let rest = rest.trim_start_matches('/');
    format!("\"{text}\" names no provider: did you mean \"{scheme}://{rest}\"?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_split_at_the_first_slash() {
        let target = parse_target("ais://b/x//y").unwrap();
        assert_eq!((target.bucket.clone(), target.name.as_str()), (Bucket::ais("b"), "x//y"));
        assert_eq!(target.cname(), "ais://b/x//y");
        assert_eq!(parse_target("s3://#ns/b").unwrap().cname(), "s3://#ns/b");
        assert_eq!(parse_bucket("ais://b/").unwrap(), Bucket::ais("b"));
    }

    #[test]
    fn a_missing_provider_gets_the_right_spelling() {
        for (wrong, right) in [
            ("b", "\"ais://b\""),
            ("b/o", "\"ais://b/o\""),
            ("ais:b", "\"ais://b\""),
            ("ais:/b/o", "\"ais://b/o\""),
            ("s3:b", "\"s3://b\""),
        ] {
            let text = parse_target(wrong).unwrap_err().to_string();
            assert!(text.contains(right) && text.contains(wrong), "{text}");
        }
        for path in ["./x", "/x", "-", "c:x", ""] {
            assert!(parse_target(path).unwrap_err().to_string().contains("ais://BUCKET"), "{path}");
        }
    }

    #[test]
    fn buckets_and_objects_are_not_mixed_up() {
        assert!(parse_bucket("ais://b/o").unwrap_err().to_string().contains("is an object"));
        assert!(parse_object("ais://b").unwrap_err().to_string().contains("is a bucket"));
        assert!(parse_object("ais://b/../x").is_err());
        assert!(parse_target("ftp://b").unwrap_err().to_string().contains("ftp"));
        assert!(parse_target("ais://").unwrap_err().to_string().contains("names no bucket"));
    }

    #[test]
    fn listings_take_providers_in_each_spelling() {
        assert_eq!(parse_listing(None).unwrap(), Listing::Buckets(None));
        for text in ["s3", "s3:", "s3://", "aws"] {
            assert_eq!(parse_listing(Some(text)).unwrap(), Listing::Buckets(Some(Provider::Aws)));
        }
        assert!(matches!(parse_listing(Some("ais://b/p")).unwrap(), Listing::Objects(_)));
        assert!(parse_listing(Some("")).is_err());
        assert!(parse_listing(Some("b")).is_err());
    }
}
