//! Archives of every format of the protocol: which one it is, and its files in order.
//!
//! [`Walk`] goes through an archive front to back in bounded memory, whatever the archive claims about itself.
//! Files of a TAR or ZIP can also be reached directly: see [`tar::index_members`](crate::tar::index_members)
//! and [`zip::read_directory`].

mod format;
mod select;
mod source;
mod walk;
pub mod write;
pub mod zip;

pub use self::format::Format;
pub use self::select::{MatchMode, Matcher};
pub use self::source::{Shared, SourceAt};
pub use self::walk::{ArchiveError, Entry, Walk};

#[cfg(test)]
mod tests;
