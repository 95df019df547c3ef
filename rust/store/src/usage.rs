//! Capacity of mountpaths.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::error::StoreError;
use crate::filecount::of_directory;
use crate::mountpath::{Mountpath, SharedMountpath};
use crate::tally::{Amount, BucketUsage, Saved};

/// Capacity of one mountpath's file system.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MountpathUsage {
    /// The mountpath.
    pub path: PathBuf,
    /// Device or source of the mount, as the mount table names it (`/dev/sda1`); empty when unknown.
    pub fs: String,
    /// Type of the file system (`ext4`); empty when unknown.
    pub fs_type: String,
    /// Identity of the file system: the same for two mountpaths on one disk.
    pub fs_id: (i32, i32),
    /// Bytes in use on the file system, by anyone.
    pub used: u64,
    /// Bytes that can still be written.
    pub avail: u64,
    /// Size of the file system in bytes.
    pub total: u64,
}

/// What is stored on one mountpath, exact to the byte.
///
/// Not in it: index, lists of dead records, and the few small files that describe the mountpath.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MountpathStored {
    /// The mountpath.
    pub path: PathBuf,
    /// Whether all of it is counted. After a crash that takes a while, and until then the numbers of buckets,
    /// `upload_parts`, `records` and `files` are too small.
    pub counted: bool,
    /// Objects and copies whose entries are here, by bucket id.
    pub buckets: BTreeMap<u64, BucketUsage>,
    /// Parts of uploads that are not complete, and their payload.
    pub upload_parts: Amount,
    /// Blobs that lie in segments, with all that surrounds them there.
    pub records: Amount,
    /// Segments.
    pub segments: Amount,
    /// What of the segments is known to be waste.
    pub dead_bytes: u64,
    /// Blobs in files of their own, descriptions included.
    pub files: Amount,
    /// Damaged blobs that were set aside.
    pub quarantine: Amount,
    /// Files being written.
    pub tmp: Amount,
    /// Append sessions, marks included.
    pub appends: Amount,
}

/// What is stored on a mountpath.
pub(crate) fn stored(mountpath: &Mountpath) -> MountpathStored {
    // Asked first: what is counted a moment later counts as not yet.
    let counted = mountpath.is_counted();
    let Saved { buckets, upload_parts, records, files } = mountpath.stored();
    let fills = mountpath.segments.fills();
    let of = |name: &str| of_directory(&mountpath.files.path(name));
    MountpathStored {
        path: mountpath.path().to_path_buf(),
        counted,
        buckets,
        upload_parts,
        records,
        segments: Amount {
            count: fills.len() as u64,
            bytes: fills.iter().map(|fill| fill.bytes).sum(),
        },
        dead_bytes: fills.iter().map(|fill| fill.dead).sum(),
        files,
        quarantine: of("quarantine"),
        tmp: of("tmp"),
        appends: of("appends"),
    }
}

/// Starts to count what is stored on a mountpath, where nobody knows.
pub(crate) fn start_count(
    mountpath: &SharedMountpath,
) -> Result<Option<JoinHandle<()>>, StoreError> {
    if mountpath.is_counted() {
        return Ok(None);
    }
    let counted = Arc::clone(mountpath);
    let thread = std::thread::Builder::new().name("store-count".to_owned());
    let started = thread.spawn(move || counted.count());
    let failed = |source| StoreError::io(mountpath.path(), "start the count of", source);
    started.map(Some).map_err(failed)
}

/// Queries the file system of `path`; what cannot be told stays zero or empty.
pub(crate) fn usage(path: &Path) -> MountpathUsage {
    let mut usage = MountpathUsage { path: path.to_owned(), ..MountpathUsage::default() };
    if let Ok(stat) = rustix::fs::statvfs(path) {
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        usage.total = bytes(stat.f_blocks);
        usage.avail = bytes(stat.f_bavail);
        usage.used = bytes(stat.f_blocks.saturating_sub(stat.f_bfree));
        usage.fs_id = (half(stat.f_fsid), half(stat.f_fsid >> 32));
    }
    let device = fs::metadata(path).map(|meta| meta.dev());
    if let (Ok(device), Ok(table)) = (device, fs::read_to_string("/proc/self/mountinfo"))
        && let Some((source, kind)) = find_mount(&table, device)
    {
        (usage.fs, usage.fs_type) = (source.to_owned(), kind.to_owned());
    }
    usage
}

/// The low half of a file system's identity, as the signed number that the wire has.
fn half(id: u64) -> i32 {
    let low = u32::try_from(id & u64::from(u32::MAX)).unwrap_or_default();
    low.cast_signed()
}

/// Finds source and type of a device in a mount table.
///
/// Format: proc_pid_mountinfo(5); fields 3 is `major:minor`, and ` - type source options` ends the line.
fn find_mount(table: &str, device: u64) -> Option<(&str, &str)> {
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let line = table.lines().find(|line| line.split(' ').nth(2) == Some(&device))?;
    let mut after = line.split_once(" - ")?.1.split(' ');
    let (kind, source) = (after.next()?, after.next()?);
    Some((source, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_table_is_searched_by_device() {
        let table = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                     36 22 0:32 / /mnt rw,noatime master:1 shared:2 - tmpfs none rw,errors=continue\n";
        assert_eq!(find_mount(table, rustix::fs::makedev(0, 32)), Some(("none", "tmpfs")));
        assert_eq!(find_mount(table, rustix::fs::makedev(8, 1)), Some(("/dev/sda1", "ext4")));
        assert_eq!(find_mount(table, rustix::fs::makedev(9, 9)), None);
        assert_eq!(find_mount("nonsense 1 0:32", rustix::fs::makedev(0, 32)), None);
    }

    #[test]
    fn usage_of_a_directory_adds_up() {
        let dir = tempfile::tempdir().unwrap();
        let usage = usage(dir.path());
        assert!(usage.total > 0 && usage.used <= usage.total && usage.avail <= usage.total);
    }
}
