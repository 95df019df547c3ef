//! Turning a session into the object.

use std::fs::{self, File};
use std::ops::Bound;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use aistore_core::checksum::{ChecksumType, Hasher};

use super::files::{self, find, name_of, path_of_name};
use super::{AppendState, COPY_BYTES, marks};
use crate::codec::{self, Input, RESERVED_BID, put_bytes};
use crate::config::PutOptions;
use crate::error::StoreError;
use crate::index::Change;
use crate::intents::{self, Step};
use crate::list::successor;
use crate::meta::{BlobId, ObjectMeta, Part, Place, Role};
use crate::mountpath::{Mountpath, SharedMountpath};
use crate::set::MountpathSet;
use crate::shared::removals;
use crate::store::Store;
use crate::trailer;
use crate::writer::publish_manifest;

const PREFIX: &str = "append/";
const VERSION: u8 = 1;

/// What must be done for a session to be the object: recorded before, rolled forward after a crash.
struct Intent {
    file: String,
    blob: BlobId,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Store {
    /// Ends a session: what was appended becomes the object, in place of what it was.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownAppend`]; [`StoreError::Checksum`], after which the session goes on;
    /// [`StoreError::Precondition`]; [`StoreError::Busy`].
    pub fn flush_append(
        &self,
        (bid, uname, name): (u64, &str, &str),
        state: AppendState,
        options: &PutOptions,
    ) -> Result<ObjectMeta, StoreError> {
        let shared = &self.shared;
        drop(shared.enter()?);
        let busy = shared.appends.enter(state.id.0)?;
        let (mountpath, path) = find(shared, bid, uname, state.id.0)?;
        let file = files::open(&path, state)?;
        let running = shared.appends.take_hasher(state);
        let checksum = match running.filter(|_| state.checksum == options.checksum) {
            Some(hasher) => hasher.finish(),
            None => hash(&file, &path, state.size, options.checksum)?,
        };
        if let Some((kind, expected)) = &options.expected {
            let computed = if *kind == options.checksum {
                checksum.clone()
            } else {
                hash(&file, &path, state.size, *kind)?
            };
            if *kind != ChecksumType::None && !expected.eq_ignore_ascii_case(&computed) {
                let (kind, expected) = (*kind, expected.clone());
                return Err(StoreError::Checksum { kind, expected, computed });
            }
        }

        let _open = shared.enter()?;
        let _name = shared.lock_name(bid, name);
        shared.check_unsealed(bid, name)?;
        let key = codec::key(bid, name);
        let home = Arc::clone(shared.set().own(uname));
        home.check_writable()?;
        let old = shared.locate(uname, &key)?;
        options.check(name, || Ok(old.clone()))?;
        let mut meta = ObjectMeta {
            size: state.size,
            checksum_type: options.checksum,
            checksum,
            atime_ns: options.now_ns,
            mtime_ns: options.now_ns,
            version: options.next_version(old.as_ref().map(|(_, old)| old)),
            custom: old.as_ref().map(|(_, old)| old.custom.clone()).unwrap_or_default(),
            blob: home.next_id(old.as_ref().map_or(BlobId(0), |(_, old)| old.blob))?,
            ..ObjectMeta::default()
        };
        let before = shared.survey_for(&key, old.as_ref().map(|(_, old)| old))?;
        if Arc::ptr_eq(&home, &mountpath) {
            append_trailer(
                &file,
                &path,
                &trailer::encode(Role::Object, bid, name, &meta),
                state.size,
            )?;
            let value = codec::encode_value(&meta);
            let file = name_of(bid, uname, state.id.0);
            let intent = Intent { file, blob: meta.blob, key: key.clone(), value };
            let intent_key = codec::key(RESERVED_BID, &format!("{PREFIX}{}", state.id));
            home.commit(Change::Set { key: intent_key.clone(), value: intent.encode() })?;
            publish(&home, &path, meta.blob)?;
            let mut steps = vec![Step::set(&home, key.clone(), intent.value)];
            steps.push(Step::forget(&home, intent_key));
            steps.extend(removals(&key, &home, &meta, old.as_ref(), before.as_ref()));
            intents::commit(steps)?;
        } else {
            // The object's mountpath is another one by now: the bytes stay where they are.
            let part = publish_elsewhere(&mountpath, &file, &path, (bid, name), &meta)?;
            meta.parts = vec![part];
            shared.keep(&meta.parts);
            publish_manifest(&home, Role::Object, bid, name, &meta)?;
            let mut steps = vec![Step::set(&home, key.clone(), codec::encode_value(&meta))];
            steps.extend(removals(&key, &home, &meta, old.as_ref(), before.as_ref()));
            intents::commit(steps)?;
        }
        marks::remove(&path);
        shared.clear(&key, &home, &meta, old, before.as_ref())?;
        drop(busy);
        Ok(meta)
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
            let Some(intent) = Intent::decode(&value) else {
                return Err(mountpath.damaged_entry());
            };
            let mut changes = vec![Change::Remove { key: key.to_vec() }];
            let path = path_of_name(mountpath, &intent.file);
            if path.exists() {
                publish(mountpath, &path, intent.blob)?;
            }
            let known = mountpath.index.get(&intent.key)?;
            let known = known.and_then(|value| codec::decode_place(&value)).map(|(blob, _)| blob);
            if known.is_none_or(|known| known < intent.blob)
                && mountpath.files.has_blob(intent.blob)?
            {
                changes.push(Change::Set { key: intent.key, value: intent.value });
            }
            mountpath.commit_all(changes)?;
        }
    }
    Ok(())
}

impl Intent {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.blob.0.to_be_bytes());
        put_bytes(&mut out, self.file.as_bytes());
        put_bytes(&mut out, &self.key);
        put_bytes(&mut out, &self.value);
        out
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let mut input = Input(value);
        if input.byte()? != VERSION {
            return None;
        }
        let blob = BlobId(input.u64()?);
        let file = std::str::from_utf8(input.bytes()?).ok()?.to_owned();
        let (key, value) = (input.bytes()?.to_vec(), input.bytes()?.to_vec());
        input.0.is_empty().then_some(Self { file, blob, key, value })
    }
}

fn append_trailer(file: &File, path: &Path, trailer: &[u8], at: u64) -> Result<(), StoreError> {
    file.write_all_at(trailer, at).map_err(|source| StoreError::io(path, "write to", source))
}

/// Makes the file of a session a blob.
fn publish(mountpath: &Mountpath, path: &Path, blob: BlobId) -> Result<(), StoreError> {
    let to = mountpath.files.blob_path(blob);
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir)
            .map_err(|source| StoreError::io(dir, "create the directory", source))?;
    }
    fs::rename(path, &to).map_err(|source| StoreError::io(&to, "create", source))
}

fn publish_elsewhere(
    mountpath: &SharedMountpath,
    file: &File,
    path: &Path,
    (bid, name): (u64, &str),
    meta: &ObjectMeta,
) -> Result<Part, StoreError> {
    let blob = mountpath.next_id(BlobId(0))?;
    let part = ObjectMeta { blob, custom: std::collections::BTreeMap::new(), ..meta.clone() };
    let role = Role::Part { upload: 0, number: 1 };
    append_trailer(file, path, &trailer::encode(role, bid, name, &part), meta.size)?;
    publish(mountpath, path, blob)?;
    let place = Place { mountpath: mountpath.digest, blob };
    Ok(Part { size: meta.size, crc32c: 0, places: vec![place] })
}

/// Checksum of the first `size` bytes.
fn hash(file: &File, path: &Path, size: u64, kind: ChecksumType) -> Result<String, StoreError> {
    let mut hasher = Hasher::new(kind);
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0;
    while kind != ChecksumType::None && at < size {
        let wanted = usize::try_from(size - at).unwrap_or(usize::MAX).min(COPY_BYTES);
        let bytes = buffer.get_mut(..wanted).unwrap_or_default();
        file.read_exact_at(bytes, at).map_err(|source| StoreError::io(path, "read", source))?;
        hasher.update(bytes);
        at += wanted as u64;
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in any::<Vec<u8>>()) {
            let _ = Intent::decode(&[&[VERSION], bytes.as_slice()].concat());
        }
    }
}
