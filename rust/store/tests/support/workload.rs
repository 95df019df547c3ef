//! Random operations over all verbs, and what objects are like after them.
//!
//! Names are `BUCKET/THREAD/NUMBER`: each thread has names of its own in a bucket that all share, and a bucket
//! of its own, which it destroys now and then. Each payload carries the number of the operation that wrote it.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;

use aistore_core::checksum::{ChecksumType, checksum};
use aistore_store::{Chunks, PartOptions, PutOptions, Store, StoreError};

use crate::support::{BID, options, uname};

const NAMES: u64 = 6;
/// Larger objects are chunked; those put with a hint of less are not.
const CHUNKS: Chunks = Chunks { from: 200_000, size: 90_000 };

/// State of names: content and the value of a custom key.
pub(crate) type Objects = BTreeMap<String, (u64, String)>;

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operation {
    Put(String, u64),
    Upload(String, u64),
    Append(String, u64),
    Patch(String, String),
    Rename(String, String),
    Copies(String, usize),
    Delete(String),
    /// Of a whole bucket.
    Destroy(u64),
}

impl Operation {
    /// The next operation of a thread.
    pub(crate) fn random(random: &mut fastrand::Rng, thread: u64, number: u64) -> Self {
        let bucket = if random.u8(..4) == 0 { thread + 1 } else { 0 };
        let mut name = || format!("{bucket}/{thread}/{}", random.u64(..NAMES));
        let (one, other) = (name(), name());
        match random.u8(..24) {
            0..9 => Self::Put(one, number),
            9..12 => Self::Upload(one, number),
            12..15 => Self::Append(one, number),
            15..18 => Self::Delete(one),
            18..20 if one != other => Self::Rename(one, other),
            20 => Self::Copies(one, random.usize(1..=3)),
            21 => Self::Destroy(thread + 1),
            _ => Self::Patch(one, number.to_string()),
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Put(name, number) => format!("put {name} {number}"),
            Self::Upload(name, number) => format!("upload {name} {number}"),
            Self::Append(name, number) => format!("append {name} {number}"),
            Self::Patch(name, value) => format!("patch {name} {value}"),
            Self::Rename(from, to) => format!("rename {from} {to}"),
            Self::Copies(name, copies) => format!("copies {name} {copies}"),
            Self::Delete(name) => format!("delete {name} -"),
            Self::Destroy(bucket) => format!("destroy {bucket} -"),
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split(' ').collect();
        let [kind, name, rest] = fields[..] else { return None };
        let (name, rest) = (name.to_owned(), rest.to_owned());
        Some(match kind {
            "put" => Self::Put(name, rest.parse().ok()?),
            "upload" => Self::Upload(name, rest.parse().ok()?),
            "append" => Self::Append(name, rest.parse().ok()?),
            "patch" => Self::Patch(name, rest),
            "rename" => Self::Rename(name, rest),
            "copies" => Self::Copies(name, rest.parse().ok()?),
            "delete" => Self::Delete(name),
            "destroy" => Self::Destroy(name.parse().ok()?),
            _ => return None,
        })
    }

    /// What it does to the names of its thread.
    pub(crate) fn apply(&self, objects: &mut Objects) {
        match self {
            Self::Put(name, number) | Self::Upload(name, number) | Self::Append(name, number) => {
                objects.insert(name.clone(), (*number, String::new()));
            }
            Self::Patch(name, value) => {
                if let Some((_, custom)) = objects.get_mut(name) {
                    custom.clone_from(value);
                }
            }
            Self::Rename(from, to) => {
                if let Some(object) = objects.remove(from) {
                    objects.insert(to.clone(), object);
                }
            }
            Self::Copies(..) => {}
            Self::Delete(name) => drop(objects.remove(name)),
            Self::Destroy(bucket) => {
                let prefix = format!("{bucket}/");
                objects.retain(|name, _| !name.starts_with(&prefix));
            }
        }
    }

    /// Whether `found` may be what is there when it was cut off, `before` being what was there when it began.
    pub(crate) fn may_leave(&self, before: &Objects, found: &Objects) -> bool {
        let mut after = before.clone();
        self.apply(&mut after);
        if found == before || *found == after {
            return true;
        }
        match self {
            Self::Append(name, _) => {
                after.remove(name);
                *found == after
            }
            // Object by object.
            Self::Destroy(_) => {
                let kept = |(name, object)| found.get(name) == Some(object);
                after.iter().all(kept)
                    && found.iter().all(|(name, object)| before.get(name) == Some(object))
            }
            _ => false,
        }
    }

    /// Whether it is about this name.
    pub(crate) fn touches(&self, name: &str) -> bool {
        match self {
            Self::Put(one, _)
            | Self::Upload(one, _)
            | Self::Append(one, _)
            | Self::Patch(one, _)
            | Self::Copies(one, _)
            | Self::Delete(one) => one == name,
            Self::Rename(from, to) => from == name || to == name,
            Self::Destroy(bucket) => name.starts_with(&format!("{bucket}/")),
        }
    }

    /// Does it. After an error what it was about is as before, or as after it.
    pub(crate) fn run(&self, store: &Store) -> Result<(), StoreError> {
        match self {
            Self::Put(name, number) => put(store, name, *number),
            Self::Upload(name, number) => upload(store, name, &content(*number)),
            Self::Append(name, number) => append(store, name, &content(*number)),
            Self::Patch(name, value) => {
                let change = |custom: &mut BTreeMap<String, String>| {
                    custom.insert("k".to_owned(), value.clone());
                };
                store.patch_custom(bid(name), &full(name), name, change).map(drop)
            }
            Self::Rename(from, to) => {
                store.rename(bid(from), (&full(from), from), (&full(to), to)).map(drop)
            }
            Self::Copies(name, copies) => {
                store.set_copies(bid(name), &full(name), name, *copies).map(drop)
            }
            Self::Delete(name) => store.delete(bid(name), &full(name), name).map(drop),
            Self::Destroy(bucket) => store.destroy_bucket(BID + bucket).map(drop),
        }
    }
}

/// The bucket of a name.
pub(crate) fn bid(name: &str) -> u64 {
    let number: u64 = name.split('/').next().and_then(|bucket| bucket.parse().ok()).unwrap();
    BID + number
}

/// A name in the cluster.
pub(crate) fn full(name: &str) -> String {
    uname(bid(name), name)
}

/// Every name that a thread uses.
pub(crate) fn names(thread: u64) -> impl Iterator<Item = String> {
    [0, thread + 1]
        .into_iter()
        .flat_map(move |bucket| (0..NAMES).map(move |number| format!("{bucket}/{thread}/{number}")))
}

fn put(store: &Store, name: &str, number: u64) -> Result<(), StoreError> {
    let bytes = content(number);
    let options = PutOptions {
        copies: usize::from(number.is_multiple_of(3)) + 1,
        chunks: Some(CHUNKS),
        size_hint: number.is_multiple_of(2).then_some(bytes.len() as u64),
        ..options()
    };
    let mut writer = store.begin_put(bid(name), &full(name), name, options)?;
    for piece in bytes.chunks(50_000) {
        writer.write(piece)?;
    }
    writer.finish().map(drop)
}

fn upload(store: &Store, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let (bid, object) = (bid(name), full(name));
    let kind = ChecksumType::Xxhash2;
    let id = store.start_upload((bid, &object, name), BTreeMap::new(), kind, 1)?;
    let pieces: Vec<_> = (1..).zip(bytes.chunks(bytes.len().div_ceil(3))).collect();
    for (number, piece) in pieces.iter().rev() {
        let mut writer = store.begin_part((bid, name), id, *number, PartOptions::default())?;
        writer.write(piece)?;
        writer.finish()?;
    }
    let numbers: Vec<u32> = pieces.iter().map(|(number, _)| *number).collect();
    store.complete_upload((bid, &object, name), id, &numbers, &options()).map(drop)
}

/// Deletes what is there, and appends.
fn append(store: &Store, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let (bid, object) = (bid(name), full(name));
    store.delete(bid, &object, name)?;
    let mut state = store.begin_append((bid, &object, name), ChecksumType::Xxhash2)?.finish()?;
    for piece in bytes.chunks(bytes.len().div_ceil(3)) {
        let mut writer = store.continue_append((bid, &object), state)?;
        writer.write(piece)?;
        state = writer.finish()?;
    }
    store.flush_append((bid, &object, name), state, &options()).map(drop)
}

/// What an operation writes: small, about as large as what may share a file, or larger; with its number at the front.
pub(crate) fn content(number: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number ^ 0x5eed);
    let size = match random.u8(..16) {
        0 => random.usize(200_000..400_000),
        1 => random.usize(64_000..67_000),
        2 => random.usize(20_000..100_000),
        _ => random.usize(..5_000),
    };
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(8 + size, 0);
    random.fill(&mut bytes[8..]);
    bytes
}

/// What reading a name gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    Nothing,
    /// The content of an operation, whole, and the custom key.
    Object(u64, String),
    /// Bytes that nobody wrote under this name; what is wrong with them.
    Wrong(String),
    /// An error.
    Error(String),
}

/// Reads a name as a client does: without a look at the checksum.
pub(crate) fn read(store: &Store, name: &str) -> Found {
    let reader = match store.open_object(bid(name), &full(name), name) {
        Ok(Some(reader)) => reader,
        Ok(None) => return Found::Nothing,
        Err(error) => return Found::Error(error.to_string()),
    };
    let meta = reader.meta().clone();
    let mut bytes = vec![0; usize::try_from(meta.size).unwrap()];
    match reader.read_at(&mut bytes, 0) {
        Ok(length) if length == bytes.len() => {}
        Ok(length) => return Found::Wrong(format!("{length} bytes of {}", bytes.len())),
        Err(error) => return Found::Error(error.to_string()),
    }
    let number = bytes.first_chunk().map_or(0, |number| u64::from_le_bytes(*number));
    if content(number) == bytes {
        return Found::Object(number, meta.custom.get("k").cloned().unwrap_or_default());
    }
    let told = checksum(meta.checksum_type, &bytes) != meta.checksum;
    Found::Wrong(format!(
        "{} bytes, the checksum {} tells",
        bytes.len(),
        if told { "" } else { "not" }
    ))
}
