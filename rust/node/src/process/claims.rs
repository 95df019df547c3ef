//! Which node a mountpath belongs to, and which mountpaths a node has.
//!
//! Bucket ids mean something only within one cluster, and a bucket that is unknown is dropped: a
//! mountpath opened by the wrong node would lose its data. And a disk that is not mounted must stop
//! the start, because its objects would look deleted.

use std::io;
use std::path::{Path, PathBuf};

use super::identity::write_atomically;

/// File under a mountpath that holds the id of its node.
const OWNER: &str = "ais/owner";
/// File in a target's data directory that lists its mountpaths.
const RECORD: &str = "mountpaths.json";

/// Refuses mountpaths of another node, and a start without a mountpath that this node has used.
/// `dir` is the target's data directory. Blocks.
///
/// # Errors
///
/// Text for the operator.
pub(super) fn check(mountpaths: &[PathBuf], id: &str, dir: &Path) -> Result<(), String> {
    for path in mountpaths {
        if let Some(owner) = owner(path)?
            && owner != id
        {
            return Err(format!(
                "mountpath {} belongs to target {owner}, and this data directory is that of target {id}: use the --data-dir that belongs to it, or an empty --mountpath",
                path.display()
            ));
        }
    }
    let given: Vec<PathBuf> = mountpaths.iter().map(|path| absolute(path)).collect();
    let record = dir.join(RECORD);
    for known in known(&record)? {
        let remedy =
            format!("to give up what it held, remove it from {} and start again", record.display());
        if !given.contains(&known) {
            return Err(format!(
                "mountpath {0} of this target is not given, and its objects would look deleted: add --mountpath {0}; {remedy}",
                known.display()
            ));
        }
        if owner(&known)?.is_none() {
            return Err(format!(
                "mountpath {} of this target is empty, and its objects would look deleted: mount its disk; {remedy}",
                known.display()
            ));
        }
    }
    Ok(())
}

/// Marks opened mountpaths as this node's. Blocks.
///
/// # Errors
///
/// Text for the operator.
pub(crate) fn record(mountpaths: &[PathBuf], id: &str, dir: &Path) -> Result<(), String> {
    let failed = |path: &Path, err: &dyn std::fmt::Display| {
        format!("cannot write {}: {err}", path.display())
    };
    // Those are marked already; one whose disk is gone must not get the mark where the disk was.
    let marked = known(&dir.join(RECORD))?;
    for path in mountpaths {
        if !marked.contains(&absolute(path)) && owner(path)?.is_none() {
            let file = path.join(OWNER);
            write_atomically(&file, id.as_bytes()).map_err(|err| failed(&file, &err))?;
        }
    }
    let given: Vec<PathBuf> = mountpaths.iter().map(|path| absolute(path)).collect();
    let file = dir.join(RECORD);
    let text = serde_json::to_vec_pretty(&given).map_err(|err| failed(&file, &err))?;
    write_atomically(&file, &text).map_err(|err| failed(&file, &err))
}

/// Refuses a mountpath of another node. Blocks.
///
/// # Errors
///
/// Text for the operator.
pub(crate) fn check_one(mountpath: &Path, id: &str) -> Result<(), String> {
    match owner(mountpath)? {
        Some(owner) if owner != id => {
            Err(format!("it belongs to target {owner}: detach it there first, or use an empty one"))
        }
        _ => Ok(()),
    }
}

/// Gives a mountpath up, so that another node may take it. Blocks.
pub(crate) fn release(mountpath: &Path, id: &str) {
    if matches!(owner(mountpath), Ok(Some(owner)) if owner == id)
        && let Err(err) = std::fs::remove_file(mountpath.join(OWNER))
    {
        tracing::warn!(mountpath = %mountpath.display(), error = %err, "cannot give it up");
    }
}

fn owner(mountpath: &Path) -> Result<Option<String>, String> {
    let file = mountpath.join(OWNER);
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(err)
            if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(err) => Err(format!("cannot read {}: {err}", file.display())),
    }
}

fn known(record: &Path) -> Result<Vec<PathBuf>, String> {
    let text = match std::fs::read(record) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(format!("cannot read {}: {err}", record.display())),
    };
    serde_json::from_slice(&text).map_err(|err| {
        format!(
            "{} is damaged ({err}): write the target's mountpaths into it as a JSON list",
            record.display()
        )
    })
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mountpath_of_another_node_or_a_lost_one_stops_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        for path in [&one, &two] {
            std::fs::create_dir_all(path.join("ais")).unwrap();
        }
        let both = [one.clone(), two.clone()];
        check(&both, "tA", folder.path()).unwrap();
        record(&both, "tA", folder.path()).unwrap();
        check(&both, "tA", folder.path()).unwrap();
        // As when a disk is lost while the node runs.
        std::fs::rename(&two, folder.path().join("away")).unwrap();
        record(&both, "tA", folder.path()).unwrap();
        std::fs::rename(folder.path().join("away"), &two).unwrap();

        let fresh = tempfile::tempdir().unwrap();
        let foreign = check(&both, "tB", fresh.path()).unwrap_err();
        assert!(foreign.contains("one") && foreign.contains("tA"), "{foreign}");

        let missing = check(&both[..1], "tA", folder.path()).unwrap_err();
        assert!(missing.contains("two") && missing.contains("not given"), "{missing}");

        std::fs::remove_dir_all(&two).unwrap();
        let unmounted = check(&both, "tA", folder.path()).unwrap_err();
        assert!(unmounted.contains("two") && unmounted.contains("mount"), "{unmounted}");
    }
}
