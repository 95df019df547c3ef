//! Blobs of which loss of power may have kept bytes from the disk.
//!
//! Under a write policy of `delayed` or `never` an entry of the index may reach the disk before the blob that it names, and
//! a file its length before its bytes. So `run.json` says from which id on blobs may be in memory alone (*loose*), and
//! in which boot of the machine that was. A start that finds another boot knows that what is loose was in memory
//! when that was lost: it is in *doubt*, and compared with its checksum before it is read for the first time. What
//! does not have it is not there, as far as readers are concerned.
//!
//! Ids grow, so a bound suffices. Each write-back moves it up (see [`Unsynced::sync_all`]) and notes that in a file
//! of its own, which is not synced: an older one is as true. What is under way meanwhile, with an id below
//! the bound, is synced by its own writer.
//!
//! Doubt ends with a scrub that began after it: that compares everything.
//!
//! [`Unsynced::sync_all`]: crate::durability::Unsynced::sync_all

use std::collections::HashSet;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::files::{Files, replace_file};
use crate::identity::RunState;
use crate::meta::BlobId;
use crate::sync::{Mutex, MutexGuard};

/// Blobs remembered as sound; with more, some are compared again.
const MAX_SOUND: usize = 1 << 16;

/// Where the bound is that write-backs move up.
const SYNCED: &str = "synced";

/// Ids from one, exclusive, up to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) above: u64,
    pub(crate) upto: u64,
}

impl Span {
    fn has(self, blob: BlobId) -> bool {
        blob.0 > self.above && blob.0 <= self.upto
    }

    /// All that is in either, and what lies between them.
    fn join(self, other: Self) -> Self {
        Self { above: self.above.min(other.above), upto: self.upto.max(other.upto) }
    }
}

/// What a start knows of earlier runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Past {
    /// Blobs above this id may be in memory alone.
    pub(crate) loose: Option<u64>,
    /// Blobs that may have been in memory alone when that was lost.
    pub(crate) doubt: Option<Span>,
}

impl Past {
    /// What follows from what the last run left, on a mountpath with blobs up to `last`, of which those up to `synced`
    /// were brought to the disk.
    pub(crate) fn of(run: Option<&RunState>, boot: &str, synced: u64, last: u64) -> Self {
        let Some(run) = run else {
            // Lost. It may have said anything.
            return Self { loose: None, doubt: Some(Span { above: 0, upto: last }) };
        };
        // Who does not name the boot is an older program, and does not name what is loose either.
        let loose = if run.boot.is_empty() { Some(0) } else { run.loose };
        let loose = loose.filter(|_| !run.clean).map(|above| above.max(synced));
        if run.boot == boot && !boot.is_empty() {
            return Self { loose, doubt: run.doubt };
        }
        let new = loose.map(|above| Span { above, upto: last });
        let doubt = match (run.doubt, new) {
            (Some(old), Some(new)) => Some(old.join(new)),
            (old, new) => old.or(new),
        };
        Self { loose: None, doubt }
    }
}

/// Which blobs are in doubt.
#[derive(Debug)]
pub(crate) struct Doubts {
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    span: Option<Span>,
    /// Those in it that were found to be as they should.
    sound: HashSet<BlobId>,
}

impl Doubts {
    pub(crate) fn new(span: Option<Span>) -> Self {
        let state = State { span, sound: HashSet::new() };
        Self { any: AtomicBool::new(span.is_some()), state: Mutex::new(state) }
    }

    /// Whether anything is in doubt.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Whether a blob is to be compared before it is read.
    pub(crate) fn concern(&self, blob: BlobId) -> bool {
        if !self.any() {
            return false;
        }
        let state = self.lock();
        state.span.is_some_and(|span| span.has(blob)) && !state.sound.contains(&blob)
    }

    /// Notes that a blob is as it should be.
    pub(crate) fn dispel(&self, blob: BlobId) {
        let mut state = self.lock();
        if state.sound.len() >= MAX_SOUND {
            state.sound.clear();
        }
        state.sound.insert(blob);
    }

    /// Ends all doubt; `false` when there is none.
    pub(crate) fn end(&self) -> bool {
        let mut state = self.lock();
        self.any.store(false, Ordering::Relaxed);
        state.sound = HashSet::new();
        state.span.take().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names this boot of the machine; empty where the system does not tell, and then each start is taken for another.
pub(crate) fn boot() -> String {
    let text = std::fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id"));
    text.map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Up to which id blobs are on the disk, as the last write-back noted it. Of one that is torn, less is left.
pub(crate) fn read_synced(files: &Files) -> u64 {
    let text = std::fs::read_to_string(files.path(SYNCED)).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Notes that blobs up to this id are on the disk. What cannot be noted costs comparing more than need be.
pub(crate) fn write_synced(files: &Files, bound: BlobId) {
    if let Err(error) = replace_file(&files.path(SYNCED), bound.0.to_string().as_bytes(), false) {
        tracing::debug!(%error, "the bound of a write-back cannot be noted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: u64 = 90;

    fn run(clean: bool, boot: &str, loose: Option<u64>, doubt: Option<Span>) -> RunState {
        RunState { clean, boot: boot.to_owned(), loose, doubt, ..RunState::default() }
    }

    #[expect(clippy::unnecessary_wraps, reason = "as it is noted")]
    fn span(above: u64, upto: u64) -> Option<Span> {
        Some(Span { above, upto })
    }

    #[test]
    fn what_was_loose_is_in_doubt_after_another_boot_and_stays_loose_in_the_same() {
        let of = |run: &RunState, synced| {
            let past = Past::of(Some(run), "now", synced, LAST);
            (past.loose, past.doubt)
        };
        for old in [None, span(10, 20)] {
            assert_eq!(of(&run(false, "now", None, old), 0), (None, old));
            assert_eq!(of(&run(false, "then", None, old), 0), (None, old), "all was immediate");
            assert_eq!(of(&run(true, "then", None, old), 0), (None, old));
            assert_eq!(of(&run(false, "now", Some(40), old), 0), (Some(40), old));
            assert_eq!(of(&run(false, "now", Some(40), old), 50), (Some(50), old));
        }
        assert_eq!(of(&run(false, "then", Some(40), None), 0), (None, span(40, LAST)));
        assert_eq!(of(&run(false, "then", Some(40), None), 50), (None, span(50, LAST)));
        assert_eq!(of(&run(false, "then", Some(40), span(10, 20)), 50), (None, span(10, LAST)));
        assert_eq!(of(&run(false, "", None, None), 0), (None, span(0, LAST)), "an older program");
        assert_eq!(of(&run(true, "", None, None), 0), (None, None), "an older program");
        assert_eq!(Past::of(None, "now", 50, LAST).doubt, span(0, LAST));
        let unknown = Past::of(Some(&run(false, "", Some(40), None)), "", 0, LAST);
        assert_eq!(unknown.doubt, span(0, LAST), "the system does not name its boots");
    }

    #[test]
    fn what_was_found_sound_is_in_doubt_no_more() {
        let doubts = Doubts::new(span(10, 20));
        let concerns = |blob| doubts.concern(BlobId(blob));
        assert_eq!([10, 11, 20, 21].map(concerns), [false, true, true, false]);
        doubts.dispel(BlobId(11));
        assert!(!concerns(11) && concerns(12));
        for blob in 0..MAX_SOUND as u64 {
            doubts.dispel(BlobId(1 << 40 | blob));
        }
        assert!(concerns(11), "forgotten: it is compared again");
        assert!(doubts.end() && !doubts.end() && !concerns(12));
        assert!(!Doubts::new(None).concern(BlobId(1)));
    }

    #[test]
    fn the_bound_of_a_write_back_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(dir.path()).unwrap();
        assert_eq!(read_synced(&files), 0);
        write_synced(&files, BlobId(77));
        assert_eq!(read_synced(&files), 77);
        std::fs::write(files.path(SYNCED), [0; 8]).unwrap();
        assert_eq!(read_synced(&files), 0);
    }
}
