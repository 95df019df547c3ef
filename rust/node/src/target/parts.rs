//! Uploads in several parts: start, parts, complete, abort.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aistore_core::bucket::validate_object_name;
use aistore_core::checksum::ChecksumType;
use aistore_core::error::ApiError;
use aistore_core::props::{ACCESS_PUT, BucketProps};
use aistore_store::{Condition, PartOptions, PartWriter, PutOptions, StoreError, UploadId};
use http::StatusCode;
use http::header::HeaderMap;
use serde::Deserialize;

use super::failure::store_failure;
use super::objects::{ObjectRef, Objects};
use super::put::{announced_length, given_custom, now_ns};
use super::upload::{Sink, memory_for, receive_into};
use super::{Target, conditions};
use crate::http::{Reply, Req, reply};
use crate::tasks::lost_task;

/// An upload without activity for so long is abandoned: a day.
const IDLE_NS: u64 = 24 * 3600 * 1_000_000_000;
/// How often discarded parts that nobody reads any more are looked for.
const TIDY_PERIOD: Duration = Duration::from_secs(1);
/// How often abandoned uploads are looked for.
const EXPIRY_PERIOD: Duration = Duration::from_mins(10);
/// Greatest number of a part.
const MAX_PART_NUMBER: u32 = 9999;
/// Lengths that an upload id may have.
const ID_LENGTHS: std::ops::RangeInclusive<usize> = 8..=128;
/// SHA-256 of the body, in hex, or that there is none.
const CONTENT_SHA256: &str = "x-amz-content-sha256";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// One line of the list that completes an upload.
#[derive(Debug, Deserialize)]
struct Listed {
    #[serde(rename = "part-number", alias = "PartNumber")]
    number: i64,
}

impl Sink for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        Self::write(self, bytes)
    }
}

impl Target {
    /// `mpt-upload`: starts an upload and answers with its id.
    pub(super) async fn start_upload(
        self: &Arc<Self>,
        req: &Req,
        bucket: &str,
        name: &str,
    ) -> Result<Reply, ApiError> {
        let (object, props) = self.upload_object(req, bucket, name).await?;
        let custom = given_custom(&req.headers)?;
        let (target, kind) = (Arc::clone(self), props.checksum.kind);
        let started = tokio::task::spawn_blocking(move || {
            let store = &target.objects.store;
            let started = store.start_upload(
                (object.bid, &object.uname, &object.name),
                custom,
                kind,
                now_ns(),
            );
            started.map_err(|err| store_failure(&err, &object.cname()))
        });
        let id = started.await.map_err(|err| lost_task(&err))??;
        Ok(reply::text(id.to_string()))
    }

    /// PUT of one part.
    pub(super) async fn put_part(
        self: &Arc<Self>,
        req: &mut Req,
        bucket: &str,
        name: &str,
    ) -> Result<Reply, ApiError> {
        let started = Instant::now();
        let done = self.receive_part(req, bucket, name).await;
        match &done {
            Ok(bytes) => self.ctx.metrics.put.done(*bytes, started.elapsed()),
            Err(_) => self.ctx.metrics.put.failed(),
        }
        done.map(|_| reply::empty(StatusCode::OK))
    }

    async fn receive_part(
        self: &Arc<Self>,
        req: &mut Req,
        bucket: &str,
        name: &str,
    ) -> Result<u64, ApiError> {
        let (object, _) = self.upload_object(req, bucket, name).await?;
        let cname = object.cname();
        let number = part_number(req.query.text("partNumber"), &cname)?;
        let length = announced_length(&req.headers)?.filter(|length| *length > 0);
        let Some(length) = length else {
            return Err(ApiError::bad_request(format!(
                "{cname}: put-part invalid size: a part needs a Content-Length above 0"
            )));
        };
        let id = upload_id(req.query.text("uploadId"), &cname)?;
        let options = PartOptions {
            size_hint: length,
            expected: signed_checksum(&req.headers),
            md5: false,
            now_ns: now_ns(),
        };
        let (target, at) = (Arc::clone(self), object.clone());
        let begin = move || {
            let store = &target.objects.store;
            let begun = store.begin_part((at.bid, &at.name), id, number, options);
            begun.map_err(|err| part_failure(&err, &at.cname()))
        };
        let finish = move |writer: PartWriter| {
            writer.finish().map_err(|err| part_failure(&err, &object.cname()))
        };
        let memory = memory_for(&self.objects, &cname, Some(length), 1).await?;
        let part =
            receive_into((&cname, memory), begin, finish, &mut req.body, Some(length)).await?;
        Ok(part.size)
    }

    /// `mpt-complete`: the parts become the object.
    pub(super) async fn complete_upload(
        self: &Arc<Self>,
        req: &Req,
        bucket: &str,
        name: &str,
        list: serde_json::Value,
    ) -> Result<Reply, ApiError> {
        let (object, props) = self.upload_object(req, bucket, name).await?;
        let cname = object.cname();
        let id = upload_id(req.query.text("uploadId"), &cname)?;
        let numbers = listed_numbers(list, &cname)?;
        let conditions = conditions::of(&req.headers)?;
        let versioned = props.versioning.enabled;
        let mut options = PutOptions {
            checksum: props.checksum.kind,
            versioned,
            copies: super::wanted_copies(&props),
            now_ns: now_ns(),
            ..PutOptions::default()
        };
        if !conditions.is_empty() {
            let old = self.current(&object).await?;
            if !conditions::allow_change(&conditions, old.as_ref()) {
                return Err(ApiError::precondition_failed(&cname));
            }
            // What the conditions were found to hold for must still be there at the commit.
            options.if_absent = old.is_none();
            options.if_match = old.is_some().then(|| {
                Condition::new(move |present| conditions::allow_change(&conditions, Some(present)))
            });
        }
        let _writer = self.objects.writing.begin(&object.uname);
        let (target, at) = (Arc::clone(self), object.clone());
        let completed = tokio::task::spawn_blocking(move || {
            let objects = &target.objects;
            let (bid, uname) = (at.bid, at.uname.as_str());
            let done =
                objects.store.complete_upload((bid, uname, &at.name), id, &numbers, &options);
            target.mirror(&at);
            done.map_err(|err| store_failure(&err, &at.cname()))
        });
        let meta = completed.await.map_err(|err| lost_task(&err))??;
        self.count_version(versioned, &meta);
        self.confirm(&object).await?;
        Ok(reply::empty(StatusCode::OK))
    }

    /// `mpt-abort`: removes the parts.
    pub(super) async fn abort_upload(
        self: &Arc<Self>,
        req: &Req,
        object: ObjectRef,
    ) -> Result<(), ApiError> {
        let id = upload_id(req.query.text("uploadId"), &object.cname())?;
        let target = Arc::clone(self);
        let aborted = tokio::task::spawn_blocking(move || {
            let aborted = target.objects.store.abort_upload(object.bid, &object.name, id);
            aborted.map_err(|err| store_failure(&err, &object.cname()))
        });
        aborted.await.map_err(|err| lost_task(&err))?
    }

    /// The object that an upload is about, checked as for a PUT.
    async fn upload_object(
        self: &Arc<Self>,
        req: &Req,
        bucket: &str,
        name: &str,
    ) -> Result<(ObjectRef, BucketProps), ApiError> {
        validate_object_name(name)?;
        let found = self.find_bucket(req, bucket).await?;
        let object = found.object(name);
        self.check_place(req, &found.state, &object, true)?;
        let props = found.props();
        if !props.allows(ACCESS_PUT) {
            return Err(ApiError::access_denied(found.bucket(), "PUT"));
        }
        Ok((object, props.clone()))
    }
}

/// Removes uploads that nobody has worked on for long.
pub(super) async fn expire(objects: Arc<Objects>) {
    let mut ticks = tokio::time::interval(EXPIRY_PERIOD);
    loop {
        ticks.tick().await;
        let store = Arc::clone(&objects.store);
        let before = now_ns().saturating_sub(IDLE_NS);
        let work = move || store.expire_uploads(before);
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(0)) => {}
            Ok(Ok(uploads)) => tracing::info!(uploads, "abandoned uploads removed"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot remove abandoned uploads"),
            Err(error) => tracing::error!(%error, "the removal of abandoned uploads was lost"),
        }
    }
}

/// Gives back the space of discarded parts whose last reader is gone. A deleted object that was read just
/// before keeps its parts until the caches let go of it.
pub(super) async fn tidy(objects: Arc<Objects>) {
    let mut ticks = tokio::time::interval(TIDY_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let store = Arc::clone(&objects.store);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || store.tidy()).await {
            tracing::debug!(%error, "discarded parts stay for now");
        }
    }
}

/// Parses an upload id. One that this store cannot have given out is as unknown as one that it has
/// forgotten.
fn upload_id(text: &str, cname: &str) -> Result<UploadId, ApiError> {
    let valid = ID_LENGTHS.contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b'\\');
    if !valid {
        return Err(ApiError::bad_request(format!(
            "{cname}: invalid upload ID {text:?}: expected {} to {} printable characters",
            ID_LENGTHS.start(),
            ID_LENGTHS.end()
        )));
    }
    UploadId::parse(text).ok_or_else(|| {
        ApiError::not_found(format!("{cname}: upload \"{text}\" does not exist: start a new one"))
    })
}

fn part_number(text: &str, cname: &str) -> Result<u32, ApiError> {
    let number: i64 = text.parse().map_err(|_| {
        ApiError::bad_request(format!("{cname}: partNumber {text:?} is not a number"))
    })?;
    match u32::try_from(number) {
        Ok(number @ 1..=MAX_PART_NUMBER) => Ok(number),
        _ => Err(bad_number(number, cname)),
    }
}

/// 500, as the protocol has it.
fn bad_number(number: i64, cname: &str) -> ApiError {
    ApiError::internal(format!(
        "{cname}: invalid chunk number {number}: parts are numbered from 1 to {MAX_PART_NUMBER}"
    ))
}

fn signed_checksum(headers: &HeaderMap) -> Option<(ChecksumType, String)> {
    let value = headers.get(CONTENT_SHA256)?.to_str().ok()?.trim();
    let signed = !value.is_empty() && value != UNSIGNED && !value.starts_with("STREAMING-");
    signed.then(|| (ChecksumType::Sha256, value.to_owned()))
}

fn listed_numbers(list: serde_json::Value, cname: &str) -> Result<Vec<u32>, ApiError> {
    if list.is_null() {
        return Err(ApiError::bad_request(format!(
            "{cname}: the list of parts is missing: expected [{{\"part-number\":1,\"etag\":\"\"}},...]"
        )));
    }
    let listed: Vec<Listed> = serde_json::from_value(list)
        .map_err(|err| ApiError::bad_request(format!("{cname}: malformed list of parts: {err}")))?;
    let number = |one: &Listed| {
        u32::try_from(one.number).map_err(|_| {
            ApiError::bad_request(format!("{cname}: no part has the number {}", one.number))
        })
    };
    listed.iter().map(number).collect()
}

/// A wrong signature is the sender's fault here.
fn part_failure(err: &StoreError, cname: &str) -> ApiError {
    match err {
        StoreError::Checksum { .. } => ApiError::bad_request(format!("{cname}: {err}")),
        _ => store_failure(err, cname),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_and_ids_are_told_apart_from_nonsense() {
        let status = |result: Result<u32, ApiError>| result.map_err(|err| err.status);
        assert_eq!(status(part_number("9999", "c")), Ok(9999));
        for (text, code) in
            [("", 400), ("x", 400), ("1.5", 400), ("0", 500), ("-1", 500), ("10000", 500)]
        {
            assert_eq!(status(part_number(text, "c")), Err(code), "{text:?}");
        }
        let status = |text| upload_id(text, "c").map(|_| ()).map_err(|err| err.status);
        assert_eq!(status("u0123456789abcdef"), Ok(()));
        for (text, code) in
            [("short", 400), ("with/slash", 400), ("with space", 400), ("notours_but_fine", 404)]
        {
            assert_eq!(status(text), Err(code), "{text:?}");
        }
    }

    #[test]
    fn the_list_of_parts_is_read() {
        let list = json!([{"etag": "", "part-number": 2}, {"part-number": 1}]);
        assert_eq!(listed_numbers(list, "c").unwrap(), [2, 1]);
        for bad in [json!(null), json!({}), json!([{}]), json!([{"part-number": -1}])] {
            assert_eq!(listed_numbers(bad, "c").unwrap_err().status, 400);
        }
    }
}
