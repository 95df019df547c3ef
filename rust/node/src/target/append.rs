//! Appending to an object, and flushing what was appended.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use aistore_core::bucket::validate_object_name;
use aistore_core::checksum::ChecksumType;
use aistore_core::error::ApiError;
use aistore_core::headers::APPEND_HANDLE;
use aistore_core::props::ACCESS_APPEND;
use aistore_store::{AppendId, AppendState, AppendWriter, PutOptions, StoreError};
use http::StatusCode;

use super::Target;
use super::failure::store_failure;
use super::objects::ObjectRef;
use super::place::Found;
use super::put::{announced_length, given_checksum, now_ns};
use super::upload::{Sink, memory_for, read_off, receive_into};
use crate::http::{Reply, Req, reply};
use crate::tasks::lost_task;

/// What a client sends back to continue: `target|session|checksum type|bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Handle {
    target: String,
    state: AppendState,
}

impl Handle {
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split('|').collect();
        let [target, session, kind, size] = fields[..] else { return None };
        let digits = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
        let id = AppendId::parse(session)?;
        let size = size.parse().ok().filter(|_| digits)?;
        let checksum = ChecksumType::parse(kind).ok()?;
        let target = Some(target).filter(|target| !target.is_empty())?.to_owned();
        Some(Self { target, state: AppendState { id, size, checksum } })
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AppendState { id, size, checksum } = self.state;
        write!(f, "{}|{id}|{}|{size}", self.target, checksum.as_str())
    }
}

/// What the fuzzer asks of handles.
#[cfg(fuzzing)]
pub(crate) fn fuzz_handle(text: &str) {
    let Some(handle) = Handle::parse(text) else { return };
    assert_eq!(Handle::parse(&handle.to_string()), Some(handle));
}

impl Sink for AppendWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        Self::write(self, bytes)
    }
}

impl Target {
    /// PUT with `append_type`.
    pub(super) async fn append(
        self: &Arc<Self>,
        req: &mut Req,
        bucket: &str,
        name: &str,
    ) -> Result<Reply, ApiError> {
        let started = Instant::now();
        let done = self.append_or_flush(req, bucket, name).await;
        match &done {
            Ok((_, bytes)) => self.ctx.metrics.append.done(*bytes, started.elapsed()),
            Err(_) => self.ctx.metrics.append.failed(),
        }
        done.map(|(reply, _)| reply)
    }

    async fn append_or_flush(
        self: &Arc<Self>,
        req: &mut Req,
        bucket: &str,
        name: &str,
    ) -> Result<(Reply, u64), ApiError> {
        validate_object_name(name)?;
        let found = self.find_bucket(req, bucket).await?;
        let object = found.object(name);
        let handle = self.append_handle(req, &object)?;
        if handle.is_none() {
            self.check_place(req, &found.state, &object, true)?;
        }
        if !found.props().allows(ACCESS_APPEND) {
            return Err(ApiError::access_denied(found.bucket(), "APPEND"));
        }
        match req.query.text("append_type") {
            "append" => self.append_bytes(req, &found, object, handle).await,
            "flush" => match handle {
                Some(state) => self.flush(req, &found, object, state).await,
                None => Err(ApiError::bad_request(format!(
                    "{}: invalid APPEND handle: to flush, send the handle of the last append",
                    object.cname()
                ))),
            },
            other => Err(ApiError::bad_request(format!(
                "{}: invalid append_type \"{other}\": expected \"append\" or \"flush\"",
                object.cname()
            ))),
        }
    }

    /// Reads the handle; `None` for an empty one, which starts a session.
    fn append_handle(
        &self,
        req: &Req,
        object: &ObjectRef,
    ) -> Result<Option<AppendState>, ApiError> {
        let text = req.query.text("append_handle");
        if text.is_empty() {
            return Ok(None);
        }
        let cname = object.cname();
        let handle = Handle::parse(text).ok_or_else(|| {
            ApiError::bad_request(format!(
                "{cname}: invalid APPEND handle \"{text}\": expected TARGET|SESSION|CHECKSUM|BYTES"
            ))
        })?;
        if handle.target != self.ctx.snode.daemon_id {
            return Err(ApiError::bad_request(format!(
                "{cname}: APPEND handle is of target \"{}\", this is {}: send it to a gateway",
                handle.target,
                self.ctx.display()
            )));
        }
        Ok(Some(handle.state))
    }

    async fn append_bytes(
        self: &Arc<Self>,
        req: &mut Req,
        found: &Found,
        object: ObjectRef,
        handle: Option<AppendState>,
    ) -> Result<(Reply, u64), ApiError> {
        let length = announced_length(&req.headers)?;
        let (cname, kind) = (object.cname(), found.props().checksum.kind);
        let before = handle.map_or(0, |state| state.size);
        let target = Arc::clone(self);
        let begin = move || {
            let store = &target.objects.store;
            let ObjectRef { bid, uname, name, .. } = &object;
            let begun = match handle {
                Some(state) => store.continue_append((*bid, uname), state),
                None => store.begin_append((*bid, uname, name), kind),
            };
            begun.map_err(|err| store_failure(&err, &object.cname()))
        };
        let ended = cname.clone();
        let finish =
            move |writer: AppendWriter| writer.finish().map_err(|err| store_failure(&err, &ended));
        let memory = memory_for(&self.objects, &cname, length, 1).await?;
        let state = receive_into((&cname, memory), begin, finish, &mut req.body, length).await?;
        let handle = Handle { target: self.ctx.snode.daemon_id.clone(), state };
        let reply = reply::empty(StatusCode::OK);
        let reply = reply::with_header(reply, APPEND_HANDLE, &handle.to_string());
        Ok((reply, state.size.saturating_sub(before)))
    }

    async fn flush(
        self: &Arc<Self>,
        req: &mut Req,
        found: &Found,
        object: ObjectRef,
        state: AppendState,
    ) -> Result<(Reply, u64), ApiError> {
        let props = found.props();
        let kind = props.checksum.kind;
        let options = PutOptions {
            checksum: kind,
            expected: given_checksum(&req.headers)?.filter(|_| kind != ChecksumType::None),
            versioned: props.versioning.enabled,
            copies: super::wanted_copies(props),
            now_ns: now_ns(),
            ..PutOptions::default()
        };
        // Clients may send content along; the protocol discards it.
        read_off(&mut req.body, &object.cname()).await?;
        let _writer = self.objects.writing.begin(&object.uname);
        let (target, at) = (Arc::clone(self), object.clone());
        let flushed = tokio::task::spawn_blocking(move || {
            let objects = &target.objects;
            let ObjectRef { bid, uname, name, .. } = &at;
            let done = objects.store.flush_append((*bid, uname, name), state, &options);
            target.mirror(&at);
            done.map_err(|err| store_failure(&err, &at.cname()))
        });
        let meta = flushed.await.map_err(|err| lost_task(&err))??;
        self.count_version(props.versioning.enabled, &meta);
        self.confirm(&object).await?;
        Ok((reply::empty(StatusCode::OK), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_read_back_and_nonsense_is_not() {
        let text = "tABC|0123456789abcdef|xxhash2|77";
        assert_eq!(Handle::parse(text).unwrap().to_string(), text);
        for bad in [
            "",
            "t",
            "t|s|c",
            "t|0123456789abcdef|xxhash2|",
            "t|0123456789abcdef|xxhash2|+7",
            "t|0123456789abcdef|sha1|7",
            "t|x|xxhash2|7",
            "|0123456789abcdef|xxhash2|7",
            "t|0123456789abcdef|xxhash2|7|8",
        ] {
            assert_eq!(Handle::parse(bad), None, "{bad}");
        }
    }
}
