//! Shards made of objects that lie all over the cluster.
//!
//! The shard's owner reads the objects as a batch does, a window of names at a time, and writes while it reads.

use std::collections::VecDeque;
use std::sync::Arc;

use aistore_cluster::ClusterState;
use aistore_core::error::ApiError;
use aistore_core::frames::{HEADER_BYTES, Header};
use aistore_core::moss::Wanted;
use aistore_core::placement::owner;
use aistore_store::{ObjectMeta, ObjectReader};
use bytes::{Buf as _, Bytes};

use super::super::Target;
use super::super::buffers::Pieces;
use super::super::failure::store_failure;
use super::super::moss::assemble::{BATCH_BYTES, OnFailure};
use super::super::moss::layout::Layout;
use super::super::moss::plan::{Plan, Route};
use super::super::objects::ObjectRef;
use super::super::put::now_ns;
use super::super::upload::{Sink as _, memory_for};
use super::add::{Growing, Growth, shard_options};
use super::{Format, Gone, Watch};
use crate::memory::Purpose;
use crate::tasks::lost_task;

/// A shard in the making. Dropping it leaves nothing behind.
pub(crate) struct Making {
    target: Arc<Target>,
    shard: ObjectRef,
    /// `None` while it is written to, and after an error.
    writing: Option<Writing>,
    read: Pieces,
    _written: Pieces,
    _watch: Watch,
}

/// What became of one window of objects.
#[derive(Default)]
pub(crate) struct Added {
    /// Objects and bytes that were added.
    pub(crate) local: (u64, u64),
    /// How much of that came from other targets.
    pub(crate) from_peers: (u64, u64),
    /// Objects that were not, by position.
    pub(crate) failures: Vec<(usize, ApiError)>,
}

impl Target {
    /// Refuses to add to a shard that changed after `since_ns`: a job that runs again may have done it.
    pub(crate) async fn check_unchanged(
        self: &Arc<Self>,
        shard: &ObjectRef,
        since_ns: u64,
    ) -> Result<(), ApiError> {
        let (target, object) = (Arc::clone(self), shard.clone());
        let opened = tokio::task::spawn_blocking(move || target.objects.open(&object));
        let old = opened.await.map_err(|err| lost_task(&err))??;
        if old.is_none_or(|old| old.meta().mtime_ns <= since_ns) {
            return Ok(());
        }
        Err(ApiError::new(
            409,
            "ErrBusy",
            format!(
                "{}: the shard changed after the job began: look whether it has the files already, and start the job again if not",
                shard.cname()
            ),
        ))
    }

    /// Begins a shard; with `append`, with the files of the one that is there.
    pub(crate) async fn begin_shard(
        self: &Arc<Self>,
        shard: ObjectRef,
        format: Format,
        append: bool,
    ) -> Result<Making, ApiError> {
        let state = self.ctx.state();
        let props = state.bmd.get(&shard.bucket).filter(|props| props.bid == shard.bid);
        let props = props.ok_or_else(|| ApiError::bucket_not_found(&shard.bucket))?.clone();
        let cname = shard.cname();
        let copies = if props.mirror.enabled { u64::from(props.mirror.copies) } else { 1 };
        let written = memory_for(&self.objects, &cname, None, copies).await?;
        let budget = self.objects.pool.budget();
        let permit = budget.take(Purpose::Batches, BATCH_BYTES, &cname).await?;
        let read = Pieces::new(&self.objects.pool, Purpose::Batches, permit);
        let (watch, gone) = Watch::new();
        let (target, object) = (Arc::clone(self), shard.clone());
        let begun = tokio::task::spawn_blocking(move || {
            target.open_shard(&object, &props, format, append, &gone)
        });
        let shard_file = begun.await.map_err(|err| lost_task(&err))??;
        let writing = Some(Writing::new(shard_file, cname));
        Ok(Making {
            target: Arc::clone(self),
            shard,
            writing,
            read,
            _written: written,
            _watch: watch,
        })
    }

    /// Blocks on the disk.
    fn open_shard(
        &self,
        shard: &ObjectRef,
        props: &aistore_core::props::BucketProps,
        format: Format,
        append: bool,
        gone: &Gone,
    ) -> Result<Growing, ApiError> {
        let (old, growth) = if append {
            (self.objects.open(shard)?, Growth::AppendIfThere)
        } else {
            (None, Growth::Replace)
        };
        let options = shard_options(props, old.as_deref().map(ObjectReader::meta), growth);
        Growing::begin(&self.objects, shard, options, format, old.as_ref(), gone)
    }
}

impl Making {
    /// Adds objects under the names that their files are to have, in order. Not cancel safe.
    pub(crate) async fn add(
        &mut self,
        objects: Vec<ObjectRef>,
        names: Vec<String>,
    ) -> Result<Added, ApiError> {
        let state = self.target.ctx.state();
        self.check_owner(&state)?;
        let wanted = objects.into_iter().map(|object| {
            let (bucket, name) = (object.bucket.clone(), object.name.clone());
            let archpath = String::new();
            (
                Wanted { bucket, object: name, archpath, start: 0, length: None, cut: None },
                Some(object),
            )
        });
        let own = &self.target.ctx.snode.daemon_id;
        let plan = Plan::routed(wanted.collect(), &state.smap, own);
        let mut assembler = self.target.assembler(
            plan,
            Layout::Frames,
            OnFailure::Report,
            &state,
            self.read.clone(),
        )?;
        if let Some(writing) = &mut self.writing {
            writing.names = names.into();
        }
        while let Some(piece) = assembler.next().await? {
            self.write(move |writing| writing.take(piece)).await?;
        }
        let Some(writing) = &mut self.writing else { return Err(broken("its writer is gone")) };
        let mut added = Added { failures: writing.end_of_window()?, ..Added::default() };
        for (entry, result) in assembler.plan().entries.iter().zip(assembler.results()) {
            if result.error.is_some() {
                continue;
            }
            added.local = (added.local.0 + 1, added.local.1 + result.bytes);
            if entry.route != Route::Here {
                added.from_peers.0 += 1;
                added.from_peers.1 += result.bytes;
            }
        }
        Ok(added)
    }

    /// Stores the shard.
    pub(crate) async fn finish(mut self) -> Result<ObjectMeta, ApiError> {
        let state = self.target.ctx.leased_state().await;
        self.check_owner(&state)?;
        let Some(writing) = self.writing.take() else { return Err(broken("its writer is gone")) };
        let _writer = self.target.objects.writing.begin(&self.shard.uname);
        let stored = tokio::task::spawn_blocking(move || writing.shard.finish());
        let meta = stored.await.map_err(|err| lost_task(&err))??;
        self.target.confirm(&self.shard).await?;
        Ok(meta)
    }

    async fn write(
        &mut self,
        work: impl FnOnce(&mut Writing) -> Result<(), ApiError> + Send + 'static,
    ) -> Result<(), ApiError> {
        let Some(mut writing) = self.writing.take() else {
            return Err(broken("its writer is gone"));
        };
        let written = tokio::task::spawn_blocking(move || work(&mut writing).map(|()| writing));
        self.writing = Some(written.await.map_err(|err| lost_task(&err))??);
        Ok(())
    }

    /// What is stored here must be found here.
    fn check_owner(&self, state: &ClusterState) -> Result<(), ApiError> {
        let holder = owner(&state.smap, &self.shard.uname);
        if holder.is_some_and(|holder| holder.daemon_id == self.target.ctx.snode.daemon_id) {
            return Ok(());
        }
        Err(ApiError::unavailable(format!(
            "{}: the cluster's targets changed, and {} does not own the shard any more: start the job again",
            self.shard.cname(),
            self.target.ctx.display()
        )))
    }
}

/// Writes the files of a stream of frames. Blocks on the disk.
struct Writing {
    shard: Growing,
    cname: String,
    /// Names of the files that are still to begin in this window, and how many have.
    names: VecDeque<String>,
    begun: usize,
    header: [u8; HEADER_BYTES],
    have: usize,
    payload: Payload,
    failures: Vec<(usize, ApiError)>,
    ended: bool,
}

enum Payload {
    /// A header comes next.
    None,
    Data(u64),
    Message(u64, u16, Vec<u8>),
}

impl Writing {
    fn new(shard: Growing, cname: String) -> Self {
        Self {
            shard,
            cname,
            names: VecDeque::new(),
            begun: 0,
            header: [0; HEADER_BYTES],
            have: 0,
            payload: Payload::None,
            failures: Vec::new(),
            ended: false,
        }
    }

    fn take(&mut self, mut piece: Bytes) -> Result<(), ApiError> {
        loop {
            match &mut self.payload {
                Payload::Data(left) => {
                    let part = piece.split_to(most(*left, &piece));
                    self.shard.write(&part).map_err(|err| store_failure(&err, &self.cname))?;
                    *left -= part.len() as u64;
                    if *left > 0 {
                        return Ok(());
                    }
                    self.shard.end()?;
                }
                Payload::Message(left, status, text) => {
                    let part = piece.split_to(most(*left, &piece));
                    text.extend_from_slice(&part);
                    *left -= part.len() as u64;
                    if *left > 0 {
                        return Ok(());
                    }
                    let text = String::from_utf8_lossy(text).into_owned();
                    self.failures.push((self.begun - 1, ApiError::new(*status, "", text)));
                }
                Payload::None => {}
            }
            self.payload = Payload::None;
            let count = (HEADER_BYTES - self.have).min(piece.len());
            let room = self.header.get_mut(self.have..self.have + count).unwrap_or_default();
            room.copy_from_slice(piece.get(..count).unwrap_or_default());
            piece.advance(count);
            self.have += count;
            if self.have < HEADER_BYTES {
                return Ok(());
            }
            self.have = 0;
            let header = Header::decode(&self.header).map_err(|err| broken(&err.to_string()))?;
            self.begin(header)?;
        }
    }

    fn begin(&mut self, header: Header) -> Result<(), ApiError> {
        if header.is_end() {
            self.ended = true;
            return Ok(());
        }
        let in_order = usize::try_from(header.index).is_ok_and(|index| index == self.begun);
        let name = self.names.pop_front().filter(|_| in_order);
        let name = name.ok_or_else(|| broken("entries out of order"))?;
        self.begun += 1;
        self.payload = if header.status == 0 {
            self.shard.file(&name, header.length, now_ns() / 1_000_000_000)?;
            Payload::Data(header.length)
        } else {
            Payload::Message(header.length, header.status, Vec::new())
        };
        Ok(())
    }

    fn end_of_window(&mut self) -> Result<Vec<(usize, ApiError)>, ApiError> {
        if !self.ended || !self.names.is_empty() {
            return Err(broken("it ended early"));
        }
        (self.ended, self.begun) = (false, 0);
        Ok(std::mem::take(&mut self.failures))
    }
}

fn most(left: u64, piece: &Bytes) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(piece.len())
}

fn broken(what: &str) -> ApiError {
    ApiError::internal(format!("the stream of objects for a shard is malformed: {what}"))
}
