//! Capacity of mountpaths.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

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
