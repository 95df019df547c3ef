//! The index alone, for measurements: `examples/index_rates`. Not for use by anything else.

use std::ops::Bound;
use std::path::Path;

use crate::codec;
use crate::commit::Committer;
use crate::error::StoreError;
use crate::index::{Change, Index, OpenFailure};
use crate::locations::Locations;
use crate::meta::{BlobId, ObjectMeta};
use crate::segments::Location;

/// What a mountpath commits to when a small object is put, without blobs.
#[derive(Debug)]
pub struct BareIndex {
    index: Index,
    locations: Locations,
    committer: Committer,
}

impl BareIndex {
    /// Opens or creates an index in `directory`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Index`] where the engine cannot open it.
    pub fn open(directory: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let index = Index::open(directory, cache_bytes).map_err(|failure| match failure {
            OpenFailure::Failed(error) => error,
            OpenFailure::Damaged(reason) => {
                StoreError::Index { path: directory.to_owned(), reason }
            }
        })?;
        Ok(Self { index, locations: Locations::default(), committer: Committer::default() })
    }

    /// Inserts the entry of a small object and the place of its blob, in one group with those of others who
    /// call at the same time; on return it survives the end of the process.
    ///
    /// # Errors
    ///
    /// [`StoreError::Index`], [`StoreError::NoSpace`].
    pub fn insert(&self, bid: u64, name: &str, meta: &ObjectMeta) -> Result<(), StoreError> {
        let number = meta.blob.0;
        let low = |value: u64| u32::try_from(value & 0x03ff_ffff).unwrap_or(0);
        let location = Location { segment: low(number >> 26), offset: low(number), length: 10_360 };
        self.locations.place(BlobId(number), location);
        let change = Change::Set { key: codec::key(bid, name), value: codec::encode_value(meta) };
        let apply = |changes, sync| self.locations.apply(&self.index, changes, sync).map(drop);
        self.committer.commit(vec![change], false, apply)
    }

    /// The metadata of an object.
    ///
    /// # Errors
    ///
    /// [`StoreError::Index`].
    pub fn get(&self, bid: u64, name: &str) -> Result<Option<ObjectMeta>, StoreError> {
        let value = self.index.get(&codec::key(bid, name))?;
        Ok(value.and_then(|value| codec::decode_value(&value)))
    }

    /// The objects of a bucket in order, decoded; returns how many.
    ///
    /// # Errors
    ///
    /// [`StoreError::Index`].
    pub fn scan(&self, bid: u64) -> Result<u64, StoreError> {
        let (from, to) = (codec::key(bid, ""), codec::key(bid + 1, ""));
        let mut count = 0;
        for entry in self.index.range((Bound::Included(&from), Bound::Excluded(&to))) {
            let (_, value) = entry?;
            count += u64::from(codec::decode_value(&value).is_some());
        }
        Ok(count)
    }

    /// Makes everything survive loss of power.
    ///
    /// # Errors
    ///
    /// [`StoreError::Index`].
    pub fn sync(&self) -> Result<(), StoreError> {
        self.index.sync()
    }
}
