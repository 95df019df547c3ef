//! What a target says while it makes a snapshot: a line of JSON each.

use serde::{Deserialize, Serialize};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Entries listed so far. Comes again from time to time where nothing else does.
    Rows(u64),
    /// The last line, when all went well.
    Done(Outcome),
    /// The last line otherwise.
    Error {
        /// As the status of an answer.
        status: u16,
        /// Class of the error.
        tcode: String,
        /// What to do.
        message: String,
    },
}

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Number of samples.
    pub rows: u64,
    /// Identity of the list.
    pub id: String,
    /// Identity of the snapshot of this name that was there before; then nothing was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<String>,
    /// Some of the names that were asked for and not found; then nothing was stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// How many there are of them.
    #[serde(default)]
    pub missing_count: u64,
}
