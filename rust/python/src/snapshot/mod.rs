//! Snapshots of data sets: lists of samples as Arrow files, written from listings and read by memory map.
//!
//! The format is described in docs/data.md.

mod map;
mod order;
mod table;
mod writer;

pub(crate) use self::order::Order;
pub(crate) use self::table::SnapshotTable;
pub(crate) use self::writer::SnapshotWriter;
