//! Snapshots of data sets: immutable lists of samples, written from listings as Arrow files.
//!
//! Targets write them for their clients, and clients where a condition is a function of theirs. The format is
//! described in docs/data.md.

mod footer;
mod group;
mod report;
mod rows;
pub mod schema;
mod select;
mod writer;

pub use footer::{FooterError, TAIL_BYTES, Tail};
pub use report::{Outcome, Report};
pub use rows::{Part, Row};
pub use select::{Filler, Selection, SelectionError};
pub use writer::{Made, SnapshotWriter};

/// The action on an object that makes it a snapshot, with a [`Selection`] as its value.
pub const ACTION: &str = "create-snapshot";
