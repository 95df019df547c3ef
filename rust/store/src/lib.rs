//! The disks of one target: mountpaths, blobs and the ordered index.
//!
//! A [`Store`] spreads objects over mountpaths (directories, usually one per disk). On a mountpath the
//! bytes of an object are one *blob*, written once and never changed, whose trailer describes the
//! object: a file of its own, or, if it is small, a record among others in a *segment*. An ordered index maps (bucket id, object name) to the blob and the object's metadata; the
//! commit of the index entry is the moment an object exists, changes or ends. Therefore
//!
//! * an overwrite is atomic, and readers of the old version finish undisturbed;
//! * a listing is a range scan of the index, never a walk of a directory;
//! * names of any script and length (up to [`MAX_NAME_BYTES`]) never meet the file system;
//! * the index is a cache of what the blobs say: lost or damaged, it is rebuilt from them.
//!
//! # Layout of a mountpath
//!
//! ```text
//! ais/format.json   version of this layout and the identity of the mountpath
//! ais/lock          held (flock) while a store is open
//! ais/run.json      whether the last store was closed, and a bound on the blob ids it used
//! ais/index/        the index engine's files
//! ais/blobs/XX/ID   payload, then trailer; ID is 16 hex digits, XX its last two
//! ais/segments/     N.segment: records of small blobs; N.dead: which of them are waste
//! ais/tmp/          blobs being written; emptied at start
//! ais/appends/      objects that are being appended to, one file per session
//! ais/quarantine/   blobs whose trailer is damaged, set aside for a person to look at
//! ```
//!
//! # Durability
//!
//! What is acknowledged (`finish`, `delete`, `destroy_bucket` returned) has reached the operating system,
//! so it survives the end of the process by any means, SIGKILL included. Whether it survives loss of power is for
//! the write policy of its bucket to say ([`Store::set_write_policies`]). Blob first, index entry second, removal
//! of the superseded blob last: a crash between the steps leaves at most a blob that nothing refers to, which
//! the next start sweeps. Compaction syncs what it moved before it removes where that came from.
//!
//! # Threads
//!
//! All calls block on the disk: call them off the async workers. [`ObjectReader::read_at_nowait`] alone
//! never waits for the disk.

#[cfg(test)]
extern crate self as aistore_store;

#[macro_use]
mod steps;

mod appends;
mod blob;
mod change;
mod cleanup;
mod codec;
mod commit;
mod compaction;
mod config;
mod copying;
#[cfg(test)]
mod crash_model;
mod descriptors;
mod destroy;
mod doubts;
mod durability;
mod error;
mod faults;
mod filecount;
mod files;
#[cfg(fuzzing)]
pub mod fuzzing;
mod heal;
mod identity;
mod ids;
mod index;
pub mod inspect;
mod intents;
mod list;
mod locations;
mod manifests;
#[doc(hidden)]
pub mod measuring;
mod meta;
#[cfg(test)]
mod models;
mod mountpath;
mod mountpaths;
mod payload;
mod pins;
mod preallocate;
mod probe;
mod reader;
mod rebuild;
mod resilver;
mod rows;
mod scrub;
mod segments;
mod set;
mod settle;
mod shared;
mod space;
mod store;
mod stored;
mod survey;
mod sweep;
mod sync;
mod tally;
mod trailer;
mod uploads;
mod usage;
#[cfg(test)]
#[path = "../tests/verbs/mod.rs"]
mod verbs;
mod writeback;
mod writer;

pub use appends::{AppendId, AppendState, AppendWriter};
pub use change::Choice;
pub use compaction::Compacted;
pub use config::{
    Chunks, Condition, DEFAULT_INDEX_CACHE_BYTES, DEFAULT_MAX_RECORD_BYTES, MAX_SEGMENT_BYTES,
    PutOptions, StoreConfig,
};
pub use error::StoreError;
pub use faults::IoErrors;
pub use heal::Verified;
pub use identity::is_mountpath;
pub use list::{ListChunk, ListQuery, Listed, Standing};
pub use meta::{
    BlobId, MAX_CUSTOM_BYTES, MAX_NAME_BYTES, MAX_PARTS, MAX_PLACES, ObjectMeta, Part, Place, Role,
};
pub use mountpaths::{Leave, Mountpaths};
pub use probe::Probed;
pub use reader::ObjectReader;
pub use resilver::{Guide, Home, Pass, Passed};
pub use scrub::pace::Pace;
pub use scrub::{Damage, Outcome, ScrubProgress, ScrubStep, Scrubbed, Scrubber};
pub use store::Store;
pub use tally::{Amount, BucketUsage};
pub use uploads::{PartInfo, PartOptions, PartWriter, UploadId, UploadInfo};
pub use usage::{MountpathStored, MountpathUsage};
pub use writer::ObjectWriter;
