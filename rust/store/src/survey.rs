//! What the mountpaths hold under one key: the object, its copies, and what a crash or a change of the
//! mountpaths left behind.

use std::sync::Arc;

use crate::error::StoreError;
use crate::meta::{ObjectMeta, Place, Role};
use crate::mountpath::SharedMountpath;
use crate::set::MountpathSet;

/// One index entry.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) mountpath: SharedMountpath,
    pub(crate) role: Role,
    pub(crate) meta: ObjectMeta,
}

impl Found {
    /// Where its blob lies.
    pub(crate) fn place(&self) -> Place {
        Place { mountpath: self.mountpath.digest, blob: self.meta.blob }
    }

    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mountpath, &other.mountpath)
            && self.role == other.role
            && self.meta == other.meta
    }
}

/// All entries under one key.
#[derive(Debug)]
pub(crate) struct Survey(pub(crate) Vec<Found>);

impl Survey {
    /// Looks at every mountpath of the set. One whose index fails counts as empty if `tolerant`.
    pub(crate) fn of(set: &MountpathSet, key: &[u8], tolerant: bool) -> Result<Self, StoreError> {
        let mut found = Vec::new();
        for mountpath in set.members() {
            match mountpath.entry(key) {
                Ok(Some((role, meta))) => {
                    found.push(Found { mountpath: Arc::clone(mountpath), role, meta });
                }
                Ok(None) => {}
                Err(error) if tolerant => {
                    tracing::warn!(%error, "a mountpath is passed over");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Self(found))
    }

    /// The entry that is the object: the newest of role object; when `orphans` is set and there is none,
    /// the newest copy, whose object was lost with its mountpath.
    pub(crate) fn main(&self, orphans: bool) -> Option<&Found> {
        let objects = self.0.iter().filter(|found| found.role == Role::Object);
        let newest = objects.max_by_key(|found| found.meta.blob);
        newest.or_else(|| {
            let copies = self.0.iter().filter(|_| orphans);
            let copies = copies.filter_map(|found| match found.role {
                Role::Copy { main } => Some((main.blob, found)),
                _ => None,
            });
            copies.max_by_key(|(blob, found)| (*blob, found.meta.blob)).map(|(_, found)| found)
        })
    }

    /// The copies of the same content as `main`, itself left out.
    pub(crate) fn copies_of<'s>(&'s self, main: &Found) -> impl Iterator<Item = &'s Found> {
        let (place, generation) = (main.place(), generation(main));
        self.0.iter().filter(move |found| {
            found.place() != place
                && matches!(found.role, Role::Copy { main } if main == generation)
        })
    }

    /// Whether two looks saw the same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        self.0.len() == other.0.len() && pairs.into_iter().all(|(a, b)| a.same(b))
    }
}

/// The main blob that copies of this content name.
fn generation(main: &Found) -> Place {
    match main.role {
        Role::Copy { main } => main,
        _ => main.place(),
    }
}
