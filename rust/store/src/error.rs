//! Why a store operation failed, by what the caller does next.

use std::io;
use std::path::{Path, PathBuf};

use aistore_core::checksum::ChecksumType;

use crate::faults::{self, Tried};

/// Failure of a store operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name each field")]
pub enum StoreError {
    /// The bytes do not have the checksum that the sender announced; nothing was stored. Send again.
    #[error("checksum mismatch ({}): expected {expected}, computed {computed}", kind.as_str())]
    Checksum { kind: ChecksumType, expected: String, computed: String },
    /// The disk is full, or too full to take the object; nothing was stored.
    #[error("no space left on mountpath {}: free space there or add a mountpath", path.display())]
    NoSpace { path: PathBuf },
    /// The operator does not want the disk to get fuller; nothing was stored.
    #[error("mountpath {} is out of space: {percent:.1}% of its file system is in use, more than {setting} allows ({limit}%): delete objects, add a mountpath or raise the setting", path.display())]
    TooFull { path: PathBuf, percent: f64, limit: u32, setting: &'static str },
    /// The path may not be written to.
    #[error("cannot write to {}: {source}; check its owner, mode and mount options", path.display())]
    ReadOnly { path: PathBuf, source: io::Error },
    /// Stored bytes are not what was written.
    #[error("{} is damaged: {reason}", path.display())]
    Corrupt { path: PathBuf, reason: String },
    /// Any other failure of a file operation.
    #[error("cannot {op} {}: {source}", path.display())]
    Io { path: PathBuf, op: &'static str, source: io::Error },
    /// Another process has the mountpath open.
    #[error("mountpath {} is in use by another process: stop it or choose another directory", path.display())]
    Locked { path: PathBuf },
    /// The mountpath was written by an incompatible version, or its marker cannot be read.
    #[error("mountpath {} cannot be used: {reason}", path.display())]
    Format { path: PathBuf, reason: String },
    /// The index failed.
    #[error("index of mountpath {} failed: {reason}", path.display())]
    Index { path: PathBuf, reason: String },
    /// The request cannot be stored in any state of the disks.
    #[error("{0}")]
    Invalid(String),
    /// The object is not what the put was conditional on; nothing was stored.
    #[error("object \"{name}\" {} the condition of the request", if *present { "does not meet" } else { "is absent, against" })]
    Precondition { name: String, present: bool },
    /// There is no such upload: it was completed, aborted or abandoned, or never begun.
    #[error("upload \"{id}\" does not exist: start a new one")]
    UnknownUpload { id: String },
    /// There is no such append session: it was flushed or abandoned, or never begun.
    #[error("append session \"{id}\" does not exist: append again with an empty handle")]
    UnknownAppend { id: String },
    /// The handle is not that of the session's last append; nothing was appended.
    #[error(
        "append session \"{id}\" stands at {stands_at} bytes and the handle at {handle}: another request \
         used the handle; go on with the handle of the last answer, or append with an empty one"
    )]
    AppendConflict { id: String, stands_at: u64, handle: u64 },
    /// No such mountpath is attached, nor disabled.
    #[error("mountpath {} is not known here", path.display())]
    UnknownMountpath { path: PathBuf },
    /// The bucket is sealed: its objects are being moved to another bucket.
    #[error("object \"{name}\" is being moved to another bucket: nothing was changed")]
    Sealed { name: String },
    /// The caller ended the work early.
    #[error("the work was cancelled")]
    Cancelled,
    /// Another request works on the same thing.
    #[error("{0}")]
    Busy(String),
    /// The store was closed.
    #[error("the object store is closed")]
    Closed,
}

impl StoreError {
    /// Classifies a failed file operation, and counts it against its mountpath.
    pub(crate) fn io(path: &Path, op: &'static str, source: impl Into<io::Error>) -> Self {
        let (path, source) = (path.to_owned(), source.into());
        faults::note(&path, Tried::by_verb(op), &source);
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path, source }
            }
            _ => Self::Io { path, op, source },
        }
    }

    /// The same error for another waiter; an I/O cause is reduced to its kind and text.
    pub(crate) fn share(&self) -> Self {
        let again = |source: &io::Error| io::Error::new(source.kind(), source.to_string());
        match self {
            Self::NoSpace { path } => Self::NoSpace { path: path.clone() },
            Self::TooFull { path, percent, limit, setting } => {
                let path = path.clone();
                Self::TooFull { path, percent: *percent, limit: *limit, setting }
            }
            Self::ReadOnly { path, source } => {
                Self::ReadOnly { path: path.clone(), source: again(source) }
            }
            Self::Io { path, op, source } => {
                Self::Io { path: path.clone(), op, source: again(source) }
            }
            Self::Index { path, reason } => {
                Self::Index { path: path.clone(), reason: reason.clone() }
            }
            other => Self::Index { path: PathBuf::new(), reason: other.to_string() },
        }
    }
}
