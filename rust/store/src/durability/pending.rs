//! Lists of what is to be brought to the disk.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;

use crate::files::Dir;
use crate::meta::BlobId;

/// Files kept open until they are written back; with more, the whole file system is.
const MAX_FILES: usize = 256;

/// What is to be synced together.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) segments: BTreeSet<u32>,
    pub(super) dirs: BTreeSet<Dir>,
    pub(super) files: HashMap<Held, File>,
    /// Whether there were too many files to keep open.
    pub(super) overflow: bool,
}

/// What a file that is kept open is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Held {
    Blob(BlobId),
    /// An append session.
    Session(u64),
    /// Its mark.
    Mark(u64),
}

impl Pending {
    /// Notes a file; the whole file system where it is not at hand.
    pub(super) fn hold(&mut self, what: Held, file: Option<File>) {
        match file {
            Some(file) if self.files.len() < MAX_FILES || self.files.contains_key(&what) => {
                self.files.insert(what, file);
            }
            _ => self.overflow = true,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.dirs.is_empty() && self.files.is_empty() && !self.overflow
    }

    /// Takes over all of another list.
    pub(super) fn join(&mut self, other: Self) {
        self.segments.extend(other.segments);
        self.dirs.extend(other.dirs);
        self.overflow |= other.overflow;
        for (what, file) in other.files {
            self.hold(what, Some(file));
        }
    }
}

/// What nobody waits for.
#[derive(Debug, Default)]
pub(super) struct Lazy {
    /// To be synced with the next write-back.
    pub(super) pending: Pending,
    /// Whether something was written since that nobody promised to bring to the disk.
    pub(super) unpromised: bool,
    /// How often a policy had become stricter when the list was last made urgent.
    pub(super) tightened: u64,
    /// Blobs up to this id are on the disk, or are being brought there, but for those that were under way just then.
    pub(super) mark: BlobId,
}

impl Lazy {
    /// What a write-back syncs that begins now. Where that is all there is, it moves the mark to `last`.
    pub(super) fn take(&mut self, last: BlobId) -> Pending {
        let taken = std::mem::take(&mut self.pending);
        // With the whole file system goes what nobody promised.
        self.unpromised &= !taken.overflow;
        if !self.unpromised {
            self.mark = self.mark.max(last);
        }
        taken
    }

    /// All that was noted, and whatever else was written if nobody promised to sync that.
    pub(super) fn take_all(&mut self) -> Pending {
        let mut taken = std::mem::take(&mut self.pending);
        taken.overflow |= std::mem::take(&mut self.unpromised);
        taken
    }
}
