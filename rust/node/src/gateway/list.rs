//! List-objects: asks all targets, merges their answers into one page.

use std::time::{Duration, Instant};

use aistore_cluster::ClusterState;
use aistore_core::bucket::{Bucket, NameError};
use aistore_core::error::ApiError;
use aistore_core::list::{
    FLAG_CACHED, FLAG_DIFF, FLAG_INVENTORY, FLAG_NAME_ONLY, FLAG_NAME_SIZE, FLAG_NOT_CACHED,
    FLAG_PRESENT, ListMsg, ListPage, MAX_LAYOUT_BYTES, MAX_PAGE_SIZE, Merge,
};
use aistore_core::smap::Snode;
use aistore_core::text::encode_query;
use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;

use super::{Gateway, backends};
use crate::http::{Reply, Req, reply};
use crate::intra::json_headers;

/// How often a target that lists is looked at: whether it still follows the cluster.
const LOOK: Duration = Duration::from_millis(500);
/// Shortest listing id that clients may echo.
const MIN_UUID_BYTES: usize = 9;
/// Length of the ids given out.
const UUID_BYTES: usize = 12;
/// Longest listing id, as for all jobs.
const MAX_UUID_BYTES: usize = 32;

impl Gateway {
    /// Answers one page.
    pub(super) async fn list_objects(
        &self,
        req: &Req,
        bucket: &Bucket,
        message: ListMsg,
    ) -> Result<Reply, ApiError> {
        let began = Instant::now();
        let page =
            self.page(bucket, message).await.inspect_err(|_| self.ctx.metrics.list.failed())?;
        let reply =
            if req.wants_msgpack() { reply::msgpack(page.to_msgpack()) } else { req.json(&page) };
        self.ctx.metrics.list.done(0, began.elapsed());
        Ok(reply)
    }

    async fn page(&self, bucket: &Bucket, message: ListMsg) -> Result<ListPage, ApiError> {
        let state = self.ctx.state();
        backends::find(&state, bucket, message.flags & FLAG_PRESENT != 0)?;
        let message = normalize(bucket, message)?;
        if !message.target.is_empty() && !state.smap.tmap.contains_key(&message.target) {
            return Err(ApiError::bad_request(format!(
                "cannot list \"{bucket}\" at target \"{}\": it is not in the cluster map (version {})",
                message.target, state.smap.version
            )));
        }
        let want = page_size(&message);
        let after = message.continuation_token.as_str().max(&message.start_after);
        let targets: Vec<&Snode> = state.smap.tmap.values().collect();
        let mut merge = Merge::new(targets.len(), want, after);
        let mut flags = 0;
        loop {
            let hungry = merge.hungry();
            if hungry.is_empty() {
                break;
            }
            let ask = merge.ask();
            let fetches = hungry.into_iter().filter_map(|(lane, token)| {
                let target = *targets.get(lane)?;
                let message = ListMsg {
                    continuation_token: token,
                    start_after: String::new(),
                    page_size: u64::try_from(ask).unwrap_or(u64::MAX),
                    ..message.clone()
                };
                let state = &state;
                Some(
                    async move { (lane, target, self.scan(state, target, bucket, &message).await) },
                )
            });
            for (lane, target, share) in join_all(fetches).await {
                let share = share?;
                flags |= share.flags;
                if !merge.feed(lane, share.entries, &share.continuation_token) {
                    return Err(ApiError::internal(format!(
                        "{} does not get on with the listing of {bucket}",
                        target.display()
                    )));
                }
            }
            merge.advance();
        }
        let (entries, continuation_token) = merge.finish();
        Ok(ListPage { uuid: message.uuid, continuation_token, entries, flags })
    }

    /// Completes when a target stops following the cluster: a slow one may take its time, one that hangs
    /// must not have the client wait as long.
    async fn falls_silent(&self, target: &Snode) -> ApiError {
        loop {
            tokio::time::sleep(LOOK).await;
            let silent = self.followers.silent_for(&target.daemon_id);
            if silent >= self.ctx.times().beat() {
                let (node, seconds) = (target.display(), silent.as_secs());
                return ApiError::internal(format!(
                    "{node} has given no sign of life for {seconds} s and no answer"
                ));
            }
        }
    }

    /// One target's own names.
    async fn scan(
        &self,
        state: &ClusterState,
        target: &Snode,
        bucket: &Bucket,
        message: &ListMsg,
    ) -> Result<ListPage, ApiError> {
        let url = format!(
            "{}/v1/scan/{}?provider={}&namespace={}&sv={}",
            target.url(),
            bucket.name,
            bucket.provider,
            encode_query(&bucket.namespace.to_string()),
            state.version
        );
        let body = serde_json::to_vec(message)
            .map_err(|err| ApiError::internal(format!("list request: {err}")))?;
        let limit = self.ctx.times().listing();
        let asked =
            self.ctx.intra.bytes(Method::POST, &url, json_headers(), Bytes::from(body), limit);
        let answered = tokio::select! {
            answered = asked => answered,
            silence = self.falls_silent(target) => Err(silence),
        };
        let (_, answer) = answered.map_err(|err| incomplete(bucket, target, err))?;
        ListPage::from_msgpack(&answer).map_err(|err| {
            ApiError::internal(format!("listing of {bucket} at {}: {err}", target.display()))
        })
    }
}

/// A listing without one target's names would be a lie, so it fails and says which is missing.
fn incomplete(bucket: &Bucket, target: &Snode, err: ApiError) -> ApiError {
    // The bucket is gone or being renamed: no node is at fault.
    if matches!(err.status, 404 | 409) {
        return err;
    }
    let text = format!(
        "cannot list \"{bucket}\" completely: {}: {}; restart that node or take it out of the cluster",
        target.display(),
        err.message
    );
    ApiError::new(err.status, &err.tcode, text)
}

fn page_size(message: &ListMsg) -> usize {
    match usize::try_from(message.page_size).unwrap_or(usize::MAX) {
        0 => MAX_PAGE_SIZE,
        size => size.min(MAX_PAGE_SIZE),
    }
}

/// Applies defaults and refuses what cannot be answered.
fn normalize(bucket: &Bucket, mut message: ListMsg) -> Result<ListMsg, ApiError> {
    if let Some(shorter) = message.prefix.strip_suffix('*') {
        message.prefix = shorter.to_owned();
    }
    check_prefix(bucket, &message.prefix)?;
    check_flags(bucket, message.flags)?;
    if message.uuid.is_empty() {
        let letters = std::iter::repeat_with(fastrand::alphanumeric).take(UUID_BYTES - 1);
        message.uuid = std::iter::once('l').chain(letters).collect();
    } else if !is_listing_id(&message.uuid) {
        return Err(ApiError::bad_request(format!(
            "cannot list \"{bucket}\": invalid listing id \"{}\": repeat the \"uuid\" of the previous page",
            message.uuid
        )));
    }
    if message.time_format.len() > MAX_LAYOUT_BYTES {
        return Err(ApiError::bad_request(format!(
            "cannot list \"{bucket}\": \"time_format\" is longer than {MAX_LAYOUT_BYTES} bytes"
        )));
    }
    match message.props.as_str() {
        "" if message.flags & FLAG_CACHED != 0 => {
            "name,size,checksum,atime".clone_into(&mut message.props);
        }
        "" => {
            "name,size,cached".clone_into(&mut message.props);
            message.flags |= FLAG_NAME_SIZE;
        }
        "name" => message.flags |= FLAG_NAME_ONLY,
        "name,size" => message.flags |= FLAG_NAME_SIZE,
        _ => {}
    }
    Ok(message)
}

fn check_prefix(bucket: &Bucket, prefix: &str) -> Result<(), ApiError> {
    if prefix.contains('\0') {
        return Err(NameError::Object(prefix.to_owned()).into());
    }
    let dots = prefix.split('/').any(|part| part == "." || part == "..");
    if dots || prefix.starts_with("~/") {
        return Err(ApiError::bad_request(format!(
            "cannot list \"{bucket}\": invalid prefix \"{prefix}\": it must not start with \"~/\" nor have a '.' or '..' element"
        )));
    }
    Ok(())
}

fn check_flags(bucket: &Bucket, flags: u64) -> Result<(), ApiError> {
    let remote_only = [
        (FLAG_NOT_CACHED, "not-cached"),
        (FLAG_DIFF, "diff"),
        (FLAG_INVENTORY, "native inventory"),
    ];
    if let Some((bit, name)) = remote_only.iter().find(|(bit, _)| flags & bit != 0) {
        return Err(ApiError::bad_request(format!(
            "cannot list \"{bucket}\" with flag {bit} ({name}): it is for buckets with a remote backend"
        )));
    }
    Ok(())
}

/// Whether the text can be a listing id that was given out.
fn is_listing_id(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (MIN_UUID_BYTES..=MAX_UUID_BYTES).contains(&text.len())
        && text.bytes().all(inner)
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(message: ListMsg) -> ListMsg {
        normalize(&Bucket::ais("b"), message).unwrap()
    }

    fn refused(message: ListMsg) -> ApiError {
        normalize(&Bucket::ais("b"), message).unwrap_err()
    }

    #[test]
    fn flags_of_remote_buckets_are_refused_by_name() {
        for (flags, status, name) in
            [(512, 400, "not-cached"), (4096, 400, "diff"), (32_768, 400, "inventory")]
        {
            let err = refused(ListMsg { flags, ..ListMsg::default() });
            assert!(err.status == status && err.message.contains(name), "{err}");
            assert!(err.message.contains("ais://b"), "{err}");
        }
        for flags in [1, 2, 4, 8, 64, 128, 256, 1024, 2048, 8192, 16_384] {
            normal(ListMsg { flags, ..ListMsg::default() });
        }
    }

    #[test]
    fn defaults_follow_props_and_flags() {
        let message = normal(ListMsg { prefix: "a/*".into(), ..ListMsg::default() });
        assert_eq!((message.prefix.as_str(), message.props.as_str()), ("a/", "name,size,cached"));
        assert_eq!(message.flags, FLAG_NAME_SIZE);
        assert!(message.uuid.len() >= MIN_UUID_BYTES);
        assert_eq!(page_size(&message), MAX_PAGE_SIZE);
        let cached = normal(ListMsg { flags: FLAG_CACHED, ..ListMsg::default() });
        assert_eq!(cached.props, "name,size,checksum,atime");
        let name =
            normal(ListMsg { props: "name".into(), page_size: 1 << 40, ..ListMsg::default() });
        assert_eq!((name.flags, page_size(&name)), (FLAG_NAME_ONLY, MAX_PAGE_SIZE));
    }

    #[test]
    fn the_listing_id_stays_and_broken_ones_are_refused() {
        let message = ListMsg { uuid: "lABCDEFGH".into(), ..ListMsg::default() };
        assert_eq!(normal(message.clone()).uuid, message.uuid);
        for uuid in ["short", "9starts-with-digit", "ends-with-", "has a blank", &"l".repeat(33)] {
            let err = refused(ListMsg { uuid: uuid.into(), ..ListMsg::default() });
            assert!(err.status == 400 && err.message.contains(uuid), "{err}");
        }
    }

    #[test]
    fn prefixes_with_dots_are_refused_by_name() {
        let err = refused(ListMsg { prefix: "a/../b".into(), ..ListMsg::default() });
        assert!(err.status == 400 && err.message.contains("a/../b"), "{err}");
    }
}
