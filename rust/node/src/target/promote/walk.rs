//! Finding the files to promote. Blocks on the disk.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use aistore_core::error::ApiError;
use aistore_core::placement::digest;
use aistore_core::promote::{PromoteArgs, invalid_source};
use aistore_store::is_mountpath;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

/// Files compared to tell whether targets see the same source.
const MAX_COMPARED: u64 = 10_000;
/// Deepest directory that is entered.
const MAX_DEPTH: usize = 64;

/// A file to promote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Name of the object that it becomes.
    pub(super) name: String,
}

/// What a target sees of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sight {
    /// Files, at most the number that is compared.
    pub(crate) files: u64,
    /// Made of their names and sizes.
    pub(crate) digest: u64,
}

/// Looks at the source without changing anything.
pub(super) fn look(roots: &[PathBuf], args: &PromoteArgs) -> Result<Sight, ApiError> {
    let mut sight = Sight::default();
    walk(roots, args, |found, size| {
        sight.files += 1;
        sight.digest = sight.digest.wrapping_add(digest(&format!("{size} {}", found.name)));
        Ok(sight.files < MAX_COMPARED)
    })?;
    Ok(sight)
}

/// Hands every file of the source, in the order of their names, to `each` until it answers false.
pub(super) fn walk(
    roots: &[PathBuf],
    args: &PromoteArgs,
    mut each: impl FnMut(Found, u64) -> Result<bool, ApiError>,
) -> Result<(), ApiError> {
    let source = Path::new(&args.src);
    let meta = check_source(roots, source)?;
    if meta.is_file() {
        each(Found { path: source.to_owned(), name: args.file_name() }, meta.len())?;
        return Ok(());
    }
    if !meta.is_dir() {
        return Err(invalid_source(&args.src, "it is neither a file nor a directory"));
    }
    let mut open = vec![sorted(source)?];
    while let Some(entries) = open.last_mut() {
        let Some(path) = entries.pop() else {
            open.pop();
            continue;
        };
        // Symbolic links and special files are passed over: they could lead anywhere.
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() && args.rcr && open.len() < MAX_DEPTH {
            if is_mountpath(&path) {
                tracing::warn!(path = %path.display(), "not promoted: it is a mountpath");
                continue;
            }
            open.push(sorted(&path)?);
        } else if meta.is_file() {
            let relative = path.strip_prefix(source).ok().and_then(Path::to_str);
            let Some(relative) = relative else {
                tracing::warn!(path = %path.display(), "not promoted: its name is not UTF-8");
                continue;
            };
            let name = args.member_name(relative);
            if !each(Found { path, name }, meta.len())? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A source must be a root or lie under one, and no part of it below may be a symbolic link.
fn check_source(roots: &[PathBuf], source: &Path) -> Result<Metadata, ApiError> {
    let text = source.to_string_lossy();
    let Some(root) = roots.iter().find(|root| source.starts_with(root)) else {
        let allowed: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
        return Err(invalid_source(
            &text,
            &format!("it must be {} or under it (option --promote-root)", allowed.join(" or ")),
        ));
    };
    let mut meta = fs::metadata(root).map_err(|err| failed(root, &err))?;
    let mut path = root.clone();
    for part in source.strip_prefix(root).unwrap_or(Path::new("")) {
        path.push(part);
        meta = fs::symlink_metadata(&path).map_err(|err| failed(&path, &err))?;
        if meta.is_symlink() {
            return Err(invalid_source(&text, &format!("{} is a symbolic link", path.display())));
        }
    }
    // The blobs of a store are no files to promote, let alone to delete.
    let whole = root.canonicalize().map_err(|err| failed(root, &err))?;
    let whole = whole.join(source.strip_prefix(root).unwrap_or(Path::new("")));
    if let Some(mountpath) = whole.ancestors().find(|path| is_mountpath(path)) {
        let reason = format!("{} is a mountpath, where objects are stored", mountpath.display());
        return Err(invalid_source(&text, &reason));
    }
    Ok(meta)
}

/// Entries in descending order, to be popped in ascending order.
fn sorted(directory: &Path) -> Result<Vec<PathBuf>, ApiError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    let mut paths = read().map_err(|err| failed(directory, &err))?;
    paths.sort_unstable_by(|a, b| b.cmp(a));
    Ok(paths)
}

fn failed(path: &Path, err: &io::Error) -> ApiError {
    invalid_source(&path.to_string_lossy(), &format!("cannot be read on this target: {err}"))
}

/// Opens a file that was found, if it is still a file, with its size. `None` when it is gone.
pub(super) fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(err) => return Err(err.into()),
    };
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok(Some((file, meta.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: &Path, args: &PromoteArgs) -> Result<Vec<String>, ApiError> {
        let mut names = Vec::new();
        walk(&[root.to_owned()], args, |found, _| {
            names.push(found.name);
            Ok(true)
        })?;
        Ok(names)
    }

    #[test]
    fn files_are_found_in_order_and_links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir_all(root.join("d/sub")).unwrap();
        for file in ["d/b", "d/a", "d/sub/c", "outside"] {
            fs::write(root.join(file), file).unwrap();
        }
        std::os::unix::fs::symlink("/etc", root.join("d/link")).unwrap();
        let args = |src: PathBuf, rcr| PromoteArgs {
            src: src.to_str().unwrap().to_owned(),
            obj: "p/".into(),
            rcr,
            ..PromoteArgs::default()
        };
        assert_eq!(names(&root, &args(root.join("d"), false)).unwrap(), ["p/a", "p/b"]);
        let all = names(&root, &args(root.join("d"), true)).unwrap();
        assert_eq!(all, ["p/a", "p/b", "p/sub/c"]);
        assert_eq!(names(&root, &args(root.join("outside"), false)).unwrap(), ["p/outside"]);
        for bad in [root.join("d/link"), root.join("d/link/passwd"), root.join("none")] {
            let err = names(&root, &args(bad, true)).unwrap_err();
            assert!(
                err.status == 400 && err.message.starts_with("invalid promote source"),
                "{err}"
            );
        }
        let err = names(&root, &args("/etc/passwd".into(), true)).unwrap_err();
        assert!(err.message.contains("root or under it"), "{err}");
        for file in ["d/sub/mp/ais/format.json", "d/sub/mp/ais/lock", "d/sub/mp/ais/blobs/1"] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
        assert_eq!(names(&root, &args(root.join("d"), true)).unwrap(), all, "no blobs");
        for inside in ["d/sub/mp", "d/sub/mp/ais", "d/sub/mp/ais/blobs", "d/sub/mp/ais/blobs/1"] {
            let err = names(&root, &args(root.join(inside), true)).unwrap_err();
            assert!(err.message.contains("sub/mp is a mountpath"), "{err}");
        }
        let sight = look(std::slice::from_ref(&root), &args(root.join("d"), true)).unwrap();
        assert_eq!(sight.files, 3);
        assert_ne!(sight, look(std::slice::from_ref(&root), &args(root.join("d"), false)).unwrap());
    }
}
