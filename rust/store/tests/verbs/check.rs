//! Comparing a store with what it should hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use aistore_store::inspect::{BlobInfo, each_blob};
use aistore_store::{BlobId, Store, StoreError};

use super::hand::{get, list, resilver, state, uname, upload_id, wait_until};
use super::{Object, Session, Setting, Upload, Verb, World, content};

/// What is there of the things that either of two worlds knows.
struct Found<'a> {
    store: &'a Store,
    setting: &'a Setting,
}

impl Found<'_> {
    fn bid(&self, bucket: u8) -> u64 {
        self.setting.first_bid + u64::from(bucket)
    }

    fn has_object(&self, key: &str, known: Option<&Object>) -> bool {
        let (bucket, name) = key.split_once('/').unwrap();
        let bid = self.bid(bucket.parse().unwrap());
        let bytes = get(self.store, bid, name);
        let meta = self.store.head(bid, &uname(bid, name), name).unwrap();
        assert_eq!(bytes.is_some(), meta.is_some(), "{name}");
        let custom = meta.map(|meta| meta.custom.get("k").cloned().unwrap_or_default());
        bytes.zip(custom) == known.map(|known| (known.bytes(), known.custom.clone()))
    }

    /// Whether an upload has these parts, or is not there.
    fn has_upload(&self, upload: &Upload, expected: Option<&Upload>) -> bool {
        let id = upload_id(&upload.id);
        match (self.store.parts(self.bid(upload.bucket), &upload.name, id), expected) {
            (Ok(found), Some(expected)) => {
                let found: Vec<_> = found.iter().map(|part| (part.number, part.size)).collect();
                let size = |number: &u64| content(*number).len() as u64;
                let parts = expected.parts.iter();
                let parts: Vec<_> = parts.map(|(number, part)| (*number, size(part))).collect();
                found == parts
            }
            (Err(StoreError::UnknownUpload { .. }), None) => true,
            (Ok(_), None) | (Err(StoreError::UnknownUpload { .. }), Some(_)) => false,
            (Err(error), _) => panic!("an upload cannot be looked at: {error}"),
        }
    }

    /// Whether a session stands where it should, or is not there.
    fn has_session(&self, session: &Session, expected: Option<&Session>) -> bool {
        let bid = self.bid(session.bucket);
        let object = uname(bid, &session.name);
        let asked = expected.unwrap_or(session);
        let stands = self.store.continue_append((bid, &object), state(asked));
        match (stands.and_then(aistore_store::AppendWriter::finish), expected) {
            (Ok(_), Some(_)) | (Err(StoreError::UnknownAppend { .. }), None) => true,
            (Ok(_) | Err(StoreError::AppendConflict { .. }), None)
            | (
                Err(StoreError::AppendConflict { .. } | StoreError::UnknownAppend { .. }),
                Some(_),
            ) => false,
            (Err(error), _) => panic!("a session cannot be looked at: {error}"),
        }
    }

    /// Whether everything that two worlds tell apart is as in the first; what is not.
    fn differences(&self, world: &World, other: &World) -> Vec<String> {
        let mut differences = Vec::new();
        let keys: BTreeSet<_> = world.objects.keys().chain(other.objects.keys()).collect();
        for key in keys {
            if !self.has_object(key, world.objects.get(key)) {
                differences.push(key.clone());
            }
        }
        for (slot, upload) in world.uploads.iter().chain(&other.uploads) {
            // The one that is begun just now has no known id.
            if !upload.id.is_empty() && !self.has_upload(upload, world.uploads.get(slot)) {
                differences.push(format!("upload {slot}"));
            }
        }
        for (slot, session) in world.sessions.iter().chain(&other.sessions) {
            if !session.id.is_empty() && !self.has_session(session, world.sessions.get(slot)) {
                differences.push(format!("session {slot}"));
            }
        }
        differences
    }
}

/// Checks that a store has what was acknowledged, and of the verb that was under way all or nothing; returns
/// what it has.
pub(crate) fn settle_world(
    store: &Store,
    setting: &Setting,
    before: &World,
    under_way: Option<(&Verb, u64)>,
    context: &str,
) -> World {
    let found = Found { store, setting };
    let mut after = before.clone();
    if let Some((verb, count)) = under_way {
        after.apply(verb, count, "");
    }
    let mut world = before.clone();
    let mut missing = found.differences(before, &after);
    if !missing.is_empty() {
        let other = found.differences(&after, before);
        if let Some(bucket) = under_way.and_then(|(verb, _)| verb.destroys()) {
            // Each of them is there, or not.
            for key in &other {
                assert!(!missing.contains(key), "{context}: {key} is neither there nor gone");
            }
            let gone = |key: &str| missing.iter().any(|missing| missing == key);
            world.objects.retain(|key, _| !gone(key));
            world.uploads.retain(|slot, _| !gone(&format!("upload {slot}")));
            world.sessions.retain(|slot, _| !gone(&format!("session {slot}")));
            let foreign = missing.iter().find(|key| {
                before.objects.contains_key(*key) && !key.starts_with(&format!("{bucket}/"))
            });
            assert!(foreign.is_none(), "{context}: {foreign:?} went with another bucket");
            missing.clear();
        } else {
            assert!(
                other.is_empty(),
                "{context}: under way was {under_way:?}; not as before: {missing:?}, not as after: {other:?}; \
                 before: {before:?}"
            );
            world = after;
        }
    }
    // What was begun and not acknowledged is nobody's.
    world.held.clear();
    world.uploads.retain(|_, upload| !upload.id.is_empty());
    world.sessions.retain(|_, session| !session.id.is_empty());
    end_unknown_uploads(store, setting, &world, under_way, context);
    for bucket in [0, 1] {
        let expected = super::hand::expected_list(&world, bucket, false);
        assert_eq!(list(store, found.bid(bucket), false, 7), expected, "{context}: the listing");
    }
    world
}

fn end_unknown_uploads(
    store: &Store,
    setting: &Setting,
    world: &World,
    under_way: Option<(&Verb, u64)>,
    context: &str,
) {
    for bid in setting.bids() {
        for upload in store.uploads(bid).unwrap() {
            let id = upload.id.to_string();
            if world.uploads.values().any(|known| known.id == id) {
                continue;
            }
            let begun = under_way.is_some_and(|(verb, _)| matches!(verb, Verb::Start(..)));
            assert!(begun, "{context}: an upload that nobody began, under way was {under_way:?}");
            store.abort_upload(bid, &upload.name, upload.id).unwrap();
        }
    }
}

/// Blobs that objects account for, and how many more are parts of uploads.
///
/// An id may be given out on each mountpath.
fn expected_blobs(store: &Store, bids: &[u64]) -> (BTreeMap<BlobId, usize>, usize) {
    let (mut blobs, mut parts) = (BTreeMap::new(), 0);
    for bid in bids {
        for name in list(store, *bid, false, 100) {
            let Some(meta) = store.head(*bid, &uname(*bid, &name), &name).unwrap() else {
                continue;
            };
            let places = meta.parts.iter().flat_map(|part| &part.places).chain(&meta.copies);
            for blob in places.map(|place| place.blob).chain([meta.blob]) {
                *blobs.entry(blob).or_insert(0) += 1;
            }
        }
        parts += store.uploads(*bid).unwrap().iter().map(|upload| upload.parts).sum::<usize>();
    }
    (blobs, parts)
}

fn blobs_on(paths: &[PathBuf]) -> BTreeMap<BlobId, Vec<BlobInfo>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for path in paths {
        each_blob(path, |blob| {
            if !blob.dead {
                found.entry(BlobId(blob.id)).or_default().push(blob);
            }
        })
        .unwrap();
    }
    found
}

/// Removes copies that have no object any more, and opens the store again: their parts go at that start, as another
/// object may have them.
pub(crate) fn sweep_strays(store: Store, setting: &Setting) -> Store {
    if setting.paths.len() == 1 {
        return store;
    }
    wait_until("the sweep", || store.is_swept());
    resilver(&store, setting.copies);
    store.close().unwrap();
    drop(store);
    Store::open(setting.config()).unwrap()
}

/// Checks that no blob is there which nothing names, once the last run was swept up.
pub(crate) fn check_blobs(store: &Store, setting: &Setting, bids: &[u64], context: &str) {
    wait_until(&format!("{context}: the sweep does not end"), || store.is_swept());
    if setting.paths.len() > 1 {
        // Moves that were cut short are told from others by comparing the mountpaths.
        resilver(store, setting.copies);
    }
    store.tidy().unwrap();
    let found = blobs_on(&setting.paths);
    let (expected, parts) = expected_blobs(store, bids);
    let count = |blob: &BlobId| found.get(blob).map_or(0, Vec::len);
    let lost: Vec<_> = expected.iter().filter(|(blob, used)| count(blob) < **used).collect();
    assert!(lost.is_empty(), "{context}: blobs that are in use are gone: {lost:?}");
    let used = |blob: &BlobId| expected.get(blob).copied().unwrap_or(0);
    let more = found.iter().filter(|(blob, there)| there.len() > used(blob));
    let more: Vec<_> = more.map(|(blob, there)| (used(blob), there)).collect();
    let unnamed: usize = more.iter().map(|(used, there)| there.len() - used).sum();
    assert_eq!(unnamed, parts, "{context}: blobs that no object names: {more:#?}");
}

/// Destroys everything, and checks that the space comes back.
pub(crate) fn check_space_returns(store: &Store, setting: &Setting, bids: &[u64], context: &str) {
    for bid in bids {
        store.destroy_bucket(*bid).unwrap();
    }
    store.expire_uploads(u64::MAX).unwrap();
    store.tidy().unwrap();
    check_blobs(store, setting, bids, context);
    store.compact(&AtomicBool::new(false));
    for path in &setting.paths {
        let of = |sub: &str| {
            let files = std::fs::read_dir(path.join("ais").join(sub));
            let files = files.into_iter().flatten().map(|file| file.unwrap().metadata().unwrap());
            files.map(|file| file.len()).sum::<u64>()
        };
        // The one being written, and what the last record of a full one found no room in.
        let bound = 2 * setting.segment_bytes + (64 << 10);
        assert!(of("segments") <= bound, "{context}: segments take {} of {bound}", of("segments"));
        assert_eq!(of("appends"), 0, "{context}: sessions are left");
        let left = std::fs::read_dir(path.join("ais/tmp")).unwrap().count();
        assert_eq!(left, 0, "{context}: unfinished uploads are left");
    }
}
