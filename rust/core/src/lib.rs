//! Vocabulary and pure algorithms of aistore: names, wire types, placement, checksums, archive codecs.
//!
//! Invariant: no sockets, no async runtime, no clock, no random source. Everything here is a function
//! of its input, so every node and every client computes the same answer.

pub mod archive;
pub mod bucket;
pub mod checksum;
pub mod civil;
pub mod conditional;
pub mod config;
pub mod custom_md;
pub mod cut;
pub mod cuts;
pub mod error;
pub mod etag;
pub mod frames;
pub mod headers;
pub mod http_date;
pub mod job;
pub mod list;
pub mod moss;
pub mod order;
mod patch;
pub mod placement;
pub mod promote;
pub mod props;
pub mod range;
pub mod smap;
pub mod tar;
pub mod template;
pub mod text;
pub mod units;
pub mod wire;
pub mod zip_stream;

/// Version of the AIStore protocol that nodes report; clients compare it with their own.
pub const AIS_VERSION: &str = "5.0";
