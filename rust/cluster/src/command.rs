//! What can be asked of the replicated state.

use aistore_core::bucket::Bucket;
use aistore_core::job::{JobOutcome, JobRecord};
use aistore_core::smap::Snode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A change of the replicated state: the payload of one log entry.
///
/// Everything that varies between machines or moments (clock, random identity) comes inside, so that
/// applying a command is a pure function. The JSON form is stored in logs: variants and fields may be
/// added, never renamed or changed in meaning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "fields are described with their variant")]
pub enum Command {
    /// Gives the cluster its identity and its first gateway. No-op when it has one already.
    /// `creation_time` is `YYYY-MM-DD hh:mm:ss`, UTC.
    Bootstrap { primary: Snode, uuid: String, creation_time: String },
    /// Adds a node, or takes its new addresses; flags of a known node stay as they are.
    /// No-op when nothing differs.
    RegisterNode { node: Snode },
    /// Takes a node out of the map. The primary cannot be removed.
    RemoveNode { id: String },
    /// Names the gateway that is primary; submitted by a new leader.
    SetPrimary { id: String },
    /// Adds a bucket with the cluster's defaults, changed by `patch`. `created_ns` is Unix time.
    CreateBucket { bucket: Bucket, patch: Option<Value>, created_ns: u64 },
    /// Drops a bucket of this cluster with its properties; data goes after it.
    DestroyBucket { bucket: Bucket },
    /// Changes properties; keys that are absent or null stay.
    PatchProps { bucket: Bucket, patch: Value },
    /// Returns properties to the cluster's defaults.
    ResetProps { bucket: Bucket },
    /// Changes configuration. `updated` is the moment, for people.
    ChangeConfig { change: ConfigChange, updated: String },
    /// Changes configuration by sections; in logs of earlier versions.
    SetConfig { patch: Value },
    /// Changes configuration by dotted names and text values; in logs of earlier versions.
    SetConfigPairs { pairs: Vec<(String, String)> },
    /// Returns configuration to its defaults; in logs of earlier versions.
    ResetConfig,
    /// Starts a job, whose id must be new. Without targets it runs on all that accept data. A copy or
    /// rename creates its destination in the same step. `ignore_conflicts` starts it whatever else runs.
    StartJob { job: Box<JobRecord>, ignore_conflicts: bool },
    /// Records how a target's share ended; the first word counts. A share that was given up aborts the
    /// job everywhere. No-op for a job that is not known any more.
    FinishJobOnTarget { id: String, target: String, outcome: Box<JobOutcome> },
    /// Ends a job early. No-op for one that is over or not known.
    AbortJob { id: String, reason: String, now_ns: u64 },
}

/// How configuration changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigChange {
    /// By sections; keys that are absent or null stay.
    Patch(Value),
    /// By dotted names and text values.
    Pairs(Vec<(String, String)>),
    /// Back to the defaults.
    Reset,
}
