//! Batches: many entries in one answer, in the order asked for.
//!
//! The target that a gateway designated assembles the archive: [`plan`] says who holds what, [`local`]
//! reads this node's entries ahead, [`peer`] those of others, [`assemble`] brings them into order. The
//! whole is pulled by the connection that sends it: a slow client slows its own batch only, and when it
//! goes away everything stops.

pub(super) mod assemble;
mod cuts;
mod delivery;
pub(super) mod layout;
pub(super) mod local;
mod multipart;
mod outbox;
pub(super) mod pack;
mod peer;
pub(super) mod plan;
pub(super) mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use aistore_cluster::ClusterState;
use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::moss::{MossOut, MossReq, MossResp, Wanted};
use aistore_core::placement::owner;
use aistore_core::smap::Snode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use serde::Serialize;
use tokio_util::task::AbortOnDropHandle;

use super::Target;
use super::buffers::Pieces;
use super::objects::ObjectRef;
use super::place::is_redirected;
use crate::context::NodeContext;
use crate::http::{Reply, Req};
use crate::intra::{json_headers, peer_error};
use crate::memory::Purpose;
use crate::tasks::lost_task;
use assemble::{Assembler, BATCH_BYTES, EntryResult, OnFailure};
use delivery::Delivery;
use layout::Layout;
use local::LocalEntries;
use pack::Packed;
use peer::{Again, ByteStream, Opening, Part, PeerEntries};
use plan::{Plan, Route};
use request::BatchPath;

/// Batches that one target works on at a time; more are refused, and clients try again.
pub(super) const MAX_PENDING: usize = 256;

/// Body of a request for frames.
#[derive(Serialize)]
struct FramesRequest<'a> {
    entries: Vec<&'a Wanted>,
}

impl Target {
    pub(super) async fn moss(self: &Arc<Self>, req: Req, rest: &str) -> Result<Reply, ApiError> {
        let done = self.batch(req, rest).await;
        if done.is_err() {
            self.ctx.metrics.batch.failed();
        }
        done
    }

    async fn batch(self: &Arc<Self>, mut req: Req, rest: &str) -> Result<Reply, ApiError> {
        if !is_redirected(&req.query) {
            return Err(ApiError::new(
                401,
                "",
                format!("{}: a batch must come through a gateway", self.ctx.display()),
            ));
        }
        let delivery = self.admit(&self.batches)?;
        request::check_colocation(req.query.get("coloc"))?;
        let path = BatchPath::parse(rest)?;
        let (msg, mut memory): (MossReq, _) =
            req.read_batch_json(Purpose::Batches, BATCH_BYTES).await?;
        let pieces = Pieces::new(&self.objects.pool, Purpose::Batches, memory.split(BATCH_BYTES));
        let delivery = delivery.holding(memory);
        let default_bucket = match &path.bucket {
            Some(name) => Some(self.find_bucket(&req, name).await?.bucket().clone()),
            None => None,
        };
        let (wanted, format) = request::check(&msg, default_bucket.as_ref())?;
        let (entries, state) = self.object_refs(&req, wanted).await;
        if let Some((wanted, _)) = entries.iter().find(|(_, object)| object.is_none()) {
            return Err(ApiError::bucket_not_found(&wanted.bucket));
        }
        let plan = Plan::routed(entries, &state.smap, &self.ctx.snode.daemon_id);
        let on_failure = if msg.continue_on_error.unwrap_or(false) {
            OnFailure::Mark(state.config.get_batch.max_soft_errs)
        } else {
            OnFailure::Abort
        };
        let layout = pack::layout_of(format, msg.only_object_name);
        let assembler = self.assembler(plan, layout, on_failure, &state, pieces.clone())?;
        let packed = Packed::new(assembler, format, msg.only_object_name, pieces.clone());
        let delivery = delivery.archive();
        if msg.streaming {
            return delivery.stream(packed, pack::content_type(format)).await;
        }
        let job = if path.job.is_empty() {
            format!("gbt-{}", &multipart::boundary()[..12])
        } else {
            path.job
        };
        self.buffered(delivery, packed, (&msg, job), pieces).await
    }

    /// Collects the whole archive before anything is sent, so that every error has its status.
    async fn buffered(
        self: &Arc<Self>,
        mut delivery: Delivery,
        mut packed: Packed,
        (msg, job): (&MossReq, String),
        pieces: Pieces,
    ) -> Result<Reply, ApiError> {
        let target = Arc::clone(self);
        let directory = tokio::task::spawn_blocking(move || target.spool_directory());
        let directory = directory.await.map_err(|err| lost_task(&err))?;
        let mut spool = multipart::Spool::new(directory);
        while let Some(piece) = packed.next().await? {
            delivery.bytes += piece.len() as u64;
            spool.push(&piece).await?;
        }
        let assembler = packed.assembler();
        delivery.finish(assembler);
        let described = MossResp { out: describe(msg, assembler), uuid: job };
        let boundary = multipart::boundary();
        let (head, tail) = (multipart::head(&boundary, &described)?, multipart::tail(&boundary));
        let length = head.len() as u64 + spool.length() + tail.len() as u64;
        let mut reply =
            Response::new(StreamBody::new(spool.into_frames((head, tail), pieces)).boxed_unsync());
        let headers = reply.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        if let Ok(value) = HeaderValue::from_str(&format!("multipart/mixed; boundary={boundary}")) {
            headers.insert(CONTENT_TYPE, value);
        }
        Ok(reply)
    }

    /// Blocks the first time.
    fn spool_directory(&self) -> std::path::PathBuf {
        let first = self.disks().first().map(|disk| disk.path.clone());
        first.unwrap_or_else(std::env::temp_dir)
    }

    /// Pairs entries with the stored objects they mean; `None` where there is no such bucket. Bucket ids
    /// come from one state, after one attempt to learn of buckets that are not known yet.
    pub(super) async fn object_refs(
        &self,
        req: &Req,
        wanted: Vec<Wanted>,
    ) -> (Vec<(Wanted, Option<ObjectRef>)>, Arc<ClusterState>) {
        let mut state = self.state_for(req).await;
        if wanted.iter().any(|entry| state.bmd.get(&entry.bucket).is_none()) {
            state = self.ctx.catch_up(None).await;
        }
        // Entries of one bucket mostly follow each other.
        let mut last: Option<(Bucket, Option<u64>)> = None;
        let mut bid_of = |bucket: &Bucket| match &last {
            Some((known, bid)) if known == bucket => *bid,
            _ => {
                let bid = state.bmd.get(bucket).map(|props| props.bid);
                last = Some((bucket.clone(), bid));
                bid
            }
        };
        let pair = |entry: Wanted| {
            let object = bid_of(&entry.bucket).map(|bid| ObjectRef {
                bucket: entry.bucket.clone(),
                name: entry.object.clone(),
                bid,
                uname: entry.bucket.object_uname(&entry.object),
            });
            (entry, object)
        };
        let entries = wanted.into_iter().map(pair).collect();
        (entries, state)
    }

    /// Starts reading everywhere at once.
    pub(super) fn assembler(
        self: &Arc<Self>,
        plan: Plan,
        layout: Layout,
        on_failure: OnFailure,
        state: &ClusterState,
        pieces: Pieces,
    ) -> Result<Assembler, ApiError> {
        let plan = Arc::new(plan);
        let mut peers = Vec::with_capacity(plan.peers.len());
        let wait = self.ctx.times().batch_piece();
        for (at, node) in plan.peers.iter().enumerate() {
            let entries = plan.wanted(Route::Peer(at));
            let count = entries.len();
            let opening = open_peer(&self.ctx, node, state.version, entries)?;
            let again = again(Arc::clone(&self.ctx), Arc::clone(&plan), at);
            let entries = PeerEntries::new(node.display(), opening, count, wait);
            peers.push(entries.going_on(again, Arc::clone(&self.away), &node.daemon_id));
        }
        let local = LocalEntries::of(self, Arc::clone(&plan), layout, pieces.clone());
        Ok(Assembler::new(plan, layout, on_failure, pieces, local, peers))
    }
}

/// The way to go on with what is left of the share of peer number `at`: by the newest map, whoever owns it.
fn again(ctx: Arc<NodeContext>, plan: Arc<Plan>, at: usize) -> Again {
    Box::new(move |from| {
        let (ctx, plan) = (Arc::clone(&ctx), Arc::clone(&plan));
        Box::pin(async move {
            let state = ctx.catch_up(None).await;
            let positions = plan.positions(Route::Peer(at));
            let left = positions.get(from..).unwrap_or_default();
            let mut owners: Vec<(&Snode, Vec<usize>, Vec<&Wanted>)> = Vec::new();
            for (place, entry) in left.iter().filter_map(|at| plan.entries.get(*at)).enumerate() {
                let object = entry.object.as_ref();
                let Some(node) = object.and_then(|object| owner(&state.smap, &object.uname)) else {
                    continue;
                };
                let known = owners.iter().position(|(known, ..)| known.daemon_id == node.daemon_id);
                let known = known.unwrap_or_else(|| {
                    owners.push((node, Vec::new(), Vec::new()));
                    owners.len() - 1
                });
                if let Some((_, places, wanted)) = owners.get_mut(known) {
                    places.push(place);
                    wanted.push(&entry.wanted);
                }
            }
            let part = |(node, entries, wanted): (&Snode, Vec<usize>, Vec<&Wanted>)| {
                let opening = open_peer(&ctx, node, state.version, wanted).ok()?;
                Some(Part { name: node.display(), opening, entries })
            };
            owners.into_iter().filter_map(part).collect()
        })
    })
}

/// Asks a node for entries. Dropping the handle cancels.
fn open_peer(
    ctx: &Arc<NodeContext>,
    node: &Snode,
    version: u64,
    entries: Vec<&Wanted>,
) -> Result<Opening, ApiError> {
    let body = serde_json::to_vec(&FramesRequest { entries })
        .map_err(|err| ApiError::internal(err.to_string()))?;
    let ctx = Arc::clone(ctx);
    let data_url = &node.intra_data_net.direct_url;
    let base = if data_url.is_empty() { node.url() } else { data_url };
    let url = format!("{base}/v1/frames?sv={version}");
    let opening = async move {
        let timeout = ctx.times().batch_head();
        let sent = ctx.intra.send(Method::POST, &url, json_headers(), body.into(), timeout);
        let begun = Instant::now();
        let mut response = sent.await.map_err(|err| {
            // Unreachable; a node that is silent for so long is not asked again.
            let status = if begun.elapsed() < timeout { 502 } else { err.status };
            ApiError::new(status, &err.tcode, err.message)
        })?;
        if response.status() != StatusCode::OK {
            return Err(peer_error(&url, &mut response).await);
        }
        let frames = response.into_body().into_data_stream();
        let frames = futures_util::StreamExt::map(frames, |chunk| {
            chunk.map_err(|err| ApiError::new(502, "", format!("the connection broke: {err}")))
        });
        let stream: ByteStream = Box::pin(frames);
        Ok(stream)
    };
    Ok(AbortOnDropHandle::new(tokio::spawn(opening)))
}

/// The description of a buffered answer, entry by entry.
fn describe(msg: &MossReq, assembler: &Assembler) -> Vec<MossOut> {
    let entries = assembler.plan().entries.iter().zip(assembler.results()).zip(&msg.entries);
    let one =
        |((entry, result), asked): ((&plan::Entry, &EntryResult), &aistore_core::moss::MossIn)| {
            MossOut {
                object: entry.wanted.object.clone(),
                archpath: asked.archpath.clone().unwrap_or_default(),
                bucket: entry.wanted.bucket.name.clone(),
                provider: entry.wanted.bucket.provider.to_string(),
                opaque: asked.opaque.clone(),
                err_msg: result.error.clone().unwrap_or_default(),
                size: result.bytes,
            }
        };
    entries.map(one).collect()
}
