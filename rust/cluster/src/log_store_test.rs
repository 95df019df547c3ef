//! Log store and state machine under openraft's conformance suite, and across restarts.

use std::path::Path;
use std::sync::Arc;

use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{CommittedLeaderId, EntryPayload, RaftLogReader};
use tempfile::TempDir;

use crate::command::Command;
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::network::RaftTransport;
use crate::raft_types::{Entry, LogId, StorageError, TypeConfig, Vote};
use crate::{ClusterError, Consensus};

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let log = LogStore::open(&dir.path().join("log"), "g1").unwrap();
        let machine = Machine::open(&dir.path().join("snapshot.json")).unwrap();
        Ok((dir, log, machine))
    }
}

#[test]
fn conforms_to_what_openraft_expects_of_storage() {
    Suite::test_all(Builder).unwrap();
}

fn id(index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(1, 7), index)
}

fn entry(index: u64) -> Entry {
    let payload = EntryPayload::Normal(Command::RemoveNode { id: format!("t{index}") });
    Entry { log_id: id(index), payload }
}

fn open(dir: &Path) -> LogStore {
    LogStore::open(dir, "g1").unwrap()
}

#[tokio::test]
async fn entries_vote_and_positions_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    log.blocking_append((1..=9).map(entry)).await.unwrap();
    log.save_vote(&Vote::new(3, 7)).await.unwrap();
    log.save_committed(Some(id(8))).await.unwrap();
    log.purge(id(4)).await.unwrap();
    log.truncate(id(9)).await.unwrap();
    drop(log);

    let mut log = open(dir.path());
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(3, 7)));
    assert_eq!(log.read_committed().await.unwrap(), Some(id(8)));
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(4)), Some(id(8))));
    let found = log.try_get_log_entries(..).await.unwrap();
    assert_eq!(found, (5..=8).map(entry).collect::<Vec<_>>());
    assert_eq!(log.try_get_log_entries(6..6).await.unwrap(), []);
    assert_eq!(log.try_get_log_entries(7..=7).await.unwrap(), [entry(7)]);
    log.purge(id(8)).await.unwrap();
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(8)), Some(id(8))));
}

struct Nobody;

impl RaftTransport for Nobody {
    fn send<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Vec<u8>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>> {
        Box::pin(std::future::ready(Err("nobody".to_owned())))
    }
}

/// The committed position and the vote's last write may be lost with the power; a lone gateway must
/// lead again and apply all that it had acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losing_the_committed_position_loses_no_command() {
    use aistore_core::smap::{NetInfo, NodeKind, Snode};

    let dir = tempfile::tempdir().unwrap();
    let node = |id: &str, kind, port| Snode::new(id, kind, NetInfo::http("h", port));
    let gateway = node("g1", NodeKind::Gateway, 1);
    let consensus = Consensus::open(dir.path(), "g1", "u", Arc::new(Nobody)).await.unwrap();
    consensus.bootstrap(gateway).await.unwrap();
    let command = Command::RegisterNode { node: node("t1", NodeKind::Target, 2) };
    let before = consensus.submit(command).await.unwrap();
    consensus.shutdown().await;

    let mut log = open(&dir.path().join("log"));
    log.save_committed(None).await.unwrap();
    let term = log.read_vote().await.unwrap().unwrap().leader_id.term;
    // As if it had died between standing for election and winning it.
    log.save_vote(&Vote::new(term + 1, aistore_core::placement::digest("g1"))).await.unwrap();
    drop(log);

    let consensus = Consensus::open(dir.path(), "g1", "u", Arc::new(Nobody)).await.unwrap();
    assert_eq!(*consensus.watch().borrow(), before);
    consensus.shutdown().await;
}

#[test]
fn a_log_belongs_to_one_node() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let err = LogStore::open(dir.path(), "g2").map(|_| ()).unwrap_err();
    assert!(matches!(err, ClusterError::WrongNode { .. }), "{err}");
    assert!(err.to_string().contains("g1") && err.to_string().contains("g2"), "{err}");
}
