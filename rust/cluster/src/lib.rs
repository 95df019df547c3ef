//! Replicated cluster metadata on openraft: map, buckets, configuration, membership.
//!
//! Gateways run a [`Consensus`]: a [`Command`] becomes a log entry, is acknowledged once a majority
//! of the voters holds it on disk, and turns one [`ClusterState`] into the next by a pure function.
//! Targets (and clients of any kind) hold a [`Replica`]: the last state they heard of, on disk.
//!
//! Invariants: no HTTP here (peers are reached through [`RaftTransport`]); the state machine reads no
//! clock, random source or environment, so every gateway computes the same state from the same log;
//! nothing is acknowledged or shown to watchers of a replica before it is on disk; unreadable state is
//! an error, never a default.

mod command;
mod consensus;
mod durable;
mod error;
mod heartbeats;
mod jobs;
mod log_store;
#[cfg(test)]
mod log_store_test;
mod machine;
mod network;
mod raft_types;
mod replica;
mod state;
mod steward;
mod transition;
mod transition_jobs;
#[cfg(test)]
mod transition_jobs_test;
#[cfg(test)]
mod transition_test;
mod utc;

pub use command::{Command, ConfigChange};
pub use consensus::{Consensus, MAX_VOTERS, Tuning};
pub use error::{ClusterError, SubmitError};
pub use heartbeats::Heartbeats;
pub use jobs::Jobs;
pub use network::{MAX_RPC_BYTES, RaftTransport};
pub use replica::Replica;
pub use state::{Bmd, BucketEntry, ClusterState};
