//! One log file with its older parts.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bounds until the configuration is known: those of its defaults.
const MAX_SIZE: u64 = 64 << 20;
const MAX_TOTAL: u64 = 512 << 20;
/// Digits of a part's number, so that names sort like numbers.
const DIGITS: usize = 12;

/// A file that is set aside when it is full; the oldest parts go when all together are too large.
#[derive(Debug)]
pub(super) struct LogFile {
    dir: PathBuf,
    name: &'static str,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    file: File,
    size: u64,
    max_size: u64,
    max_total: u64,
}

impl LogFile {
    /// Goes on with the file `name` in `dir`.
    pub(super) fn open(dir: &Path, name: &'static str) -> io::Result<Self> {
        let (file, size) = open_append(&dir.join(name))?;
        let current = Current { file, size, max_size: MAX_SIZE, max_total: MAX_TOTAL };
        Ok(Self { dir: dir.to_owned(), name, current: Mutex::new(current) })
    }

    /// The file that is written to.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.join(self.name)
    }

    /// Sets the bounds of one part, and of all parts of both files together.
    pub(super) fn limit(&self, max_size: u64, max_total: u64) {
        let mut current = self.lock();
        current.max_size = max_size.max(1);
        current.max_total = max_total / 2;
    }

    /// Adds a line. A disk that refuses it loses the line, which standard error has as well.
    pub(super) fn append(&self, line: &[u8]) {
        let mut current = self.lock();
        let length = line.len() as u64;
        if current.size > 0 && current.size.saturating_add(length) > current.max_size {
            self.set_aside(&mut current);
        }
        if current.file.write_all(line).is_ok() {
            current.size += length;
        }
    }

    /// Begins a new file, unless the present one is empty.
    pub(super) fn rotate(&self) {
        let mut current = self.lock();
        if current.size > 0 {
            self.set_aside(&mut current);
        }
    }

    /// All parts, oldest first; the one that is written to comes last.
    pub(super) fn parts(&self) -> Vec<PathBuf> {
        let mut parts = self.older();
        parts.push(self.path());
        parts
    }

    fn older(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let numbered = |name: &str| {
            let number = name.strip_prefix(self.name).and_then(|rest| rest.strip_prefix('.'));
            number.is_some_and(|n| n.len() == DIGITS && n.bytes().all(|b| b.is_ascii_digit()))
        };
        let mut parts: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().to_str().is_some_and(numbered))
            .map(|entry| entry.path())
            .collect();
        parts.sort();
        parts
    }

    fn set_aside(&self, current: &mut Current) {
        let older = self.older();
        let last = older.last().and_then(|path| path.extension()?.to_str()?.parse::<u64>().ok());
        let number = last.unwrap_or(0) + 1;
        let aside = self.dir.join(format!("{}.{number:0DIGITS$}", self.name));
        // A failure leaves the file as it is, larger than it should be: better than no log.
        if fs::rename(self.path(), aside).is_err() {
            return;
        }
        if let Ok((file, size)) = open_append(&self.path()) {
            (current.file, current.size) = (file, size);
        }
        self.drop_oldest(current.max_total);
    }

    fn drop_oldest(&self, max_total: u64) {
        let older = self.older();
        let size = |path: &PathBuf| fs::metadata(path).map_or(0, |found| found.len());
        let mut total: u64 = older.iter().map(size).sum();
        for path in older {
            if total <= max_total {
                break;
            }
            total = total.saturating_sub(size(&path));
            // Tried again the next time.
            let _ = fs::remove_file(path);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_append(path: &Path) -> io::Result<(File, u64)> {
    let file = File::options().create(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(log: &LogFile) -> Vec<String> {
        log.parts().iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    #[test]
    fn full_files_are_set_aside_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::open(folder.path(), "x.INFO").unwrap();
        log.limit(4, 16);
        for line in ["aa\n", "bb\n", "cc\n", "dd\n", "ee\n"] {
            log.append(line.as_bytes());
        }
        assert_eq!(content(&log), ["cc\n", "dd\n", "ee\n"]);
        log.rotate();
        log.rotate();
        assert_eq!(content(&log), ["dd\n", "ee\n", ""]);
        log.append(b"longer than a part\n");
        drop(log);
        let log = LogFile::open(folder.path(), "x.INFO").unwrap();
        log.append(b"again\n");
        assert_eq!(content(&log).last().unwrap(), "longer than a part\nagain\n");
    }
}
