//! Changing the set of mountpaths while the store is in use.

use std::path::PathBuf;

use crate::mountpath::SharedMountpath;
use crate::store::Store;

/// The mountpaths of a store by what they are used for, each list sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mountpaths {
    /// Those that objects are read from and written to.
    pub available: Vec<PathBuf>,
    /// Those that are being emptied: read from, but no longer written to.
    pub draining: Vec<PathBuf>,
    /// Those that are known but not used.
    pub disabled: Vec<PathBuf>,
}

impl Store {
    /// The mountpaths as of now.
    pub fn mountpaths(&self) -> Mountpaths {
        let set = self.shared.set();
        Mountpaths {
            available: paths(set.available()),
            draining: paths(set.draining()),
            disabled: Vec::new(),
        }
    }
}

fn paths(mountpaths: &[SharedMountpath]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = mountpaths.iter().map(|one| one.path().to_path_buf()).collect();
    paths.sort();
    paths
}
