//! PUT of an object.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use aistore_core::bucket::validate_object_name;
use aistore_core::checksum::ChecksumType;
use aistore_core::custom_md;
use aistore_core::error::ApiError;
use aistore_core::headers::{CHECKSUM_TYPE, CHECKSUM_VALUE, CUSTOM_MD, VERSION};
use aistore_core::props::{ACCESS_PUT, BucketProps};
use aistore_store::{Chunks, Condition, ObjectMeta, PutOptions};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderMap};

use super::deliver::{CUSTOM_JSON, OPERATION, Operation};
use super::headers::add_object;
use super::objects::ObjectRef;
use super::place::redirected_ago;
use super::upload::{read_off, receive};
use super::{Target, conditions};
use crate::http::{Reply, Req, reply};
use crate::tasks::lost_task;

impl Target {
    pub(super) async fn put(
        self: &Arc<Self>,
        req: &mut Req,
        bucket: &str,
        name: &str,
    ) -> Result<Reply, ApiError> {
        if !req.query.text("uploadId").is_empty() && req.query.text("object_to").is_empty() {
            return self.put_part(req, bucket, name).await;
        }
        let selects = |key: &str| !req.query.text(key).is_empty();
        if selects("append_type") && !selects("object_to") && !selects("archpath") {
            return self.append(req, bucket, name).await;
        }
        let started = Instant::now();
        let redirected = redirected_ago(&req.query);
        let done = self.put_object(req, bucket, name).await;
        let metrics = &self.ctx.metrics;
        match &done {
            Ok((_, bytes)) => {
                let took = started.elapsed();
                metrics.put.done(*bytes, took);
                if let Some(ago) = redirected {
                    metrics.put_redirect.add(ago);
                }
                metrics.put_whole.add(took.saturating_add(redirected.unwrap_or_default()));
            }
            Err(err) => {
                self.ctx.metrics.put.failed();
                if err.tcode == "ErrBadCksum" {
                    self.ctx.metrics.bad_checksums.inc();
                }
            }
        }
        done.map(|(reply, _)| reply)
    }

    async fn put_object(
        self: &Arc<Self>,
        req: &mut Req,
        bucket: &str,
        name: &str,
    ) -> Result<(Reply, u64), ApiError> {
        if !req.query.text("object_to").is_empty() {
            return Ok((self.copy_object(req, bucket, name).await?, 0));
        }
        if !req.query.text("archpath").is_empty() {
            return self.add_to_shard(req, bucket, name).await;
        }
        validate_object_name(name)?;
        let found = self.find_bucket(req, bucket).await?;
        let object = found.object(name);
        self.check_place(req, &found.state, &object, true)?;
        let props = found.props();
        let operation = Operation::parse(req.query.text(OPERATION));
        let (access, what) = operation.as_ref().map_or((ACCESS_PUT, "PUT"), Operation::access);
        if !props.allows(access) {
            return Err(ApiError::access_denied(found.bucket(), what));
        }
        let conditions = conditions::of(&req.headers)?;
        let mut given = given(&req.headers, operation.is_some())?;
        given.version = given.version.filter(|_| props.versioning.enabled);
        if req.query.flag("skip_vc") {
            given.checksum = None;
            given.version = props.versioning.enabled.then_some(1);
        }
        let old = if given.checksum.is_some() || !conditions.is_empty() {
            self.current(&object).await?
        } else {
            None
        };
        if !conditions::allow_change(&conditions, old.as_ref()) {
            return Err(ApiError::precondition_failed(&object.cname()));
        }
        if old.as_ref().is_some_and(|old| given.is_stored(old, operation.is_some())) {
            // Same bytes: nothing to do but to let the client finish sending.
            read_off(&mut req.body, &object.cname()).await?;
            return Ok((reply::empty(StatusCode::OK), 0));
        }
        // What the conditions were found to hold for must still be there at the commit.
        given.if_absent = !conditions.is_empty() && old.is_none();
        if !conditions.is_empty() && old.is_some() {
            given.if_match = Some(Condition::new(move |present| {
                conditions::allow_change(&conditions, Some(present))
            }));
        }
        let length = given.length;
        let counted = props.versioning.enabled && given.version.is_none();
        let options = put_options(props, given);
        let _writer = self.objects.writing.begin(&object.uname);
        let objects = Arc::clone(&self.objects);
        let stored = receive(objects, object.clone(), options, &mut req.body, length);
        let meta = stored.await?;
        self.count_version(counted, &meta);
        self.confirm(&object).await?;
        let mut reply = reply::empty(StatusCode::OK);
        add_object(reply.headers_mut(), &meta);
        Ok((reply, meta.size))
    }

    /// Counts a new version of an object that was there before, where the bucket counts versions.
    pub(super) fn count_version(&self, versioned: bool, meta: &ObjectMeta) {
        if versioned && meta.version > 1 {
            self.ctx.metrics.versions.inc();
            self.ctx.metrics.version_bytes.inc_by(meta.size);
        }
    }

    /// Metadata of the current version.
    pub(crate) async fn current(
        self: &Arc<Self>,
        object: &ObjectRef,
    ) -> Result<Option<ObjectMeta>, ApiError> {
        let (target, object) = (Arc::clone(self), object.clone());
        let reader = tokio::task::spawn_blocking(move || target.objects.open(&object));
        let reader = reader.await.map_err(|err| lost_task(&err))??;
        Ok(reader.map(|reader| reader.meta().clone()))
    }
}

/// What a sender says of the object that it sends.
#[derive(Default)]
pub(crate) struct Given {
    /// Checksum that the bytes must have.
    pub(crate) checksum: Option<(ChecksumType, String)>,
    pub(crate) custom: BTreeMap<String, String>,
    /// Version to keep; `None` to count as the bucket does.
    pub(crate) version: Option<u64>,
    /// Bytes announced.
    pub(crate) length: Option<u64>,
    pub(crate) if_absent: bool,
    pub(crate) if_match: Option<Condition>,
}

impl Given {
    /// Whether `present` has the announced bytes; for a copy from within the cluster all else must be
    /// the same too.
    fn is_stored(&self, present: &ObjectMeta, internal: bool) -> bool {
        let same_bytes = self.checksum.as_ref().is_some_and(|(kind, value)| {
            (present.checksum_type, &present.checksum) == (*kind, value)
        });
        let same_rest = present.custom == self.custom
            && self.version.is_none_or(|version| version == present.version);
        same_bytes && (!internal || same_rest)
    }
}

/// Reads the headers of a PUT; `internal` for one that another target sends.
pub(crate) fn given(headers: &HeaderMap, internal: bool) -> Result<Given, ApiError> {
    let custom = match headers.get(CUSTOM_JSON).filter(|_| internal) {
        Some(json) => serde_json::from_slice(json.as_bytes()).map_err(|err| {
            ApiError::bad_request(format!("malformed {CUSTOM_JSON} of another node: {err}"))
        })?,
        None => given_custom(headers)?,
    };
    let version = headers.get(VERSION).filter(|_| internal);
    let version = version.and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(Given {
        checksum: given_checksum(headers)?,
        custom,
        version,
        length: announced_length(headers)?,
        if_absent: false,
        if_match: None,
    })
}

/// How the store is to put an object of a bucket.
pub(crate) fn put_options(props: &BucketProps, given: Given) -> PutOptions {
    let checksum = props.checksum.kind;
    PutOptions {
        checksum,
        // The protocol trusts the sender where the bucket has no checksums.
        expected: given.checksum.filter(|_| checksum != ChecksumType::None),
        size_hint: given.length,
        custom: given.custom,
        version: given.version,
        versioned: props.versioning.enabled,
        now_ns: now_ns(),
        copies: super::wanted_copies(props),
        chunks: Some(chunking(props)),
        if_absent: given.if_absent,
        if_match: given.if_match,
    }
}

/// Now, in nanoseconds since the epoch.
pub(super) fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// When objects of a bucket are cut into chunks: from the limit on, if there is one, and always when they
/// are too large for one file.
fn chunking(props: &BucketProps) -> Chunks {
    let conf = &props.chunks;
    let from = match (conf.objsize_limit.0, conf.max_monolithic_size.0) {
        (0, 0) => u64::MAX,
        (limit, 0) => limit,
        (0, most) => most.saturating_add(1),
        (limit, most) => limit.min(most.saturating_add(1)),
    };
    Chunks { from, size: conf.chunk_size.0 }
}

pub(super) fn announced_length(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(CONTENT_LENGTH) else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    parsed.map(Some).ok_or_else(|| {
        ApiError::bad_request(format!(
            "malformed Content-Length {value:?}: expected a number of bytes"
        ))
    })
}

/// The checksum that the client sends along; both headers or neither.
pub(super) fn given_checksum(
    headers: &HeaderMap,
) -> Result<Option<(ChecksumType, String)>, ApiError> {
    let text =
        |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    let (Some(kind), Some(value)) = (text(CHECKSUM_TYPE), text(CHECKSUM_VALUE)) else {
        return Ok(None);
    };
    let kind = ChecksumType::parse(kind).map_err(|err| ApiError::bad_request(err.to_string()))?;
    let given = (kind != ChecksumType::None && !value.is_empty()).then(|| (kind, value.to_owned()));
    Ok(given)
}

/// Initial custom metadata: one `key=value` per header line.
pub(super) fn given_custom(headers: &HeaderMap) -> Result<BTreeMap<String, String>, ApiError> {
    let mut custom = BTreeMap::new();
    for header in headers.get_all(CUSTOM_MD) {
        let text = std::str::from_utf8(header.as_bytes());
        let Some((key, value)) = text.ok().and_then(|text| text.split_once('=')) else {
            return Err(ApiError::bad_request(format!(
                "malformed custom metadata {header:?}: expected \"key=value\" in UTF-8"
            )));
        };
        custom.insert(key.to_owned(), value.to_owned());
    }
    custom_md::validate(&custom)?;
    Ok(custom)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        map
    }

    #[test]
    fn custom_metadata_is_split_at_the_first_equals_sign() {
        let custom = given_custom(&headers(&[(CUSTOM_MD, "a=1=2"), (CUSTOM_MD, "ü=日")])).unwrap();
        assert_eq!(custom["a"], "1=2");
        assert_eq!(custom["ü"], "日");
        let large = format!("k={}", "v".repeat(custom_md::MAX_BYTES));
        for bad in ["no-sign", "=value", &large] {
            assert_eq!(given_custom(&headers(&[(CUSTOM_MD, bad)])).unwrap_err().status, 400);
        }
    }

    #[test]
    fn checksums_need_both_headers_and_a_known_type() {
        let both = [(CHECKSUM_TYPE, "md5"), (CHECKSUM_VALUE, "00")];
        let given = given_checksum(&headers(&both)).unwrap();
        assert_eq!(given, Some((ChecksumType::Md5, "00".into())));
        assert_eq!(given_checksum(&headers(&both[..1])).unwrap(), None);
        let unknown = [(CHECKSUM_TYPE, "sha1"), (CHECKSUM_VALUE, "00")];
        let err = given_checksum(&headers(&unknown)).unwrap_err();
        assert!(err.status == 400 && err.message.contains("sha1"), "{err}");
    }

    #[test]
    fn a_length_that_is_no_number_is_refused() {
        assert_eq!(announced_length(&headers(&[("content-length", "12")])).unwrap(), Some(12));
        assert_eq!(announced_length(&HeaderMap::new()).unwrap(), None);
        assert_eq!(
            announced_length(&headers(&[("content-length", "-1")])).unwrap_err().status,
            400
        );
    }
}
