//! POST of a batch that this node reads alone: for peers, and for clients that split batches themselves.

use std::sync::Arc;

use aistore_core::bucket::validate_object_name;
use aistore_core::error::ApiError;
use aistore_core::moss::{BatchError, Wanted};
use aistore_core::placement::owner;
use serde::Deserialize;

use super::Target;
use super::buffers::Pieces;
use super::moss::assemble::{BATCH_BYTES, OnFailure};
use super::moss::layout::Layout;
use super::moss::pack::Packed;
use super::moss::plan::Plan;
use super::place::{map_version, stale_map};
use crate::http::{Reply, Req, reply};
use crate::memory::Purpose;

/// Requests for frames that one target works on at a time: several batches' peers, and native clients.
pub(super) const MAX_PENDING: usize = 1024;
/// Tells map-aware clients how many missing entries a batch may have.
const MAX_SOFT_ERRS: &str = "ais-max-soft-errs";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FramesRequest {
    entries: Vec<Wanted>,
}

impl Target {
    pub(super) async fn frames(self: &Arc<Self>, mut req: Req) -> Result<Reply, ApiError> {
        let delivery = self.admit(&self.frame_requests)?;
        let (msg, mut memory): (FramesRequest, _) =
            req.read_batch_json(Purpose::Frames, BATCH_BYTES).await?;
        let pieces = Pieces::new(&self.objects.pool, Purpose::Frames, memory.split(BATCH_BYTES));
        let delivery = delivery.holding(memory);
        if msg.entries.is_empty() {
            return Err(ApiError::bad_request(BatchError::Empty.to_string()));
        }
        for entry in &msg.entries {
            entry.bucket.validate()?;
            entry.check_cut().map_err(|err| ApiError::bad_request(err.to_string()))?;
            validate_object_name(&entry.object)?;
            if !entry.archpath.is_empty() {
                validate_object_name(&entry.archpath)?;
            }
        }
        let (entries, state) = self.object_refs(&req, msg.entries).await;
        if map_version(&req).is_some() {
            let own = &self.ctx.snode.daemon_id;
            for object in entries.iter().filter_map(|(_, object)| object.as_ref()) {
                let holder = owner(&state.smap, &object.uname);
                if let Some(holder) = holder.filter(|holder| holder.daemon_id != *own) {
                    return Err(stale_map(&object.cname(), &holder.display(), state.smap.version));
                }
            }
        }
        let most = state.config.get_batch.max_soft_errs.to_string();
        let assembler = self.assembler(
            Plan::local(entries),
            Layout::Frames,
            OnFailure::Report,
            &state,
            pieces.clone(),
        )?;
        let packed = Packed::plain(assembler, pieces);
        let reply = delivery.stream(packed, "application/octet-stream").await?;
        Ok(reply::with_header(reply, MAX_SOFT_ERRS, &most))
    }
}
