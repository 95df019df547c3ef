//! How much memory this process may use, as the system says: control groups, then the machine.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// A limit of this many bytes and more is no limit: version 1 writes the largest page count for "none".
const NO_LIMIT: u64 = 1 << 60;

/// The memory that this process can have, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) bytes: u64,
    /// For messages: `memory.max of /sys/fs/cgroup/x`, or `the machine's memory`.
    pub(crate) source: String,
}

/// The least of what the control groups of this process and the machine allow; `None` when nothing can be
/// read.
pub(crate) fn own() -> Option<Limit> {
    below(Path::new("/"))
}

/// As [`own`], reading the files below another root.
fn below(root: &Path) -> Option<Limit> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
    let of_groups = groups.lines().flat_map(|line| group_limits(root, line, &mounts));
    of_groups.chain(physical(root)).min_by_key(|limit| limit.bytes)
}

fn physical(root: &Path) -> Option<Limit> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(Limit { bytes: kib.saturating_mul(1024), source: "the machine's memory".to_owned() })
}

/// Limits of one group of this process and of all above it. A line is `hierarchy:controllers:path`.
fn group_limits(root: &Path, line: &str, mounts: &str) -> Vec<Limit> {
    let mut fields = line.splitn(3, ':');
    let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
    else {
        return Vec::new();
    };
    let (version_two, names): (bool, &[&str]) = if controllers.is_empty() {
        (true, &["memory.max", "memory.high"])
    } else if controllers.split(',').any(|name| name == "memory") {
        (false, &["memory.limit_in_bytes"])
    } else {
        return Vec::new();
    };
    let mounted = mounts.lines().filter_map(|mount| Mount::parse(mount, version_two));
    mounted.flat_map(|mount| mount.limits(root, Path::new(path), names)).collect()
}

/// Where a hierarchy of groups is mounted, and which group is seen there.
struct Mount {
    group: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// Reads a line of `mountinfo`: `id parent device root point options … - type source options`.
    fn parse(line: &str, version_two: bool) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split_whitespace();
        let kind = right.next()?;
        let options = right.nth(1).unwrap_or_default();
        let wanted = if version_two {
            kind == "cgroup2"
        } else {
            kind == "cgroup" && options.split(',').any(|option| option == "memory")
        };
        let mut left = left.split_whitespace().skip(3);
        let (group, point) = (left.next()?, left.next()?);
        wanted.then(|| Self { group: group.into(), point: point.into() })
    }

    fn limits(&self, root: &Path, path: &Path, names: &[&str]) -> Vec<Limit> {
        // In a container the mount may show the container's own group as its root, while the process is
        // told its path from the host's root; or the path leads out of what is mounted. What is
        // mounted is then the best there is.
        let inner = path.strip_prefix(&self.group).or_else(|_| path.strip_prefix("/"));
        let inner = inner.ok().filter(|path| {
            path.components().all(|part| matches!(part, Component::Normal(_)))
                && root.join(relative(&self.point)).join(path).is_dir()
        });
        let mut found = Vec::new();
        for group in inner.unwrap_or(Path::new("")).ancestors() {
            let shown = self.point.join(group);
            for name in names {
                let file = shown.join(name);
                let Ok(text) = fs::read_to_string(root.join(relative(&file))) else { continue };
                // "max" is no number, and no limit.
                let Ok(bytes) = text.trim().parse::<u64>() else { continue };
                if bytes < NO_LIMIT {
                    let group = shown.display().to_string();
                    let group = group.trim_end_matches('/');
                    found.push(Limit { bytes, source: format!("{name} of {group}") });
                }
            }
        }
        found
    }
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        directory
    }

    fn found(files: &[(&str, &str)]) -> (u64, String) {
        let tree = tree(files);
        let limit = below(tree.path()).unwrap();
        (limit.bytes, limit.source)
    }

    #[test]
    fn the_least_of_the_own_group_and_its_ancestors_counts() {
        let mut files = vec![
            ("proc/meminfo", "MemFree: 1 kB\nMemTotal:    8388608 kB\n"),
            ("proc/self/cgroup", "0::/pods/pod1/node\n"),
            ("proc/self/mountinfo", V2),
            ("sys/fs/cgroup/pods/pod1/node/memory.max", "max\n"),
            ("sys/fs/cgroup/pods/pod1/node/memory.high", "max\n"),
            ("sys/fs/cgroup/pods/pod1/memory.max", "4294967296\n"),
            ("sys/fs/cgroup/pods/memory.max", "6442450944\n"),
        ];
        let of_pod = "memory.max of /sys/fs/cgroup/pods/pod1".to_owned();
        assert_eq!(found(&files), (4 << 30, of_pod));
        files.push(("sys/fs/cgroup/pods/memory.high", "1073741824\n"));
        assert_eq!(found(&files), (1 << 30, "memory.high of /sys/fs/cgroup/pods".to_owned()));
        assert_eq!(found(&files[..5]), (8 << 30, "the machine's memory".to_owned()));
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_root() {
        for path in ["0::/\n", "0::/../../other\n", "0::/docker/0123\n"] {
            let files = [
                ("proc/meminfo", "MemTotal: 8388608 kB\n"),
                ("proc/self/cgroup", path),
                ("proc/self/mountinfo", V2),
                ("sys/fs/cgroup/memory.max", "268435456\n"),
            ];
            assert_eq!(found(&files), (256 << 20, "memory.max of /sys/fs/cgroup".to_owned()));
        }
    }

    #[test]
    fn version_one_is_read_too_and_its_largest_number_is_no_limit() {
        let mounts = "36 25 0:32 /docker/1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      37 25 0:33 /docker/1 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let mut files = vec![
            ("proc/meminfo", "MemTotal: 8388608 kB\n"),
            ("proc/self/cgroup", "5:cpu:/docker/1\n4:memory:/docker/1/inner\n0::/\n"),
            ("proc/self/mountinfo", mounts),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(found(&files).0, 8 << 30);
        files.push(("sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "1048576\n"));
        assert_eq!(found(&files).0, 1 << 20);
    }

    #[test]
    fn what_cannot_be_read_is_no_limit() {
        assert_eq!(below(Path::new("/no/such/root")), None);
        let junk = [
            ("proc/meminfo", "MemTotal: many kB\n"),
            ("proc/self/cgroup", "junk\n0:\n::\n"),
            ("proc/self/mountinfo", "junk - \n - cgroup2\n"),
        ];
        assert_eq!(below(tree(&junk).path()), None);
        assert!(own().is_some_and(|limit| limit.bytes > 0), "this machine has memory");
    }
}
