//! Trying a mountpath out: whether files can be written to it, brought to the disk, and read back.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};

use crate::error::StoreError;
use crate::faults::is_fault;
use crate::files::read_dir;
use crate::mountpath::Mountpath;
use crate::store::Store;

/// Bytes of a file that is written and read back.
const PROBE_BYTES: usize = 256 * 1024;
/// Most bytes read of a blob that is there.
const BLOB_BYTES: u64 = 1024 * 1024;

/// What came of trying a mountpath out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Probed {
    /// Files that were tried.
    pub tried: usize,
    /// What went wrong, one text for each file that failed.
    pub errors: Vec<String>,
}

impl Probed {
    fn add(&mut self, path: &Path, outcome: io::Result<()>) {
        self.tried += 1;
        match outcome {
            Err(error) if is_fault(&error) => {
                self.errors.push(format!("{}: {error}", path.display()));
            }
            _ => {}
        }
    }
}

impl Store {
    /// The mountpaths that are not the directories any more that were opened. Who appends to an open file
    /// does not notice that its disk was taken away.
    pub fn missing(&self) -> Vec<PathBuf> {
        let set = self.shared.set();
        let gone = set.members().iter().filter(|one| same_file_system(one).is_err());
        gone.map(|one| one.path().to_path_buf()).collect()
    }

    /// The mountpaths that take no more changes because something could not be written, or brought to the disk. Whether
    /// their disks are well again does not matter: what was lost is known when they are opened anew.
    pub fn refusing(&self) -> Vec<PathBuf> {
        let set = self.shared.set();
        let refusing = set.members().iter().filter(|one| one.has_failed());
        refusing.map(|one| one.path().to_path_buf()).collect()
    }

    /// Writes `files` new files to a mountpath, brings them to the disk and reads them back, and reads as
    /// many that are there. Ends early after `enough` failures.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownMountpath`] when it is not in use. What fails on the disk is part of the result.
    pub fn probe(&self, path: &Path, files: usize, enough: usize) -> Result<Probed, StoreError> {
        let set = self.shared.set();
        let found = set.members().iter().find(|one| **one.path() == *path);
        let Some(mountpath) = found else {
            return Err(StoreError::UnknownMountpath { path: path.to_owned() });
        };
        let mut probed = Probed::default();
        probed.add(path, same_file_system(mountpath));
        for number in 0..files {
            if probed.errors.len() >= enough {
                return Ok(probed);
            }
            let path = mountpath.files.path("tmp").join(format!("probe-{number}"));
            probed.add(&path, write_and_read(&path, number));
        }
        for path in some_blobs(mountpath, files).into_iter().chain(some_segments(mountpath, files))
        {
            if probed.errors.len() >= enough {
                break;
            }
            probed.add(&path, read_some(&path));
        }
        Ok(probed)
    }
}

/// Whether the mountpath still is the directory that was opened: nothing was unmounted from under it.
pub(crate) fn same_file_system(mountpath: &Mountpath) -> io::Result<()> {
    let now = rustix::fs::stat(mountpath.files.path("tmp"))?;
    let opened = mountpath.files.opened()?;
    if (now.st_dev, now.st_ino) == (opened.st_dev, opened.st_ino) {
        return Ok(());
    }
    Err(io::Error::other("the directory is not the one that was opened: is its disk mounted?"))
}

fn write_and_read(path: &Path, number: usize) -> io::Result<()> {
    let pattern: Vec<u8> =
        (0..PROBE_BYTES).map(|at| u8::try_from((at * 31 + number) % 251).unwrap_or(0)).collect();
    let done = (|| {
        let mut file = File::options().create(true).truncate(true).write(true).open(path)?;
        file.write_all(&pattern)?;
        file.sync_all()?;
        drop(file);
        let file = File::open(path)?;
        // Else the read would be answered from memory.
        fadvise(&file, 0, None, Advice::DontNeed)?;
        let mut back = vec![0; PROBE_BYTES];
        file.read_exact_at(&mut back, 0)?;
        if back == pattern {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "other bytes are read than were written"))
    })();
    let removed = std::fs::remove_file(path);
    done.and(removed)
}

fn read_some(path: &Path) -> io::Result<()> {
    let file = match File::open(path) {
        // Deleted since it was found.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    fadvise(&file, 0, None, Advice::DontNeed)?;
    io::copy(&mut file.take(BLOB_BYTES), &mut io::sink()).map(drop)
}

/// A few blobs, of different directories where there are.
fn some_blobs(mountpath: &Mountpath, count: usize) -> Vec<PathBuf> {
    let dirs = mountpath.files.blob_dirs().unwrap_or_default().into_iter();
    let first = dirs.filter_map(|(_, dir)| read_dir(&dir).ok()?.flatten().next());
    first.map(|entry| entry.path()).take(count).collect()
}

/// Segments, the oldest first.
fn some_segments(mountpath: &Mountpath, count: usize) -> Vec<PathBuf> {
    let fills = mountpath.segments.fills().into_iter();
    fills.take(count).map(|fill| mountpath.segments.path(fill.number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PutOptions, StoreConfig};

    #[test]
    fn a_good_disk_passes_and_one_that_vanished_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mp");
        std::fs::create_dir(&path).unwrap();
        let store = Store::open(StoreConfig::new(vec![path.clone()])).unwrap();
        let mut writer = store.begin_put(1, "u", "o", PutOptions::default()).unwrap();
        writer.write(b"abc").unwrap();
        writer.finish().unwrap();
        let good = store.probe(&path, 4, 2).unwrap();
        assert_eq!((good.tried, good.errors.len()), (6, 0), "{good:?}");
        assert_eq!(std::fs::read_dir(path.join("ais/tmp")).unwrap().count(), 0);
        assert!(store.probe(dir.path(), 4, 2).is_err());

        std::fs::rename(&path, dir.path().join("away")).unwrap();
        let bad = store.probe(&path, 4, 2).unwrap();
        assert_eq!(bad.errors.len(), 2, "{bad:?}");
    }
}
