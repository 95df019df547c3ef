//! A gateway's part in the replicated log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aistore_core::error::ApiError;
use aistore_core::placement::digest;
use aistore_core::smap::Snode;
use openraft::error::{ClientWriteError, InitializeError, RaftError};
use openraft::{ChangeMembers, Config, ServerState, SnapshotPolicy};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::command::Command;
use crate::durable::create_dir;
use crate::error::{ClusterError, SubmitError};
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::network::{self, Network, RaftTransport};
use crate::raft_types::{Gateway, GatewayKey, Raft};
use crate::state::ClusterState;
use crate::steward;
use crate::utc::format_utc;

/// Most gateways that vote; further ones follow as learners.
pub const MAX_VOTERS: usize = 5;

/// Commands under way at once; further callers wait for their turn.
const MAX_PENDING: usize = 256;
/// Longest wait for a majority to acknowledge a command, and for an election.
const COMMIT_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for a new gateway to catch up.
const MEMBERSHIP_LIMIT: Duration = Duration::from_mins(1);
/// Longest wait for background tasks to let go of the log at shutdown.
const RELEASE_LIMIT: Duration = Duration::from_secs(2);
/// Entries per message to a peer that catches up.
const ENTRIES_PER_MESSAGE: u64 = 256;
/// Entries deleted together.
const PURGE_BATCH: u64 = 64;
/// Letters and digits of a new cluster's identity: 71 bits.
const UUID_LENGTH: usize = 12;

/// Timing and compaction of the log. The default suits gateways in one data centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Time between signs of life from the leader; also the time that a peer has to store and
    /// acknowledge entries. Default 250 ms.
    pub heartbeat: Duration,
    /// A gateway that hears no leader for a random time between this and twice this, once the old
    /// leader's lease of twice this has passed, stands for election. At least three heartbeats.
    /// Default 1 s.
    pub election: Duration,
    /// Entries between snapshots. Default 500.
    pub snapshot_every: u64,
    /// Entries kept for peers that lag when a snapshot is taken. Default 100.
    pub keep_entries: u64,
    /// Time that a peer has to receive and store a snapshot. Default 30 s.
    pub snapshot_timeout: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(250),
            election: Duration::from_secs(1),
            snapshot_every: 500,
            keep_entries: 100,
            snapshot_timeout: Duration::from_secs(30),
        }
    }
}

impl Tuning {
    fn config(&self) -> Config {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Config {
            cluster_name: "aistore".to_owned(),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: millis(self.election),
            election_timeout_max: millis(self.election * 2),
            install_snapshot_timeout: millis(self.snapshot_timeout),
            max_payload_entries: ENTRIES_PER_MESSAGE,
            // A peer further behind than a snapshot's distance could not be helped by one.
            replication_lag_threshold: self.snapshot_every.saturating_mul(2),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every),
            max_in_snapshot_log_to_keep: self.keep_entries,
            purge_batch_size: PURGE_BATCH.min(self.keep_entries.max(1)),
            ..Config::default()
        }
    }
}

/// The replicated state on a gateway: submits commands, answers peers, follows the state.
///
/// Runs until [`Consensus::shutdown`]; dropping it without leaves its tasks running.
pub struct Consensus {
    raft: Raft,
    machine: Machine,
    /// Taken at shutdown.
    log: Mutex<Option<LogStore>>,
    steward: JoinHandle<()>,
    pending: Semaphore,
    key: GatewayKey,
    own: Gateway,
    dir: PathBuf,
}

impl Consensus {
    /// Opens or creates the log and state of gateway `node_id` in `dir`, with default [`Tuning`].
    /// `url` is where peers reach this gateway.
    ///
    /// Returns with the last acknowledged state in place. A gateway that is the only voter leads
    /// when this returns; a new one waits for [`Consensus::bootstrap`] or to be added by a leader.
    pub async fn open(
        dir: &Path,
        node_id: &str,
        url: &str,
        transport: Arc<dyn RaftTransport>,
    ) -> Result<Self, ClusterError> {
        Self::open_tuned(dir, node_id, url, transport, Tuning::default()).await
    }

    /// [`Consensus::open`] with timing and compaction of one's own.
    pub async fn open_tuned(
        dir: &Path,
        node_id: &str,
        url: &str,
        transport: Arc<dyn RaftTransport>,
        tuning: Tuning,
    ) -> Result<Self, ClusterError> {
        let own = Gateway { id: node_id.to_owned(), url: url.to_owned() };
        let key = digest(node_id);
        let config = tuning.config().validate().map_err(|err| {
            ClusterError::Stopped(format!("bad consensus timing {tuning:?}: {err}"))
        })?;
        let (log, machine) = open_files(dir.to_owned(), own.id.clone()).await?;
        let network = Network { transport };
        let raft = Raft::new(key, Arc::new(config), network, log.clone(), machine.clone())
            .await
            .map_err(|err| ClusterError::Log { path: dir.into(), detail: err.to_string() })?;
        let steward = tokio::spawn(steward::run(raft.clone(), machine.watch(), own.id.clone()));
        let consensus = Self {
            raft,
            machine,
            log: Mutex::new(Some(log)),
            steward,
            pending: Semaphore::new(MAX_PENDING),
            key,
            own,
            dir: dir.to_owned(),
        };
        if let Err(err) = consensus.lead_if_alone().await {
            consensus.shutdown().await;
            return Err(err);
        }
        Ok(consensus)
    }

    /// Makes this gateway the first one of a new cluster; on a gateway that has state, only
    /// registers its present address. Call it on one gateway of a cluster, never on those that join.
    ///
    /// # Errors
    ///
    /// [`SubmitError::NotLeader`] on a gateway that has state and does not lead: register it through
    /// the leader then.
    pub async fn bootstrap(&self, primary: Snode) -> Result<Arc<ClusterState>, SubmitError> {
        if primary.daemon_id != self.own.id {
            let (own, other) = (&self.own.id, primary.display());
            return Err(SubmitError::Rejected(ApiError::bad_request(format!(
                "gateway \"{own}\" cannot bootstrap the cluster for {other}: pass its own identity"
            ))));
        }
        if !self.raft.is_initialized().await.map_err(|err| self.stopped(&err))? {
            let members = BTreeMap::from([(self.key, self.own.clone())]);
            match self.raft.initialize(members).await {
                // Another caller was faster.
                Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
                Err(err) => return Err(self.stopped(&err)),
            }
            self.await_leadership().await.map_err(|err| SubmitError::Fatal(err.to_string()))?;
        }
        if !self.machine.watch().borrow().is_bootstrapped() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let uuid = std::iter::repeat_with(fastrand::alphanumeric).take(UUID_LENGTH).collect();
            let creation_time = format_utc(now.as_secs());
            let primary = primary.clone();
            self.submit(Command::Bootstrap { primary, uuid, creation_time }).await?;
        }
        self.submit(Command::RegisterNode { node: primary }).await
    }

    /// Has a command carried out: returns once it is on the disks of a majority and applied here,
    /// with the state at that moment or a later one.
    ///
    /// Not cancel safe: a command whose future is dropped may still be carried out. Waits at most
    /// 10 s for a majority.
    pub async fn submit(&self, command: Command) -> Result<Arc<ClusterState>, SubmitError> {
        let write = async {
            let _turn = self.pending.acquire().await;
            self.raft.client_write(command).await
        };
        let response = tokio::time::timeout(COMMIT_LIMIT, write)
            .await
            .map_err(|_| timed_out(COMMIT_LIMIT))?
            .map_err(|err| self.refused(err))?;
        Result::from(response.data)?;
        Ok(Arc::clone(&self.machine.watch().borrow()))
    }

    /// Adds a gateway to the consensus, or takes its new URL. It first follows as a learner and votes
    /// once it has caught up; beyond [`MAX_VOTERS`] it stays a learner. Leader only; waits at most
    /// 60 s. On an error the gateway may have been added as a learner: call again.
    pub async fn add_voter(&self, id: &str, url: &str) -> Result<(), SubmitError> {
        let change = self.change_voters(digest(id), Gateway { id: id.into(), url: url.into() });
        tokio::time::timeout(MEMBERSHIP_LIMIT, change)
            .await
            .map_err(|_| timed_out(MEMBERSHIP_LIMIT))?
    }

    async fn change_voters(&self, key: GatewayKey, gateway: Gateway) -> Result<(), SubmitError> {
        let membership = Arc::clone(&self.raft.metrics().borrow().membership_config);
        match membership.membership().get_node(&key) {
            Some(known) if known.id != gateway.id => {
                return Err(SubmitError::Rejected(ApiError::new(
                    409,
                    "",
                    format!(
                        "gateway ids \"{}\" and \"{}\" have the same digest: choose another id",
                        gateway.id, known.id
                    ),
                )));
            }
            Some(known) if *known != gateway => {
                let nodes = ChangeMembers::SetNodes(BTreeMap::from([(key, gateway)]));
                let change = self.raft.change_membership(nodes, false).await;
                change.map_err(|err| self.refused(err))?;
            }
            Some(_) => {}
            None => {
                let added = self.raft.add_learner(key, gateway, true).await;
                added.map_err(|err| self.refused(err))?;
            }
        }
        let membership = Arc::clone(&self.raft.metrics().borrow().membership_config);
        let voters: BTreeSet<GatewayKey> = membership.voter_ids().collect();
        if voters.contains(&key) || voters.len() >= MAX_VOTERS {
            return Ok(());
        }
        let voters = ChangeMembers::AddVoterIds([key].into());
        let change = self.raft.change_membership(voters, false).await;
        change.map(|_| ()).map_err(|err| self.refused(err))
    }

    /// Follows the state; a receiver sees every version or a later one.
    pub fn watch(&self) -> watch::Receiver<Arc<ClusterState>> {
        self.machine.watch()
    }

    /// Whether this gateway leads, as far as it knows.
    pub fn is_leader(&self) -> bool {
        self.raft.metrics().borrow().state == ServerState::Leader
    }

    /// Where the leader is reached, `None` while none is known.
    pub fn leader_url(&self) -> Option<String> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let leader = metrics.current_leader?;
        metrics.membership_config.membership().get_node(&leader).map(|node| node.url.clone())
    }

    /// Answers a message that a peer's [`RaftTransport`] delivered; `kind` is `append`, `vote` or
    /// `snapshot`.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Message`] when the message is not understood or meant for another gateway.
    /// Refusals by the protocol are answers, not errors.
    pub async fn handle_rpc(&self, kind: &str, body: &[u8]) -> Result<Vec<u8>, ClusterError> {
        network::handle(&self.raft, self.key, kind, body).await
    }

    /// Stops taking part and closes the log. Later calls of [`Consensus::submit`] fail.
    pub async fn shutdown(&self) {
        self.steward.abort();
        if let Err(err) = self.raft.shutdown().await {
            tracing::error!(error = %err, "consensus ended abnormally");
        }
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(log) = log else { return };
        // openraft's tasks end by themselves shortly after its core; the log is closed, and its
        // directory free, when the last of them is gone.
        let released = async {
            while log.handles() > 1 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(RELEASE_LIMIT, released).await.is_err() {
            tracing::warn!(dir = %self.dir.display(), "the metadata log is still in use");
        }
        // Closing waits for the store's threads.
        if let Err(err) = tokio::task::spawn_blocking(move || drop(log)).await {
            tracing::error!(error = %err, "closing the metadata log failed");
        }
    }

    /// Stands for election at once where there is no one to wait for.
    async fn lead_if_alone(&self) -> Result<(), ClusterError> {
        // Asked of the core, not read from its metrics: those are empty until it has started.
        let own = self.key;
        let stopped = |err: &dyn std::fmt::Display| ClusterError::Stopped(err.to_string());
        let (alone, leads) = self
            .raft
            .with_raft_state(move |state| {
                let voters: Vec<_> = state.membership_state.effective().voter_ids().collect();
                (voters == [own], state.server_state == ServerState::Leader)
            })
            .await
            .map_err(|err| stopped(&err))?;
        if !alone {
            return Ok(());
        }
        if !leads {
            self.raft.trigger().elect().await.map_err(|err| stopped(&err))?;
        }
        self.await_leadership().await
    }

    /// Waits until this gateway leads and has applied its whole log.
    async fn await_leadership(&self) -> Result<(), ClusterError> {
        let wait = self.raft.wait(Some(COMMIT_LIMIT));
        let leads = wait.metrics(
            |metrics| {
                let applied = metrics.last_applied.map(|id| id.index);
                metrics.state == ServerState::Leader && applied >= metrics.last_log_index
            },
            "lead and apply the whole log",
        );
        leads.await.map(|_| ()).map_err(|err| {
            let dir = self.dir.display();
            ClusterError::Stopped(format!("the gateway in {dir} could not take the lead: {err}"))
        })
    }

    fn refused(
        &self,
        err: RaftError<GatewayKey, ClientWriteError<GatewayKey, Gateway>>,
    ) -> SubmitError {
        match err {
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
                SubmitError::NotLeader { url: forward.leader_node.map(|node| node.url) }
            }
            RaftError::APIError(ClientWriteError::ChangeMembershipError(err)) => {
                SubmitError::Rejected(ApiError::unavailable(format!(
                    "the set of gateways cannot change now: {err}; try again shortly"
                )))
            }
            RaftError::Fatal(err) => self.stopped(&err),
        }
    }

    fn stopped(&self, err: &dyn std::fmt::Display) -> SubmitError {
        let dir = self.dir.display();
        SubmitError::Fatal(format!(
            "this gateway's metadata log in {dir} has stopped: {err}; fix the cause and restart the node"
        ))
    }
}

impl std::fmt::Debug for Consensus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consensus")
            .field("own", &self.own)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Drop for Consensus {
    fn drop(&mut self) {
        self.steward.abort();
    }
}

async fn open_files(dir: PathBuf, node_id: String) -> Result<(LogStore, Machine), ClusterError> {
    let open = move || {
        create_dir(&dir)?;
        // The log first: it locks the directory.
        let log = LogStore::open(&dir.join("log"), &node_id)?;
        Ok((log, Machine::open(&dir.join("snapshot.json"))?))
    };
    tokio::task::spawn_blocking(open).await.map_err(|err| ClusterError::Stopped(err.to_string()))?
}

fn timed_out(limit: Duration) -> SubmitError {
    SubmitError::Fatal(format!(
        "no majority of the gateways has answered within {} s, the change may still be carried out: check that the gateways run and reach each other",
        limit.as_secs()
    ))
}
