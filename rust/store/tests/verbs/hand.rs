//! Doing verbs to a store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use aistore_core::checksum::{ChecksumType, checksum};
use aistore_store::{
    AppendId, AppendState, Choice, Chunks, Condition, Home, ListQuery, ObjectReader, PartOptions,
    Pass, PutOptions, Standing, Store, StoreError, UploadId,
};

use super::{How, Name, Session, Setting, Verb, World, content};

/// Who does verbs, one after the other.
pub(crate) struct Hand {
    setting: Setting,
    /// Readers, with what they must read.
    readers: BTreeMap<u8, (ObjectReader, Vec<u8>)>,
}

pub(crate) fn uname(bid: u64, name: &str) -> String {
    format!("ais/@#/bucket-{bid}/{name}")
}

pub(crate) fn upload_id(text: &str) -> UploadId {
    UploadId::parse(text).unwrap()
}

impl Hand {
    pub(crate) fn new(setting: Setting) -> Self {
        Self { setting, readers: BTreeMap::new() }
    }

    pub(crate) fn bid(&self, bucket: u8) -> u64 {
        self.setting.first_bid + u64::from(bucket)
    }

    fn options(&self) -> PutOptions {
        PutOptions {
            versioned: true,
            now_ns: 1,
            copies: self.setting.copies,
            ..PutOptions::default()
        }
    }

    /// Does a verb that is allowed; returns the id of what it began. What it reads must be as the model says.
    pub(crate) fn run(&mut self, store: &Store, verb: &Verb, count: u64, world: &World) -> String {
        let known = |name: &Name| world.objects.get(&name.key());
        match verb {
            Verb::Put(name, how) => self.put(store, *name, *how, count, known(name).is_some()),
            Verb::GiveUp(name) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let options =
                    PutOptions { chunks: Some(Chunks { from: 1, size: 700 }), ..self.options() };
                let mut writer = store.begin_put(bid, &uname(bid, &text), &text, options).unwrap();
                writer.write(&content(count)).unwrap();
            }
            Verb::Start(_, name) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let object = uname(bid, &text);
                let kind = ChecksumType::Xxhash2;
                let started = store.start_upload((bid, &object, &text), BTreeMap::new(), kind, 1);
                return started.unwrap().to_string();
            }
            Verb::Part(slot, number) => {
                let upload = &world.uploads[slot];
                let object = (self.bid(upload.bucket), upload.name.as_str());
                let id = upload_id(&upload.id);
                let mut part =
                    store.begin_part(object, id, *number, PartOptions::default()).unwrap();
                part.write(&content(count)).unwrap();
                part.finish().unwrap();
            }
            Verb::Complete(slot) => {
                let upload = &world.uploads[slot];
                let bid = self.bid(upload.bucket);
                let numbers: Vec<u32> = upload.parts.keys().copied().collect();
                let object = (bid, &*uname(bid, &upload.name), upload.name.as_str());
                let id = upload_id(&upload.id);
                store.complete_upload(object, id, &numbers, &self.options()).unwrap();
            }
            Verb::Abandon(slot) => {
                let upload = &world.uploads[slot];
                let id = upload_id(&upload.id);
                store.abort_upload(self.bid(upload.bucket), &upload.name, id).unwrap();
            }
            Verb::Begin(_, name) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let kind = ChecksumType::Xxhash2;
                let begun = store.begin_append((bid, &uname(bid, &text), &text), kind).unwrap();
                return begun.finish().unwrap().id.to_string();
            }
            Verb::Append(slot) => {
                let session = &world.sessions[slot];
                let bid = self.bid(session.bucket);
                let object = (bid, &*uname(bid, &session.name));
                let mut writer = store.continue_append(object, state(session)).unwrap();
                for piece in content(count).chunks(40_000) {
                    writer.write(piece).unwrap();
                }
                writer.finish().unwrap();
            }
            Verb::Flush(slot) => {
                let session = &world.sessions[slot];
                let bid = self.bid(session.bucket);
                let object = (bid, &*uname(bid, &session.name), session.name.as_str());
                store.flush_append(object, state(session), &self.options()).unwrap();
            }
            Verb::Patch(name) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let change = |custom: &mut BTreeMap<String, String>| {
                    custom.insert("k".to_owned(), count.to_string());
                };
                let found = store.patch_custom(bid, &uname(bid, &text), &text, change).unwrap();
                assert_eq!(found.is_some(), known(name).is_some());
            }
            Verb::Rename(name, to) => {
                let (bid, from, to) = (self.bid(name.0), name.text(), Name(name.0, *to).text());
                let (one, other) = (uname(bid, &from), uname(bid, &to));
                let found = store.rename(bid, (&one, &from), (&other, &to)).unwrap();
                assert_eq!(found.is_some(), known(name).is_some());
            }
            Verb::Move(name, to) => {
                let (bid, from, to) = (self.bid(name.0), name.text(), Name(1 - name.0, *to));
                let (to_bid, to) = (self.bid(to.0), to.text());
                let (one, other) = (uname(bid, &from), uname(to_bid, &to));
                let (one, other) = ((bid, &*one, &*from), (to_bid, &*other, &*to));
                let found = store.move_to_bucket(one, other, |_, _| Choice::Move).unwrap();
                assert_eq!(found.is_some(), known(name).is_some());
            }
            Verb::Delete(name) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let found = store.delete(bid, &uname(bid, &text), &text).unwrap();
                assert_eq!(found, known(name).is_some());
            }
            Verb::Destroy(bucket) => drop(store.destroy_bucket(self.bid(*bucket)).unwrap()),
            Verb::Copies(name, copies) => {
                let (bid, text) = (self.bid(name.0), name.text());
                store.set_copies(bid, &uname(bid, &text), &text, usize::from(*copies)).unwrap();
            }
            Verb::Compact => assert_eq!(store.compact(&AtomicBool::new(false)).failed, 0),
            Verb::WriteBack => store.write_back().unwrap(),
            Verb::Tidy => store.tidy().unwrap(),
            Verb::Leave(number) => {
                let available = store.mountpaths().available;
                if available.len() > 1 {
                    let path = &available[usize::from(*number) % available.len()];
                    store.detach(path, true).unwrap();
                }
            }
            Verb::Back => bring_back(store, &self.setting.paths),
            Verb::Settle => resilver(store, self.setting.copies),
            // These are the driver's.
            Verb::Reopen | Verb::Rebuild => self.readers.clear(),
            _ => self.read(store, verb, world),
        }
        String::new()
    }

    fn put(&self, store: &Store, name: Name, how: How, count: u64, present: bool) {
        let (bid, text, bytes) = (self.bid(name.0), name.text(), content(count));
        let mut options = self.options();
        let refused = match how {
            How::Plain => false,
            How::Chunked => {
                let size = (bytes.len() as u64 / 3).max(1);
                options.chunks = Some(Chunks { from: 1, size });
                false
            }
            How::IfAbsent => {
                options.if_absent = true;
                present
            }
            How::IfThere => {
                options.if_match = Some(Condition::new(|_| true));
                !present
            }
        };
        let put = || {
            let mut writer = store.begin_put(bid, &uname(bid, &text), &text, options)?;
            for piece in bytes.chunks(50_000) {
                writer.write(piece)?;
            }
            writer.finish()
        };
        match put() {
            Err(StoreError::Precondition { .. }) => assert!(refused, "{text}"),
            other => assert!(other.is_ok() && !refused, "{text}: {other:?}"),
        }
    }

    fn read(&mut self, store: &Store, verb: &Verb, world: &World) {
        match verb {
            Verb::Open(slot, name) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let reader = store.open_object(bid, &uname(bid, &text), &text).unwrap();
                let known = world.objects.get(&name.key()).map(super::Object::bytes);
                assert_eq!(reader.is_some(), known.is_some(), "{text}");
                self.readers.remove(slot);
                self.readers.extend(reader.zip(known).map(|pair| (*slot, pair)));
            }
            Verb::Finish(slot) => {
                let Some((reader, known)) = self.readers.remove(slot) else { return };
                let mut bytes = vec![0; known.len()];
                assert_eq!(reader.read_at(&mut bytes, 0).unwrap(), known.len());
                assert!(bytes == known, "a reader reads something else than it opened");
            }
            Verb::Range(name, from, length) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let reader = store.open_object(bid, &uname(bid, &text), &text).unwrap();
                let Some(reader) = reader else { return };
                let known = world.objects[&name.key()].bytes();
                let from = usize::from(*from).min(known.len());
                let known = &known[from..known.len().min(from + usize::from(*length))];
                let mut bytes = vec![0; known.len()];
                assert_eq!(reader.read_at(&mut bytes, from as u64).unwrap(), known.len());
                assert!(bytes == known, "a range of {text}");
            }
            Verb::Head(name) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let found = store.head(bid, &uname(bid, &text), &text).unwrap();
                let known = world.objects.get(&name.key());
                assert_eq!(found.is_some(), known.is_some(), "{text}");
                if let (Some(found), Some(known)) = (found, known) {
                    assert_eq!(found.size, known.bytes().len() as u64, "{text}");
                }
            }
            Verb::List(bucket, delimiter, page) => {
                let found = list(store, self.bid(*bucket), *delimiter, usize::from(*page));
                assert_eq!(found, expected_list(world, *bucket, *delimiter));
            }
            _ => {}
        }
    }
}

/// The handle of a session.
pub(crate) fn state(session: &Session) -> AppendState {
    let id = AppendId::parse(&session.id).unwrap();
    AppendState { id, size: session.size(), checksum: ChecksumType::Xxhash2 }
}

pub(crate) fn list(store: &Store, bid: u64, delimiter: bool, page: usize) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().cloned().unwrap_or_default();
        let query = ListQuery {
            prefix: "",
            after: &after,
            limit: page,
            delimiter,
            meta: true,
            copies: false,
            unames: None,
        };
        let chunk = store.list(bid, &query).unwrap();
        let is_directory = |name: &str| name.ends_with('/');
        for entry in chunk.entries {
            assert_eq!(entry.standing == Standing::Directory, is_directory(&entry.name));
            names.push(entry.name);
        }
        if !chunk.more {
            return names;
        }
    }
}

pub(crate) fn expected_list(world: &World, bucket: u8, delimiter: bool) -> Vec<String> {
    let prefix = format!("{bucket}/");
    let names = world.objects.keys().filter_map(|key| key.strip_prefix(&prefix));
    let folded = |name: &str| match name.split_once('/') {
        Some((directory, _)) if delimiter => format!("{directory}/"),
        _ => name.to_owned(),
    };
    names.map(folded).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Attaches all mountpaths that are away or being emptied.
pub(crate) fn bring_back(store: &Store, paths: &[PathBuf]) {
    for path in paths {
        if !store.mountpaths().available.contains(path) {
            store.attach(path).unwrap();
        }
    }
}

pub(crate) fn resilver(store: &Store, copies: usize) {
    let guide = |bid, name: &str| Some(Home { uname: uname(bid, name), copies });
    let pass = Pass {
        guide: &guide,
        cancel: &AtomicBool::new(false),
        moved: &|_, _| {},
        failed: &|name, error| panic!("{name}: {error}"),
    };
    store.resilver(&pass).unwrap();
}

/// Reads an object and compares its checksum.
pub(crate) fn get(store: &Store, bid: u64, name: &str) -> Option<Vec<u8>> {
    let reader = store.open_object(bid, &uname(bid, name), name).unwrap()?;
    let mut bytes = vec![0; usize::try_from(reader.meta().size).unwrap()];
    assert_eq!(reader.read_at(&mut bytes, 0).unwrap(), bytes.len(), "{name}");
    let kind = reader.meta().checksum_type;
    assert_eq!(checksum(kind, &bytes), reader.meta().checksum, "{name}");
    Some(bytes)
}

/// Polls until something holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}
