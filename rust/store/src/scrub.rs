//! Looking for damage at rest: every blob is read now and then and compared with what it should be.
//!
//! A pass goes over one mountpath in three parts: the segments from the first to the last record, then the
//! blobs that are files, then the index, for what it names and is not there. It is made in small steps, so
//! that its caller decides how fast it goes and when it stands back, and it goes on after a restart where it
//! was. Nothing is locked while bytes are read. What a pass finds was true at that moment and may have been
//! replaced, moved or removed since; so each finding is looked at again, as [`verdict`] has it, before
//! anything is done about it.
//!
//! Damaged bytes are copied to `quarantine/` first. Then the blob is replaced from an intact copy, if there is
//! one, or from its own payload where only its description is damaged. What cannot be replaced is taken out
//! of the way: reading the object is an error from then on, never wrong bytes.

mod check;
mod cursor;
mod entries;
mod files;
pub(crate) mod pace;
mod records;
mod source;
mod verdict;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cursor::{Cursor, Position};
pub(crate) use entries::named;
use files::Reading;
pub(crate) use verdict::is_sound;
pub use verdict::{Damage, Outcome};

use crate::error::StoreError;
use crate::meta::BlobId;
use crate::mountpath::SharedMountpath;
use crate::resilver::Guide;
use crate::store::Store;

/// Bytes between two times that the position is written down: what a crash makes a pass read again.
const SAVE_BYTES: u64 = 256 << 20;
/// What looking at one entry of the index costs, as if it were bytes read.
const ENTRY_COST: u64 = 512;

/// A blob that did not look right, before anybody looked again.
#[derive(Debug)]
struct Suspect {
    at: SharedMountpath,
    blob: BlobId,
    /// Key of the entry that may name it: from its description, or the entry itself.
    hint: Option<Vec<u8>>,
}

/// Which part of a blob is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The bytes of the object.
    Payload,
    /// What surrounds them: header or trailer.
    Description,
    /// The disk does not give the bytes.
    Unreadable,
    /// All of it.
    Missing,
}

/// What a step may use, and whom it tells.
pub struct ScrubStep<'a> {
    /// Bytes to read, about: a step ends with the blob, or the piece of a large one, that passes it.
    pub budget: u64,
    /// The time, nanoseconds since the Unix epoch.
    pub now_ns: u64,
    /// Where objects belong.
    pub guide: &'a Guide<'a>,
    /// Called for each damaged blob once it is dealt with.
    pub found: &'a (dyn Fn(&Damage) + Sync),
    /// Set by the caller to end the step early.
    pub cancel: &'a AtomicBool,
}

impl std::fmt::Debug for ScrubStep<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScrubStep").field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scrubbed {
    /// Bytes that it cost: those read, and the equivalent of looking things up.
    pub cost: u64,
    /// Bytes of blobs that were compared.
    pub bytes: u64,
    /// Blobs that were compared to their end.
    pub blobs: u64,
    /// Whether the pass is complete: there is nothing to do before the next one.
    pub complete: bool,
}

/// How far the scrub of a mountpath is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScrubProgress {
    /// When the pass under way began, nanoseconds since the Unix epoch; 0 when none is.
    pub begun_ns: u64,
    /// When the last complete pass ended; 0 when there was none.
    pub completed_ns: u64,
    /// Bytes compared in the pass under way, or in the last one.
    pub bytes: u64,
    /// Blobs compared in it.
    pub blobs: u64,
    /// Damaged blobs found in it.
    pub damaged: u64,
}

/// The scrub of one mountpath. Dropping it loses at most what was done since the position was written down.
#[derive(Debug)]
pub struct Scrubber {
    mountpath: Arc<Path>,
    cursor: Cursor,
    /// A blob in a file that is read over several steps.
    reading: Option<Reading>,
    /// Blobs of the directory that the position is in, those to come last in front.
    queue: Option<Vec<BlobId>>,
    unsaved: u64,
    /// Whether the pass under way was begun here, and nothing was found that is still in its place.
    thorough: bool,
}

impl Store {
    /// The scrub of a mountpath, at the position where the last one was left.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownMountpath`]; [`StoreError::Io`] when its position cannot be read.
    pub fn scrubber(&self, mountpath: &Path) -> Result<Scrubber, StoreError> {
        let found = find(self, mountpath)?;
        let cursor = Cursor::read(&found.files)?;
        let mountpath = Arc::clone(found.path());
        Ok(Scrubber { mountpath, cursor, reading: None, queue: None, unsaved: 0, thorough: false })
    }
}

fn find(store: &Store, path: &Path) -> Result<SharedMountpath, StoreError> {
    let set = store.shared.set();
    let found = set.members().iter().find(|one| **one.path() == *path).map(Arc::clone);
    found.ok_or_else(|| StoreError::UnknownMountpath { path: path.to_owned() })
}

impl Scrubber {
    /// The mountpath.
    pub fn mountpath(&self) -> &Path {
        &self.mountpath
    }

    /// How far it is.
    pub fn progress(&self) -> ScrubProgress {
        self.cursor.progress()
    }

    /// Whether there is something to do: a pass is under way, or `interval` has gone by since the last one
    /// began. The first one begins an interval after the mountpath was first seen here.
    pub fn is_due(&mut self, now_ns: u64, interval: Duration) -> bool {
        self.cursor.is_due(now_ns, interval)
    }

    /// Goes on with the pass under way, or begins one.
    ///
    /// Blocks on the disk. Whatever is found goes to `step.found`; it stops neither step nor pass.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownMountpath`] when the mountpath is in use no more; [`StoreError::Closed`];
    /// [`StoreError::Cancelled`]; the failure of an index, or of a directory that cannot be listed.
    pub fn step(&mut self, store: &Store, step: &ScrubStep<'_>) -> Result<Scrubbed, StoreError> {
        let mountpath = find(store, &self.mountpath)?;
        drop(store.shared.enter()?);
        self.thorough |= self.cursor.position == Position::Idle;
        self.cursor.begin(step.now_ns);
        let mut done = Scrubbed::default();
        while done.cost < step.budget && !done.complete {
            if step.cancel.load(Ordering::Relaxed) {
                return Err(StoreError::Cancelled);
            }
            let mut suspects = Vec::new();
            let before = done;
            match self.cursor.position.clone() {
                Position::Segments { number, offset } => {
                    self.segments(&mountpath, (number, offset), &mut done, &mut suspects);
                }
                Position::Files { dir, after } => {
                    let budget = step.budget - done.cost;
                    let at = (dir, BlobId(after));
                    self.files(&mountpath, at, budget, &mut done, &mut suspects)?;
                }
                Position::Entries { bid, name } => {
                    self.entries(store, &mountpath, (bid, &name), &mut done, &mut suspects)?;
                }
                Position::Idle => done.complete = true,
            }
            self.cursor.blobs += done.blobs - before.blobs;
            self.cursor.bytes += done.bytes - before.bytes;
            self.unsaved += done.cost - before.cost;
            for suspect in suspects {
                if let Some(damage) = verdict::settle_suspect(&store.shared, &suspect, step.guide)?
                {
                    self.cursor.damaged += 1;
                    self.thorough &= damage.outcome != Outcome::Left;
                    (step.found)(&damage);
                }
            }
        }
        if done.complete {
            self.cursor.complete(step.now_ns);
            if std::mem::take(&mut self.thorough) {
                mountpath.end_doubts()?;
            }
        }
        if done.complete || self.unsaved >= SAVE_BYTES {
            self.write(&mountpath);
        }
        Ok(done)
    }

    /// Writes the position down, so that a later run goes on from it. What cannot be written is logged: a
    /// pass then begins further back.
    pub fn save(&mut self, store: &Store) {
        if let Ok(mountpath) = find(store, &self.mountpath) {
            self.write(&mountpath);
        }
    }

    fn write(&mut self, mountpath: &SharedMountpath) {
        self.unsaved = 0;
        if let Err(error) = self.cursor.write(&mountpath.files) {
            tracing::warn!(mountpath = %self.mountpath.display(), %error,
                "the position of the scrub cannot be written down");
        }
    }
}
