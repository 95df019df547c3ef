//! What of an object a GET sends: conditions, then ranges. Decided before the first byte.

use std::sync::Arc;

use aistore_core::checksum::{ChecksumType, Hasher};
use aistore_core::conditional::{Conditions, Verdict, if_range_holds};
use aistore_core::error::ApiError;
use aistore_core::headers::{CHECKSUM_TYPE, CHECKSUM_VALUE};
use aistore_core::props::BucketProps;
use aistore_core::range::{RangeError, parse_ranges};
use aistore_store::{ObjectMeta, ObjectReader};
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_RANGE,
    LAST_MODIFIED, RANGE,
};
use http::{Response, StatusCode};
use http_body_util::BodyExt;

use super::buffers::Pieces;
use super::byteranges::ByteRanges;
use super::conditions;
use super::headers::{add, add_length, add_object};
use super::objects::{ObjectRef, Objects};
use super::read::{Extent, ExtentBody, Supply};
use crate::http::{Body, Reply, Req, reply};
use crate::sendfile;

const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What a GET asks for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    range: Option<String>,
    if_range: Option<String>,
    conditions: Conditions,
    /// Type of the checksum that a part of an object gets of its own; none: it carries the object's.
    part_checksum: Option<ChecksumType>,
}

impl Wanted {
    /// Reads the headers.
    ///
    /// # Errors
    ///
    /// 400 for a condition that cannot be read.
    pub(super) fn of(req: &Req, props: &BucketProps) -> Result<Self, ApiError> {
        let checksum = &props.checksum;
        Ok(Self {
            range: req.header(RANGE.as_str()).map(str::to_owned),
            if_range: req.header(IF_RANGE.as_str()).map(str::to_owned),
            conditions: conditions::of(&req.headers)?,
            part_checksum: checksum.enable_read_range.then_some(checksum.kind),
        })
    }

    /// Whether a part is asked for.
    pub(super) fn has_range(&self) -> bool {
        self.range.is_some()
    }
}

/// What a GET sends.
pub(super) struct Selection {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) extent: Extent,
    /// Several ranges, instead of `extent`, which is then empty.
    several: Option<ByteRanges>,
    /// The part's own checksum, still to be computed.
    part_checksum: Option<ChecksumType>,
}

/// Why nothing is sent.
#[derive(Debug)]
pub(super) enum GetFailure {
    Api(ApiError),
    /// Range outside the named object of this size.
    Unsatisfiable(String, u64),
}

impl From<ApiError> for GetFailure {
    fn from(err: ApiError) -> Self {
        Self::Api(err)
    }
}

/// Applies conditions and ranges to an open object.
pub(super) fn select(
    reader: Arc<ObjectReader>,
    wanted: &Wanted,
    object: &ObjectRef,
) -> Result<Selection, GetFailure> {
    let mut headers = HeaderMap::with_capacity(10);
    add_object(&mut headers, reader.meta());
    match conditions::for_read(&wanted.conditions, reader.meta()) {
        Verdict::Proceed => {}
        Verdict::NotModified => return Ok(Selection::not_modified(reader, &headers)),
        Verdict::Failed => return Err(ApiError::precondition_failed(&object.cname()).into()),
    }
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let range = wanted.range.as_deref().filter(|_| range_counts(wanted, reader.meta()));
    let Some(range) = range else {
        return Ok(Selection::whole(StatusCode::OK, headers, Extent::whole(reader)));
    };
    select_part(reader, range, headers, wanted.part_checksum, object)
}

fn select_part(
    reader: Arc<ObjectReader>,
    range: &str,
    mut headers: HeaderMap,
    part_checksum: Option<ChecksumType>,
    object: &ObjectRef,
) -> Result<Selection, GetFailure> {
    let size = reader.meta().size;
    let ranges = parse_ranges(range, size).map_err(|err| match err {
        RangeError::Unsatisfiable => GetFailure::Unsatisfiable(object.cname(), size),
        RangeError::Malformed => {
            ApiError::new(416, "", format!("{}: {err}, got \"{range}\"", object.cname())).into()
        }
        RangeError::TooMany | RangeError::Overlapping => {
            ApiError::new(416, "", format!("cannot multi-range read {}: {err}", object.cname()))
                .into()
        }
    })?;
    let whole = Extent::whole(reader);
    let status = StatusCode::PARTIAL_CONTENT;
    let [(start, length)] = ranges.as_slice() else {
        let several = Some(ByteRanges::new(&whole, &ranges));
        let mut selection = Selection::whole(status, headers, whole.part(0, 0));
        selection.several = several;
        return Ok(selection);
    };
    // An empty range has no last byte; the protocol's arithmetic then names the one before the first.
    let last = (start + length).saturating_sub(1);
    if let Ok(value) = HeaderValue::from_str(&format!("bytes {start}-{last}/{size}")) {
        headers.insert(CONTENT_RANGE, value);
    }
    let mut selection = Selection::whole(status, headers, whole.part(*start, *length));
    selection.part_checksum = part_checksum.filter(|_| *length < size);
    Ok(selection)
}

fn range_counts(wanted: &Wanted, meta: &ObjectMeta) -> bool {
    let Some(if_range) = wanted.if_range.as_deref() else { return true };
    conditions::with_validators(meta, |current| if_range_holds(if_range, current))
}

impl Selection {
    /// All of `extent`.
    pub(super) fn whole(status: StatusCode, headers: HeaderMap, extent: Extent) -> Self {
        Self { status, headers, extent, several: None, part_checksum: None }
    }

    fn not_modified(reader: Arc<ObjectReader>, known: &HeaderMap) -> Self {
        let mut headers = HeaderMap::with_capacity(2);
        for name in [ETAG, LAST_MODIFIED] {
            if let Some(value) = known.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        Self::whole(StatusCode::NOT_MODIFIED, headers, Extent::whole(reader).part(0, 0))
    }

    /// Whether all that is left to do is to send.
    pub(super) fn is_ready(&self) -> bool {
        self.part_checksum.is_none()
    }

    /// Computes the checksum of the part, where it is to have one of its own. Blocks on the disk.
    pub(super) fn checksum_part(&mut self, pieces: &Pieces) -> std::io::Result<()> {
        let Some(kind) = self.part_checksum.take() else { return Ok(()) };
        self.headers.remove(CHECKSUM_TYPE);
        self.headers.remove(CHECKSUM_VALUE);
        if kind == ChecksumType::None {
            return Ok(());
        }
        let mut hasher = Hasher::new(kind);
        let mut rest = self.extent.clone();
        while rest.length() > 0 {
            hasher.update(&rest.read_blocking(pieces.any_space(rest.length()))?);
        }
        add(&mut self.headers, CHECKSUM_TYPE, kind.as_str());
        add(&mut self.headers, CHECKSUM_VALUE, &hasher.finish());
        Ok(())
    }

    /// The reply that sends `first` and then the rest, with its number of payload bytes. Without `pieces`, buffers
    /// are asked for when they are needed.
    pub(super) fn reply(
        self,
        (first, pieces): (Bytes, Option<Pieces>),
        objects: &Objects,
    ) -> (Reply, u64) {
        let Self { status, mut headers, extent, several, .. } = self;
        let mut bytes = first.len() as u64 + extent.length();
        let offered = (objects.sendfile && sendfile::worth_it(&extent))
            .then(|| (first.clone(), extent.clone(), pieces.clone()));
        let body: Body = if let Some(several) = several {
            if let Ok(kind) = HeaderValue::from_str(&several.content_type()) {
                headers.insert(CONTENT_TYPE, kind);
            }
            bytes = several.length();
            several.into_body(objects.pool.clone()).boxed_unsync()
        } else if extent.length() == 0 {
            // One frame that is known to be the last: head and payload leave in one write.
            reply::full_body(first)
        } else {
            let supply = Supply::new(objects.pool.clone(), extent.length(), pieces);
            ExtentBody::new(first, extent, supply).boxed_unsync()
        };
        if status != StatusCode::NOT_MODIFIED {
            add_length(&mut headers, bytes);
            headers.entry(CONTENT_TYPE).or_insert(BYTES);
        }
        let mut reply = Response::new(body);
        *reply.status_mut() = status;
        *reply.headers_mut() = headers;
        if let Some((first, extent, pieces)) = offered {
            sendfile::offer(&mut reply, first, extent, (objects.pool.clone(), pieces));
        }
        (reply, bytes)
    }
}
