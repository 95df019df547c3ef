//! A node's identity on disk: who it is, and that no other process is it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use aistore_core::smap::NodeKind;
use rustix::fs::{FlockOperation, flock};

/// File in a role's directory that holds the node id.
const ID_FILE: &str = "node-id";
/// File in the data directory that is locked while a process uses it.
const LOCK_FILE: &str = "lock";
/// Characters after the kind's letter.
const ID_CHARACTERS: usize = 8;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// Cannot be created or written.
    #[error("cannot write to the data directory {}: {source}; check owner, mode and free space, or choose another with --data-dir", path.display())]
    Write {
        /// What could not be written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process runs from it.
    #[error("data directory {} is in use by another process: stop it, or choose another with --data-dir", .0.display())]
    Locked(PathBuf),
    /// The id file does not hold an id.
    #[error("{} does not hold a node id: restore it; removing it makes this a new node", .0.display())]
    Corrupt(PathBuf),
}

/// A data directory that this process alone uses, until dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates the directory if need be and locks it.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] when it cannot be written or another process holds it.
    pub(crate) fn open(path: &Path) -> Result<Self, IdentityError> {
        let write = |source| IdentityError::Write { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(write)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK_FILE))
            .map_err(write)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(IdentityError::Locked(path.to_owned())),
            Err(err) => Err(write(err.into())),
        }
    }

    /// The directory of one role, created if need be.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Write`].
    pub(crate) fn role_dir(&self, kind: NodeKind) -> Result<PathBuf, IdentityError> {
        let name = if kind == NodeKind::Gateway { "gateway" } else { "target" };
        let path = self.path.join(name);
        fs::create_dir_all(&path)
            .map_err(|source| IdentityError::Write { path: path.clone(), source })?;
        Ok(path)
    }

    /// The node's id: read, or made and stored at the first start.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Corrupt`] for a file without an id, [`IdentityError::Write`].
    pub(crate) fn node_id(&self, kind: NodeKind) -> Result<String, IdentityError> {
        let path = self.role_dir(kind)?.join(ID_FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let id = text.trim();
                let good = id.len() == ID_CHARACTERS + 1
                    && id.starts_with(letter(kind))
                    && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
                if good { Ok(id.to_owned()) } else { Err(IdentityError::Corrupt(path)) }
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                let id = new_id(kind);
                write_atomically(&path, format!("{id}\n").as_bytes())
                    .map_err(|source| IdentityError::Write { path, source })?;
                Ok(id)
            }
            Err(source) => Err(IdentityError::Write { path, source }),
        }
    }
}

fn letter(kind: NodeKind) -> char {
    if kind == NodeKind::Gateway { 'p' } else { 't' }
}

fn new_id(kind: NodeKind) -> String {
    let random = std::iter::repeat_with(fastrand::alphanumeric).take(ID_CHARACTERS);
    std::iter::once(letter(kind)).chain(random).collect()
}

/// Writes a file so that readers see the old content or the new, also after a crash.
///
/// # Errors
///
/// Those of the file operations.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    // Of its own: two who write one file do not mix their bytes, and neither renames the other's away.
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}-{}.tmp", std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed)));
    let temporary = PathBuf::from(name);
    let written = (|| {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // Nobody would write it again; the failure is what counts.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_made_once_and_stay() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let id = data.node_id(NodeKind::Target).unwrap();
        assert!(id.starts_with('t') && id.len() == 9, "{id}");
        assert_eq!(data.node_id(NodeKind::Target).unwrap(), id);
        assert_ne!(data.node_id(NodeKind::Gateway).unwrap(), id);
    }

    #[test]
    fn a_damaged_id_is_an_error_not_a_new_identity() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let path = data.role_dir(NodeKind::Target).unwrap().join(ID_FILE);
        fs::write(&path, "").unwrap();
        let text = data.node_id(NodeKind::Target).unwrap_err().to_string();
        assert!(text.contains("node-id"), "{text}");
    }

    #[test]
    fn many_may_write_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::thread::scope(|scope| {
            for writer in 0..8_u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..10 {
                        write_atomically(path, &[writer; 1000]).unwrap();
                    }
                });
            }
        });
        let text = fs::read(&path).unwrap();
        assert_eq!(text, [text[0]; 1000]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        write_atomically(&folder.path().join("none/file"), b"x").unwrap_err();
        write_atomically(folder.path(), b"x").unwrap_err();
        assert_eq!(
            fs::read_dir(folder.path().parent().unwrap())
                .unwrap()
                .filter(|entry| {
                    let name = entry.as_ref().unwrap().file_name();
                    let own = folder.path().file_name().unwrap().to_str().unwrap();
                    name.to_str()
                        .is_some_and(|name| name.starts_with(own) && name.len() > own.len())
                })
                .count(),
            0
        );
    }

    #[test]
    fn two_processes_cannot_share_a_data_directory() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::open(folder.path()).unwrap();
        assert!(matches!(DataDir::open(folder.path()), Err(IdentityError::Locked(_))));
        drop(first);
        DataDir::open(folder.path()).unwrap();
    }
}
