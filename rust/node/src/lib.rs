//! The server: listeners, native API, request routing, metrics.
//!
//! A process runs one or two *nodes* (a gateway, a target), each with a listener of its own. A request
//! goes through [`server`] (connections) to [`node`] (paths that every node has), then to [`gateway`]
//! (checks and redirects, buckets, cluster) or [`target`] (objects). [`context`] is what the handlers of
//! one node share; a target's [`follow`] keeps its copy of the cluster's state current.
//!
//! Invariants: no handler blocks an async worker; nothing is unbounded, neither a body read into memory,
//! nor a wait, nor a number of connections; every error names the input and, where there is one, the
//! remedy.

mod clean;
mod clock;
pub mod context;
mod daemon;
mod disks;
mod follow;
mod fshc;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gateway;
mod health;
pub mod http;
pub mod intra;
mod jobs;
mod logs;
mod memory;
pub mod metrics;
mod mountpaths;
mod node;
mod overrides;
mod process;
mod quick;
mod scrub;
mod sendfile;
mod server;
mod status;
mod sysinfo;
pub mod target;
pub mod tasks;
mod times;
pub mod tls;

pub use process::main;
