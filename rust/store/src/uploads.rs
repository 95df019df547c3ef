//! Uploads in several parts.
//!
//! An upload and its parts are entries of the index of one mountpath, the one where the object belongs when
//! the upload starts; the bytes of each part are a blob, and the parts are spread over all mountpaths. To
//! complete an upload is to write a description that names the parts and to commit it in place of the
//! upload's entries: no payload is copied. Everything acknowledged survives the end of the process.

mod part;
pub(crate) mod record;
mod running;
mod vacate;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use aistore_core::checksum::ChecksumType;

use crate::appends;
use crate::codec;
use crate::config::PutOptions;
use crate::error::StoreError;
use crate::identity::random_u64;
use crate::index::Change;
use crate::intents::{self, Step};
use crate::list::successor;
use crate::meta::{BlobId, MAX_PARTS, ObjectMeta, Part, Role};
use crate::mountpath::{Mountpath, SharedMountpath};
use crate::set::MountpathSet;
use crate::shared::{Shared, removals};
use crate::store::{Store, check_name};
use crate::writer::{check_custom, publish_manifest};
pub use part::{PartOptions, PartWriter};
pub(crate) use record::parts_of_entry;
use record::{PartRecord, Subject, UploadRecord};
pub(crate) use running::Uploads;
pub(crate) use vacate::{names_mountpath, vacate};

/// Identity of an upload: a letter and 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UploadId(u64);

impl UploadId {
    /// Parses what its display form says; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('u').filter(|digits| digits.len() == 16)?;
        let lower = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u64::from_str_radix(digits, 16).ok().filter(|_| lower).map(Self)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "u{:016x}", self.0)
    }
}

/// An upload that is neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadInfo {
    /// Its identity.
    pub id: UploadId,
    /// The object that it will be.
    pub name: String,
    /// When it was started, nanoseconds since the Unix epoch.
    pub started_ns: u64,
    /// When it was started or got its latest part.
    pub active_ns: u64,
    /// Parts that arrived.
    pub parts: usize,
}

/// A part that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartInfo {
    /// Its number.
    pub number: u32,
    /// Payload bytes.
    pub size: u64,
    /// When it arrived, nanoseconds since the Unix epoch.
    pub mtime_ns: u64,
    /// MD5 of the bytes, where it was asked for.
    pub md5: Option<[u8; 16]>,
}

/// An upload and where its entries are.
struct Session {
    id: UploadId,
    mountpath: SharedMountpath,
    record: UploadRecord,
}

/// The upload that an entry of this name under the reserved bucket id is a part of; `None` for others.
pub(crate) fn of_part(name: &str) -> Option<u64> {
    match record::subject(name) {
        Some(Subject::Part(id, _)) => Some(id),
        _ => None,
    }
}

/// Bucket and object of an upload.
pub(crate) fn object_of(set: &MountpathSet, id: u64) -> Result<Option<(u64, String)>, StoreError> {
    let key = record::upload_key(id);
    for mountpath in set.members() {
        if let Some(value) = mountpath.index.get(&key)? {
            let found = UploadRecord::decode(&value).ok_or_else(|| mountpath.damaged_entry())?;
            return Ok(Some((found.bid, found.name)));
        }
    }
    Ok(None)
}

impl Store {
    /// Starts an upload of object `name` with this custom metadata; `checksum` is the type that the object
    /// will have if its parts arrive one after the other.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] as for a put.
    pub fn start_upload(
        &self,
        (bid, uname, name): (u64, &str, &str),
        custom: BTreeMap<String, String>,
        checksum: ChecksumType,
        now_ns: u64,
    ) -> Result<UploadId, StoreError> {
        check_name(bid, name)?;
        check_custom(name, &custom)?;
        let shared = &self.shared;
        let _open = shared.enter()?;
        let mountpath = Arc::clone(shared.set().own(uname));
        mountpath.check_writable()?;
        let id = UploadId(random_u64()?);
        let record = UploadRecord {
            bid,
            uname: uname.to_owned(),
            name: name.to_owned(),
            started_ns: now_ns,
            custom,
        };
        mountpath.commit(Change::Set { key: record::upload_key(id.0), value: record.encode() })?;
        step!("upload: started");
        shared.uploads.started(id.0, checksum);
        Ok(id)
    }

    /// Completes an upload: its parts, which must be exactly those of `numbers` and these 1 to N, become
    /// the object. Of `options`, what is about the bytes of a put does not apply.
    ///
    /// The checksum is of the type in `options` if the parts arrived one after the other in this run, else
    /// CRC-32C.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownUpload`]; [`StoreError::Invalid`] for the wrong parts; [`StoreError::Precondition`];
    /// [`StoreError::NoSpace`] or [`StoreError::TooFull`] where a disk has no room for one of the copies that
    /// `options` ask for, which [`set_copies`](Self::set_copies) makes afterwards. Then the upload is as it was.
    pub fn complete_upload(
        &self,
        (bid, uname, name): (u64, &str, &str),
        id: UploadId,
        numbers: &[u32],
        options: &PutOptions,
    ) -> Result<ObjectMeta, StoreError> {
        let shared = &self.shared;
        let _open = shared.enter()?;
        let _upload = shared.uploads.lock(id.0);
        let session = shared.session(bid, name, id)?;
        let records = session.parts()?;
        check_complete(name, &records, numbers)?;
        let parts: Vec<Part> = records.into_values().map(|record| record.part).collect();
        shared.check_attached(name, &parts)?;
        let size = parts.iter().map(|part| part.size).sum();
        shared.check_room_for_copies(uname, options.copies, (size, parts.len()))?;

        let _name = shared.lock_name(bid, name);
        shared.check_unsealed(bid, name)?;
        let key = codec::key(bid, name);
        let home = Arc::clone(shared.set().own(uname));
        let old = shared.locate(uname, &key)?;
        options.check(name, || Ok(old.clone()))?;
        let (checksum_type, checksum) = shared.uploads.checksum(id.0, options.checksum, &parts);
        let mut custom = session.record.custom.clone();
        custom.extend(options.custom.clone());
        let meta = ObjectMeta {
            size,
            checksum_type,
            checksum,
            atime_ns: options.now_ns,
            mtime_ns: options.now_ns,
            version: options.next_version(old.as_ref().map(|(_, old)| old)),
            custom,
            blob: home.next_id(old.as_ref().map_or(BlobId(0), |(_, old)| old.blob))?,
            chunked: true,
            parts,
            ..ObjectMeta::default()
        };
        shared.keep(&meta.parts);
        shared.settle_parts(bid, &home, &meta.parts)?;
        publish_manifest(&home, Role::Object, bid, name, &meta)?;
        step!("upload: manifest published");
        let mut steps = vec![Step::set(&home, key.clone(), codec::encode_value(&meta))];
        let before = shared.survey_for(&key, old.as_ref().map(|(_, old)| old))?;
        steps.extend(removals(&key, &home, &meta, old.as_ref(), before.as_ref()));
        let entries = session.keys(numbers.iter().copied());
        steps.extend(entries.map(|key| Step::forget(&session.mountpath, key)));
        intents::commit(steps)?;
        step!("upload: completed");
        shared.uploads.ended(id.0);
        shared.clear(&key, &home, &meta, old, before.as_ref())?;
        Ok(meta)
    }

    /// Ends an upload and removes its parts.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownUpload`].
    pub fn abort_upload(&self, bid: u64, name: &str, id: UploadId) -> Result<(), StoreError> {
        let shared = &self.shared;
        let _open = shared.enter()?;
        let _upload = shared.uploads.lock(id.0);
        let session = shared.session(bid, name, id)?;
        session.mountpath.check_writable()?;
        let parts = session.parts()?;
        let keys = session.keys(parts.keys().copied());
        session.mountpath.commit_all(keys.map(|key| Change::Remove { key }).collect())?;
        step!("upload: aborted");
        shared.uploads.ended(id.0);
        for place in parts.values().flat_map(|record| &record.part.places) {
            shared.discard(*place);
        }
        Ok(())
    }

    /// Uploads of a bucket that are neither completed nor aborted.
    pub fn uploads(&self, bid: u64) -> Result<Vec<UploadInfo>, StoreError> {
        let mut found = self.shared.all_uploads()?;
        found.retain(|(record, _)| record.bid == bid);
        Ok(found.into_iter().map(|(_, info)| info).collect())
    }

    /// Parts of an upload that arrived, by number.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownUpload`].
    pub fn parts(&self, bid: u64, name: &str, id: UploadId) -> Result<Vec<PartInfo>, StoreError> {
        let parts = self.shared.session(bid, name, id)?.parts()?;
        let info = |(number, record): (u32, PartRecord)| PartInfo {
            number,
            size: record.part.size,
            mtime_ns: record.mtime_ns,
            md5: record.md5.try_into().ok(),
        };
        Ok(parts.into_iter().map(info).collect())
    }

    /// Ends uploads and append sessions without activity since `before_ns`; returns how many.
    pub fn expire_uploads(&self, before_ns: u64) -> Result<usize, StoreError> {
        let uploads = self.abort_where(|_, info| info.active_ns < before_ns)?;
        let old = |_, active_ns| active_ns < before_ns;
        Ok(uploads + appends::remove_where(&self.shared, old)?)
    }

    /// Aborts the uploads that are chosen; those that end by themselves meanwhile do not count.
    pub(crate) fn abort_where(
        &self,
        chosen: impl Fn(u64, &UploadInfo) -> bool,
    ) -> Result<usize, StoreError> {
        let mut aborted = 0;
        for (record, info) in self.shared.all_uploads()? {
            if chosen(record.bid, &info) {
                match self.abort_upload(record.bid, &record.name, info.id) {
                    Ok(()) => aborted += 1,
                    Err(StoreError::UnknownUpload { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(aborted)
    }
}

impl Shared {
    /// Finds an upload of this very object. Its entries are where the object belonged when it began.
    fn session(&self, bid: u64, name: &str, id: UploadId) -> Result<Session, StoreError> {
        let key = record::upload_key(id.0);
        for mountpath in self.set().members() {
            let Some(value) = mountpath.index.get(&key)? else { continue };
            let record = UploadRecord::decode(&value).ok_or_else(|| mountpath.damaged_entry())?;
            if record.bid == bid && record.name == name {
                return Ok(Session { id, mountpath: Arc::clone(mountpath), record });
            }
        }
        Err(StoreError::UnknownUpload { id: id.to_string() })
    }

    /// Every upload of every bucket.
    pub(crate) fn all_uploads(&self) -> Result<Vec<(UploadRecord, UploadInfo)>, StoreError> {
        let prefix = record::all_prefix();
        let end = successor(&prefix);
        let mut found: Vec<(UploadRecord, UploadInfo)> = Vec::new();
        for mountpath in self.set().members() {
            let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            for entry in mountpath.index.range((Bound::Included(prefix.as_slice()), end)) {
                let (key, value) = entry?;
                let damaged = || mountpath.damaged_entry();
                let (_, name) = codec::split_key(&key).ok_or_else(damaged)?;
                match record::subject(name).ok_or_else(damaged)? {
                    Subject::Upload(id) => {
                        let record = UploadRecord::decode(&value).ok_or_else(damaged)?;
                        let (name, started_ns) = (record.name.clone(), record.started_ns);
                        let (id, active_ns) = (UploadId(id), started_ns);
                        let info = UploadInfo { id, name, started_ns, active_ns, parts: 0 };
                        found.push((record, info));
                    }
                    Subject::Part(..) => {
                        let part = PartRecord::decode(&value).ok_or_else(damaged)?;
                        if let Some((_, info)) = found.last_mut() {
                            info.parts += 1;
                            info.active_ns = info.active_ns.max(part.mtime_ns);
                        }
                    }
                }
            }
        }
        Ok(found)
    }
}

impl Session {
    /// The parts that arrived, by number.
    fn parts(&self) -> Result<BTreeMap<u32, PartRecord>, StoreError> {
        let prefix = record::parts_prefix(self.id.0);
        let end = successor(&prefix);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut parts = BTreeMap::new();
        for entry in self.mountpath.index.range((Bound::Included(prefix.as_slice()), end)) {
            let (key, value) = entry?;
            let part = part_of_entry(&self.mountpath, &key, &value)?;
            parts.insert(part.0, part.1);
        }
        Ok(parts)
    }

    /// Keys of the upload and of these parts.
    fn keys(&self, numbers: impl Iterator<Item = u32>) -> impl Iterator<Item = Vec<u8>> {
        let id = self.id.0;
        let parts = numbers.map(move |number| record::part_key(id, number));
        std::iter::once(record::upload_key(id)).chain(parts)
    }
}

fn part_of_entry(
    mountpath: &Mountpath,
    key: &[u8],
    value: &[u8],
) -> Result<(u32, PartRecord), StoreError> {
    let subject = codec::split_key(key).and_then(|(_, name)| record::subject(name));
    match (subject, PartRecord::decode(value)) {
        (Some(Subject::Part(_, number)), Some(record)) => Ok((number, record)),
        _ => Err(mountpath.damaged_entry()),
    }
}

/// Checks that the parts are those asked for, all of them, and without a gap.
fn check_complete(
    name: &str,
    parts: &BTreeMap<u32, PartRecord>,
    numbers: &[u32],
) -> Result<(), StoreError> {
    let refuse = |reason: String| Err(StoreError::Invalid(reason));
    if parts.is_empty() {
        return refuse(format!("no chunks: upload the parts of \"{name}\" first"));
    }
    if parts.len() != numbers.len() {
        return refuse(format!(
            "partial completion is not allowed: requested {} parts, have {}",
            numbers.len(),
            parts.len()
        ));
    }
    let wanted: BTreeSet<u32> = numbers.iter().copied().collect();
    if let Some(absent) = wanted.iter().find(|number| !parts.contains_key(number)) {
        return refuse(format!("part {absent} of \"{name}\" was not uploaded"));
    }
    if wanted.len() != numbers.len() {
        return refuse(format!("a part of \"{name}\" is listed more than once"));
    }
    match (1_u32..).zip(parts.keys()).find(|(expected, number)| expected != *number) {
        Some((expected, number)) => refuse(format!(
            "the parts of \"{name}\" have a gap: part {expected} is missing before part {number}"
        )),
        None if parts.len() > MAX_PARTS => refuse(format!("more than {MAX_PARTS} parts")),
        None => Ok(()),
    }
}
