//! Every verb of a store, drawn from a number, with a model of what it does: for the tests that end a process in the
//! middle of one and look what is there afterwards.
//!
//! A verb is made from a random number and a count, so that parent and child agree on it without a word, and a
//! sequence shrinks as a list of numbers does.

#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod check;
pub(crate) mod hand;

use std::collections::BTreeMap;
use std::path::PathBuf;

use aistore_core::config::WritePolicy;
use aistore_store::StoreConfig;
use serde::{Deserialize, Serialize};

/// Names in each bucket, and uploads and append sessions that may be under way.
const NAMES: u64 = 5;
const SLOTS: u64 = 2;

/// How a store is opened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setting {
    pub(crate) paths: Vec<PathBuf>,
    /// Whether every blob gets a file of its own.
    pub(crate) files_only: bool,
    pub(crate) segment_bytes: u64,
    /// Wanted copies of each object, itself included.
    pub(crate) copies: usize,
    /// 0 for immediate, 1 for delayed, 2 for never.
    pub(crate) policy: u8,
    /// First of the buckets; one thread has two.
    pub(crate) first_bid: u64,
}

impl Setting {
    pub(crate) fn config(&self) -> StoreConfig {
        let mut config = StoreConfig::new(self.paths.clone());
        config.segment_bytes = self.segment_bytes;
        config.write_policy = match self.policy {
            0 => WritePolicy::Immediate,
            1 => WritePolicy::Delayed,
            _ => WritePolicy::Never,
        };
        if self.files_only {
            config.max_record_bytes = 0;
        }
        config
    }

    /// The same for the buckets of a thread.
    pub(crate) fn of_thread(&self, thread: u64) -> Self {
        Self { first_bid: self.first_bid + 2 * thread, ..self.clone() }
    }

    pub(crate) fn bids(&self) -> [u64; 2] {
        [self.first_bid, self.first_bid + 1]
    }
}

/// The name of an object: its bucket, 0 or 1, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) u8, pub(crate) u8);

impl Name {
    /// In its bucket, below one of two directories.
    pub(crate) fn text(self) -> String {
        format!("d{}/n{}", self.1 % 2, self.1)
    }

    /// Key in a model.
    pub(crate) fn key(self) -> String {
        format!("{}/{}", self.0, self.text())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    Put(Name, How),
    /// A put that is given up.
    GiveUp(Name),
    /// Begins a put, which goes on when later verbs are done.
    Hold(u8, Name),
    Release(u8),
    Start(u8, Name),
    Part(u8, u32),
    Complete(u8),
    Abandon(u8),
    Begin(u8, Name),
    Append(u8),
    Flush(u8),
    Patch(Name),
    Rename(Name, u8),
    Move(Name, u8),
    Delete(Name),
    Destroy(u8),
    /// Opens a reader, which stays open over later verbs.
    Open(u8, Name),
    Finish(u8),
    Range(Name, u16, u16),
    Head(Name),
    List(u8, bool, u8),
    Copies(Name, u8),
    Compact,
    Leave(u8),
    Back,
    Settle,
    WriteBack,
    Tidy,
    Reopen,
    Rebuild,
}

/// How an object is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Plain,
    Chunked,
    IfAbsent,
    IfThere,
}

impl Verb {
    /// The verb of a number.
    pub(crate) fn of(number: u64) -> Self {
        let mut left = number >> 7;
        let mut draw = |choices: u64| {
            let drawn = left % choices;
            left /= choices;
            u8::try_from(drawn).unwrap()
        };
        // In one bucket mostly: the other one is there to be destroyed, and moved to.
        let bucket = u8::from(draw(4) == 3);
        let (first, other) = (draw(NAMES), draw(NAMES));
        let (name, slot, small) = (Name(bucket, first), draw(SLOTS), draw(251));
        match number % 128 {
            0..13 => Self::Put(name, How::Plain),
            13..16 => Self::Hold(slot, name),
            16..22 => Self::Put(name, How::Chunked),
            22..25 => Self::Put(name, How::IfAbsent),
            25..28 => Self::Put(name, How::IfThere),
            28..30 => Self::GiveUp(name),
            30..35 => Self::Start(slot, name),
            35..42 => Self::Part(slot, 1 + u32::from(other) % 3),
            42..45 => Self::Release(slot),
            45..50 => Self::Complete(slot),
            50..52 => Self::Abandon(slot),
            52..57 => Self::Begin(slot, name),
            57..64 => Self::Append(slot),
            64..69 => Self::Flush(slot),
            69..74 => Self::Patch(name),
            74..80 => Self::Rename(name, other),
            80..84 => Self::Move(name, other),
            84..92 => Self::Delete(name),
            92..94 => Self::Destroy(bucket),
            94..97 => Self::Open(slot, name),
            97..100 => Self::Finish(slot),
            100..102 => Self::Range(name, u16::from(small) * 7, u16::from(other) * 900 + 1),
            102..104 => Self::Head(name),
            104..107 => Self::List(bucket, small % 2 == 0, 1 + other),
            107..109 => Self::Copies(name, 1 + small % 3),
            109..114 => Self::Compact,
            114..116 => Self::Leave(other),
            116..118 => Self::Back,
            118..120 => Self::Settle,
            120..122 => Self::WriteBack,
            122..124 => Self::Tidy,
            124..127 => Self::Reopen,
            _ => Self::Rebuild,
        }
    }

    /// Whether it concerns the whole store rather than the names of one thread.
    pub(crate) fn is_global(&self) -> bool {
        matches!(self, Self::Leave(_) | Self::Back | Self::Settle | Self::Reopen | Self::Rebuild)
    }

    /// The bucket that it takes away bit by bit.
    pub(crate) fn destroys(&self) -> Option<u8> {
        if let Self::Destroy(bucket) = self { Some(*bucket) } else { None }
    }
}

/// An object: the contents that it is made of, one after the other, and its custom metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) pieces: Vec<u64>,
    pub(crate) custom: String,
}

impl Object {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|number| content(*number)).collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) bucket: u8,
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) parts: BTreeMap<u32, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) bucket: u8,
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) pieces: Vec<u64>,
}

impl Session {
    pub(crate) fn size(&self) -> u64 {
        self.pieces.iter().map(|number| content(*number).len() as u64).sum()
    }
}

/// What a thread has stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct World {
    pub(crate) objects: BTreeMap<String, Object>,
    pub(crate) uploads: BTreeMap<u8, Upload>,
    pub(crate) sessions: BTreeMap<u8, Session>,
    /// Puts under way, which a crash ends: key and content.
    pub(crate) held: BTreeMap<u8, (String, u64)>,
}

impl World {
    /// Whether a verb does anything here; one that does not is passed over.
    pub(crate) fn allows(&self, verb: &Verb) -> bool {
        match verb {
            Verb::Start(slot, _) => !self.uploads.contains_key(slot),
            Verb::Part(slot, _) | Verb::Abandon(slot) => self.uploads.contains_key(slot),
            Verb::Complete(slot) => self.uploads.get(slot).is_some_and(|upload| {
                !upload.parts.is_empty() && (1..).zip(upload.parts.keys()).all(|(n, k)| n == *k)
            }),
            Verb::Begin(slot, _) => !self.sessions.contains_key(slot),
            Verb::Append(slot) | Verb::Flush(slot) => self.sessions.contains_key(slot),
            Verb::Hold(slot, _) => !self.held.contains_key(slot),
            Verb::Release(slot) => self.held.contains_key(slot),
            Verb::Rename(name, to) => name.1 != *to,
            _ => true,
        }
    }

    /// What a verb does. `count` numbers the verb and its content; `said` is what the store answered: the id of
    /// what was begun.
    pub(crate) fn apply(&mut self, verb: &Verb, count: u64, said: &str) {
        let present = |world: &Self, name: Name| world.objects.contains_key(&name.key());
        let fresh = || Object { pieces: vec![count], custom: String::new() };
        match verb {
            Verb::Put(name, how) => {
                let refused = match how {
                    How::Plain | How::Chunked => false,
                    How::IfAbsent => present(self, *name),
                    How::IfThere => !present(self, *name),
                };
                if !refused {
                    self.objects.insert(name.key(), fresh());
                }
            }
            Verb::Hold(slot, name) => drop(self.held.insert(*slot, (name.key(), count))),
            Verb::Release(slot) => {
                let (key, count) = self.held.remove(slot).unwrap();
                let (pieces, custom) = (held(count), String::new());
                self.objects.insert(key, Object { pieces, custom });
            }
            Verb::Back | Verb::Reopen => self.held.clear(),
            Verb::Start(slot, name) => {
                let (id, parts) = (said.to_owned(), BTreeMap::new());
                let upload = Upload { bucket: name.0, name: name.text(), id, parts };
                self.uploads.insert(*slot, upload);
            }
            Verb::Part(slot, number) => {
                let upload = self.uploads.get_mut(slot).unwrap();
                upload.parts.insert(*number, count);
            }
            Verb::Complete(slot) => {
                let upload = self.uploads.remove(slot).unwrap();
                let pieces = upload.parts.into_values().collect();
                let key = format!("{}/{}", upload.bucket, upload.name);
                self.objects.insert(key, Object { pieces, custom: String::new() });
            }
            Verb::Abandon(slot) => drop(self.uploads.remove(slot)),
            Verb::Begin(slot, name) => {
                let pieces = self.objects.get(&name.key()).map(|object| object.pieces.clone());
                let (id, pieces) = (said.to_owned(), pieces.unwrap_or_default());
                let session = Session { bucket: name.0, name: name.text(), id, pieces };
                self.sessions.insert(*slot, session);
            }
            Verb::Append(slot) => self.sessions.get_mut(slot).unwrap().pieces.push(count),
            Verb::Flush(slot) => {
                let session = self.sessions.remove(slot).unwrap();
                let key = format!("{}/{}", session.bucket, session.name);
                // Custom metadata stays with what is appended to.
                self.objects.entry(key).or_default().pieces = session.pieces;
            }
            Verb::Patch(name) => {
                if let Some(object) = self.objects.get_mut(&name.key()) {
                    object.custom = count.to_string();
                }
            }
            Verb::Rename(name, to) => self.relabel(*name, Name(name.0, *to)),
            Verb::Move(name, to) => self.relabel(*name, Name(1 - name.0, *to)),
            Verb::Delete(name) => drop(self.objects.remove(&name.key())),
            Verb::Destroy(bucket) => {
                self.objects.retain(|key, _| !key.starts_with(&format!("{bucket}/")));
                self.uploads.retain(|_, upload| upload.bucket != *bucket);
                self.sessions.retain(|_, session| session.bucket != *bucket);
            }
            // Uploads are in the index alone.
            Verb::Rebuild => {
                self.uploads.clear();
                self.held.clear();
            }
            _ => {}
        }
    }

    fn relabel(&mut self, from: Name, to: Name) {
        if let Some(object) = self.objects.remove(&from.key()) {
            self.objects.insert(to.key(), object);
        }
    }
}

/// What a put is made of that goes on over other verbs: more than is held back in memory if it is in one piece.
pub(crate) fn held(count: u64) -> Vec<u64> {
    if is_held_in_parts(count) { vec![count] } else { vec![LARGE, count] }
}

pub(crate) fn is_held_in_parts(count: u64) -> bool {
    count.is_multiple_of(2)
}

/// Number of a content that is large.
const LARGE: u64 = u64::MAX;

/// Content number so much: its bytes and its size follow from the number.
pub(crate) fn content(number: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number ^ 0x5eed);
    let size = match random.u8(..100) {
        _ if number == LARGE => 80_000,
        0..5 => 0,
        5..70 => random.usize(..2_000),
        70..85 => random.usize(2_000..9_000),
        85..92 => random.usize(65_000..66_000),
        _ => random.usize(66_000..150_000),
    };
    let mut bytes = vec![0; size];
    random.fill(&mut bytes);
    bytes
}
