//! GET of an object or a part of it.

use std::sync::Arc;
use std::time::Instant;

use aistore_core::bucket::validate_object_name;
use aistore_core::error::ApiError;
use aistore_core::range::RangeError;
use aistore_core::wire::parse_bool;
use aistore_store::ObjectReader;
use bytes::Bytes;

use super::Target;
use super::buffers::Pieces;
use super::failure::{read_failure, store_failure};
use super::objects::ObjectRef;
use super::place::redirected_ago;
use super::select::{GetFailure, Selection, Wanted, select};
use crate::http::{Reply, Req, reply};
use crate::memory::{Permit, Purpose};
use crate::tasks::lost_task;

/// The first piece of an answer, and the buffers for the rest if it has any yet.
type Begun = (Bytes, Option<Pieces>);

impl Target {
    pub(super) async fn get(
        self: &Arc<Self>,
        req: &Req,
        bucket: &str,
        name: &str,
    ) -> Result<Reply, ApiError> {
        let started = Instant::now();
        let redirected = redirected_ago(&req.query);
        let done = self.get_object(req, bucket, name).await;
        match done {
            Ok((reply, bytes)) => {
                self.ctx.metrics.get.done(bytes, started.elapsed());
                if let Some(ago) = redirected {
                    self.ctx.metrics.get_redirect.add(ago);
                }
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
        let object = found.object(name);
        refuse_unsupported(req, &object)?;
        self.check_place(req, &found.state, &object, false)?;
        let wanted = Wanted::of(req, found.props())?;
        if let Some(asked) = super::archive::wanted_files(req, name)? {
            if wanted.has_range() {
                return Err(super::archive::no_range(&asked, &object).into());
            }
            return self.get_archived(object, asked).await;
        }
        let verify = found.props().checksum.validate_warm_get;
        let (selection, begun) = self.first_piece(object, wanted, verify).await?;
        Ok(selection.reply(begun, &self.objects))
    }

    /// Opens the object and reads the first piece: on this worker when both are in memory, else all of
    /// it in one visit to the blocking pool (a visit was measured at 30 to 45 us of CPU).
    async fn first_piece(
        self: &Arc<Self>,
        object: ObjectRef,
        wanted: Wanted,
        verify: bool,
    ) -> Result<(Selection, Begun), GetFailure> {
        let cached = self.objects.readers.get(object.bid, &object.uname).filter(|_| !verify);
        if let Some(reader) = cached {
            let mut selection = select(reader, &wanted, &object)?;
            if selection.is_ready() {
                if selection.extent.length() == 0 || self.objects.sends_now(&mut selection.extent) {
                    return Ok((selection, (Bytes::new(), None)));
                }
                // Not in memory, or failed: the blocking read decides.
                if let Some((first, pieces)) = selection.extent.first_now(&self.objects.pool) {
                    return Ok((selection, (first, Some(pieces))));
                }
            }
        }
        let memory = self.memory_for_reply(&object).await?;
        let target = Arc::clone(self);
        let opened = tokio::task::spawn_blocking(move || {
            let reader =
                if verify { target.open_verified(&object) } else { target.objects.open(&object) };
            let reader = reader?.ok_or_else(|| target.object_not_found(&object))?;
            let mut selection = select(reader, &wanted, &object)?;
            let read = |err: &std::io::Error| read_failure(err, &object.cname());
            let pool = &target.objects.pool;
            let mut memory = memory;
            if !selection.is_ready() {
                let pieces = Pieces::new(pool, Purpose::Replies, memory);
                selection.checksum_part(&pieces).map_err(|err| read(&err))?;
                memory = pieces.into_permit();
            }
            if selection.extent.length() == 0 || target.objects.sends_now(&mut selection.extent) {
                return Ok((selection, (Bytes::new(), None)));
            }
            let first = selection.extent.first_blocking(pool, memory);
            let (first, pieces) = first.map_err(|err| read(&err))?;
            Ok((selection, (first, Some(pieces))))
        });
        opened.await.map_err(|err| lost_task(&err))?
    }

    /// Memory to begin an answer with, whose length is not known yet.
    pub(super) async fn memory_for_reply(&self, object: &ObjectRef) -> Result<Permit, ApiError> {
        let (pool, budget) = (&self.objects.pool, self.objects.pool.budget());
        let need = pool.need(u64::MAX);
        if let Some(permit) = budget.try_take(Purpose::Replies, need) {
            return Ok(permit);
        }
        budget.take(Purpose::Replies, need, &object.cname()).await
    }

    /// Opens an object whose bytes were compared with its checksum just now. Blocks on the disk.
    fn open_verified(&self, object: &ObjectRef) -> Result<Option<Arc<ObjectReader>>, ApiError> {
        let opened = self.objects.store.open_verified(object.bid, &object.uname, &object.name);
        let opened = opened.map_err(|err| {
            self.ctx.metrics.bad_checksums.inc();
            store_failure(&err, &object.cname())
        })?;
        Ok(opened.map(|verified| {
            if verified.healed {
                self.ctx.metrics.bad_checksums.inc();
                self.objects.readers.invalidate(&object.uname);
            }
            Arc::new(verified.reader)
        }))
    }

    pub(super) fn object_not_found(&self, object: &ObjectRef) -> ApiError {
        ApiError::object_not_found(&self.ctx.display(), &object.bucket, &object.name)
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
