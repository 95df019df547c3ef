//! PUT of one file into a shard.
//!
//! What is stored never changes: a shard that grows is written anew, under the condition that nobody replaced it
//! meanwhile. Additions to one shard on this target wait for each other.

use std::io::{self, Write};
use std::sync::Arc;

use aistore_core::archive::write::{ExtendError, Writer};
use aistore_core::archive::{Format, Shared};
use aistore_core::bucket::validate_object_name;
use aistore_core::error::ApiError;
use aistore_core::props::{ACCESS_APPEND, ACCESS_PUT};
use aistore_store::{Condition, ObjectMeta, ObjectReader, ObjectWriter, PutOptions, StoreError};
use http::StatusCode;

use super::super::Target;
use super::super::failure::store_failure;
use super::super::members::archive_failure;
use super::super::objects::{ObjectRef, Objects};
use super::super::put::{Given, announced_length, now_ns, put_options};
use super::super::upload::{Sink, memory_for, receive_into};
use super::find::promised;
use super::{Gone, Watched, member_name, shard_format};
use crate::http::{Reply, Req, reply};
use crate::tasks::lost_task;

/// Header with the flags below.
const FLAGS: &str = "ais-pine";

/// What to do with a shard that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Growth {
    /// A new one takes its place.
    Replace,
    /// It must be there, and grows.
    Append,
    /// It grows; where there is none a new one begins.
    AppendIfThere,
}

impl Growth {
    fn parse(text: Option<&str>) -> Result<Self, ApiError> {
        match text.unwrap_or_default().trim() {
            "" | "0" => Ok(Self::Replace),
            "1" => Ok(Self::Append),
            "2" => Ok(Self::AppendIfThere),
            other => Err(ApiError::bad_request(format!(
                "invalid {FLAGS} \"{other}\": expected 0 (new shard), 1 (append) or 2 (append if it exists)"
            ))),
        }
    }
}

/// A store's writer where an archive's is expected.
pub(crate) struct Stored(ObjectWriter);

impl Write for Stored {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf).map_err(io::Error::other)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the store said, out of an error that went through an archive's writer.
fn store_error(err: io::Error) -> StoreError {
    err.downcast::<StoreError>().unwrap_or_else(|err| StoreError::Invalid(err.to_string()))
}

/// A shard that is being written.
pub(crate) struct Growing {
    writer: Writer<Stored>,
    objects: Arc<Objects>,
    object: ObjectRef,
}

impl Growing {
    /// Begins a shard: with the files of `old`, if it is given. Blocks on the disk.
    pub(crate) fn begin(
        objects: &Arc<Objects>,
        object: &ObjectRef,
        options: PutOptions,
        format: Format,
        old: Option<&Arc<ObjectReader>>,
        gone: &Gone,
    ) -> Result<Self, ApiError> {
        let cname = object.cname();
        let begun = objects.store.begin_put(object.bid, &object.uname, &object.name, options);
        let out = Stored(begun.map_err(|err| store_failure(&err, &cname))?);
        let writer = match old {
            None => Writer::new(out, format),
            Some(old) => {
                let shard: Shared = Watched::shared(old, gone);
                Writer::extend(out, &shard, old.meta().size, format).map_err(|err| match err {
                    ExtendError::Archive(err) => archive_failure(&err, format, &cname),
                    ExtendError::Output(err) => store_failure(&store_error(err), &cname),
                })?
            }
        };
        Ok(Self { writer, objects: Arc::clone(objects), object: object.clone() })
    }

    fn told<T>(&self, done: io::Result<T>) -> Result<T, ApiError> {
        done.map_err(|err| store_failure(&store_error(err), &self.object.cname()))
    }

    /// Begins a file. Blocks on the disk.
    pub(crate) fn file(&mut self, name: &str, size: u64, mtime_s: u64) -> Result<(), ApiError> {
        let done = self.writer.begin(name, size, mtime_s);
        self.told(done)
    }

    /// Ends the file. Blocks on the disk.
    pub(crate) fn end(&mut self) -> Result<(), ApiError> {
        let done = self.writer.end();
        self.told(done)
    }

    /// Stores the shard. Blocks on the disk.
    pub(crate) fn finish(self) -> Result<ObjectMeta, ApiError> {
        let Self { writer, objects, object } = self;
        let failure = |err: &StoreError| match err {
            StoreError::Precondition { .. } => ApiError::new(
                409,
                "ErrBusy",
                format!(
                    "{}: the shard was changed meanwhile, nothing was added: try again",
                    object.cname()
                ),
            ),
            err => store_failure(err, &object.cname()),
        };
        let out = writer.finish().map_err(|err| failure(&store_error(err)))?;
        let done = out.0.finish();
        objects.readers.invalidate(&object.uname);
        done.map_err(|err| failure(&err))
    }
}

impl Sink for Growing {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.writer.data(bytes).map_err(store_error)
    }
}

/// How a shard is stored whose present version is `old`. `grows` keeps what that version has beside its bytes.
pub(crate) fn shard_options(
    props: &aistore_core::props::BucketProps,
    old: Option<&ObjectMeta>,
    growth: Growth,
) -> PutOptions {
    let kept = old.filter(|_| growth != Growth::Replace);
    let versioned = props.versioning.enabled;
    let given = Given {
        checksum: None,
        custom: kept.map(|old| old.custom.clone()).unwrap_or_default(),
        // Growing is no new version.
        version: kept.map(|old| old.version).filter(|version| versioned && *version > 0),
        length: None,
        if_absent: growth != Growth::Replace && old.is_none(),
        if_match: kept.map(|old| {
            let blob = old.blob;
            Condition::new(move |present| present.blob == blob)
        }),
    };
    put_options(props, given)
}

impl Target {
    pub(in crate::target) async fn add_to_shard(
        self: &Arc<Self>,
        req: &mut Req,
        bucket: &str,
        name: &str,
    ) -> Result<(Reply, u64), ApiError> {
        validate_object_name(name)?;
        let found = self.find_bucket(req, bucket).await?;
        let object = found.object(name);
        self.check_place(req, &found.state, &object, true)?;
        let growth = Growth::parse(req.header(FLAGS))?;
        let (access, what) = match growth {
            Growth::Replace => (ACCESS_PUT, "PUT"),
            Growth::Append | Growth::AppendIfThere => (ACCESS_APPEND, "APPEND"),
        };
        if !found.props().allows(access) {
            return Err(ApiError::access_denied(found.bucket(), what));
        }
        let path = member_name(req.query.text("archpath"), name)?;
        let mime = req.query.text("archmime").to_owned();
        let length = announced_length(&req.headers)?.filter(|length| *length > 0);
        let Some(length) = length else {
            return Err(ApiError::bad_request(format!(
                "cannot add \"{path}\" to {}: missing \"Content-Length\" in the request",
                object.cname()
            )));
        };
        let _turn = self.shards.lock(&object.uname).await;
        let old = {
            let (target, object) = (Arc::clone(self), object.clone());
            let opened = tokio::task::spawn_blocking(move || target.objects.open(&object));
            opened.await.map_err(|err| lost_task(&err))??
        };
        if growth == Growth::Append && old.is_none() {
            return Err(self.object_not_found(&object));
        }
        let options = shard_options(found.props(), old.as_deref().map(ObjectReader::meta), growth);
        let memory =
            memory_for(&self.objects, &object.cname(), Some(length), options.copies as u64).await?;
        let _writer = self.objects.writing.begin(&object.uname);
        let cname = object.cname();
        let begin = {
            let (objects, object) = (Arc::clone(&self.objects), object.clone());
            move || {
                let format = match (promised(&object, &mime)?, &old) {
                    (Some(format), _) => format,
                    (None, Some(old)) => shard_format(old, &object, &mime)?,
                    (None, None) => {
                        return Err(ApiError::bad_request(format!(
                            "unrecognized or unsupported file format: {} has no archive's extension: say which with archmime",
                            object.cname()
                        )));
                    }
                };
                let old = old.as_ref().filter(|_| growth != Growth::Replace);
                let gone = Gone::default();
                let mut shard = Growing::begin(&objects, &object, options, format, old, &gone)?;
                shard.file(&path, length, now_ns() / 1_000_000_000)?;
                Ok(shard)
            }
        };
        let finish = |mut shard: Growing| {
            shard.end()?;
            shard.finish()
        };
        let stored = receive_into((&cname, memory), begin, finish, &mut req.body, Some(length));
        stored.await?;
        self.confirm(&object).await?;
        Ok((reply::empty(StatusCode::OK), length))
    }
}
