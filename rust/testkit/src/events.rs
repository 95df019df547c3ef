//! What happened to the directory, and the log that it is kept in.
//!
//! ```text
//! record = length of body: u32 LE | body
//! body   = kind: u8 | numbers: u64 LE ... | last, where there is one: name or content, up to the end
//! ```

use std::fs;
use std::io;
use std::path::Path;

use crate::tree::Id;

/// One change, or one thing that makes changes last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Was there when the recording began.
    Known {
        /// Its number.
        id: u64,
        /// The directory that it is in.
        parent: u64,
        /// Whether it is a directory itself.
        dir: bool,
        /// Its name there.
        name: Vec<u8>,
    },
    /// A file or directory is made.
    Create {
        /// Its number.
        id: u64,
        /// The directory that it is in.
        parent: u64,
        /// Whether it is a directory itself.
        dir: bool,
        /// Its name there.
        name: Vec<u8>,
    },
    /// A file gets another name besides.
    Link {
        /// Its number.
        id: u64,
        /// The directory that the name is in.
        parent: u64,
        /// The name.
        name: Vec<u8>,
    },
    /// Something gets another name, in place of what had it.
    Rename {
        /// Where it was.
        from: u64,
        /// Where it is.
        to: u64,
        /// The name that it had.
        old: Vec<u8>,
        /// The name that it has.
        new: Vec<u8>,
    },
    /// A name is taken away.
    Remove {
        /// The directory that it is in.
        parent: u64,
        /// The name.
        name: Vec<u8>,
    },
    /// Bytes are written.
    Write {
        /// The file.
        id: u64,
        /// Where.
        offset: u64,
        /// The bytes.
        data: Vec<u8>,
    },
    /// A file gets another length.
    Truncate {
        /// The file.
        id: u64,
        /// The length.
        length: u64,
    },
    /// A file, or what a directory names, lasts; or would have, had it not failed.
    Sync {
        /// What is synced.
        id: u64,
        /// How many events had happened when it began: those are covered.
        begun: u64,
        /// Whether only data was asked for.
        data_only: bool,
        /// Whether it failed.
        failed: bool,
    },
    /// Everything lasts.
    SyncAll {
        /// As of [`Event::Sync`].
        begun: u64,
    },
    /// The program said something.
    Mark(String),
}

const KNOWN: u8 = 1;
const CREATE: u8 = 2;
const LINK: u8 = 3;
const RENAME: u8 = 4;
const REMOVE: u8 = 5;
const WRITE: u8 = 6;
const TRUNCATE: u8 = 7;
const SYNC: u8 = 8;
const SYNC_ALL: u8 = 9;
const MARK: u8 = 10;

impl Event {
    /// Appends the record of this event.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        let mut put = |kind: u8, numbers: &[u64], rest: &[u8]| {
            out.push(kind);
            out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            out.extend_from_slice(rest);
        };
        match self {
            Self::Known { id, parent, dir, name } => {
                put(KNOWN, &[*id, *parent, (*dir).into()], name);
            }
            Self::Create { id, parent, dir, name } => {
                put(CREATE, &[*id, *parent, (*dir).into()], name);
            }
            Self::Link { id, parent, name } => put(LINK, &[*id, *parent], name),
            Self::Rename { from, to, old, new } => {
                put(RENAME, &[*from, *to, old.len() as u64], &[&old[..], new].concat());
            }
            Self::Remove { parent, name } => put(REMOVE, &[*parent], name),
            Self::Write { id, offset, data } => put(WRITE, &[*id, *offset], data),
            Self::Truncate { id, length } => put(TRUNCATE, &[*id, *length], &[]),
            Self::Sync { id, begun, data_only, failed } => {
                put(SYNC, &[*id, *begun, (*data_only).into(), (*failed).into()], &[]);
            }
            Self::SyncAll { begun } => put(SYNC_ALL, &[*begun], &[]),
            Self::Mark(text) => put(MARK, &[], text.as_bytes()),
        }
        let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
        if let Some(prefix) = out.get_mut(start..start + 4) {
            prefix.copy_from_slice(&length.to_le_bytes());
        }
    }

    /// Takes a record off the front of `input`; `None` at its end, and for one that is torn.
    fn decode(input: &mut &[u8]) -> Option<Self> {
        let (length, rest) = input.split_first_chunk::<4>()?;
        let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        *input = rest;
        let (kind, mut body) = body.split_first()?;
        let mut number = || -> Option<u64> {
            let (number, rest) = body.split_first_chunk::<8>()?;
            body = rest;
            Some(u64::from_le_bytes(*number))
        };
        Some(match *kind {
            KNOWN => {
                let (id, parent, dir) = (number()?, number()?, number()? != 0);
                Self::Known { id, parent, dir, name: body.to_vec() }
            }
            CREATE => {
                let (id, parent, dir) = (number()?, number()?, number()? != 0);
                Self::Create { id, parent, dir, name: body.to_vec() }
            }
            LINK => {
                let (id, parent) = (number()?, number()?);
                Self::Link { id, parent, name: body.to_vec() }
            }
            RENAME => {
                let (from, to, length) = (number()?, number()?, number()?);
                let (old, new) = body.split_at_checked(usize::try_from(length).ok()?)?;
                Self::Rename { from, to, old: old.to_vec(), new: new.to_vec() }
            }
            REMOVE => {
                let parent = number()?;
                Self::Remove { parent, name: body.to_vec() }
            }
            WRITE => {
                let (id, offset) = (number()?, number()?);
                Self::Write { id, offset, data: body.to_vec() }
            }
            TRUNCATE => Self::Truncate { id: number()?, length: number()? },
            SYNC => Self::Sync {
                id: number()?,
                begun: number()?,
                data_only: number()? != 0,
                failed: number()? != 0,
            },
            SYNC_ALL => Self::SyncAll { begun: number()? },
            MARK => Self::Mark(String::from_utf8_lossy(body).into_owned()),
            _ => return None,
        })
    }

    /// The file that it changes the content of.
    pub(crate) fn content_of(&self) -> Option<Id> {
        match self {
            Self::Write { id, .. } | Self::Truncate { id, .. } => Some(*id),
            _ => None,
        }
    }
}

/// A log that was read back.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// All that happened, in order.
    pub events: Vec<Event>,
}

impl Recording {
    /// Reads a log. One that ends in the middle of a record, as when its process was killed, ends before it.
    pub fn read(path: &Path) -> io::Result<Self> {
        let bytes = fs::read(path)?;
        let (mut input, mut events) = (bytes.as_slice(), Vec::new());
        while let Some(event) = Event::decode(&mut input) {
            events.push(event);
        }
        Ok(Self { events })
    }

    /// What the program said in the first `point` events.
    pub fn marks(&self, point: usize) -> impl Iterator<Item = &str> {
        self.events.iter().take(point).filter_map(|event| match event {
            Event::Mark(text) => Some(text.as_str()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_back_up_to_where_it_is_torn() {
        let name = b"a name".to_vec();
        let events = vec![
            Event::Known { id: 1, parent: 0, dir: true, name: name.clone() },
            Event::Create { id: 2, parent: 1, dir: false, name: name.clone() },
            Event::Link { id: 2, parent: 0, name: name.clone() },
            Event::Rename { from: 1, to: 0, old: name.clone(), new: b"new".to_vec() },
            Event::Remove { parent: 1, name },
            Event::Write { id: 2, offset: 7, data: vec![1, 2, 3] },
            Event::Truncate { id: 2, length: 9 },
            Event::Sync { id: 2, begun: 5, data_only: true, failed: false },
            Event::SyncAll { begun: 6 },
            Event::Mark("said".to_owned()),
        ];
        let mut bytes = Vec::new();
        for event in &events {
            event.encode(&mut bytes);
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, &bytes).unwrap();
        assert_eq!(Recording::read(&path).unwrap().events, events);
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(Recording::read(&path).unwrap().events, events[..events.len() - 1]);
        assert_eq!(Recording { events }.marks(10).collect::<Vec<_>>(), ["said"]);
    }
}
