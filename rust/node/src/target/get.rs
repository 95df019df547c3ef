//! GET of an object or a part of it.

use std::sync::Arc;
use std::time::Instant;

use aistore_core::bucket::validate_object_name;
use aistore_core::error::ApiError;
use aistore_core::range::{RangeError, parse_range};
use aistore_core::wire::parse_bool;
use aistore_store::ObjectReader;
use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use http::{Response, StatusCode};
use http_body_util::BodyExt;

use super::Target;
use super::failure::read_failure;
use super::headers::{add_length, add_object};
use super::objects::{ObjectRef, Objects};
use super::read::{Extent, ExtentBody};
use crate::http::{Body, Reply, Req, reply};
use crate::tasks::lost_task;

const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What a GET sends: headers are decided before the first byte.
pub(super) struct Selection {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) extent: Extent,
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

impl Target {
    pub(super) async fn get(
        self: &Arc<Self>,
        req: &Req,
        bucket: &str,
        name: &str,
    ) -> Result<Reply, ApiError> {
        let started = Instant::now();
        let done = self.get_object(req, bucket, name).await;
        match done {
            Ok((reply, bytes)) => {
                self.ctx.metrics.get.done(bytes, started.elapsed());
                Ok(reply)
            }
            Err(GetFailure::Api(err)) => {
                self.ctx.metrics.get.failed();
                Err(err)
            }
            Err(GetFailure::Unsatisfiable(cname, size)) => {
                self.ctx.metrics.get.failed();
                let text =
                    format!("{cname}: {}, which has {size} bytes", RangeError::Unsatisfiable);
                let reply = self.error_reply(req, &ApiError::new(416, "", text));
                Ok(reply::with_header(reply, "content-range", &format!("bytes */{size}")))
            }
        }
    }

    async fn get_object(
        self: &Arc<Self>,
        req: &Req,
        bucket: &str,
        name: &str,
    ) -> Result<(Reply, u64), GetFailure> {
        validate_object_name(name).map_err(ApiError::from)?;
        let found = self.find_bucket(req, bucket).await?;
        let object = found.object(name)?;
        refuse_unsupported(req, &object)?;
        self.check_place(req, &found.state, &object, false)?;
        let range = req.header(RANGE.as_str()).map(str::to_owned);
        if let Some(member) = super::archive::wanted_member(req, name)? {
            if range.is_some() {
                return Err(super::archive::no_range(&member, &object).into());
            }
            return self.get_member(object, member).await;
        }
        let (selection, first) = self.first_piece(object, range).await?;
        Ok(selection.reply(first, &self.objects))
    }

    /// Opens the object and reads the first piece: on this worker when both are in memory, else all of
    /// it in one visit to the blocking pool (a visit was measured at 30 to 45 us of CPU).
    async fn first_piece(
        self: &Arc<Self>,
        object: ObjectRef,
        range: Option<String>,
    ) -> Result<(Selection, Bytes), GetFailure> {
        if let Some(reader) = self.objects.readers.get(object.bid, &object.uname) {
            let mut selection = select(reader, range.as_deref(), &object)?;
            match selection.extent.read_now(&self.objects.pool) {
                Ok(Some(first)) => return Ok((selection, first)),
                Ok(None) if selection.extent.length() == 0 => return Ok((selection, Bytes::new())),
                // Not in memory, or failed: the blocking read decides.
                Ok(None) | Err(_) => {}
            }
        }
        let target = Arc::clone(self);
        let opened = tokio::task::spawn_blocking(move || {
            let reader = target.objects.open(&object)?;
            let reader = reader.ok_or_else(|| target.object_not_found(&object))?;
            let mut selection = select(reader, range.as_deref(), &object)?;
            let first = selection.extent.read_blocking(&target.objects.pool);
            let first = first.map_err(|err| read_failure(&err, &object.cname()))?;
            Ok((selection, first))
        });
        opened.await.map_err(|err| lost_task(&err))?
    }

    pub(super) fn object_not_found(&self, object: &ObjectRef) -> ApiError {
        ApiError::object_not_found(&self.ctx.display(), &object.bucket, &object.name)
    }
}

/// Applies the `Range` header.
fn select(
    reader: Arc<ObjectReader>,
    range: Option<&str>,
    object: &ObjectRef,
) -> Result<Selection, GetFailure> {
    let size = reader.meta().size;
    let mut headers = HeaderMap::with_capacity(8);
    add_object(&mut headers, reader.meta());
    let whole = Extent::whole(reader);
    let Some(range) = range else {
        return Ok(Selection { status: StatusCode::OK, headers, extent: whole });
    };
    let (start, length) = parse_range(range, size).map_err(|err| match err {
        RangeError::Unsatisfiable => GetFailure::Unsatisfiable(object.cname(), size),
        RangeError::Multiple => ApiError::new(
            416,
            "",
            format!("cannot multi-range read {} - operation not supported", object.cname()),
        )
        .into(),
        RangeError::Malformed => {
            ApiError::new(416, "", format!("{}: {err}, got \"{range}\"", object.cname())).into()
        }
    })?;
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // An empty range has no last byte; the protocol's arithmetic then names the one before the first.
    let last = (start + length).saturating_sub(1);
    if let Ok(value) = HeaderValue::from_str(&format!("bytes {start}-{last}/{size}")) {
        headers.insert(CONTENT_RANGE, value);
    }
    let status = StatusCode::PARTIAL_CONTENT;
    Ok(Selection { status, headers, extent: whole.part(start, length) })
}

impl Selection {
    /// The reply that sends `first` and then the rest, with its number of payload bytes.
    pub(super) fn reply(self, first: Bytes, objects: &Objects) -> (Reply, u64) {
        let Self { status, mut headers, extent } = self;
        let bytes = first.len() as u64 + extent.length();
        add_length(&mut headers, bytes);
        headers.insert(CONTENT_TYPE, BYTES);
        let body: Body = if extent.length() == 0 {
            // One frame that is known to be the last: head and payload leave in one write.
            reply::full_body(first)
        } else {
            ExtentBody::new(first, extent, objects.pool.clone()).boxed_unsync()
        };
        let mut reply = Response::new(body);
        *reply.status_mut() = status;
        *reply.headers_mut() = headers;
        (reply, bytes)
    }
}

fn refuse_unsupported(req: &Req, object: &ObjectRef) -> Result<(), ApiError> {
    if !req.query.text("etl_name").is_empty() {
        return Err(ApiError::unsupported(format!(
            "transformation \"{}\" of {}: transforming on read is not supported yet, leave out etl_name",
            req.query.text("etl_name"),
            object.cname()
        )));
    }
    let blob = req.header("ais-blob-download").is_some_and(parse_bool);
    if blob && !object.bucket.is_remote() {
        return Err(ApiError::bad_request(format!(
            "blob-downloader is not supported for local buckets: {}",
            object.cname()
        )));
    }
    Ok(())
}
