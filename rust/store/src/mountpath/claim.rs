//! Taking a mountpath, before anything on it is opened.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use rustix::fs::FlockOperation;

use crate::doubts;
use crate::error::StoreError;
use crate::files::Files;
use crate::identity::{Format, RunState};

/// Holds a mountpath. Given up on drop explicitly: a process that is being started just then shares the file
/// for a moment, and closing it here would leave the lock there.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = rustix::fs::flock(&self.0, FlockOperation::Unlock) {
            tracing::warn!(%error, "a mountpath cannot be unlocked");
        }
    }
}

/// A mountpath that is locked and whose identity is known; the index is not open yet.
pub(crate) struct Claimed {
    pub(super) files: Files,
    pub(crate) format: Format,
    /// Whether the mountpath was used for the first time.
    pub(crate) fresh: bool,
    pub(super) run: Option<RunState>,
    pub(super) lock: Lock,
}

impl Claimed {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let files = Files::open(path)?;
        let lock_path = files.path("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|source| StoreError::io(&lock_path, "open", source))?;
        let lock = match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Lock(lock),
            Err(rustix::io::Errno::AGAIN) => {
                return Err(StoreError::Locked { path: path.to_owned() });
            }
            Err(source) => return Err(StoreError::io(&lock_path, "lock", source)),
        };
        let (format, fresh) = Format::open(&files)?;
        let run = RunState::read(&files)?;
        Ok(Self { files, format, fresh, run, lock })
    }

    /// Whether objects may lie elsewhere than placement over `peers` says.
    pub(crate) fn scattered(&self, peers: &BTreeSet<String>) -> bool {
        match &self.run {
            Some(run) => run.scattered || run.peers != *peers,
            None => !self.fresh,
        }
    }
    /// Whether power was lost before all of the index was brought to the disk, as far as can be told.
    pub(super) fn lost_power(&self) -> bool {
        self.run.as_ref().is_some_and(|run| {
            // Who does not name the boot is an older program.
            let other = !run.boot.is_empty() && run.boot != doubts::boot();
            !run.clean && run.unsynced && other
        })
    }
}
