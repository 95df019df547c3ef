//! Changes of an object that leave its bytes alone: custom metadata, its name; and who is at it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use aistore_core::bucket::validate_object_name;
use aistore_core::custom_md;
use aistore_core::error::ApiError;
use aistore_core::placement::owner;
use aistore_core::props::{ACCESS_MOVE_OBJECT, ACCESS_UPDATE_OBJECT};
use aistore_store::{Condition, ObjectMeta, StoreError};
use http::StatusCode;
use serde_json::Value;

use super::deliver::{Delivery, Operation};
use super::failure::store_failure;
use super::objects::ObjectRef;
use super::place::Found;
use super::{Target, conditions};
use crate::http::{Reply, Req, reply};
use crate::tasks::lost_task;

/// How often a rename takes along metadata that changed while it went on. From the second time on, changes
/// of metadata wait.
const MAX_MOVES: u32 = 4;

impl Target {
    /// PATCH: adds to the custom metadata, or replaces it (`set-new-custom`).
    pub(super) async fn patch(
        self: &Arc<Self>,
        req: &mut Req,
        bucket: &str,
        name: &str,
    ) -> Result<Reply, ApiError> {
        validate_object_name(name)?;
        let message = req.read_action().await?.unwrap_or_default();
        let found = self.find_bucket(req, bucket).await?;
        let object = found.object(name);
        self.check_place(req, &found.state, &object, true)?;
        if !found.props().allows(ACCESS_UPDATE_OBJECT) {
            return Err(ApiError::access_denied(found.bucket(), "PATCH"));
        }
        let custom = custom_of(message.value)?;
        custom_md::validate(&custom)?;
        let _alone = self.patches.lock(&object.uname).await;
        self.check_conditions(req, &object).await?;
        let replace = req.query.flag("set-new-custom");
        let (target, changed) = (Arc::clone(self), object.clone());
        let patched = tokio::task::spawn_blocking(move || {
            let ObjectRef { bid, uname, name, .. } = &changed;
            let patched = target.objects.store.patch_custom(*bid, uname, name, |present| {
                if replace {
                    present.clear();
                }
                present.extend(custom);
            });
            target.objects.readers.invalidate(uname);
            patched.map_err(|err| store_failure(&err, &changed.cname()))
        });
        if patched.await.map_err(|err| lost_task(&err))??.is_none() {
            return Err(self.object_not_found(&object));
        }
        self.confirm(&object).await?;
        Ok(reply::empty(StatusCode::OK))
    }

    /// `rename-obj`: another name in the same bucket, in place of what has it.
    ///
    /// Atomic where both names belong to this target. Where they do not, the object is copied to the other
    /// target first and removed here afterwards. Metadata that changes meanwhile is taken along. Content that
    /// is written meanwhile stays under the old name: that write came after the rename.
    pub(super) async fn rename(
        self: &Arc<Self>,
        req: &Req,
        found: &Found,
        from: ObjectRef,
        new_name: &str,
    ) -> Result<Reply, ApiError> {
        let started = Instant::now();
        let done = self.rename_checked(req, found, from, new_name).await;
        match &done {
            Ok(_) => self.ctx.metrics.rename.done(0, started.elapsed()),
            Err(_) => self.ctx.metrics.rename.failed(),
        }
        done
    }

    async fn rename_checked(
        self: &Arc<Self>,
        req: &Req,
        found: &Found,
        from: ObjectRef,
        new_name: &str,
    ) -> Result<Reply, ApiError> {
        let props = found.props();
        if !props.allows(ACCESS_MOVE_OBJECT) {
            return Err(ApiError::access_denied(found.bucket(), "MOVE"));
        }
        validate_object_name(new_name)?;
        let cname = from.cname();
        if found.bucket().is_remote() || props.ec.enabled {
            return Err(ApiError::unsupported(format!(
                "{cname}: objects of remote or erasure-coded buckets cannot be renamed"
            )));
        }
        if new_name == from.name {
            return Err(ApiError::bad_request(format!(
                "{cname}: the new name is the old one, nothing to rename"
            )));
        }
        // Of two renames of one object the second finds nothing, wherever the names lead.
        let _alone = self.renames.lock(&from.uname).await;
        self.check_conditions(req, &from).await?;
        let to = found.object(new_name);
        let holder = owner(&found.state.smap, &to.uname).map(|node| node.daemon_id.as_str());
        if holder == Some(self.ctx.snode.daemon_id.as_str()) {
            self.rename_here(&from, &to).await?;
        } else {
            self.move_away(found, &from, to).await?;
        }
        self.confirm(&from).await?;
        Ok(reply::empty(StatusCode::OK))
    }

    async fn rename_here(
        self: &Arc<Self>,
        from: &ObjectRef,
        to: &ObjectRef,
    ) -> Result<(), ApiError> {
        let (target, old, new) = (Arc::clone(self), from.clone(), to.clone());
        let renamed = tokio::task::spawn_blocking(move || {
            let store = &target.objects.store;
            let renamed = store.rename(old.bid, (&old.uname, &old.name), (&new.uname, &new.name));
            target.objects.readers.invalidate(&old.uname);
            target.mirror(&new);
            renamed.map_err(|err| store_failure(&err, &old.cname()))
        });
        match renamed.await.map_err(|err| lost_task(&err))?? {
            Some(_) => Ok(()),
            None => Err(self.object_not_found(from)),
        }
    }

    async fn move_away(
        self: &Arc<Self>,
        found: &Found,
        from: &ObjectRef,
        to: ObjectRef,
    ) -> Result<(), ApiError> {
        let mut unpatched = None;
        for attempt in 0..MAX_MOVES {
            if attempt > 0 && unpatched.is_none() {
                unpatched = self.patches.lock(&from.uname).await;
            }
            let reader = self.open_existing(from).await?;
            let moved = reader.meta().clone();
            let delivery = Delivery::of(Operation::Rename, to.clone(), &moved);
            self.deliver(&found.state, delivery, self.body_of(reader)).await?;
            if self.remove_moved(from, moved).await? {
                return Ok(());
            }
        }
        Err(ApiError::new(
            409,
            "ErrBusy",
            format!(
                "{}: its metadata is changed all the time, it could not be renamed to \"{}\": try again",
                from.cname(),
                to.name
            ),
        ))
    }

    /// Removes the object if it is still what was moved; `false` when its metadata is newer, so that it must
    /// be moved once more.
    async fn remove_moved(
        self: &Arc<Self>,
        from: &ObjectRef,
        moved: ObjectMeta,
    ) -> Result<bool, ApiError> {
        let (target, old) = (Arc::clone(self), from.clone());
        let removed = tokio::task::spawn_blocking(move || {
            let present = Arc::new(OnceLock::new());
            let (seen, wanted) = (Arc::clone(&present), moved.clone());
            let same = Condition::new(move |present| {
                let _ = seen.set(present.clone());
                same_content(present, &wanted) && present.custom == wanted.custom
            });
            let ObjectRef { bid, uname, name, .. } = &old;
            let removed = target.objects.store.delete_if(*bid, uname, name, Some(&same));
            target.objects.readers.invalidate(uname);
            match removed {
                Ok(_) => Ok(true),
                // Written anew meanwhile: that write came after the rename.
                Err(StoreError::Precondition { .. }) => {
                    Ok(!present.get().is_some_and(|present| same_content(present, &moved)))
                }
                Err(err) => Err(store_failure(&err, &old.cname())),
            }
        });
        removed.await.map_err(|err| lost_task(&err))?
    }

    /// `check-lock`: 423 while someone writes the object, 202 while someone reads it, else 200.
    ///
    /// Readers and writers do not exclude each other here: a reader keeps the version that it opened.
    /// So this tells who is at work, and holds nobody up.
    pub(super) fn check_lock(&self, object: &ObjectRef) -> Reply {
        if self.objects.writing.is_written(&object.uname) {
            return reply::empty(StatusCode::LOCKED);
        }
        // The cache and this call hold a reader each; whoever sends bytes holds another.
        let reader = self.objects.readers.get(object.bid, &object.uname);
        let read = reader.is_some_and(|reader| Arc::strong_count(&reader) > 2);
        reply::empty(if read { StatusCode::ACCEPTED } else { StatusCode::OK })
    }

    /// Refuses a change whose conditions do not hold; an absent object is the caller's to report.
    async fn check_conditions(
        self: &Arc<Self>,
        req: &Req,
        object: &ObjectRef,
    ) -> Result<(), ApiError> {
        let conditions = conditions::of(&req.headers)?;
        if !conditions.is_empty()
            && let Some(present) = self.current(object).await?
            && !conditions::allow_change(&conditions, Some(&present))
        {
            return Err(ApiError::precondition_failed(&object.cname()));
        }
        Ok(())
    }
}

/// Whether two descriptions of one name are of the same write: what changes of metadata, and moves between
/// mountpaths, leave as it is.
fn same_content(one: &ObjectMeta, other: &ObjectMeta) -> bool {
    let of = |meta: &ObjectMeta| (meta.size, meta.mtime_ns, meta.version, meta.checksum_type);
    of(one) == of(other) && one.checksum == other.checksum
}

/// The pairs of a PATCH.
fn custom_of(value: Value) -> Result<BTreeMap<String, String>, ApiError> {
    if value.is_null() {
        return Ok(BTreeMap::new());
    }
    serde_json::from_value(value).map_err(|err| {
        ApiError::bad_request(format!(
            "malformed custom metadata in \"value\", expected an object with texts as values: {err}"
        ))
    })
}
