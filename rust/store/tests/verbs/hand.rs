//! Doing verbs to a store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use aistore_core::checksum::{ChecksumType, checksum};
use aistore_store::{
    AppendId, AppendState, Choice, Chunks, Condition, Home, ListQuery, ObjectReader, ObjectWriter,
    PartOptions, Pass, PutOptions, Standing, Store, StoreError, UploadId,
};

use super::{How, Name, Session, Setting, Verb, World, content, held, is_held_in_parts};

/// Why a verb was not done.
pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Who does verbs, one after the other.
pub(crate) struct Hand {
    setting: Setting,
    /// Readers, with what they must read.
    readers: BTreeMap<u8, (ObjectReader, Vec<u8>)>,
    /// Puts under way, with what has still to be written.
    writers: BTreeMap<u8, (ObjectWriter, Vec<u8>)>,
}

pub(crate) fn uname(bid: u64, name: &str) -> String {
    format!("ais/@#/bucket-{bid}/{name}")
}

pub(crate) fn upload_id(text: &str) -> UploadId {
    UploadId::parse(text).unwrap()
}

impl Hand {
    pub(crate) fn new(setting: Setting) -> Self {
        Self { setting, readers: BTreeMap::new(), writers: BTreeMap::new() }
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
        self.try_run(store, verb, count, world).unwrap()
    }

    /// As [`run`](Self::run), on disks that may fail.
    pub(crate) fn try_run(
        &mut self,
        store: &Store,
        verb: &Verb,
        count: u64,
        world: &World,
    ) -> Result<String, Failed> {
        let known = |name: &Name| world.objects.get(&name.key());
        match verb {
            Verb::Put(name, how) => self.put(store, *name, *how, count, known(name).is_some())?,
            Verb::GiveUp(name) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let options =
                    PutOptions { chunks: Some(Chunks { from: 1, size: 700 }), ..self.options() };
                let mut writer = store.begin_put(bid, &uname(bid, &text), &text, options)?;
                writer.write(&content(count))?;
            }
            Verb::Hold(slot, name) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let mut bytes: Vec<u8> = held(count).into_iter().flat_map(content).collect();
                let chunks = is_held_in_parts(count).then_some(Chunks { from: 1, size: 5_000 });
                let options = PutOptions { chunks, ..self.options() };
                let mut writer = store.begin_put(bid, &uname(bid, &text), &text, options)?;
                let rest = bytes.split_off(bytes.len() - bytes.len() / 5);
                writer.write(&bytes)?;
                self.writers.insert(*slot, (writer, rest));
            }
            Verb::Release(slot) => {
                let (mut writer, rest) = self.writers.remove(slot).unwrap();
                writer.write(&rest)?;
                writer.finish()?;
            }
            Verb::Start(_, name) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let object = uname(bid, &text);
                let kind = ChecksumType::Xxhash2;
                let started = store.start_upload((bid, &object, &text), BTreeMap::new(), kind, 1);
                return Ok(started?.to_string());
            }
            Verb::Part(slot, number) => {
                let upload = &world.uploads[slot];
                let object = (self.bid(upload.bucket), upload.name.as_str());
                let id = upload_id(&upload.id);
                let mut part = store.begin_part(object, id, *number, PartOptions::default())?;
                part.write(&content(count))?;
                part.finish()?;
            }
            Verb::Complete(slot) => {
                let upload = &world.uploads[slot];
                let bid = self.bid(upload.bucket);
                let numbers: Vec<u32> = upload.parts.keys().copied().collect();
                let object = (bid, &*uname(bid, &upload.name), upload.name.as_str());
                let id = upload_id(&upload.id);
                store.complete_upload(object, id, &numbers, &self.options())?;
            }
            Verb::Abandon(slot) => {
                let upload = &world.uploads[slot];
                let id = upload_id(&upload.id);
                store.abort_upload(self.bid(upload.bucket), &upload.name, id)?;
            }
            Verb::Begin(_, name) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let kind = ChecksumType::Xxhash2;
                let begun = store.begin_append((bid, &uname(bid, &text), &text), kind)?;
                return Ok(begun.finish()?.id.to_string());
            }
            Verb::Append(slot) => {
                let session = &world.sessions[slot];
                let bid = self.bid(session.bucket);
                let object = (bid, &*uname(bid, &session.name));
                let mut writer = store.continue_append(object, state(session))?;
                for piece in content(count).chunks(40_000) {
                    writer.write(piece)?;
                }
                writer.finish()?;
            }
            Verb::Flush(slot) => {
                let session = &world.sessions[slot];
                let bid = self.bid(session.bucket);
                let object = (bid, &*uname(bid, &session.name), session.name.as_str());
                store.flush_append(object, state(session), &self.options())?;
            }
            Verb::Patch(name) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let change = |custom: &mut BTreeMap<String, String>| {
                    custom.insert("k".to_owned(), count.to_string());
                };
                let found = store.patch_custom(bid, &uname(bid, &text), &text, change)?;
                assert_eq!(found.is_some(), known(name).is_some());
            }
            Verb::Rename(name, to) => {
                let (bid, from, to) = (self.bid(name.0), name.text(), Name(name.0, *to).text());
                let (one, other) = (uname(bid, &from), uname(bid, &to));
                let found = store.rename(bid, (&one, &from), (&other, &to))?;
                assert_eq!(found.is_some(), known(name).is_some());
            }
            Verb::Move(name, to) => {
                let (bid, from, to) = (self.bid(name.0), name.text(), Name(1 - name.0, *to));
                let (to_bid, to) = (self.bid(to.0), to.text());
                let (one, other) = (uname(bid, &from), uname(to_bid, &to));
                let (one, other) = ((bid, &*one, &*from), (to_bid, &*other, &*to));
                let found = store.move_to_bucket(one, other, |_, _| Choice::Move)?;
                assert_eq!(found.is_some(), known(name).is_some());
            }
            Verb::Delete(name) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let found = store.delete(bid, &uname(bid, &text), &text)?;
                assert_eq!(found, known(name).is_some());
            }
            Verb::Destroy(bucket) => drop(store.destroy_bucket(self.bid(*bucket))?),
            Verb::Copies(name, copies) => {
                let (bid, text) = (self.bid(name.0), name.text());
                store.set_copies(bid, &uname(bid, &text), &text, usize::from(*copies))?;
            }
            Verb::Compact => {
                let failed = store.compact(&AtomicBool::new(false)).failed;
                if failed > 0 {
                    return Err(format!("{failed} segments were not compacted").into());
                }
            }
            Verb::WriteBack => store.write_back()?,
            Verb::Tidy => store.tidy()?,
            Verb::Leave(number) => {
                let available = store.mountpaths().available;
                if available.len() > 1 {
                    let path = &available[usize::from(*number) % available.len()];
                    store.detach(path, true)?;
                }
            }
            Verb::Back => {
                // A mountpath that left is held by who still uses it.
                self.let_go();
                try_bring_back(store, &self.setting.paths)?;
            }
            Verb::Settle => try_resilver(store, self.setting.copies)?,
            // These are the driver's.
            Verb::Reopen | Verb::Rebuild => self.let_go(),
            _ => self.read(store, verb, world)?,
        }
        Ok(String::new())
    }

    pub(crate) fn let_go(&mut self) {
        self.readers.clear();
        self.writers.clear();
    }

    fn put(
        &self,
        store: &Store,
        name: Name,
        how: How,
        count: u64,
        present: bool,
    ) -> Result<(), Failed> {
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
            other => {
                other?;
                assert!(!refused, "{text}");
            }
        }
        Ok(())
    }

    fn read(&mut self, store: &Store, verb: &Verb, world: &World) -> Result<(), Failed> {
        match verb {
            Verb::Open(slot, name) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let reader = store.open_object(bid, &uname(bid, &text), &text)?;
                let known = world.objects.get(&name.key()).map(super::Object::bytes);
                assert_eq!(reader.is_some(), known.is_some(), "{text}");
                self.readers.remove(slot);
                self.readers.extend(reader.zip(known).map(|pair| (*slot, pair)));
            }
            Verb::Finish(slot) => {
                let Some((reader, known)) = self.readers.remove(slot) else { return Ok(()) };
                let mut bytes = vec![0; known.len()];
                assert_eq!(reader.read_at(&mut bytes, 0)?, known.len());
                assert!(bytes == known, "a reader reads something else than it opened");
            }
            Verb::Range(name, from, length) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let reader = store.open_object(bid, &uname(bid, &text), &text)?;
                let Some(reader) = reader else { return Ok(()) };
                let known = world.objects[&name.key()].bytes();
                let from = usize::from(*from).min(known.len());
                let known = &known[from..known.len().min(from + usize::from(*length))];
                let mut bytes = vec![0; known.len()];
                assert_eq!(reader.read_at(&mut bytes, from as u64)?, known.len());
                assert!(bytes == known, "a range of {text}");
            }
            Verb::Head(name) => {
                let (bid, text) = (self.bid(name.0), name.text());
                let found = store.head(bid, &uname(bid, &text), &text)?;
                let known = world.objects.get(&name.key());
                assert_eq!(found.is_some(), known.is_some(), "{text}");
                if let (Some(found), Some(known)) = (found, known) {
                    assert_eq!(found.size, known.bytes().len() as u64, "{text}");
                }
            }
            Verb::List(bucket, delimiter, page) => {
                let found = try_list(store, self.bid(*bucket), *delimiter, usize::from(*page))?;
                assert_eq!(found, expected_list(world, *bucket, *delimiter));
            }
            _ => {}
        }
        Ok(())
    }
}

/// The handle of a session.
pub(crate) fn state(session: &Session) -> AppendState {
    let id = AppendId::parse(&session.id).unwrap();
    AppendState { id, size: session.size(), checksum: ChecksumType::Xxhash2 }
}

pub(crate) fn list(store: &Store, bid: u64, delimiter: bool, page: usize) -> Vec<String> {
    try_list(store, bid, delimiter, page).unwrap()
}

fn try_list(
    store: &Store,
    bid: u64,
    delimiter: bool,
    page: usize,
) -> Result<Vec<String>, StoreError> {
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
        let chunk = store.list(bid, &query)?;
        let is_directory = |name: &str| name.ends_with('/');
        for entry in chunk.entries {
            assert_eq!(entry.standing == Standing::Directory, is_directory(&entry.name));
            names.push(entry.name);
        }
        if !chunk.more {
            return Ok(names);
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
    try_bring_back(store, paths).unwrap();
}

fn try_bring_back(store: &Store, paths: &[PathBuf]) -> Result<(), StoreError> {
    for path in paths {
        if !store.mountpaths().available.contains(path) {
            store.attach(path)?;
        }
    }
    Ok(())
}

pub(crate) fn resilver(store: &Store, copies: usize) {
    try_resilver(store, copies).unwrap();
}

fn try_resilver(store: &Store, copies: usize) -> Result<(), Failed> {
    let failures = std::sync::Mutex::new(Vec::new());
    let guide = |bid, name: &str| Some(Home { uname: uname(bid, name), copies });
    let pass = Pass {
        guide: &guide,
        cancel: &AtomicBool::new(false),
        moved: &|_, _| {},
        failed: &|name, error| failures.lock().unwrap().push(format!("{name}: {error}")),
    };
    store.resilver(&pass)?;
    let failures = failures.into_inner().unwrap();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
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
