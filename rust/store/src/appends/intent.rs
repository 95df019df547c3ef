//! What must be done for a session to be the object: recorded before, rolled forward after a crash.

use std::fs;
use std::ops::Bound;
use std::path::Path;

use super::AppendId;
use super::files::path_of_name;
use crate::codec::{self, Input, RESERVED_BID, put_bytes};
use crate::durability::Promise;
use crate::error::StoreError;
use crate::files::{Dir, shard_of};
use crate::index::Change;
use crate::intents::is_current;
use crate::list::successor;
use crate::meta::{BlobId, Part, Place, Role};
use crate::mountpath::{Mountpath, SharedMountpath};
use crate::set::MountpathSet;
use crate::survey::Survey;

const PREFIX: &str = "append/";
/// Without the object's mountpath, which was that of the session.
const V1: u8 = 1;
const V2: u8 = 2;

/// An entry of the index that is on the mountpath of the session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Intent {
    /// Name of the session's file.
    pub(crate) file: String,
    /// The blob that the file becomes.
    pub(crate) blob: BlobId,
    /// Digest of the object's mountpath; `None` for that of the session.
    pub(crate) home: Option<u64>,
    /// Key and value of the object's entry.
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// Where the intent of a session is.
pub(crate) fn key(id: AppendId) -> Vec<u8> {
    codec::key(RESERVED_BID, &format!("{PREFIX}{id}"))
}

/// The parts that an intent refers to; `None` for an entry of another kind.
pub(crate) fn parts_of_entry(name: &str, value: &[u8]) -> Option<Vec<Part>> {
    let intent = Intent::decode(value).filter(|_| name.starts_with(PREFIX))?;
    Some(codec::decode_value(&intent.value)?.parts)
}

impl Intent {
    /// Records the intent and makes the file a blob. When that fails the session goes on, and a description
    /// that was published on `home` already is taken back.
    pub(crate) fn begin(
        &self,
        key: &[u8],
        (mountpath, path): (&SharedMountpath, &Path),
        (home, described): (&SharedMountpath, BlobId),
    ) -> Result<(), StoreError> {
        // After a failed write of the index, what it says is known at the next start only, which sweeps.
        let record = Change::Set { key: key.to_vec(), value: self.encode() };
        mountpath.commit(record).inspect_err(|_| home.leave_unswept())?;
        step!("flush: intent recorded");
        publish(mountpath, path, self.blob).or_else(|error| {
            // Not to be rolled forward: more may be appended.
            let undone = mountpath.commit(Change::Remove { key: key.to_vec() });
            undone.inspect_err(|_| home.leave_unswept())?;
            if described != self.blob || home.digest != mountpath.digest {
                home.discard(described);
            }
            Err(error)
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![if self.home.is_some() { V2 } else { V1 }];
        out.extend_from_slice(&self.blob.0.to_be_bytes());
        if let Some(home) = self.home {
            out.extend_from_slice(&home.to_be_bytes());
        }
        put_bytes(&mut out, self.file.as_bytes());
        put_bytes(&mut out, &self.key);
        put_bytes(&mut out, &self.value);
        out
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let mut input = Input(value);
        let version = input.byte()?;
        let blob = BlobId(input.u64()?);
        let home = match version {
            V1 => None,
            V2 => Some(input.u64()?),
            _ => return None,
        };
        let file = std::str::from_utf8(input.bytes()?).ok()?.to_owned();
        let (key, value) = (input.bytes()?.to_vec(), input.bytes()?.to_vec());
        input.0.is_empty().then_some(Self { file, blob, home, key, value })
    }

    /// Completes the flush; `false` when it waits for a mountpath that is absent.
    fn complete(self, set: &MountpathSet, mountpath: &SharedMountpath) -> Result<bool, StoreError> {
        let path = path_of_name(mountpath, &self.file);
        let Some(home) = set.by_digest(self.home.unwrap_or(mountpath.digest)) else {
            // The file, if it is there still, is a session as before.
            return Ok(path.exists());
        };
        if path.exists() {
            publish(mountpath, &path, self.blob)?;
            // Before the intent goes.
            let changed = [Dir::Appends, Dir::Blobs, shard_of(self.blob)];
            mountpath.unsynced.dirs(changed, Promise::immediate());
        }
        step!("flush: file made a blob at the next start");
        let Some((blob, _)) = codec::decode_place(&self.value) else {
            return Err(mountpath.damaged_entry());
        };
        let place = Place { mountpath: home.digest, blob };
        if !mountpath.has_blob(self.blob)?
            || !home.has_blob(blob)?
            || !is_current(set, &self.key, Role::Object, place)?
        {
            return Ok(true);
        }
        let before = Survey::of(set, &self.key, false)?;
        home.commit(Change::Set { key: self.key.clone(), value: self.value })?;
        step!("flush: committed at the next start");
        for stale in before.0.iter().filter(|found| found.mountpath.digest != home.digest) {
            stale.mountpath.commit(Change::Remove { key: self.key.clone() })?;
            stale.mountpath.leave_unswept();
        }
        Ok(true)
    }
}

/// Completes the flushes that a crash interrupted.
pub(crate) fn roll_forward(set: &MountpathSet) -> Result<(), StoreError> {
    let prefix = codec::key(RESERVED_BID, PREFIX);
    let end = successor(&prefix);
    for mountpath in set.members() {
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let entries = mountpath.index.range((Bound::Included(prefix.as_slice()), end));
        for entry in entries.collect::<Result<Vec<_>, _>>()? {
            let (key, value) = entry;
            let intent = Intent::decode(&value).ok_or_else(|| mountpath.damaged_entry())?;
            if intent.complete(set, mountpath)? {
                mountpath.commit(Change::Remove { key: key.to_vec() })?;
            } else {
                tracing::warn!(mountpath = %mountpath.path().display(),
                    "the end of an append waits for a mountpath that is absent");
            }
        }
    }
    Ok(())
}

/// Makes the file of a session a blob.
fn publish(mountpath: &Mountpath, path: &Path, blob: BlobId) -> Result<(), StoreError> {
    let to = mountpath.files.blob_path(blob);
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir)
            .map_err(|source| StoreError::io(dir, "create the directory", source))?;
    }
    let rename = || fs::rename(path, &to).map_err(|source| StoreError::io(&to, "create", source));
    mountpath.files.add_blob(blob, rename)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn intents_are_read_back_those_of_older_versions_too() {
        for home in [None, Some(7)] {
            let (file, blob) = ("1-2-3".to_owned(), BlobId(9));
            let intent = Intent { file, blob, home, key: vec![1], value: vec![2, 3] };
            assert_eq!(Intent::decode(&intent.encode()), Some(intent));
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(version in V1..=V2, bytes in any::<Vec<u8>>()) {
            let _ = Intent::decode(&[&[version], bytes.as_slice()].concat());
        }
    }
}
