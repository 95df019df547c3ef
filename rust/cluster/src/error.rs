//! Errors of this crate, by what the caller does next.

use std::path::PathBuf;

use aistore_core::error::ApiError;

/// Local state cannot be opened, read or written, or a peer's message makes no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "fields are named in the messages")]
pub enum ClusterError {
    /// A file operation failed: free space, fix permissions, or replace the disk.
    #[error("cannot {op} {}: {source}", path.display())]
    Io { op: &'static str, path: PathBuf, source: std::io::Error },
    /// The embedded log store failed.
    #[error("metadata log {}: {detail}; check free space and the disk's health, then restart the node", path.display())]
    Log { path: PathBuf, detail: String },
    /// Stored state is damaged: restore the file, or wipe the directory and join again.
    #[error("{} is damaged: {detail}; restore it from a backup, or empty the data directory and let the node join again", path.display())]
    Corrupt { path: PathBuf, detail: String },
    /// Stored state is of a format that this build does not know.
    #[error("{} has format {found}, this build reads format {known}: run a build that knows it", path.display())]
    Format { path: PathBuf, found: u64, known: u64 },
    /// Another process has the directory open.
    #[error("{} is in use by another process: stop it or give this node its own data directory", path.display())]
    Locked { path: PathBuf },
    /// The directory belongs to another node.
    #[error("{} belongs to node \"{found}\", not \"{given}\": give this node its own data directory or start it under its old id", path.display())]
    WrongNode { path: PathBuf, found: String, given: String },
    /// State of another cluster arrived.
    #[error("this node belongs to cluster {own}, the state received is of cluster {other}: join a gateway of cluster {own}, or empty the data directory {} to move the node to cluster {other}", path.display())]
    WrongCluster { own: String, other: String, path: PathBuf },
    /// A peer's message is not understood.
    #[error(
        "bad consensus message \"{kind}\": {detail}; check that all gateways run compatible builds"
    )]
    Message { kind: String, detail: String },
    /// The replicated log is stopped.
    #[error("consensus is not running: {0}")]
    Stopped(String),
}

impl ClusterError {
    pub(crate) fn io(
        op: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { op, path, source }
    }
}

/// A command was not carried out (or its outcome is unknown, where the variant says so).
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The state machine refused it; the state is unchanged. Pass the error on to the client.
    #[error(transparent)]
    Rejected(#[from] ApiError),
    /// This gateway does not lead: send the command to `url`; `None` while an election is under way,
    /// then try again shortly.
    #[error("this gateway is not the leader{}", leader_text(url.as_deref()))]
    NotLeader {
        /// Base URL of the leader.
        url: Option<String>,
    },
    /// The log is stopped or failed, or a majority did not answer in time; in the last case the
    /// command may still be carried out later. The text says which.
    #[error("{0}")]
    Fatal(String),
}

fn leader_text(url: Option<&str>) -> String {
    url.map_or_else(
        || "; an election is under way, try again shortly".to_owned(),
        |url| format!(": send the command to {url}"),
    )
}
