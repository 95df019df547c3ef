//! Promote: files on this target's disk become objects, wherever their names belong.

mod walk;

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;

use aistore_core::bucket::{Bucket, validate_object_name};
use aistore_core::error::ApiError;
use aistore_core::placement::owner;
use aistore_core::promote::PromoteArgs;
use aistore_core::props::ACCESS_PROMOTE;
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Target;
use super::deliver::{Delivery, Operation, Present};
use super::objects::ObjectRef;
use crate::http::{Body, Reply, Req, reply};
use crate::jobs::Job;
use crate::tasks::lost_task;
use walk::Found;

pub(crate) use walk::Sight;

/// Files of one target that are promoted at a time.
const PARALLEL: usize = 4;
/// Files found ahead of those being promoted.
const MAX_AHEAD: usize = 64;
/// Bytes read from a file at once.
const PIECE_BYTES: usize = 256 << 10;

/// What one target is to promote.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Share {
    /// Where to.
    pub(crate) bucket: Bucket,
    /// What.
    pub(crate) args: PromoteArgs,
    /// All targets see the same files, so each takes those whose names are its own.
    pub(crate) shared: bool,
}

impl Target {
    /// `POST /v1/promote/scan`: what this target sees of a source; `run`: promotes it.
    pub(super) async fn promote(
        self: &Arc<Self>,
        req: &mut Req,
        step: &str,
    ) -> Result<Reply, ApiError> {
        let share: Share = req.read_json().await?;
        let state = self.state_for(req).await;
        let props = state.bmd.get(&share.bucket);
        let props = props.ok_or_else(|| ApiError::bucket_not_found(&share.bucket))?;
        if !props.allows(ACCESS_PROMOTE) {
            return Err(ApiError::access_denied(&share.bucket, "PROMOTE"));
        }
        match step {
            "scan" => {
                let roots = self.ctx.promote_roots.clone();
                let look = move || walk::look(&roots, &share.args);
                let sight = tokio::task::spawn_blocking(look);
                Ok(reply::json(&sight.await.map_err(|err| lost_task(&err))??))
            }
            "run" => {
                self.promote_share(share, None).await?;
                Ok(reply::empty(http::StatusCode::OK))
            }
            other => Err(ApiError::bad_request(format!("unknown step \"{other}\" of promote"))),
        }
    }

    /// Promotes this target's share. Of a job, a file that fails does not stop the others.
    ///
    /// Promoting again does no harm: what is an object by then is replaced or left alone, as asked.
    pub(crate) async fn promote_share(
        self: &Arc<Self>,
        share: Share,
        job: Option<Arc<Job>>,
    ) -> Result<(), ApiError> {
        let (found, files) = mpsc::channel::<Found>(MAX_AHEAD);
        let (roots, args) = (self.ctx.promote_roots.clone(), share.args.clone());
        let walking = tokio::task::spawn_blocking(move || {
            // The receiver is gone when promoting has ended.
            walk::walk(&roots, &args, |file, _| Ok(found.blocking_send(file).is_ok()))
        });
        let files = stream::unfold(files, |mut files| async move {
            let file = files.recv().await?;
            Some((Ok::<_, ApiError>(file), files))
        });
        let share = Arc::new(share);
        let promoting = files.try_for_each_concurrent(PARALLEL, |file| {
            let (target, share, job) = (Arc::clone(self), Arc::clone(&share), job.clone());
            async move {
                let path = file.path.display().to_string();
                let done = target.promote_file(&share, file).await;
                match (done, job) {
                    (Ok(None), _) | (Ok(Some(_)), None) => Ok(()),
                    (Ok(Some((bytes, sent))), Some(job)) => {
                        job.add_local(1, bytes);
                        if sent {
                            job.add_out(1, bytes);
                        }
                        Ok(())
                    }
                    (Err(err), Some(job)) => {
                        let text = format!("{path}: {}", err.message);
                        job.soft_error(&ApiError { message: text, ..err });
                        Ok(())
                    }
                    (Err(err), None) => Err(err),
                }
            }
        });
        promoting.await?;
        walking.await.map_err(|err| lost_task(&err))?
    }

    /// Promotes one file; its size and whether another target stores it. `None` when there was nothing to
    /// do.
    async fn promote_file(
        self: &Arc<Self>,
        share: &Share,
        file: Found,
    ) -> Result<Option<(u64, bool)>, ApiError> {
        validate_object_name(&file.name)?;
        let state = self.ctx.leased_state().await;
        let object = ObjectRef::find(&state, share.bucket.clone(), file.name.clone())?;
        let holder = owner(&state.smap, &object.uname).map(|node| node.daemon_id.as_str());
        if share.shared && holder != Some(self.ctx.snode.daemon_id.as_str()) {
            return Ok(None);
        }
        let path = file.path.clone();
        let opened = tokio::task::spawn_blocking(move || walk::open(&path));
        let opened = opened.await.map_err(|err| lost_task(&err))?;
        let unreadable = |err: &io::Error| {
            ApiError::internal(format!("cannot promote {}: {err}", file.path.display()))
        };
        // Another target may have promoted and deleted it.
        let Some((source, size)) = opened.map_err(|err| unreadable(&err))? else { return Ok(None) };
        if !share.args.ovw {
            self.pull_renamed(&object).await?;
        }
        let delivery = Delivery {
            operation: Operation::Promote,
            object,
            length: size,
            checksum: None,
            custom: std::collections::BTreeMap::new(),
            version: None,
            mtime_ns: None,
            present: if share.args.ovw { Present::Replace } else { Present::Keep },
        };
        let sent = match self.deliver(&state, delivery, file_body(source, size)).await {
            Ok(sent) => sent,
            // It exists, and is to be left alone; so is the file.
            Err(err) if err.status == 412 && !share.args.ovw => return Ok(None),
            Err(err) => return Err(err),
        };
        if share.args.dls {
            let path = file.path.clone();
            let removed = tokio::task::spawn_blocking(move || std::fs::remove_file(path));
            match removed.await.map_err(|err| lost_task(&err))? {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(unreadable(&err)),
                _ => {}
            }
        }
        Ok(Some((size, sent)))
    }
}

/// The first `size` bytes of a file.
fn file_body(file: File, size: u64) -> Body {
    let pieces = stream::try_unfold((file, size), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let read = tokio::task::spawn_blocking(move || {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let mut piece = vec![0; wanted];
            file.read_exact(&mut piece)?;
            Ok::<_, io::Error>((file, piece))
        });
        let (file, piece) = read.await.map_err(io::Error::other)??;
        let left = left - piece.len() as u64;
        Ok::<_, io::Error>(Some((Frame::data(Bytes::from(piece)), (file, left))))
    });
    StreamBody::new(pieces).boxed_unsync()
}
