//! The mountpaths that a store works with at one moment.
//!
//! A set never changes; a store that gains or loses a mountpath swaps in another one. Whoever works on a
//! set that was swapped out meanwhile sees what was true when it began, and looks again where that could
//! make it miss an object (see [`Shared::locate`](crate::shared::Shared::locate)).

use std::collections::BTreeSet;
use std::sync::Arc;

use aistore_core::placement;

use crate::error::StoreError;
use crate::mountpath::SharedMountpath;

/// The mountpaths in use.
#[derive(Debug)]
pub(crate) struct MountpathSet {
    /// All that hold objects: those that take new ones first, then those being drained.
    members: Vec<SharedMountpath>,
    /// Digests of the mountpaths that take new objects, in the order of `members`. Never empty.
    digests: Vec<u64>,
    /// Whether objects may lie elsewhere than placement says.
    pub(crate) scattered: bool,
}

impl MountpathSet {
    /// A set of mountpaths that take new objects, and of others that only give theirs away.
    pub(crate) fn new(
        available: Vec<SharedMountpath>,
        draining: Vec<SharedMountpath>,
        scattered: bool,
    ) -> Result<Self, StoreError> {
        if available.is_empty() {
            let reason = "an object store needs at least one mountpath".to_owned();
            return Err(StoreError::Invalid(reason));
        }
        let digests = available.iter().map(|mountpath| mountpath.digest).collect();
        let mut members = available;
        members.extend(draining);
        Ok(Self { members, digests, scattered })
    }

    /// Every mountpath that holds objects.
    pub(crate) fn members(&self) -> &[SharedMountpath] {
        &self.members
    }

    /// The mountpaths that take new objects.
    pub(crate) fn available(&self) -> &[SharedMountpath] {
        self.members.get(..self.digests.len()).unwrap_or_default()
    }

    /// The mountpaths that are being emptied.
    pub(crate) fn draining(&self) -> &[SharedMountpath] {
        self.members.get(self.digests.len()..).unwrap_or_default()
    }

    /// Identities of all members.
    pub(crate) fn uuids(&self) -> BTreeSet<String> {
        self.members.iter().map(|mountpath| mountpath.uuid.clone()).collect()
    }

    /// The mountpath that an object belongs on.
    #[expect(clippy::indexing_slicing, reason = "a set has an available mountpath")]
    pub(crate) fn own(&self, uname: &str) -> &SharedMountpath {
        &self.members[placement::pick(&self.digests, uname).unwrap_or(0)]
    }

    /// The `count` mountpaths that an object with as many copies belongs on, its own first; fewer when
    /// there are fewer.
    pub(crate) fn ranked(&self, uname: &str, count: usize) -> Vec<SharedMountpath> {
        if count <= 1 {
            return vec![Arc::clone(self.own(uname))];
        }
        let object = placement::digest(uname);
        let mut ranked: Vec<_> = self.available().iter().collect();
        // Equal weights in the order in which `own` resolves them: the later one wins.
        ranked.reverse();
        ranked.sort_by_key(|one| std::cmp::Reverse(placement::weight(one.digest, object)));
        ranked.into_iter().take(count).map(Arc::clone).collect()
    }

    /// The mountpath of the `number`th part of an object: all that take new objects in turn, its own first.
    pub(crate) fn spread(&self, uname: &str, number: usize) -> &SharedMountpath {
        let own = self.own(uname);
        let available = self.available();
        let first = available.iter().position(|one| Arc::ptr_eq(one, own)).unwrap_or(0);
        let at = first.wrapping_add(number.saturating_sub(1)) % available.len().max(1);
        available.get(at).unwrap_or(own)
    }

    /// The mountpath of this digest.
    pub(crate) fn by_digest(&self, digest: u64) -> Option<&SharedMountpath> {
        self.members.iter().find(|mountpath| mountpath.digest == digest)
    }
}
