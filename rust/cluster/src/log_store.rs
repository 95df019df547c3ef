//! The consensus log, vote and positions, in an embedded ordered store.
//!
//! One keyspace holds all: `e` + big-endian index for entries, `m/…` for the rest. So a purge and the
//! note of it, or a truncation, is one atomic batch. Entries, votes, truncations and purges are synced
//! before they are acknowledged. The committed position is only handed to the operating system: it
//! spares work after a restart, and losing it loses nothing.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{AnyError, LogState, OptionalSend, RaftLogReader};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::durable::create_dir;
use crate::error::ClusterError;
use crate::raft_types::{Entry, LogId, StorageError, StorageIOError, TypeConfig, Vote};

/// Block cache: entries are read once, at start or by a slow peer, so caching them buys nothing.
const CACHE_BYTES: u64 = 1 << 20;
/// Entries in memory before they go to a table; with the journal it bounds resident memory.
const MEMTABLE_BYTES: u64 = 1 << 20;
/// Journals on disk; the smallest value that the store takes.
const JOURNAL_BYTES: u64 = 64 << 20;
/// Open table files.
const CACHED_FILES: usize = 16;
/// Marks the encoding of a value: this byte, then JSON.
const FORMAT: u8 = 1;

const VOTE: &str = "m/vote";
const COMMITTED: &str = "m/committed";
const PURGED: &str = "m/purged";
const OWNER: &str = "m/owner";

/// Handle to the log; clones share one store.
#[derive(Clone)]
pub(crate) struct LogStore {
    inner: Arc<Inner>,
}

struct Inner {
    // Before the database: a keyspace must not outlive it.
    keyspace: Keyspace,
    database: Database,
    path: PathBuf,
}

/// What is stored cannot be read or written; turned into openraft's error by the caller, who knows
/// what it was about.
type Fault = String;

impl LogStore {
    /// Opens or creates the log of the node `owner` in `path`. Blocks.
    pub(crate) fn open(path: &Path, owner: &str) -> Result<Self, ClusterError> {
        create_dir(path)?;
        let fail = |err: fjall::Error| match err {
            fjall::Error::Locked => ClusterError::Locked { path: path.into() },
            fjall::Error::Io(source) => ClusterError::io("open log in", path)(source),
            other => ClusterError::Log { path: path.into(), detail: format!("{other:?}") },
        };
        let database = Database::builder(path)
            .cache_size(CACHE_BYTES)
            .max_cached_files(Some(CACHED_FILES))
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(1)
            .open()
            .map_err(fail)?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let keyspace = database.keyspace("consensus", options).map_err(fail)?;
        let inner = Inner { keyspace, database, path: path.into() };
        inner.claim(owner)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Number of handles; 1 when openraft and its tasks have let go.
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.inner)
    }

    /// Runs disk work off the async workers.
    async fn run<T: Send + 'static>(
        &self,
        error: impl FnOnce(AnyError) -> StorageIOError,
        work: impl FnOnce(&Inner) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StorageError> {
        let inner = Arc::clone(&self.inner);
        let result = match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(result) => result,
            Err(err) => Err(err.to_string()),
        };
        result.map_err(|fault| {
            let path = self.inner.path.display();
            error(AnyError::error(format!("metadata log {path}: {fault}"))).into()
        })
    }
}

impl Inner {
    /// Ties the log to one node: replaying another node's log would vote in its name.
    fn claim(&self, owner: &str) -> Result<(), ClusterError> {
        let fail = |detail: Fault| ClusterError::Log { path: self.path.clone(), detail };
        match self.read::<String>(OWNER).map_err(fail)? {
            Some(found) if found == owner => Ok(()),
            Some(found) => Err(ClusterError::WrongNode {
                path: self.path.clone(),
                found,
                given: owner.to_owned(),
            }),
            None => {
                let mut batch = self.batch(true);
                self.put(&mut batch, OWNER, &owner).map_err(fail)?;
                commit(batch).map_err(fail)
            }
        }
    }

    fn batch(&self, synced: bool) -> OwnedWriteBatch {
        let mode = if synced { PersistMode::SyncAll } else { PersistMode::Buffer };
        self.database.batch().durability(Some(mode))
    }

    fn put<T: Serialize>(
        &self,
        batch: &mut OwnedWriteBatch,
        key: impl AsRef<[u8]>,
        value: &T,
    ) -> Result<(), Fault> {
        let mut bytes = vec![FORMAT];
        serde_json::to_writer(&mut bytes, value).map_err(|err| err.to_string())?;
        batch.insert(&self.keyspace, key.as_ref(), bytes);
        Ok(())
    }

    fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Fault> {
        let value = self.keyspace.get(key).map_err(fault)?;
        value.map(|bytes| decode(key, &bytes)).transpose()
    }

    fn entries(&self, from: u64, to: Bound<u64>) -> Result<Vec<Entry>, Fault> {
        let mut entries = Vec::new();
        for guard in self.keyspace.range(bounds(from, to)) {
            let (key, value) = guard.into_inner().map_err(fault)?;
            entries.push(decode(&format!("entry {key:?}"), &value)?);
        }
        Ok(entries)
    }

    fn last_entry(&self) -> Result<Option<Entry>, Fault> {
        let Some(guard) = self.keyspace.range(bounds(0, Bound::Unbounded)).next_back() else {
            return Ok(None);
        };
        let (key, value) = guard.into_inner().map_err(fault)?;
        decode(&format!("entry {key:?}"), &value).map(Some)
    }

    fn remove(&self, batch: &mut OwnedWriteBatch, from: u64, to: Bound<u64>) -> Result<(), Fault> {
        for guard in self.keyspace.range(bounds(from, to)) {
            batch.remove(&self.keyspace, guard.key().map_err(fault)?);
        }
        Ok(())
    }
}

/// Text of a store's error; an operating system's error speaks for itself.
fn fault(err: fjall::Error) -> Fault {
    match err {
        fjall::Error::Io(err) => err.to_string(),
        other => other.to_string(),
    }
}

fn commit(batch: OwnedWriteBatch) -> Result<(), Fault> {
    batch.commit().map_err(fault)
}

fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Fault> {
    match bytes.split_first() {
        Some((&FORMAT, json)) => {
            serde_json::from_slice(json).map_err(|err| format!("{what} is damaged: {err}"))
        }
        Some((other, _)) => {
            Err(format!("{what} has format {other}, this build reads {FORMAT}: run a newer one"))
        }
        None => Err(format!("{what} is empty")),
    }
}

fn entry_key(index: u64) -> [u8; 9] {
    let mut key = [b'e'; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

fn bounds(from: u64, to: Bound<u64>) -> (Bound<[u8; 9]>, Bound<[u8; 9]>) {
    let to = match to {
        Bound::Included(index) => Bound::Included(entry_key(index)),
        Bound::Excluded(index) => Bound::Excluded(entry_key(index)),
        Bound::Unbounded => Bound::Included(entry_key(u64::MAX)),
    };
    (Bound::Included(entry_key(from)), to)
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let to = range.end_bound().cloned();
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        // The store refuses reversed ranges, openraft may ask for empty ones.
        if matches!(to, Bound::Excluded(to) if to <= from)
            || matches!(to, Bound::Included(to) if to < from)
        {
            return Ok(Vec::new());
        }
        self.run(StorageIOError::read_logs, move |log| log.entries(from, to)).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        self.run(StorageIOError::read_logs, |log| {
            let last_purged_log_id: Option<LogId> = log.read(PURGED)?;
            let last = log.last_entry()?.map(|entry| entry.log_id);
            Ok(LogState { last_purged_log_id, last_log_id: last.or(last_purged_log_id) })
        })
        .await
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let vote = *vote;
        self.run(StorageIOError::write_vote, move |log| {
            let mut batch = log.batch(true);
            log.put(&mut batch, VOTE, &vote)?;
            commit(batch)
        })
        .await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        self.run(StorageIOError::read_vote, |log| log.read(VOTE)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.run(StorageIOError::write, move |log| {
            let mut batch = log.batch(false);
            log.put(&mut batch, COMMITTED, &committed)?;
            commit(batch)
        })
        .await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        self.run(StorageIOError::read, |log| Ok(log.read::<Option<LogId>>(COMMITTED)?.flatten()))
            .await
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<TypeConfig>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        // Synced before return, so writes are in order without a queue of our own.
        self.run(StorageIOError::write_logs, move |log| {
            let mut batch = log.batch(true);
            for entry in &entries {
                log.put(&mut batch, entry_key(entry.log_id.index), entry)?;
            }
            commit(batch)
        })
        .await?;
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.run(StorageIOError::write_logs, move |log| {
            let mut batch = log.batch(true);
            log.remove(&mut batch, log_id.index, Bound::Unbounded)?;
            commit(batch)
        })
        .await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.run(StorageIOError::write_logs, move |log| {
            let mut batch = log.batch(true);
            log.put(&mut batch, PURGED, &log_id)?;
            log.remove(&mut batch, 0, Bound::Included(log_id.index))?;
            commit(batch)
        })
        .await
    }
}
