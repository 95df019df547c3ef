//! Mountpaths that would get into each other's way.
//!
//! One inside another shares its disk and lies where the outer one keeps its own files, and one that contains
//! the data directory holds the identity of its own node. A mountpath inside the data directory is fine.

use std::path::{Path, PathBuf};

/// Most bytes of a mountpath's path.
const MAX_BYTES: usize = 255;

/// Refuses mountpaths that cannot be used together. `dir` is the target's part of the data directory. Blocks.
///
/// # Errors
///
/// Text for the operator.
pub(super) fn check(mountpaths: &[PathBuf], dir: &Path) -> Result<(), String> {
    for (at, path) in mountpaths.iter().enumerate() {
        check_one(path, &mountpaths[..at], dir)
            .map_err(|reason| format!("mountpath {}: {reason}", path.display()))?;
    }
    Ok(())
}

/// Refuses a mountpath that cannot be used beside `others`, of which it may be one. `dir` is the target's part
/// of the data directory. Blocks.
///
/// # Errors
///
/// Text for the operator, without the mountpath in front.
pub(crate) fn check_one(mountpath: &Path, others: &[PathBuf], dir: &Path) -> Result<(), String> {
    if mountpath.as_os_str().len() > MAX_BYTES {
        return Err(format!("its path is over {MAX_BYTES} bytes: use a shorter one"));
    }
    let path = real(mountpath);
    if path.parent().is_none() {
        return Err(
            "the root directory cannot be a mountpath: use a directory on a disk".to_owned()
        );
    }
    let data_dir = real(dir).parent().map(Path::to_path_buf).unwrap_or_default();
    if data_dir.starts_with(&path) {
        return Err(format!(
            "{} contains the data directory {}: use a directory beside or inside it",
            mountpath.display(),
            data_dir.display()
        ));
    }
    for own in ["gateway", "target"].map(|role| data_dir.join(role)) {
        if path.starts_with(&own) {
            return Err(format!(
                "{} is inside {}, where the node keeps its own files: use a directory elsewhere",
                mountpath.display(),
                own.display()
            ));
        }
    }
    for other in others.iter().filter(|other| *other != mountpath) {
        let that = real(other);
        let how = if path == that {
            "is the same directory as"
        } else if path.starts_with(&that) {
            "is inside"
        } else if that.starts_with(&path) {
            "contains"
        } else {
            continue;
        };
        return Err(format!(
            "{} {how} mountpath {}: use one of them, or directories that do not contain each other",
            mountpath.display(),
            other.display()
        ));
    }
    Ok(())
}

/// Without links and dots, as far as the path exists.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for part in path.ancestors() {
        if let Ok(found) = part.canonicalize() {
            return path.strip_prefix(part).map_or(found.clone(), |rest| {
                found.components().chain(rest.components()).collect()
            });
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountpaths_do_not_nest() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let dir = root.join("data/target");
        let path = |name: &str| root.join(name);
        for name in ["data/target", "data/mp", "a/inner", "ab"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        std::os::unix::fs::symlink(path("a"), path("link")).unwrap();
        check(&[path("a"), path("ab"), path("data/mp"), path("not-there")], &dir).unwrap();
        check_one(&path("a"), &[path("a")], &dir).unwrap();
        let text = check(&[path("a"), path("a/inner")], &dir).unwrap_err();
        assert!(text.contains("a/inner is inside mountpath") && text.contains("use "), "{text}");
        let refused = [("a", "contains"), ("link", "contains"), ("link/inner/new", "is inside")];
        for (name, how) in refused {
            let text = check_one(&path(name), &[path("ab"), path("a/inner")], &dir).unwrap_err();
            assert!(text.contains(how) && text.contains("a/inner"), "{text}");
        }
        let text = check_one(&path("link"), &[path("a")], &dir).unwrap_err();
        assert!(text.contains("the same directory"), "{text}");
        for name in ["", "data"] {
            let text = check_one(&path(name), &[], &dir).unwrap_err();
            assert!(text.contains("contains the data directory"), "{text}");
        }
        check_one(&path("data/target/mp"), &[], &dir).unwrap_err();
        check_one(Path::new("/"), &[], &dir).unwrap_err();
        check_one(&path(&"x".repeat(255)), &[], &dir).unwrap_err();
    }
}
