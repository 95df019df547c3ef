//! The part of a pass that goes over the index, for blobs that it names and that are not there.

use std::ops::Bound;
use std::sync::Arc;

use super::cursor::Position;
use super::{ENTRY_COST, Scrubbed, Scrubber, Suspect, verdict};
use crate::codec::{self, RESERVED_BID, V2};
use crate::error::StoreError;
use crate::meta::{BlobId, Place};
use crate::mountpath::{Mountpath, SharedMountpath};
use crate::store::Store;
use crate::uploads;

/// Entries looked at before the position is brought up to date, so that no scan of the index stays open.
const BATCH: usize = 128;

impl Scrubber {
    /// Looks at the next entries.
    pub(super) fn entries(
        &mut self,
        store: &Store,
        mountpath: &SharedMountpath,
        (bid, name): (u64, &str),
        done: &mut Scrubbed,
        suspects: &mut Vec<Suspect>,
    ) -> Result<(), StoreError> {
        let after = codec::key(bid, name);
        let bounds = (Bound::Excluded(after.as_slice()), Bound::Unbounded);
        let entries = mountpath.index.range(bounds).take(BATCH).collect::<Result<Vec<_>, _>>()?;
        let set = store.shared.set();
        for (key, value) in &entries {
            for place in named(mountpath, key, value) {
                // One that is detached or disabled is not there to be looked at.
                let Some(at) = set.by_digest(place.mountpath) else { continue };
                if !self.is_there(mountpath, at, place.blob)? {
                    let hint = Some(key.to_vec());
                    suspects.push(Suspect { at: Arc::clone(at), blob: place.blob, hint });
                }
            }
        }
        let last = entries.last().and_then(|(key, _)| codec::split_key(key));
        self.cursor.position = match last {
            Some((bid, name)) => Position::Entries { bid, name: name.to_owned() },
            None => Position::Idle,
        };
        done.complete = last.is_none();
        done.cost += ENTRY_COST * entries.len().max(1) as u64;
        Ok(())
    }

    /// Whether a blob is there, as far as can be told without reading it. One in a segment where not all
    /// is a record is read: its header may be what is damaged.
    fn is_there(
        &self,
        own: &Mountpath,
        at: &SharedMountpath,
        blob: BlobId,
    ) -> Result<bool, StoreError> {
        match at.locations.get(&at.index, blob)? {
            Some(known) if own.digest == at.digest && self.cursor.odd.contains(&known.segment) => {
                Ok(verdict::look(at, blob)?.is_ok())
            }
            Some(known) => Ok(at.segments.reaches(known)),
            None => at.files.has_blob(blob),
        }
    }
}

/// What an entry names; nothing where it cannot be decoded, which reads report.
pub(crate) fn named(mountpath: &Mountpath, key: &[u8], value: &[u8]) -> Vec<Place> {
    let Some((bid, name)) = codec::split_key(key) else { return Vec::new() };
    let mut places = Vec::new();
    let mut parts = None;
    if bid == RESERVED_BID {
        // Flushes that are under way name a blob before it is there; the sweep knows them.
        parts = uploads::parts_of_entry(name, value);
    } else {
        let own = codec::decode_place(value);
        places.extend(own.map(|(blob, _)| Place { mountpath: mountpath.digest, blob }));
        if value.first() == Some(&V2) {
            parts = codec::decode_value(value).map(|meta| meta.parts);
        }
    }
    places.extend(parts.unwrap_or_default().iter().flat_map(|part| &part.places));
    places
}
