//! How often the disks failed, by mountpath.
//!
//! Errors of files are made where nothing but a path is at hand, so they are counted by path. A mountpath is
//! open once at most (its lock says so), which makes its path a name for the whole process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use crate::store::Store;

/// Mountpaths that are open.
static OPEN: RwLock<Vec<Weak<Counts>>> = RwLock::new(Vec::new());

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    Read,
    Write,
    Remove,
}

impl Tried {
    /// From the verb of an error message.
    pub(crate) fn by_verb(verb: &str) -> Self {
        match verb.split(' ').next().unwrap_or_default() {
            "open" | "read" | "query" | "list" | "map" => Self::Read,
            "remove" => Self::Remove,
            _ => Self::Write,
        }
    }
}

/// I/O errors of one mountpath since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IoErrors {
    /// Failed to open, read or list.
    pub reads: u64,
    /// Failed to create, write or rename.
    pub writes: u64,
    /// Failed to remove.
    pub removals: u64,
}

impl IoErrors {
    /// All of them.
    pub fn total(self) -> u64 {
        self.reads.saturating_add(self.writes).saturating_add(self.removals)
    }
}

#[derive(Debug)]
pub(crate) struct Counts {
    mountpath: Arc<Path>,
    reads: AtomicU64,
    writes: AtomicU64,
    removals: AtomicU64,
}

impl Counts {
    /// Counts the errors below `mountpath` for as long as the result is kept.
    pub(crate) fn start(mountpath: &Arc<Path>) -> Arc<Self> {
        let counts = Arc::new(Self {
            mountpath: Arc::clone(mountpath),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            removals: AtomicU64::new(0),
        });
        let mut open = OPEN.write().unwrap_or_else(PoisonError::into_inner);
        open.retain(|known| known.strong_count() > 0);
        open.push(Arc::downgrade(&counts));
        counts
    }

    pub(crate) fn note(&self, tried: Tried, error: &io::Error) {
        if !is_fault(error) {
            return;
        }
        let count = match tried {
            Tried::Read => &self.reads,
            Tried::Write => &self.writes,
            Tried::Remove => &self.removals,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> IoErrors {
        IoErrors {
            reads: self.reads.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
            removals: self.removals.load(Ordering::Relaxed),
        }
    }
}

/// Counts an error at `path`, if that lies on a mountpath that is open.
pub(crate) fn note(path: &Path, tried: Tried, error: &io::Error) {
    let open = OPEN.read().unwrap_or_else(PoisonError::into_inner);
    let mut open = open.iter().filter_map(Weak::upgrade);
    if let Some(counts) = open.find(|counts| path.starts_with(&counts.mountpath)) {
        counts.note(tried, error);
    }
}

/// Whether an error speaks against the disk. A full one, and a process at its limits, do not.
pub(crate) fn is_fault(error: &io::Error) -> bool {
    use rustix::io::Errno;
    use std::io::ErrorKind as Kind;
    let limits = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::INTR, Errno::AGAIN];
    let at_limit = limits.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()));
    !at_limit && !matches!(error.kind(), Kind::StorageFull | Kind::QuotaExceeded)
}

impl Store {
    /// I/O errors of each mountpath in use since it was opened.
    pub fn io_errors(&self) -> Vec<(PathBuf, IoErrors)> {
        let set = self.shared.set();
        let members = set.members().iter();
        members.map(|one| (one.path().to_path_buf(), one.faults.read())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_where_they_happen() {
        let disk: Arc<Path> = Path::new("/no/such/disk").into();
        let counts = Counts::start(&disk);
        let error = io::Error::from_raw_os_error(5);
        note(&disk.join("ais/blobs/00/1"), Tried::by_verb("open"), &error);
        note(&disk.join("ais/tmp/1"), Tried::by_verb("create a file on"), &error);
        note(Path::new("/no/such/disk2/ais"), Tried::Read, &error);
        note(&disk, Tried::Write, &io::ErrorKind::StorageFull.into());
        note(&disk, Tried::Write, &io::Error::from_raw_os_error(24));
        assert_eq!(counts.read(), IoErrors { reads: 1, writes: 1, removals: 0 });
        assert_eq!(counts.read().total(), 2);
    }
}
