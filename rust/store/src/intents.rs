//! Changes of several indexes at once.
//!
//! Each mountpath has an index of its own, so a change that concerns two cannot be one commit. It is
//! written down as an intent first, together with its part on the first mountpath: that commit decides.
//! The rest follows; after a crash the next start rolls it forward. Intents are entries under the reserved
//! bucket id 0 and do not survive the loss of the index that holds them.

use std::ops::Bound;
use std::sync::Arc;

use crate::codec::{self, Input, RESERVED_BID, put_bytes, put_varint};
use crate::error::StoreError;
use crate::index::Change;
use crate::list::successor;
use crate::meta::{BlobId, MAX_PARTS, Place, Role};
use crate::mountpath::{Mountpath, SharedMountpath};
use crate::set::MountpathSet;
use crate::survey::Survey;

const PREFIX: &str = "intent/";
const VERSION: u8 = 1;
const OP_SET: u8 = 0;
const OP_REMOVE: u8 = 1;
const OP_FORGET: u8 = 2;
/// More changes in one intent are damage.
const MAX_STEPS: usize = 2 * MAX_PARTS;

/// A change of the index of one mountpath.
pub(crate) struct Step {
    pub(crate) mountpath: SharedMountpath,
    pub(crate) key: Vec<u8>,
    pub(crate) action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Set(Vec<u8>),
    /// Write an entry that is no object. Part of the commit that decides, so only on the first mountpath.
    Write(Vec<u8>),
    /// Remove the entry, which is about this blob. When another is there at recovery, it stays.
    Remove(BlobId),
    /// Remove the entry, whatever it is: one that is no object and whose key is never used again.
    Forget,
}

/// Commits all steps or none; the first one decides. Steps of one mountpath are one commit.
///
/// On several mountpaths all of it is on the disk on return, whatever the policy of the bucket: loss of power must not undo
/// one step and leave another, with two names for the same blobs, or none.
pub(crate) fn commit(steps: Vec<Step>) -> Result<(), StoreError> {
    let Some(first) = steps.first().map(|step| Arc::clone(&step.mountpath)) else {
        return Ok(());
    };
    for step in &steps {
        step.mountpath.check_writable()?;
    }
    if steps.iter().all(|step| Arc::ptr_eq(&step.mountpath, &first)) {
        return first.commit_all(steps.into_iter().map(Step::change).collect());
    }
    // Whoever rolls the record forward looks for the blobs.
    for step in &steps {
        step.mountpath.commit_durably(Vec::new())?;
    }
    let intent = codec::key(RESERVED_BID, &format!("{PREFIX}{}", first.next_id(BlobId(0))?));
    let value = encode(steps.iter().map(|step| (step.mountpath.digest, &*step.key, &step.action)));
    let (own, others): (Vec<_>, Vec<_>) =
        steps.into_iter().partition(|step| Arc::ptr_eq(&step.mountpath, &first));
    let mut changes: Vec<_> = own.into_iter().map(Step::change).collect();
    changes.push(Change::Set { key: intent.clone(), value });
    first.commit_durably(changes)?;
    step!("intent: recorded");
    for step in others {
        let mountpath = Arc::clone(&step.mountpath);
        mountpath.commit_durably(vec![step.change()])?;
        step!("intent: step taken");
    }
    step!("intent: about to be forgotten");
    first.commit(Change::Remove { key: intent })
}

impl Step {
    pub(crate) fn set(mountpath: &SharedMountpath, key: Vec<u8>, value: Vec<u8>) -> Self {
        Self { mountpath: Arc::clone(mountpath), key, action: Action::Set(value) }
    }

    pub(crate) fn write(mountpath: &SharedMountpath, key: Vec<u8>, value: Vec<u8>) -> Self {
        Self { mountpath: Arc::clone(mountpath), key, action: Action::Write(value) }
    }

    pub(crate) fn remove(mountpath: &SharedMountpath, key: Vec<u8>, blob: BlobId) -> Self {
        Self { mountpath: Arc::clone(mountpath), key, action: Action::Remove(blob) }
    }

    pub(crate) fn forget(mountpath: &SharedMountpath, key: Vec<u8>) -> Self {
        Self { mountpath: Arc::clone(mountpath), key, action: Action::Forget }
    }

    fn change(self) -> Change {
        match self.action {
            Action::Set(value) | Action::Write(value) => Change::Set { key: self.key, value },
            Action::Remove(_) | Action::Forget => Change::Remove { key: self.key },
        }
    }
}

/// Completes what a crash interrupted. An intent that concerns an absent mountpath is kept for its return.
pub(crate) fn roll_forward(set: &MountpathSet) -> Result<(), StoreError> {
    let prefix = codec::key(RESERVED_BID, PREFIX);
    let end = successor(&prefix);
    for mountpath in set.members() {
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let intents = mountpath.index.range((Bound::Included(prefix.as_slice()), end));
        for entry in intents.collect::<Result<Vec<_>, _>>()? {
            let (key, value) = entry;
            let Some(steps) = decode(&value) else { return Err(mountpath.damaged_entry()) };
            let mut waiting = Vec::new();
            for (digest, key, action) in steps {
                match set.by_digest(digest) {
                    Some(at) => apply(set, at, key, action)?,
                    None => waiting.push((digest, key, action)),
                }
                step!("intent: step taken at the next start");
            }
            if waiting.is_empty() {
                mountpath.commit(Change::Remove { key: key.to_vec() })?;
                continue;
            }
            // Only what is left: what was done may be undone, in order, before the mountpath comes back.
            let steps = waiting.iter().map(|(digest, key, action)| (*digest, &**key, action));
            let value = encode(steps);
            mountpath.commit(Change::Set { key: key.to_vec(), value })?;
            tracing::warn!(mountpath = %mountpath.path().display(),
                "a change that a crash interrupted waits for a mountpath that is absent");
        }
    }
    Ok(())
}

/// Moves intents that wait for an absent mountpath off those that are being emptied. None may be under way.
pub(crate) fn vacate(set: &MountpathSet) -> Result<(), StoreError> {
    let prefix = codec::key(RESERVED_BID, PREFIX);
    let end = successor(&prefix);
    let Some(home) = set.available().first() else { return Ok(()) };
    for mountpath in set.draining() {
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let intents = mountpath.index.range((Bound::Included(prefix.as_slice()), end));
        for entry in intents.collect::<Result<Vec<_>, _>>()? {
            let (key, value) = entry;
            let new = codec::key(RESERVED_BID, &format!("{PREFIX}{}", home.next_id(BlobId(0))?));
            commit(vec![
                Step::write(home, new, value.to_vec()),
                Step::forget(mountpath, key.to_vec()),
            ])?;
        }
    }
    Ok(())
}

/// Applies a step unless something newer took its place, or it was applied already.
fn apply(
    set: &MountpathSet,
    mountpath: &Mountpath,
    key: Vec<u8>,
    action: Action,
) -> Result<(), StoreError> {
    let known = mountpath.index.get(&key)?;
    let known = known.and_then(|value| codec::decode_place(&value)).map(|(blob, _)| blob);
    match action {
        Action::Set(value) => {
            let Some((role, meta)) = codec::decode_entry(&value) else {
                return Err(mountpath.damaged_entry());
            };
            let place = Place { mountpath: mountpath.digest, blob: meta.blob };
            if known.is_none_or(|known| known < meta.blob)
                && mountpath.has_blob(meta.blob)?
                && is_current(set, &key, role, place)?
            {
                mountpath.commit_durably(vec![Change::Set { key, value }])?;
            }
        }
        Action::Remove(blob) if known == Some(blob) => {
            mountpath.commit_durably(vec![Change::Remove { key }])?;
        }
        Action::Forget => mountpath.commit_durably(vec![Change::Remove { key }])?,
        // The latter is never recorded: it was part of the commit with the record.
        Action::Remove(_) | Action::Write(_) => {}
    }
    Ok(())
}

/// Whether an entry still belongs to the object: a mountpath may come back long after the intent was
/// recorded, when the object has been deleted or changed.
pub(crate) fn is_current(
    set: &MountpathSet,
    key: &[u8],
    role: Role,
    place: Place,
) -> Result<bool, StoreError> {
    let survey = Survey::of(set, key, false)?;
    let object = survey.main(false);
    Ok(match role {
        // The commit that decided has set the object, which names its copies.
        Role::Copy { .. } => object.is_some_and(|object| object.meta.copies.contains(&place)),
        _ => object.is_none_or(|object| object.meta.blob < place.blob),
    })
}

fn encode<'s>(steps: impl Iterator<Item = (u64, &'s [u8], &'s Action)>) -> Vec<u8> {
    let steps: Vec<_> =
        steps.filter(|(_, _, action)| !matches!(action, Action::Write(_))).collect();
    let mut out = vec![VERSION];
    put_varint(&mut out, steps.len() as u64);
    for (digest, key, action) in steps {
        out.extend_from_slice(&digest.to_be_bytes());
        put_bytes(&mut out, key);
        match action {
            Action::Write(_) => {}
            Action::Set(value) => {
                out.push(OP_SET);
                put_bytes(&mut out, value);
            }
            Action::Forget => out.push(OP_FORGET),
            Action::Remove(blob) => {
                out.push(OP_REMOVE);
                out.extend_from_slice(&blob.0.to_be_bytes());
            }
        }
    }
    out
}

fn decode(value: &[u8]) -> Option<Vec<(u64, Vec<u8>, Action)>> {
    let mut input = Input(value);
    if input.byte()? != VERSION {
        return None;
    }
    let count = input.count(MAX_STEPS)?;
    let mut steps = Vec::with_capacity(count);
    for _ in 0..count {
        let (digest, key) = (input.u64()?, input.bytes()?.to_vec());
        let action = match input.byte()? {
            OP_SET => Action::Set(input.bytes()?.to_vec()),
            OP_REMOVE => Action::Remove(BlobId(input.u64()?)),
            OP_FORGET => Action::Forget,
            _ => return None,
        };
        steps.push((digest, key, action));
    }
    input.0.is_empty().then_some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in any::<Vec<u8>>()) {
            let _ = decode(&[&[VERSION], bytes.as_slice()].concat());
        }
    }
}
