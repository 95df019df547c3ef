//! The journals of an index: what of it may not be in its tables yet, for the next start to replay.
//!
//! At an end in order all of it is in the tables. Then the journals are written down as they are, and a start that finds
//! them so empties them: to replay them takes seconds and would change nothing.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The journals as they were when all that they hold was in the tables, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Journals(Vec<Journal>);

/// One file. Whoever writes to it changes its length or its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Journal {
    number: u64,
    length: u64,
    inode: u64,
    mtime: (i64, i64),
}

impl Journals {
    /// Those of the index in this directory.
    pub(super) fn read(index: &Path) -> io::Result<Self> {
        let mut found = Vec::new();
        for entry in fs::read_dir(index)? {
            let entry = entry?;
            if let Some(number) = entry.file_name().to_str().and_then(number_of) {
                let meta = entry.metadata()?;
                let mtime = (meta.mtime(), meta.mtime_nsec());
                found.push(Journal { number, length: meta.len(), inode: meta.ino(), mtime });
            }
        }
        found.sort_by_key(|journal| journal.number);
        Ok(Self(found))
    }

    /// Empties the journals of the index in this directory, which nobody has open; `false` when they are not these.
    ///
    /// A crash in the middle leaves some of them, to be replayed.
    pub(super) fn empty(&self, index: &Path) -> io::Result<bool> {
        if Self::read(index)? != *self {
            return Ok(false);
        }
        let Some((newest, older)) = self.0.split_last() else { return Ok(false) };
        for journal in older {
            fs::remove_file(index.join(name_of(journal.number)))?;
        }
        // The engine goes on with this one; without any it would forget how far its numbers of changes went.
        File::options().write(true).open(index.join(name_of(newest.number)))?.set_len(0)?;
        Ok(true)
    }
}

fn name_of(number: u64) -> String {
    format!("{number}.jnl")
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".jnl")?.parse().ok()
}
