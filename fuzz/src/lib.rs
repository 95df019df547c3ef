//! What each fuzz target does with its input. The binaries only connect these to libFuzzer, so that a plain
//! build of this crate checks them too. A function panics when its parser broke a promise.

mod actions;
mod append_handle;
mod archives;
mod batches;
mod cluster_map;
mod conditions;
mod cuts;
mod jobs;
mod listing;
mod names;
mod query;
mod range;
mod shards;
mod small_files;
mod stored;

pub use actions::actions;
pub use append_handle::append_handle;
pub use archives::archives;
pub use batches::batches;
pub use cluster_map::cluster_map;
pub use conditions::conditions;
pub use cuts::cuts;
pub use jobs::jobs;
pub use listing::listing;
pub use names::names;
pub use query::query;
pub use range::range;
pub use shards::{lz4, tar, zip};
pub use small_files::small_files;
pub use stored::stored;

/// The input as text, or nothing to do.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}
