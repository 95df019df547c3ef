//! Moving append sessions off mountpaths that are being emptied.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aistore_core::placement;

use super::files::{self, SessionFile};
use super::{COPY_BYTES, marks};
use crate::error::StoreError;
use crate::mountpath::{Mountpath, SharedMountpath};
use crate::set::MountpathSet;
use crate::shared::Shared;

/// Moves every session that nobody works on right now; the others are moved by a later call.
pub(crate) fn vacate(
    shared: &Shared,
    cancel: &AtomicBool,
    mut failed: impl FnMut(&str, &StoreError),
) -> Result<(), StoreError> {
    let set = shared.set();
    for mountpath in set.draining() {
        for session in files::on(mountpath)? {
            let Some(_busy) = shared.appends.enter_to_move(session.id) else { continue };
            match move_one(shared, &set, &session, cancel) {
                Ok(()) => {}
                Err(error @ (StoreError::Cancelled | StoreError::Closed)) => return Err(error),
                Err(error) => failed(&session.path.to_string_lossy(), &error),
            }
        }
    }
    Ok(())
}

/// Whether a session is on a mountpath.
pub(crate) fn any_on(mountpath: &Mountpath) -> Result<bool, StoreError> {
    Ok(!files::on(mountpath)?.is_empty())
}

fn move_one(
    shared: &Shared,
    set: &Arc<MountpathSet>,
    session: &SessionFile,
    cancel: &AtomicBool,
) -> Result<(), StoreError> {
    let weight = |at: &&SharedMountpath| placement::weight(at.digest, session.object);
    let Some(home) = set.available().iter().max_by_key(weight) else { return Ok(()) };
    let from = match File::open(&session.path) {
        Ok(from) => from,
        // Flushed or removed since it was listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(StoreError::io(&session.path, "open", source)),
    };
    let name = session.path.file_name().unwrap_or_default().to_string_lossy();
    let to = files::path_of_name(home, &name);
    // There already: a crash came between the two steps of an earlier move.
    if !to.exists() {
        home.check_writable()?;
        let (tmp, file) = home.files.create_tmp()?;
        let tmp_path = home.files.path("tmp").join(&tmp);
        step!("vacate: session about to be copied");
        let placed = copy(home, &from, &file, session, cancel)
            .and_then(|()| place(shared, set, (&session.path, &tmp_path), &to));
        match placed {
            Ok(true) => {}
            Ok(false) => {
                home.files.remove_tmp(&tmp);
                return Ok(());
            }
            Err(error) => {
                home.files.remove_tmp(&tmp);
                return Err(error);
            }
        }
    }
    step!("vacate: session copied");
    files::remove(&session.path);
    Ok(())
}

/// Copies the bytes and the time of the last append.
fn copy(
    home: &SharedMountpath,
    mut from: &File,
    mut to: &File,
    session: &SessionFile,
    cancel: &AtomicBool,
) -> Result<(), StoreError> {
    let read = |source| StoreError::io(&session.path, "read", source);
    let wrote = |source| StoreError::io(home.path(), "write to", source);
    let about = from.metadata().map_err(read)?;
    home.space.check(&home.files, about.len())?;
    loop {
        if cancel.load(Ordering::Relaxed) {
            return Err(StoreError::Cancelled);
        }
        let mut piece = io::Read::take(&mut from, COPY_BYTES as u64);
        if io::copy(&mut piece, &mut to).map_err(wrote)? == 0 {
            break;
        }
    }
    // The original goes as soon as this has its name.
    to.sync_data().map_err(|source| StoreError::io(home.path(), "sync", source))?;
    let modified = about.modified().map_err(read)?;
    to.set_modified(modified).map_err(wrote)
}

/// Gives the copy its name; `false` when the mountpaths changed meanwhile.
fn place(
    shared: &Shared,
    set: &Arc<MountpathSet>,
    (from, tmp): (&Path, &Path),
    to: &Path,
) -> Result<bool, StoreError> {
    let _open = shared.enter()?;
    if !Arc::ptr_eq(set, &shared.set()) {
        return Ok(false);
    }
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir)
            .map_err(|source| StoreError::io(dir, "create the directory", source))?;
    }
    // Without its session the mark means nothing, so it goes first.
    if let Some(mark) = marks::read(from)? {
        marks::write(to, mark, true)?;
    }
    step!("vacate: mark written elsewhere");
    fs::rename(tmp, to).map_err(|source| StoreError::io(to, "create", source))?;
    let named = to.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all());
    named.map_err(|source| StoreError::io(to, "sync", source))?;
    Ok(true)
}
