//! Where downloaded bytes go: a file that appears whole or not at all, a device, standard output.
//!
//! Writes run on a thread of their own behind a short queue, so a slow disk neither stalls the network
//! threads nor lets bytes pile up in memory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use aistore_core::checksum::{ChecksumType, Hasher};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::failure::Failure;

/// Chunks between network and disk.
const QUEUE_CHUNKS: usize = 16;
/// Names tried for a temporary file before giving up.
const NAME_ATTEMPTS: u32 = 100;

/// Destination of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Standard output.
    Stdout,
    /// A file, written aside and renamed; devices and pipes are written directly.
    File(PathBuf),
}

impl Destination {
    /// `-` is standard output, an existing directory or a trailing slash takes `base` inside it, all
    /// else is the file itself; nothing means `base` in the current directory.
    pub(crate) fn resolve(
        output: Option<&str>,
        base: &str,
        is_dir: impl Fn(&Path) -> bool,
    ) -> Self {
        match output {
            Some("-") => Self::Stdout,
            None => Self::File(PathBuf::from(base)),
            Some(path) if path.ends_with('/') || is_dir(Path::new(path)) => {
                Self::File(Path::new(path).join(base))
            }
            Some(path) => Self::File(PathBuf::from(path)),
        }
    }
}

/// An open destination.
pub(crate) struct Sink {
    queue: mpsc::Sender<Bytes>,
    writer: JoinHandle<Result<Option<String>, Failure>>,
    pending: Option<Pending>,
}

/// A temporary file on its way to its name; dropping it removes the file.
struct Pending {
    temporary: PathBuf,
    finished: PathBuf,
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Already renamed, or gone: nothing to remove.
        let _ = fs::remove_file(&self.temporary);
    }
}

impl Sink {
    /// Opens a destination; `checksum` is computed over the bytes in flight.
    pub(crate) async fn open(
        destination: &Destination,
        checksum: Option<ChecksumType>,
    ) -> Result<Self, Failure> {
        let destination = destination.clone();
        let opened = tokio::task::spawn_blocking(move || open(&destination)).await?;
        let Opened { file, path, pending } = opened?;
        let (queue, bytes) = mpsc::channel(QUEUE_CHUNKS);
        let writer =
            tokio::task::spawn_blocking(move || drain(bytes, file, path.as_deref(), checksum));
        Ok(Self { queue, writer, pending })
    }

    /// Writes bytes. Errors of earlier writes surface here or in [`Sink::finish`].
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        if self.queue.send(bytes).await.is_ok() {
            return Ok(());
        }
        // The writer has ended early: ask it why.
        let result = (&mut self.writer).await?;
        Err(result.err().unwrap_or_else(|| Failure::Other("writer ended early".to_owned())))
    }

    /// Completes the file under its name; returns the checksum, if one was asked for.
    ///
    /// `accept` sees the checksum before the file gets its name: an error leaves nothing behind.
    pub(crate) async fn finish(
        self,
        accept: impl FnOnce(Option<&str>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        drop(self.queue);
        let checksum = self.writer.await??;
        accept(checksum.as_deref())?;
        let Some(pending) = self.pending else { return Ok(()) };
        tokio::task::spawn_blocking(move || {
            fs::rename(&pending.temporary, &pending.finished)
                .map_err(Failure::file("create", &pending.finished))
        })
        .await?
    }
}

/// What opening gives: the handle, its path for messages (none for standard output), and the
/// temporary file if there is one.
struct Opened {
    file: File,
    path: Option<PathBuf>,
    pending: Option<Pending>,
}

fn open(destination: &Destination) -> Result<Opened, Failure> {
    let path = match destination {
        Destination::Stdout => {
            // A copy of the descriptor: no line buffering in between.
            let file = io::stdout().as_fd().try_clone_to_owned().map_err(Failure::stdout)?;
            return Ok(Opened { file: File::from(file), path: None, pending: None });
        }
        Destination::File(path) => path.clone(),
    };
    // Devices, pipes and the like cannot be replaced by a rename, only written to.
    if fs::metadata(&path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) {
        let file =
            OpenOptions::new().write(true).open(&path).map_err(Failure::file("write", &path))?;
        return Ok(Opened { file, path: Some(path), pending: None });
    }
    if path.is_dir() {
        return Err(Failure::usage(format!(
            "\"{}\" is a directory: an object of that name is in the way, or remove the directory",
            path.display()
        )));
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(Failure::file("create directory", parent))?;
    }
    let (temporary, file) = create_beside(&path)?;
    let pending = Pending { temporary, finished: path.clone() };
    Ok(Opened { file, path: Some(path), pending: Some(pending) })
}

/// Creates a new file in the same directory, so that the rename stays within one file system.
fn create_beside(path: &Path) -> Result<(PathBuf, File), Failure> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..NAME_ATTEMPTS {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        // Short and unrelated to the name, which may already be as long as the file system allows.
        let temporary =
            path.with_file_name(format!(".ais-get-{}-{number}.tmp", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => last = err,
            Err(err) => return Err(Failure::file("create", path)(err)),
        }
    }
    Err(Failure::file("create", path)(last))
}

fn drain(
    mut bytes: mpsc::Receiver<Bytes>,
    mut file: File,
    path: Option<&Path>,
    checksum: Option<ChecksumType>,
) -> Result<Option<String>, Failure> {
    let mut hasher = checksum.map(Hasher::new);
    while let Some(chunk) = bytes.blocking_recv() {
        if let Some(hasher) = &mut hasher {
            hasher.update(&chunk);
        }
        file.write_all(&chunk).map_err(|source| match path {
            None => Failure::stdout(source),
            Some(path) => Failure::file("write", path)(source),
        })?;
    }
    Ok(hasher.map(Hasher::finish))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn outputs_resolve_by_their_shape() {
        let resolve =
            |output| Destination::resolve(output, "o.bin", |path| path == Path::new("dir"));
        let file = |path: &str| Destination::File(PathBuf::from(path));
        assert_eq!(resolve(Some("-")), Destination::Stdout);
        assert_eq!(resolve(None), file("o.bin"));
        assert_eq!(resolve(Some("dir")), file("dir/o.bin"));
        assert_eq!(resolve(Some("new/")), file("new/o.bin"));
        assert_eq!(resolve(Some("x")), file("x"));
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/x");
        let names = || fs::read_dir(dir.path().join("sub")).unwrap().count();
        run(async {
            let mut sink = Sink::open(&Destination::File(path.clone()), Some(ChecksumType::Crc32c))
                .await
                .unwrap();
            sink.write(Bytes::from_static(b"123456789")).await.unwrap();
            assert!(!path.exists());
            sink.finish(|sum| {
                assert_eq!(sum, Some("e3069283"));
                Ok(())
            })
            .await
            .unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"123456789");

            let mut dropped = Sink::open(&Destination::File(path.clone()), None).await.unwrap();
            dropped.write(Bytes::from_static(b"half")).await.unwrap();
            drop(dropped);
            let refused = Sink::open(&Destination::File(path.clone()), None).await.unwrap();
            refused.finish(|_| Err(Failure::Other("no".into()))).await.unwrap_err();
        });
        assert_eq!(
            fs::read(&path).unwrap(),
            b"123456789",
            "an unfinished download replaced the file"
        );
        assert_eq!(names(), 1, "temporary files are left");
    }

    #[test]
    fn devices_are_written_directly_and_errors_name_the_path() {
        run(async {
            let null = Destination::File(PathBuf::from("/dev/null"));
            let mut sink = Sink::open(&null, None).await.unwrap();
            sink.write(Bytes::from_static(b"x")).await.unwrap();
            sink.finish(|_| Ok(())).await.unwrap();
            let full = Destination::File(PathBuf::from("/dev/full"));
            let mut sink = Sink::open(&full, None).await.unwrap();
            let _ = sink.write(Bytes::from_static(b"x")).await;
            let err = sink.finish(|_| Ok(())).await.unwrap_err();
            assert!(err.to_string().contains("/dev/full"), "{err}");
            let nowhere = Destination::File(PathBuf::from("/dev/null/x"));
            let err = Sink::open(&nowhere, None).await.err().unwrap();
            assert!(err.to_string().contains("/dev/null"), "{err}");
        });
    }
}
