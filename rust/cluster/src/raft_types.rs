//! The types that openraft is instantiated with.

use aistore_core::error::ApiError;
use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::state::ClusterState;

/// Consensus identity of a gateway: the digest of its node id.
pub(crate) type GatewayKey = u64;

/// A member of the consensus group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gateway {
    /// Node id.
    pub(crate) id: String,
    /// Base URL for consensus messages.
    pub(crate) url: String,
}

/// What became of one log entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Carried out, with or without effect.
    Done,
    /// Refused by the state machine.
    Rejected { status: u16, tcode: String, message: String },
}

impl From<Result<(), ApiError>> for Outcome {
    fn from(result: Result<(), ApiError>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(ApiError { status, tcode, message }) => Self::Rejected { status, tcode, message },
        }
    }
}

impl From<Outcome> for Result<(), ApiError> {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Ok(()),
            Outcome::Rejected { status, tcode, message } => {
                Err(ApiError { status, tcode, message })
            }
        }
    }
}

openraft::declare_raft_types!(
    pub(crate) TypeConfig:
        D = Command,
        R = Outcome,
        NodeId = GatewayKey,
        Node = Gateway,
        Entry = openraft::Entry<TypeConfig>,
        SnapshotData = ClusterState,
);

pub(crate) type Raft = openraft::Raft<TypeConfig>;
pub(crate) type Entry = openraft::Entry<TypeConfig>;
pub(crate) type LogId = openraft::LogId<GatewayKey>;
pub(crate) type Vote = openraft::Vote<GatewayKey>;
pub(crate) type Membership = openraft::StoredMembership<GatewayKey, Gateway>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<GatewayKey, Gateway>;
pub(crate) type Snapshot = openraft::Snapshot<TypeConfig>;
pub(crate) type StorageError = openraft::StorageError<GatewayKey>;
pub(crate) type StorageIOError = openraft::StorageIOError<GatewayKey>;
