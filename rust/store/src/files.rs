//! The directories of one mountpath, and the file operations on them.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::error::StoreError;
use crate::faults::{self, Tried};
use crate::filecount::FileCount;
use crate::meta::BlobId;
use crate::space::Room;

const DIR_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// A directory whose names can be brought to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dir {
    /// Where the directories of blobs are.
    Blobs,
    /// One of those.
    Shard(u8),
    Segments,
    Appends,
}

/// Directories below `ais/`, held open: an operation on a blob then resolves two short names only.
#[derive(Debug)]
pub(crate) struct Files {
    /// The mountpath, for messages.
    mountpath: Arc<Path>,
    root: PathBuf,
    blobs: OwnedFd,
    tmp: OwnedFd,
    next_tmp: AtomicU64,
    /// The blobs that are files.
    pub(crate) count: FileCount,
}

impl Files {
    /// Opens the directories, creating what is missing.
    pub(crate) fn open(mountpath: &Path) -> Result<Self, StoreError> {
        let root = mountpath.join("ais");
        let fresh = !root.exists();
        for name in ["blobs", "tmp", "appends"] {
            let dir = root.join(name);
            fs::create_dir_all(&dir)
                .map_err(|source| StoreError::io(&dir, "create the directory", source))?;
        }
        if fresh {
            let synced = File::open(mountpath).and_then(|dir| dir.sync_all());
            synced.map_err(|source| StoreError::io(mountpath, "sync", source))?;
        }
        let open = |name: &str| {
            let dir = root.join(name);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(&dir, flags, Mode::empty())
                .map_err(|source| StoreError::io(&dir, "open the directory", source))
        };
        let (blobs, tmp) = (open("blobs")?, open("tmp")?);
        let next_tmp = AtomicU64::new(0);
        let count = FileCount::default();
        Ok(Self { mountpath: mountpath.into(), root, blobs, tmp, next_tmp, count })
    }

    /// The mountpath.
    pub(crate) fn mountpath(&self) -> &Arc<Path> {
        &self.mountpath
    }

    /// Path of something below `ais/`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Path of a blob, for messages.
    pub(crate) fn blob_path(&self, blob: BlobId) -> PathBuf {
        self.root.join("blobs").join(blob_name(blob))
    }

    /// What is used of the file system, and what can still be written to it.
    pub(crate) fn room(&self) -> Result<Room, StoreError> {
        let stat = rustix::fs::fstatvfs(&self.tmp)
            .map_err(|source| StoreError::io(&self.mountpath, "query the space of", source))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        let used = bytes(stat.f_blocks.saturating_sub(stat.f_bfree));
        Ok(Room { used, available: bytes(stat.f_bavail) })
    }

    /// The directory of unfinished files, as it was opened.
    pub(crate) fn opened(&self) -> std::io::Result<rustix::fs::Stat> {
        Ok(rustix::fs::fstat(&self.tmp)?)
    }

    /// Creates a file for a blob being written.
    pub(crate) fn create_tmp(&self) -> Result<(String, File), StoreError> {
        let name = format!("{:016x}", self.next_tmp.fetch_add(1, Ordering::Relaxed));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.tmp, &name, flags, Mode::from_raw_mode(FILE_MODE)) {
            Ok(file) => Ok((name, File::from(file))),
            Err(source) => Err(StoreError::io(&self.mountpath, "create a file on", source)),
        }
    }

    /// Opens a file of [`create_tmp`](Self::create_tmp) for reading.
    pub(crate) fn open_tmp(&self, name: &str) -> Result<File, StoreError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.tmp, name, flags, Mode::empty()) {
            Ok(file) => Ok(File::from(file)),
            Err(source) => Err(StoreError::io(&self.path("tmp").join(name), "open", source)),
        }
    }

    /// Removes a file of [`create_tmp`](Self::create_tmp).
    pub(crate) fn remove_tmp(&self, name: &str) {
        if let Err(error) = rustix::fs::unlinkat(&self.tmp, name, AtFlags::empty()) {
            tracing::warn!(path = %self.path("tmp").join(name).display(), %error,
                "cannot remove an aborted upload; the next start will");
        }
    }

    /// Turns a written file into blob `blob`. Returns the directories that changed, but for that of unfinished
    /// files.
    pub(crate) fn publish(&self, tmp: &str, blob: BlobId) -> Result<Vec<Dir>, StoreError> {
        self.add_blob(blob, || self.rename_to_blob(tmp, blob))
    }

    /// Runs what gives a file the name of a blob, and counts it.
    pub(crate) fn add_blob<T>(
        &self,
        blob: BlobId,
        publish: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.count.change(blob, || match publish() {
            published @ Ok(_) => (published, 1, self.blob_bytes(blob).ok().flatten().unwrap_or(0)),
            failed @ Err(_) => (failed, 0, 0),
        })
    }

    /// Bytes of the file of a blob; `None` when it does not exist.
    pub(crate) fn blob_bytes(&self, blob: BlobId) -> Result<Option<u64>, StoreError> {
        match rustix::fs::statat(&self.blobs, blob_name(blob), AtFlags::empty()) {
            Ok(stat) => Ok(Some(u64::try_from(stat.st_size).unwrap_or(0))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(source) => Err(StoreError::io(&self.blob_path(blob), "query", source)),
        }
    }

    /// The directory of this number.
    pub(crate) fn blob_dir(&self, number: u8) -> PathBuf {
        self.root.join("blobs").join(format!("{number:02x}"))
    }

    fn rename_to_blob(&self, tmp: &str, blob: BlobId) -> Result<Vec<Dir>, StoreError> {
        let mut changed = vec![shard_of(blob)];
        let name = blob_name(blob);
        let mut renamed = rustix::fs::renameat(&self.tmp, tmp, &self.blobs, &name);
        if renamed == Err(rustix::io::Errno::NOENT) {
            // The first blob of its directory.
            let dir = &name[..FAN_OUT_DIGITS];
            match rustix::fs::mkdirat(&self.blobs, dir, Mode::from_raw_mode(DIR_MODE)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(source) => {
                    let path = self.path("blobs").join(dir);
                    return Err(StoreError::io(&path, "create the directory", source));
                }
            }
            changed.push(Dir::Blobs);
            renamed = rustix::fs::renameat(&self.tmp, tmp, &self.blobs, &name);
        }
        renamed.map_err(|source| StoreError::io(&self.blob_path(blob), "create", source))?;
        Ok(changed)
    }

    /// Brings the names in a directory to the disk.
    pub(crate) fn sync_dir(&self, dir: Dir) -> Result<(), StoreError> {
        let path = match dir {
            Dir::Blobs => self.path("blobs"),
            Dir::Shard(number) => self.path("blobs").join(format!("{number:02x}")),
            Dir::Segments => self.path("segments"),
            Dir::Appends => self.path("appends"),
        };
        let synced = File::open(&path).and_then(|dir| dir.sync_all());
        synced.map_err(|source| StoreError::io(&path, "sync", source))
    }

    /// Brings everything on the file system to the disk.
    pub(crate) fn sync_file_system(&self) -> Result<(), StoreError> {
        let synced = rustix::fs::syncfs(&self.tmp);
        synced.map_err(|source| StoreError::io(&self.mountpath, "sync", source))
    }

    /// Opens a blob for reading; `None` when it does not exist.
    pub(crate) fn open_blob(&self, blob: BlobId) -> Result<Option<File>, StoreError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.blobs, blob_name(blob), flags, Mode::empty()) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(source) => Err(StoreError::io(&self.blob_path(blob), "open", source)),
        }
    }

    /// Whether a blob is there.
    pub(crate) fn has_blob(&self, blob: BlobId) -> Result<bool, StoreError> {
        match rustix::fs::statat(&self.blobs, blob_name(blob), AtFlags::empty()) {
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(source) => Err(StoreError::io(&self.blob_path(blob), "query", source)),
        }
    }

    /// Removes a blob that nothing refers to any more. A failure costs space, not correctness: it is
    /// logged, and `false` is returned.
    pub(crate) fn remove_blob(&self, blob: BlobId) -> bool {
        self.count.change(blob, || {
            let size = self.blob_bytes(blob).ok().flatten();
            let removed = self.unlink_blob(blob);
            let sign = if removed && size.is_some() { -1 } else { 0 };
            (removed, sign, size.unwrap_or(0))
        })
    }

    fn unlink_blob(&self, blob: BlobId) -> bool {
        match rustix::fs::unlinkat(&self.blobs, blob_name(blob), AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => true,
            Err(error) => {
                faults::note(&self.mountpath, Tried::Remove, &error.into());
                tracing::warn!(path = %self.blob_path(blob).display(), %error,
                    "cannot remove a superseded blob");
                false
            }
        }
    }

    /// Sets a file of the blob directories aside.
    pub(crate) fn quarantine(&self, file: &Path, reason: &str) -> Result<(), StoreError> {
        let dir = self.path("quarantine");
        fs::create_dir_all(&dir)
            .map_err(|source| StoreError::io(&dir, "create the directory", source))?;
        let to = dir.join(file.file_name().unwrap_or_default());
        tracing::error!(from = %file.display(), to = %to.display(), reason,
            "a damaged blob is set aside");
        let rename =
            || fs::rename(file, &to).map_err(|source| StoreError::io(file, "set aside", source));
        let Some(blob) = file.file_name().and_then(parse_blob_name) else { return rename() };
        self.count.change(blob, || {
            let size = self.blob_bytes(blob).ok().flatten().unwrap_or(0);
            match rename() {
                Ok(()) => (Ok(()), -1, size),
                failed @ Err(_) => (failed, 0, 0),
            }
        })
    }

    /// Gives the file of a damaged blob a second name where such are set aside; `false` when there is none.
    pub(crate) fn link_to_quarantine(
        &self,
        blob: BlobId,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let (from, dir) = (self.blob_path(blob), self.path("quarantine"));
        let to = dir.join(blob.to_string());
        let link = || -> io::Result<()> {
            fs::create_dir_all(&dir)?;
            match fs::hard_link(&from, &to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                // A file system without links.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    fs::copy(&from, &to).map(drop)
                }
                linked => linked,
            }
        };
        match link() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(StoreError::io(&to, "write", source)),
        }
        tracing::error!(from = %from.display(), to = %to.display(), reason,
            "a damaged blob is set aside");
        Ok(true)
    }

    /// Where a blob was set aside; `None` when it was not.
    pub(crate) fn set_aside(&self, blob: BlobId) -> Option<PathBuf> {
        let path = self.path("quarantine").join(blob.to_string());
        path.exists().then_some(path)
    }

    /// Writes a damaged blob that was not in a file of its own where damaged ones are set aside.
    pub(crate) fn quarantine_bytes(
        &self,
        blob: BlobId,
        bytes: &[u8],
        reason: &str,
    ) -> Result<(), StoreError> {
        let dir = self.path("quarantine");
        let to = dir.join(blob.to_string());
        tracing::error!(to = %to.display(), reason, "a damaged blob is set aside");
        fs::create_dir_all(&dir)
            .and_then(|()| fs::write(&to, bytes))
            .map_err(|source| StoreError::io(&to, "write", source))
    }

    /// Removes everything below `tmp/`: uploads that a crash cut short.
    pub(crate) fn empty_tmp(&self) -> Result<u64, StoreError> {
        let dir = self.path("tmp");
        let mut removed = 0;
        for entry in read_dir(&dir)? {
            let entry = entry.map_err(|source| StoreError::io(&dir, "list", source))?;
            let path = entry.path();
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let result = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            result.map_err(|source| StoreError::io(&path, "remove", source))?;
            removed += 1;
        }
        Ok(removed)
    }

    /// The directories that blobs lie in, each with its number.
    pub(crate) fn blob_dirs(&self) -> Result<Vec<(u8, PathBuf)>, StoreError> {
        let dir = self.path("blobs");
        let mut dirs = Vec::new();
        for entry in read_dir(&dir)? {
            let entry = entry.map_err(|source| StoreError::io(&dir, "list", source))?;
            let name = entry.file_name();
            match name.to_str().and_then(|name| u8::from_str_radix(name, 16).ok()) {
                Some(number) => dirs.push((number, entry.path())),
                None => {
                    tracing::warn!(path = %entry.path().display(), "not a blob directory; ignored");
                }
            }
        }
        dirs.sort_unstable();
        Ok(dirs)
    }
}

/// Entries of a directory.
pub(crate) fn read_dir(dir: &Path) -> Result<fs::ReadDir, StoreError> {
    fs::read_dir(dir).map_err(|source| StoreError::io(dir, "list", source))
}

/// Hex digits of a blob id that name its directory: the last two, the most evenly spread.
const FAN_OUT_DIGITS: usize = 2;

/// The directory of a blob.
pub(crate) fn shard_of(blob: BlobId) -> Dir {
    Dir::Shard(u8::try_from(blob.0 & 0xff).unwrap_or(0))
}

fn blob_name(blob: BlobId) -> String {
    format!("{:02x}/{blob}", blob.0 & 0xff)
}

/// Parses the file name of a blob.
pub(crate) fn parse_blob_name(name: &std::ffi::OsStr) -> Option<BlobId> {
    let name = name.to_str().filter(|name| name.len() == 16)?;
    u64::from_str_radix(name, 16).ok().map(BlobId)
}

/// Reads a small file; `None` when it is not there. One of more than `most` bytes is none that a store wrote, and is
/// not read.
pub(crate) fn read_small(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    // What it says of its length, a device or a pipe in its place does not.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let reason = format!("it is damaged: more than the {most} bytes that it may have");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(Some(bytes))
}

/// Replaces a small file atomically. With `durable` it survives loss of power on return.
pub(crate) fn replace_file(path: &Path, content: &[u8], durable: bool) -> Result<(), StoreError> {
    let new = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = File::create(&new)?;
        io::Write::write_all(&mut file, content)?;
        if durable {
            file.sync_all()?;
        }
        step!("small file: about to be replaced");
        fs::rename(&new, path)?;
        step!("small file: replaced");
        match path.parent() {
            Some(parent) if durable => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    };
    write().map_err(|source| {
        // Best effort: the error that matters is the first one.
        let _ = fs::remove_file(&new);
        StoreError::io(path, "write", source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_read_up_to_their_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("small");
        assert_eq!(read_small(&path, 3).unwrap(), None);
        fs::write(&path, "abc").unwrap();
        assert_eq!(read_small(&path, 3).unwrap().as_deref(), Some(&b"abc"[..]));
        let refused = read_small(&path, 2).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        assert!(refused.to_string().contains("more than the 2 bytes"));
    }

    #[test]
    fn blob_names_are_read_back() {
        let blob = BlobId(0x0123_4567_89ab_cdef);
        assert_eq!(blob_name(blob), "ef/0123456789abcdef");
        assert_eq!(parse_blob_name("0123456789abcdef".as_ref()), Some(blob));
        for bad in ["", "1", "0123456789abcdeg", "0123456789abcdef0"] {
            assert_eq!(parse_blob_name(bad.as_ref()), None, "{bad}");
        }
    }
}
