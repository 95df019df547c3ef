//! Where the scrub of a mountpath is, and what it has done: `scrub.json`.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ScrubProgress;
use crate::error::StoreError;
use crate::files::{Files, read_small, replace_file};

const FILE: &str = "scrub.json";
/// What it may be long: it names segments.
const MAX_BYTES: u64 = 16 << 20;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Position {
    /// No pass is under way.
    #[default]
    Idle,
    /// Records, from this one on or the next that there is.
    Segments { number: u32, offset: u64 },
    /// Blobs that are files: those of this directory above this id.
    Files { dir: u8, after: u64 },
    /// Entries of the index, after this one.
    Entries { bid: u64, name: String },
}

/// What is kept over restarts. One that is lost or damaged costs a pass.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Cursor {
    pub(super) position: Position,
    /// From when on the next pass is waited for: the begin of the last one.
    since_ns: u64,
    begun_ns: u64,
    completed_ns: u64,
    pub(super) bytes: u64,
    pub(super) blobs: u64,
    pub(super) damaged: u64,
    /// Segments of this pass in which not everything is a record.
    pub(super) odd: BTreeSet<u32>,
}

impl Cursor {
    pub(super) fn read(files: &Files) -> Result<Self, StoreError> {
        let path = files.path(FILE);
        match read_small(&path, MAX_BYTES) {
            Ok(bytes) => {
                Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Self::default()),
            Err(source) => Err(StoreError::io(&path, "read", source)),
        }
    }

    pub(super) fn write(&self, files: &Files) -> Result<(), StoreError> {
        let path = files.path(FILE);
        let bytes = serde_json::to_vec(self)
            .map_err(|error| StoreError::io(&path, "encode", io::Error::other(error)))?;
        replace_file(&path, &bytes, false)
    }

    pub(super) fn progress(&self) -> ScrubProgress {
        ScrubProgress {
            begun_ns: self.begun_ns,
            completed_ns: self.completed_ns,
            bytes: self.bytes,
            blobs: self.blobs,
            damaged: self.damaged,
        }
    }

    pub(super) fn is_due(&mut self, now_ns: u64, interval: Duration) -> bool {
        if self.position != Position::Idle {
            return true;
        }
        // A clock that was put back must not put the next pass off for years.
        if self.since_ns == 0 || self.since_ns > now_ns {
            self.since_ns = now_ns;
        }
        let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        now_ns.saturating_sub(self.since_ns) >= interval
    }

    pub(super) fn begin(&mut self, now_ns: u64) {
        if self.position == Position::Idle {
            *self = Self {
                position: Position::Segments { number: 0, offset: 0 },
                since_ns: now_ns,
                begun_ns: now_ns,
                completed_ns: self.completed_ns,
                ..Self::default()
            };
        }
    }

    pub(super) fn complete(&mut self, now_ns: u64) {
        self.position = Position::Idle;
        (self.begun_ns, self.completed_ns) = (0, now_ns);
        self.odd.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pass_waits_an_interval_and_one_under_way_goes_on() {
        let hour = Duration::from_hours(1);
        let ns = |seconds: u64| seconds * 1_000_000_000;
        let mut cursor = Cursor::default();
        assert!(!cursor.is_due(ns(10), hour) && !cursor.is_due(ns(3609), hour));
        assert!(cursor.is_due(ns(3610), hour) && cursor.is_due(ns(11), Duration::from_secs(1)));
        cursor.begin(ns(3610));
        assert!(cursor.is_due(ns(3611), hour));
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(dir.path()).unwrap();
        cursor.write(&files).unwrap();
        let mut again = Cursor::read(&files).unwrap();
        assert_eq!(again, cursor);
        again.complete(ns(4000));
        assert!(!again.is_due(ns(7209), hour) && again.is_due(ns(7210), hour));
        assert!(!again.is_due(ns(5), hour), "the clock was put back");
        std::fs::write(dir.path().join("ais/scrub.json"), b"{nonsense").unwrap();
        assert_eq!(Cursor::read(&files).unwrap(), Cursor::default());
    }
}
