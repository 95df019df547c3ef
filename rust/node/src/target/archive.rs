//! Files inside shards: which are asked for, where they lie, and answers with them.

mod add;
mod body;
mod find;
mod make;
mod many;

use std::sync::Arc;

pub(crate) use aistore_core::archive::Format;
use aistore_core::archive::Matcher;
use aistore_core::bucket::validate_object_name;
use aistore_core::error::ApiError;
use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderMap;

pub(crate) use self::body::{Unpacking, failure as unpack_failure};
pub(crate) use self::find::{Found, Gone, Packed, Watch, Watched, locate, member_of, shard_format};
pub(crate) use self::make::Added;
use super::Target;
use super::buffers::Pieces;
use super::failure::read_failure;
use super::objects::ObjectRef;
use super::read::Extent;
use super::select::{GetFailure, Selection};
use crate::http::{Reply, Req};
use crate::tasks::lost_task;

/// What a GET wants of a shard.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Format that the client insists on; empty for any.
    pub(super) mime: String,
    pub(super) which: Which,
}

/// One file, or all that match.
#[derive(Debug, Clone)]
pub(super) enum Which {
    /// Name without a leading `/`.
    One(String),
    Many(Matcher),
}

impl Asked {
    /// The files, for messages.
    pub(super) fn text(&self) -> &str {
        match &self.which {
            Which::One(path) => path,
            Which::Many(matcher) => matcher.text(),
        }
    }
}

/// The files that a GET asks for; `None` when it asks for the object itself.
pub(super) fn wanted_files(req: &Req, object: &str) -> Result<Option<Asked>, ApiError> {
    let query = &req.query;
    let mime = query.text("archmime").to_owned();
    let mode = query.get("archmode");
    let path = query.text("archpath");
    if mode.is_some() && !path.is_empty() {
        return Err(ApiError::bad_request(format!(
            "archpath \"{path}\" and archmode exclude each other: archpath reads one file, archmode many"
        )));
    }
    if let Some(mode) = mode {
        let matcher = Matcher::new(mode, query.text("archregx"))?;
        return Ok(Some(Asked { mime, which: Which::Many(matcher) }));
    }
    if path.is_empty() {
        return Ok(None);
    }
    let path = member_name(path, object)?;
    Ok(Some(Asked { mime, which: Which::One(path) }))
}

/// The name of a file as clients give it, made relative to its shard.
pub(super) fn member_name(path: &str, object: &str) -> Result<String, ApiError> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let inner = path.strip_prefix(object).and_then(|rest| rest.strip_prefix('/'));
    let path = inner.unwrap_or(path);
    validate_object_name(path)?;
    Ok(path.to_owned())
}

pub(super) fn no_range(asked: &Asked, object: &ObjectRef) -> ApiError {
    ApiError::bad_request(format!(
        "cannot range-read archived content {} in {}: leave out the Range header",
        asked.text(),
        object.cname()
    ))
}

/// What of an archive's unpacking stays in memory while its client reads: a window of compressed bytes and the
/// state of the decoder. Blocks of LZ4 may be larger; few writers make such.
const DECODER_BYTES: u64 = 1 << 20;

impl Target {
    pub(super) async fn get_archived(
        self: &Arc<Self>,
        object: ObjectRef,
        asked: Asked,
    ) -> Result<(Reply, u64), GetFailure> {
        match asked.which {
            Which::One(path) => self.get_member(object, path, asked.mime).await,
            Which::Many(matcher) => self.get_members(object, matcher, asked.mime).await,
        }
    }

    async fn get_member(
        self: &Arc<Self>,
        object: ObjectRef,
        path: String,
        mime: String,
    ) -> Result<(Reply, u64), GetFailure> {
        // A file inside a shard has no metadata of its own.
        let selection = |extent| Selection::whole(StatusCode::OK, HeaderMap::new(), extent);
        if let Some(mut extent) = self.member_in_memory(&object, &path, &mime)
            && let Some((first, pieces)) = extent.first_now(&self.objects.pool)
        {
            return Ok(selection(extent).reply((first, Some(pieces)), &self.objects));
        }
        let memory = self.memory_for_reply(&object).await?;
        let (target, cname) = (Arc::clone(self), object.cname());
        let (watch, gone) = Watch::new();
        let is_search = find::promised(&object, &mime)?.is_none_or(Format::is_packed);
        let searching = if is_search { Some(self.objects.searching().await) } else { None };
        let opened = tokio::task::spawn_blocking(move || {
            let _searching = searching;
            let reader = target.objects.open(&object)?;
            let reader = reader.ok_or_else(|| target.object_not_found(&object))?;
            let wanted = (path.as_str(), mime.as_str());
            let node = target.ctx.display();
            let cname = object.cname();
            match member_of(&target.objects, &reader, &object, wanted, &node, &gone)? {
                Found::Plain(mut extent) => {
                    let first = extent.first_blocking(&target.objects.pool, memory);
                    let (first, pieces) = first.map_err(|err| read_failure(&err, &cname))?;
                    Ok(Opened::Plain(selection(extent), first, pieces))
                }
                Found::Packed(packed) => {
                    let begun = body::begin(packed.into(), &target.objects.pool, memory);
                    Ok(Opened::Packed(begun.map_err(|err| body::failure(&err, &cname))?))
                }
            }
        });
        let opened: Result<Opened, ApiError> = opened.await.map_err(|err| lost_task(&err))?;
        match opened? {
            Opened::Plain(selection, first, pieces) => {
                Ok(selection.reply((first, Some(pieces)), &self.objects))
            }
            Opened::Packed(begun) => {
                Ok(self.unpacked_reply(begun, watch, "application/octet-stream", &cname).await?)
            }
        }
    }

    /// A member whose place is known, of a shard that is open.
    fn member_in_memory(&self, object: &ObjectRef, path: &str, mime: &str) -> Option<Extent> {
        let reader = self.objects.readers.get(object.bid, &object.uname)?;
        let format = find::promised(object, mime).ok()?;
        if format.is_some_and(|format| format != Format::Tar) {
            return None;
        }
        let index = self.objects.members.ready(&reader, Format::Tar)?;
        let (offset, size) = index.find(path)?.range();
        Some(Extent::whole(reader).part(offset, size))
    }
}

enum Opened {
    Plain(Selection, Bytes, Pieces),
    Packed(body::Begun),
}
