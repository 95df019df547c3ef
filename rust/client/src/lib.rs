//! Native client: pooled connections, map-aware routing, parallel reads, GetBatch.
//!
//! Invariants: every wait has a deadline, every retry a budget, and no answer that was cut short is
//! ever taken for a complete one.

#![expect(
    clippy::result_large_err,
    reason = "128 bytes of names and texts, moved once per failed request"
)]

mod batch;
mod body;
mod buckets;
mod client;
mod config;
mod error;
mod list;
mod multipart;
mod objects;
mod parallel;
pub mod quick;
mod request;
mod retry;
mod routing;
pub mod tls;
mod transport;

pub use batch::{Away, BatchItem, BatchStream, READ_AHEAD_BYTES, READ_AHEAD_MIN_BYTES};
pub use client::Client;
pub use config::{
    ClientConfig, DEFAULT_ATTEMPTS, DEFAULT_BACKOFF, DEFAULT_BACKOFF_MAX,
    DEFAULT_MAX_IDLE_PER_HOST, DEFAULT_PATIENCE, DEFAULT_RETRY_STATUSES, LONGEST_WAIT,
};
pub use error::{BoxError, ClientError, MAX_ERROR_BODY_BYTES};
pub use list::ListStream;
pub use multipart::{Content, MAX_PARALLEL_PARTS, MAX_PARTS, PartOptions};
pub use objects::ObjectStream;
pub use parallel::{PARALLEL_PARTS, PART_BYTES};
pub use request::{Call, GetOptions, ListOptions, ProgressFn, Reply};
