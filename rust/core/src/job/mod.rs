//! Jobs: kinds, ids, records in the replicated state, snapshots, and the messages that ask about them.
//!
//! A job is work of many targets that outlives its request. Its [`JobRecord`] is replicated; what it has
//! done so far is a [`Snap`] of each target.

mod archive;
mod args;
mod copy;
mod id;
mod kind;
mod query;
mod record;
mod selection;
mod snap;
mod time;

pub use archive::ArchiveMsg;
pub use args::{JobArgs, JobQuery};
pub use copy::CopyMsg;
pub use id::{is_valid_id, job_id};
pub use kind::{JobKind, KINDS, Scope, Start, find_kind};
pub use query::{matches_bucket, selects};
pub use record::{
    ABORTED_BY_PEER, ABORTED_BY_USER, JobOutcome, JobRecord, JobStatus, joined_errors,
};
pub use selection::{Names, Selection};
pub use snap::{JobStats, Snap};
pub use time::{UNSET_TIME, parse_rfc3339, rfc3339};
