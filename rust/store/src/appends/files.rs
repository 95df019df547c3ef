//! The files of append sessions.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use aistore_core::placement;

use super::marks::{self, Mark};
use super::{AppendId, AppendState};
use crate::error::StoreError;
use crate::files::read_dir;
use crate::mountpath::{Mountpath, SharedMountpath};
use crate::shared::Shared;

const DIR: &str = "appends";

/// Name of the file of a session. Carries the object, so that a handle works for no other.
pub(crate) fn name_of(bid: u64, uname: &str, id: u64) -> String {
    format!("{bid:016x}-{:016x}-{id:016x}", placement::digest(uname))
}

pub(crate) fn path_of(mountpath: &Mountpath, bid: u64, uname: &str, id: u64) -> PathBuf {
    mountpath.files.path(DIR).join(name_of(bid, uname, id))
}

pub(crate) fn path_of_name(mountpath: &Mountpath, name: &str) -> PathBuf {
    mountpath.files.path(DIR).join(name)
}

/// Finds the file of a session, on whatever mountpath it was begun.
pub(crate) fn find(
    shared: &Shared,
    bid: u64,
    uname: &str,
    id: u64,
) -> Result<(SharedMountpath, PathBuf), StoreError> {
    for mountpath in shared.set().members() {
        let path = path_of(mountpath, bid, uname, id);
        if path.exists() {
            return Ok((Arc::clone(mountpath), path));
        }
    }
    Err(StoreError::UnknownAppend { id: AppendId(id).to_string() })
}

pub(crate) fn create(path: &Path) -> Result<File, StoreError> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)
            .map_err(|source| StoreError::io(dir, "create the directory", source))?;
    }
    let file = File::options().write(true).read(true).create_new(true).open(path);
    file.map_err(|source| StoreError::io(path, "create", source))
}

/// Opens a session at its end, and cuts off what was not acknowledged.
pub(crate) fn open(
    mountpath: &Mountpath,
    path: &Path,
    state: AppendState,
) -> Result<OpenSession, StoreError> {
    let opened = open_at(mountpath, path, state)?;
    match opened.again {
        Some(stands_at) => Err(conflict(state, stands_at)),
        None => Ok(opened),
    }
}

/// A session that was opened with a handle.
pub(crate) struct OpenSession {
    pub(crate) file: File,
    /// Where the session ends, if the handle is from before the last append.
    pub(crate) again: Option<u64>,
    /// crc32c of all of it, as far as it is known.
    pub(crate) crc32c: Option<u32>,
}

/// Opens a session with the handle of its last append or of the one before.
pub(crate) fn open_at(
    mountpath: &Mountpath,
    path: &Path,
    state: AppendState,
) -> Result<OpenSession, StoreError> {
    let failed = |source| StoreError::io(path, "open", source);
    let file = File::options().write(true).read(true).open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mark = match marks::read(path)? {
        Some(mark) => mark,
        None if mountpath.doubts.any() => {
            let reason = "where it stands was lost with the power: begin it anew".to_owned();
            return Err(StoreError::Corrupt { path: path.to_owned(), reason });
        }
        // A session of an older version has no mark before its next append.
        None => {
            let crc32c = (state.size == 0).then_some(0);
            Mark { before: state.size, size: state.size, crc32c }
        }
    };
    if state.size != mark.size && state.size != mark.before {
        return Err(conflict(state, mark.size));
    }
    if length < mark.size {
        let reason = format!("it has {length} bytes, {} were acknowledged", mark.size);
        return Err(StoreError::Corrupt { path: path.to_owned(), reason });
    }
    if length > mark.size {
        file.set_len(mark.size).map_err(|source| StoreError::io(path, "cut", source))?;
    }
    let again = Some(mark.size).filter(|size| *size != state.size);
    Ok(OpenSession { file, again, crc32c: mark.crc32c })
}

/// The error for a handle that is not the session's last one.
pub(crate) fn conflict(state: AppendState, stands_at: u64) -> StoreError {
    StoreError::AppendConflict { id: state.id.to_string(), stands_at, handle: state.size }
}

/// Removes a session; a failure costs space until the session expires.
pub(crate) fn remove(path: &Path) {
    remove_file(path);
    marks::remove(path);
}

pub(crate) fn remove_file(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove an append session");
    }
}

/// Buckets with append sessions.
pub(crate) fn bids(shared: &Shared) -> Result<BTreeSet<u64>, StoreError> {
    let mut found = BTreeSet::new();
    for_each(shared, |bid, _, _| {
        found.insert(bid);
    })?;
    Ok(found)
}

/// Removes sessions by their bucket and the time of the last append, unless they are being worked on.
pub(crate) fn remove_where(
    shared: &Shared,
    chosen: impl Fn(u64, u64) -> bool,
) -> Result<usize, StoreError> {
    let mut removed = 0;
    for_each(shared, |bid, id, path| {
        let modified = fs::metadata(path).and_then(|meta| meta.modified());
        let since = modified.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let active_ns = since.and_then(|since| u64::try_from(since.as_nanos()).ok());
        if active_ns.is_some_and(|active_ns| chosen(bid, active_ns))
            && let Ok(_busy) = shared.appends.enter(id)
        {
            remove(path);
            removed += 1;
        }
    })?;
    remove_stray_marks(shared)?;
    Ok(removed)
}

/// Removes the marks that a crash left of sessions that have ended.
fn remove_stray_marks(shared: &Shared) -> Result<(), StoreError> {
    for mountpath in shared.set().members() {
        for_each_name(mountpath, |name| {
            let session = marks::session_of(name).and_then(|name| Some((name, parse_name(name)?)));
            if let Some((name, (_, _, id))) = session
                && let Some(_busy) = shared.appends.enter_to_move(id)
                && let path = path_of_name(mountpath, name)
                && !path.exists()
            {
                marks::remove(&path);
            }
        })?;
    }
    Ok(())
}

fn for_each(shared: &Shared, mut see: impl FnMut(u64, u64, &Path)) -> Result<(), StoreError> {
    for mountpath in shared.set().members() {
        for one in on(mountpath)? {
            see(one.bid, one.id, &one.path);
        }
    }
    Ok(())
}

/// A session's file.
pub(crate) struct SessionFile {
    pub(crate) bid: u64,
    /// Digest of the object's name in the cluster.
    pub(crate) object: u64,
    pub(crate) id: u64,
    pub(crate) path: PathBuf,
}

/// The sessions on a mountpath.
pub(crate) fn on(mountpath: &Mountpath) -> Result<Vec<SessionFile>, StoreError> {
    let mut found = Vec::new();
    for_each_name(mountpath, |name| {
        if let Some((bid, object, id)) = parse_name(name) {
            found.push(SessionFile { bid, object, id, path: path_of_name(mountpath, name) });
        }
    })?;
    Ok(found)
}

fn for_each_name(mountpath: &Mountpath, mut see: impl FnMut(&str)) -> Result<(), StoreError> {
    let dir = mountpath.files.path(DIR);
    if !dir.exists() {
        return Ok(());
    }
    for entry in read_dir(&dir)? {
        let entry = entry.map_err(|source| StoreError::io(&dir, "list", source))?;
        if let Some(name) = entry.file_name().to_str() {
            see(name);
        }
    }
    Ok(())
}

/// Bucket id, object and session of a file's name.
fn parse_name(name: &str) -> Option<(u64, u64, u64)> {
    let mut numbers = name.splitn(3, '-').map(|part| u64::from_str_radix(part, 16).ok());
    let (bid, object, id) = (numbers.next()??, numbers.next()??, numbers.next()??);
    Some((bid, object, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let object = placement::digest("ais/@#/b/o");
        assert_eq!(parse_name(&name_of(1 << 63, "ais/@#/b/o", 77)), Some((1 << 63, object, 77)));
        for bad in ["", "1-2", "x-1-2", "1-2-3-4", "1-2-3.at"] {
            assert_eq!(parse_name(bad), None, "{bad}");
        }
    }
}
