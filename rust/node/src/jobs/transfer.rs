//! Bringing one object to the owner of its new name: on this target through the store, to another one as
//! a PUT between nodes that keeps version, custom metadata and checksum.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aistore_cluster::ClusterState;
use aistore_core::checksum::ChecksumType;
use aistore_core::error::ApiError;
use aistore_core::headers::{CHECKSUM_TYPE, CHECKSUM_VALUE, VERSION};
use aistore_core::placement::owner;
use aistore_core::smap::Snode;
use aistore_core::text::encode_query;
use aistore_store::{ObjectMeta, ObjectReader, PutOptions};
use bytes::Bytes;
use futures_util::stream;
use http::Method;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use super::Job;
use crate::http::{Body, reply};
use crate::intra::peer_error;
use crate::target::Target;
use crate::target::deliver::CUSTOM_JSON;
use crate::target::failure::{read_failure, store_failure};
use crate::target::objects::ObjectRef;
use crate::target::put::{given, put_options};
use crate::tasks::lost_task;

/// Bytes read and sent or written at once.
const PIECE_BYTES: usize = 1 << 20;
/// A target that cannot be reached may be restarting; it is tried again for this long.
const RETRY_LIMIT: Duration = Duration::from_secs(90);
/// First and longest pause between two tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// Longest wait for the answer to a transfer, besides the time for its bytes.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// Slowest transfer that is waited for.
const SLOWEST_BYTES_PER_S: u64 = 1 << 20;

/// What to do about an object that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Present {
    /// Replace it, unless it is the same.
    Replace,
    /// Leave it, and count the transfer as done.
    Keep,
}

/// Brings the object to `to`; `false` when there is no such object any more.
pub(super) async fn transfer(
    target: &Arc<Target>,
    job: &Arc<Job>,
    from: &ObjectRef,
    to: &ObjectRef,
    present: Present,
) -> Result<bool, ApiError> {
    let (began, mut pause) = (Instant::now(), PAUSE.0);
    loop {
        let Some(reader) = open(target, from).await? else { return Ok(false) };
        let state = target.ctx.state();
        let holder = owner(&state.smap, &to.uname).cloned().ok_or_else(|| {
            ApiError::unavailable(format!("no target accepts data for {}", to.cname()))
        })?;
        let size = reader.meta().size;
        let done = if holder.daemon_id == target.ctx.snode.daemon_id {
            write(target, job, reader, to, present).await
        } else {
            let sent = send(target, job, &reader, to, &holder, present, &state).await;
            sent.inspect(|()| job.add_out(1, size))
        };
        match done {
            Ok(()) => {
                job.add_local(1, size);
                return Ok(true);
            }
            Err(err) if passes(&err) && began.elapsed() < RETRY_LIMIT => {
                tracing::debug!(job = job.record.display(), error = %err, "trying a transfer again");
                tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                pause = (pause * 2).min(PAUSE.1);
                target.ctx.catch_up(None).await;
            }
            Err(err) => return Err(err),
        }
    }
}

/// Whether an error may be gone on the next try: a node that restarts, or another map there.
fn passes(err: &ApiError) -> bool {
    err.tcode.is_empty() && matches!(err.status, 400 | 500 | 502 | 503 | 504) || err.status == 421
}

async fn open(
    target: &Arc<Target>,
    object: &ObjectRef,
) -> Result<Option<Arc<ObjectReader>>, ApiError> {
    let (target, object) = (Arc::clone(target), object.clone());
    let opened = tokio::task::spawn_blocking(move || target.objects.open(&object));
    opened.await.map_err(|err| lost_task(&err))?
}

/// Version, custom metadata and checksum as they travel.
fn headers(meta: &ObjectMeta) -> Result<HeaderMap, ApiError> {
    let mut headers = HeaderMap::new();
    let mut add = |name: &'static str, value: &[u8]| {
        let value = HeaderValue::from_bytes(value)
            .map_err(|err| ApiError::internal(format!("metadata does not travel: {err}")))?;
        headers.append(HeaderName::from_static(name), value);
        Ok::<_, ApiError>(())
    };
    if meta.checksum_type != ChecksumType::None {
        add(CHECKSUM_TYPE, meta.checksum_type.as_str().as_bytes())?;
        add(CHECKSUM_VALUE, meta.checksum.as_bytes())?;
    }
    if meta.version != 0 {
        add(VERSION, meta.version.to_string().as_bytes())?;
    }
    let custom = serde_json::to_string(&meta.custom)
        .map_err(|err| ApiError::internal(format!("metadata does not travel: {err}")))?;
    add(CUSTOM_JSON, reply::ascii(&custom).as_bytes())?;
    headers.insert(CONTENT_LENGTH, HeaderValue::from(meta.size));
    Ok(headers)
}

/// How a transferred object is stored.
pub(super) fn options(
    state: &ClusterState,
    to: &ObjectRef,
    headers: &HeaderMap,
    present: Present,
) -> Result<PutOptions, ApiError> {
    let props = state.bmd.get(&to.bucket).ok_or_else(|| ApiError::bucket_not_found(&to.bucket))?;
    let mut options = put_options(props, given(headers, true)?);
    options.version = options.version.filter(|_| options.versioned);
    options.if_absent = present == Present::Keep;
    Ok(options)
}

/// Whether what is stored is what comes: sending it again after a restart changes nothing.
pub(super) fn is_same(old: &ObjectMeta, options: &PutOptions) -> bool {
    let Some((kind, value)) = &options.expected else { return false };
    old.checksum_type == *kind
        && old.checksum == *value
        && options.size_hint == Some(old.size)
        && old.custom == options.custom
        && (!options.versioned || options.version.is_none_or(|version| version == old.version))
}

/// Stores on this target.
async fn write(
    target: &Arc<Target>,
    job: &Arc<Job>,
    reader: Arc<ObjectReader>,
    to: &ObjectRef,
    present: Present,
) -> Result<(), ApiError> {
    let options = options(&target.ctx.state(), to, &headers(reader.meta())?, present)?;
    let (target, job, to) = (Arc::clone(target), Arc::clone(job), to.clone());
    let written = tokio::task::spawn_blocking(move || {
        let failed = |err| store_failure(&err, &to.cname());
        let store = &target.objects.store;
        let old = store.head(to.bid, &to.uname, &to.name).map_err(failed)?;
        if old.as_ref().is_some_and(|old| present == Present::Keep || is_same(old, &options)) {
            return Ok(());
        }
        let mut writer = store.begin_put(to.bid, &to.uname, &to.name, options).map_err(failed)?;
        let size = usize::try_from(reader.meta().size).unwrap_or(usize::MAX);
        let (mut buffer, mut offset) = (vec![0; PIECE_BYTES.min(size)], 0);
        while offset < reader.meta().size {
            job.check()?;
            let read = reader.read_at(&mut buffer, offset);
            let read = read.map_err(|err| read_failure(&err, &to.cname()))?;
            writer.write(buffer.get(..read).unwrap_or_default()).map_err(failed)?;
            offset += read as u64;
        }
        let done = writer.finish();
        target.objects.readers.invalidate(&to.uname);
        match done {
            Ok(_) | Err(aistore_store::StoreError::Precondition { .. }) => Ok(()),
            Err(err) => Err(failed(err)),
        }
    });
    written.await.map_err(|err| lost_task(&err))?
}

/// Sends to another target.
async fn send(
    target: &Arc<Target>,
    job: &Arc<Job>,
    reader: &Arc<ObjectReader>,
    to: &ObjectRef,
    holder: &Snode,
    present: Present,
    state: &ClusterState,
) -> Result<(), ApiError> {
    let size = reader.meta().size;
    let url = format!(
        "{}/v1/jobs/object/{}?job={}&bucket={}&keep={}&sv={}",
        holder.url(),
        encode_query(&to.name),
        job.id(),
        encode_query(&to.bucket.uname()),
        present == Present::Keep,
        state.version
    );
    let timeout = ANSWER_TIMEOUT + Duration::from_secs(size / SLOWEST_BYTES_PER_S);
    let (headers, body) = (headers(reader.meta())?, body(Arc::clone(reader)));
    let intra = &target.ctx.intra;
    let mut answer = intra.send_body(Method::PUT, &url, headers, body, timeout).await?;
    if answer.status().as_u16() >= 400 {
        return Err(peer_error(&url, &mut answer).await);
    }
    Ok(())
}

/// The payload, read on the blocking pool as fast as it is sent.
fn body(reader: Arc<ObjectReader>) -> Body {
    let pieces = stream::try_unfold(0_u64, move |offset| {
        let reader = Arc::clone(&reader);
        async move {
            if offset >= reader.meta().size {
                return Ok(None);
            }
            let piece = tokio::task::spawn_blocking(move || {
                let left = usize::try_from(reader.meta().size - offset).unwrap_or(usize::MAX);
                let mut buffer = vec![0; PIECE_BYTES.min(left)];
                let read = reader.read_at(&mut buffer, offset)?;
                buffer.truncate(read);
                Ok::<_, std::io::Error>(buffer)
            });
            let piece = piece.await.map_err(std::io::Error::other)??;
            let next = offset + piece.len() as u64;
            Ok::<_, std::io::Error>(Some((Frame::data(Bytes::from(piece)), next)))
        }
    });
    StreamBody::new(pieces).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_may_pass_are_tried_again() {
        assert!(passes(&ApiError::internal("node cannot be reached")));
        assert!(passes(&ApiError::new(421, "ErrStaleMap", "x")));
        assert!(!passes(&ApiError::out_of_space("x")));
        assert!(!passes(&ApiError::bad_checksum("md5", "a", "b", "c")));
        assert!(!passes(&ApiError::new(404, "ErrBckNotFound", "x")));
    }
}
