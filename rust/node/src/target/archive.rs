//! GET of one file inside a shard.

use std::sync::Arc;

use aistore_core::bucket::validate_object_name;
use aistore_core::error::ApiError;
use aistore_store::ObjectReader;
use http::StatusCode;
use http::header::HeaderMap;

use super::Target;
use super::failure::read_failure;
use super::objects::{ObjectRef, Objects};
use super::read::Extent;
use super::select::{GetFailure, Selection};
use crate::http::{Reply, Req};
use crate::tasks::lost_task;

/// Bytes of a shard that tell its format.
const MAGIC_BYTES: usize = 512;

/// A file wanted out of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Name without a leading `/`.
    pub(super) path: String,
    /// Format that the client insists on.
    pub(super) mime: String,
}

/// Archive formats of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Tar,
    TarGz,
    Zip,
    TarLz4,
}

impl Format {
    /// Extension, as messages spell it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tar => ".tar",
            Self::TarGz => ".tgz",
            Self::Zip => ".zip",
            Self::TarLz4 => ".tar.lz4",
        }
    }

    /// Normalizes what a client calls a format: `tar`, `.tar`, `application/x-tar` are one.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let known = [
            ("tar.gz", Self::TarGz),
            ("tar.lz4", Self::TarLz4),
            ("tar", Self::Tar),
            ("tgz", Self::TarGz),
            ("zip", Self::Zip),
        ];
        let found = known.into_iter().find(|(word, _)| text.contains(word));
        found.map(|(_, format)| format).ok_or_else(|| {
            ApiError::bad_request(format!(
                "unknown mime type \"{text}\" (expecting .tar, .tgz, .tar.gz, .zip or .tar.lz4)"
            ))
        })
    }

    fn by_name(name: &str) -> Option<Self> {
        let known = [
            (".tar", Self::Tar),
            (".tgz", Self::TarGz),
            (".tar.gz", Self::TarGz),
            (".zip", Self::Zip),
            (".tar.lz4", Self::TarLz4),
        ];
        known.into_iter().find(|(extension, _)| name.ends_with(extension)).map(|(_, format)| format)
    }

    fn by_magic(head: &[u8]) -> Option<Self> {
        if head.get(257..262) == Some(b"ustar") {
            return Some(Self::Tar);
        }
        let known: [(&[u8], Self); 3] = [
            (&[0x1f, 0x8b], Self::TarGz),
            (b"PK", Self::Zip),
            (&[0x04, 0x22, 0x4d, 0x18], Self::TarLz4),
        ];
        known.into_iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, format)| format)
    }
}

/// The file that a GET asks for; `None` when it asks for the object itself.
pub(super) fn wanted_member(req: &Req, object: &str) -> Result<Option<Member>, ApiError> {
    let query = &req.query;
    let mode = query.get("archmode");
    let path = query.text("archpath");
    if mode.is_some() && !path.is_empty() {
        return Err(ApiError::bad_request(format!(
            "archpath \"{path}\" and archmode exclude each other: archpath reads one file, archmode many"
        )));
    }
    if mode.is_some() {
        return Err(ApiError::unsupported(format!(
            "reading many files of shard \"{object}\" with archmode is not supported yet: use archpath or a batch"
        )));
    }
    if path.is_empty() {
        return Ok(None);
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    let inner = path.strip_prefix(object).and_then(|rest| rest.strip_prefix('/'));
    let path = inner.unwrap_or(path);
    validate_object_name(path)?;
    Ok(Some(Member { path: path.to_owned(), mime: query.text("archmime").to_owned() }))
}

pub(super) fn no_range(member: &Member, object: &ObjectRef) -> ApiError {
    ApiError::bad_request(format!(
        "cannot range-read archived content {} in {}: leave out the Range header",
        member.path,
        object.cname()
    ))
}

/// Where a file lies in an open shard. Blocks on the disk.
///
/// `node` is the display form of this node, `mime` overrides the format that the name suggests.
pub(crate) fn locate(
    objects: &Objects,
    reader: &Arc<ObjectReader>,
    object: &ObjectRef,
    (path, mime): (&str, &str),
    node: &str,
) -> Result<Extent, ApiError> {
    let index = if let Some(index) = objects.members.ready(reader) {
        index
    } else {
        check_format(reader, object, mime)?;
        objects.members.get(reader, &object.cname())?
    };
    let Some((offset, size)) = index.find(path) else {
        return Err(ApiError::not_found(format!(
            "{node}: file \"{path}\" in {} does not exist",
            object.cname()
        )));
    };
    Ok(Extent::whole(Arc::clone(reader)).part(offset, size))
}

fn check_format(reader: &ObjectReader, object: &ObjectRef, mime: &str) -> Result<(), ApiError> {
    let cname = object.cname();
    let mut format =
        if mime.is_empty() { Format::by_name(&object.name) } else { Some(Format::parse(mime)?) };
    if format.is_none() {
        let mut head = [0; MAGIC_BYTES];
        let read = reader.read_at(&mut head, 0).map_err(|err| read_failure(&err, &cname))?;
        format = Format::by_magic(head.get(..read).unwrap_or_default());
    }
    match format {
        Some(Format::Tar) => Ok(()),
        Some(other) => Err(ApiError::unsupported(format!(
            "{cname}: reading files inside {} archives is not supported yet, only .tar",
            other.as_str()
        ))),
        None => Err(ApiError::bad_request(format!(
            "unrecognized or unsupported file format: {cname} is no archive that files can be read from"
        ))),
    }
}

impl Target {
    pub(super) async fn get_member(
        self: &Arc<Self>,
        object: ObjectRef,
        member: Member,
    ) -> Result<(Reply, u64), GetFailure> {
        // A file inside a shard has no metadata of its own.
        let selection = |extent| Selection::whole(StatusCode::OK, HeaderMap::new(), extent);
        if let Some(reader) = self.objects.readers.get(object.bid, &object.uname)
            && let Some(index) = self.objects.members.ready(&reader)
            && let Some((offset, size)) = index.find(&member.path)
        {
            let mut extent = Extent::whole(reader).part(offset, size);
            if let Some((first, pieces)) = extent.first_now(&self.objects.pool) {
                return Ok(selection(extent).reply((first, Some(pieces)), &self.objects));
            }
        }
        let memory = self.memory_for_reply(&object).await?;
        let target = Arc::clone(self);
        let opened = tokio::task::spawn_blocking(move || {
            let reader = target.objects.open(&object)?;
            let reader = reader.ok_or_else(|| target.object_not_found(&object))?;
            let wanted = (member.path.as_str(), member.mime.as_str());
            let node = target.ctx.display();
            let mut extent = locate(&target.objects, &reader, &object, wanted, &node)?;
            let first = extent.first_blocking(&target.objects.pool, memory);
            let begun = first.map_err(|err| read_failure(&err, &object.cname()))?;
            Ok::<_, ApiError>((extent, begun))
        });
        let (extent, (first, pieces)) = opened.await.map_err(|err| lost_task(&err))??;
        Ok(selection(extent).reply((first, Some(pieces)), &self.objects))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_names_are_normalized_as_the_protocol_does() {
        for (text, format) in [
            (".tar", Format::Tar),
            ("application/x-tar", Format::Tar),
            ("tar.gz", Format::TarGz),
            ("application/zip", Format::Zip),
            (".tar.lz4", Format::TarLz4),
            ("tgz", Format::TarGz),
        ] {
            assert_eq!(Format::parse(text).unwrap(), format, "{text}");
        }
        let err = Format::parse("rar").unwrap_err();
        assert!(err.status == 400 && err.message.starts_with("unknown mime type \"rar\""), "{err}");
        assert_eq!(Format::by_name("a/b.tar.gz"), Some(Format::TarGz));
        assert_eq!(Format::by_name("a.txt"), None);
        assert_eq!(Format::by_magic(b"PK\x03\x04"), Some(Format::Zip));
        assert_eq!(Format::by_magic(b""), None);
    }
}
