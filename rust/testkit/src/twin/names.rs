//! Calls on names.

use std::sync::MutexGuard;

use super::{State, Twin, error, failure};
use crate::events::Event;
use crate::faults::Call;
use crate::trap::{self, Arguments, identify, kernel};
use crate::tree::{Id, ROOT};

/// A name in a directory, whether it is in use or not.
pub(super) struct Place {
    parent: Id,
    name: Vec<u8>,
}

impl Place {
    fn name(&self) -> (Id, &[u8]) {
        (self.parent, &self.name)
    }
}

impl Twin {
    pub(super) fn open(&self, at: usize, path: usize, flags: usize, mode: usize) -> Option<isize> {
        let asks = |flag: i32| flags & flag as usize == flag as usize;
        let (mut state, place) = self.resolve(at, path)?;
        if asks(libc::O_TMPFILE) {
            return Some(error(libc::EOPNOTSUPP));
        }
        let known = state.tree.child(place.parent, &place.name);
        let makes = asks(libc::O_CREAT) && known.is_none();
        let call = if makes { Call::Create } else { Call::Open };
        if let Some(failed) = failure(state.decide_name(call, place.name())) {
            return Some(failed);
        }
        let done = kernel(libc::SYS_openat, [at, path, flags, mode, 0, 0]);
        let Ok(descriptor) = usize::try_from(done) else { return Some(done) };
        match known {
            None if makes => {
                if let Some(stat) = identify(descriptor) {
                    self.made(&mut state, &stat, place, false);
                }
            }
            Some(id) if asks(libc::O_TRUNC) => self.emptied(&mut state, id),
            _ => {}
        }
        Some(done)
    }

    pub(super) fn make_dir(&self, at: usize, path: usize, mode: usize) -> Option<isize> {
        let (mut state, place) = self.resolve(at, path)?;
        if let Some(failed) = failure(state.decide_name(Call::MakeDir, place.name())) {
            return Some(failed);
        }
        let done = kernel(libc::SYS_mkdirat, [at, path, mode, 0, 0, 0]);
        if done == 0
            && let Some(stat) = identify_at(at, path)
        {
            self.made(&mut state, &stat, place, true);
        }
        Some(done)
    }

    pub(super) fn remove(&self, at: usize, path: usize, flags: usize) -> Option<isize> {
        let (mut state, place) = self.resolve(at, path)?;
        if let Some(failed) = failure(state.decide_name(Call::Remove, place.name())) {
            return Some(failed);
        }
        let done = kernel(libc::SYS_unlinkat, [at, path, flags, 0, 0, 0]);
        if done == 0 {
            if let Some((id, true)) = state.tree.remove(place.parent, &place.name) {
                state.forget(id);
            }
            let Place { parent, name } = place;
            self.record(&mut state, &Event::Remove { parent, name });
        }
        Some(done)
    }

    pub(super) fn rename(
        &self,
        from: (usize, usize),
        to: (usize, usize),
        flags: usize,
    ) -> Option<isize> {
        let (state, old) = self.resolve(from.0, from.1).unzip();
        drop(state);
        let (state, new) = self.resolve(to.0, to.1).unzip();
        let (mut state, old, new) = match (state, old, new) {
            (_, None, None) => return None,
            (Some(state), Some(old), Some(new)) => (state, old, new),
            _ => return Some(refused(libc::SYS_renameat2, [from.0, from.1, to.0, to.1, flags, 0])),
        };
        if flags & libc::RENAME_EXCHANGE as usize != 0 {
            return Some(error(libc::EINVAL));
        }
        let failed = state.decide_name(Call::Rename, old.name());
        let failed = failed.or_else(|| state.decide_name(Call::Rename, new.name()));
        if let Some(failed) = failure(failed) {
            return Some(failed);
        }
        let done = kernel(libc::SYS_renameat2, [from.0, from.1, to.0, to.1, flags, 0]);
        if done == 0 {
            if let Some(gone) = state.tree.rename(old.name(), new.name()) {
                state.forget(gone);
            }
            let (from, to) = (old.parent, new.parent);
            let event = Event::Rename { from, to, old: old.name, new: new.name };
            self.record(&mut state, &event);
        }
        Some(done)
    }

    pub(super) fn link(
        &self,
        from: (usize, usize),
        to: (usize, usize),
        flags: usize,
    ) -> Option<isize> {
        let (state, old) = self.resolve(from.0, from.1).unzip();
        drop(state);
        let (state, new) = self.resolve(to.0, to.1).unzip();
        let (mut state, old, new) = match (state, old, new) {
            (_, None, None) => return None,
            (Some(state), Some(old), Some(new)) => (state, old, new),
            _ => return Some(refused(libc::SYS_linkat, [from.0, from.1, to.0, to.1, flags, 0])),
        };
        if let Some(failed) = failure(state.decide_name(Call::Rename, new.name())) {
            return Some(failed);
        }
        let done = kernel(libc::SYS_linkat, [from.0, from.1, to.0, to.1, flags, 0]);
        if done == 0
            && let Some(id) = state.tree.child(old.parent, &old.name)
        {
            state.tree.add(id, new.parent, &new.name, false);
            let Place { parent, name } = new;
            self.record(&mut state, &Event::Link { id, parent, name });
        }
        Some(done)
    }

    fn made(&self, state: &mut State, stat: &libc::stat, place: Place, dir: bool) {
        let id = state.new_id();
        let Place { parent, name } = place;
        state.tree.add(id, parent, &name, dir);
        state.inodes.insert((stat.st_dev, stat.st_ino), id);
        self.record(state, &Event::Create { id, parent, dir, name });
    }

    /// The place that a path leads to, if it is below the directory.
    pub(super) fn resolve(&self, at: usize, path: usize) -> Option<(MutexGuard<'_, State>, Place)> {
        let path = path_of(path)?;
        // No memory is taken before it is known to be below: the allocator itself opens a file of /proc, under a
        // lock that it would want again.
        let (from, relative) = if path.starts_with(b"/") {
            (None, self.below(path)?.to_vec())
        } else if at as i32 == libc::AT_FDCWD {
            let whole = [&self.working[..], path].join(&b'/');
            (None, self.below(&whole)?.to_vec())
        } else {
            (Some(identify(at)?), path.to_vec())
        };
        let state = self.lock();
        let from = match from {
            Some(stat) => *state.inodes.get(&(stat.st_dev, stat.st_ino))?,
            None => ROOT,
        };
        let mut parts: Vec<&[u8]> =
            relative.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
        let name = parts.pop()?.to_vec();
        if matches!(name.as_slice(), b"." | b"..") {
            return None;
        }
        let parent = state.tree.walk(from, parts.into_iter())?;
        state.tree.is_dir(parent).then_some((state, Place { parent, name }))
    }

    /// The part of a path below the directory.
    fn below<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        self.roots.iter().find_map(|root| path.strip_prefix(&root[..])?.strip_prefix(b"/"))
    }
}

impl State {
    /// Something has no name any more. Who has it open may go on, but its number may be given to others.
    fn forget(&mut self, id: Id) {
        self.inodes.retain(|_, known| *known != id);
        self.tree.nodes.remove(&id);
    }
}

/// A call with one name that is below the directory and one that leads nowhere, or outside. The former fails;
/// the latter cannot be recorded.
fn refused(number: libc::c_long, arguments: Arguments) -> isize {
    let done = kernel(number, arguments);
    assert!(done < 0, "renames and links from or to outside of the directory are not supported");
    done
}

#[allow(unsafe_code, reason = "memory of the caller")]
fn path_of<'call>(address: usize) -> Option<&'call [u8]> {
    // SAFETY: the address is the path argument of the call being done.
    unsafe { trap::path_of(address) }
}

fn identify_at(at: usize, path: usize) -> Option<libc::stat> {
    let flags = (libc::O_PATH | libc::O_CLOEXEC | libc::O_NOFOLLOW) as usize;
    let opened = kernel(libc::SYS_openat, [at, path, flags, 0, 0, 0]);
    let descriptor = usize::try_from(opened).ok()?;
    let stat = identify(descriptor);
    kernel(libc::SYS_close, [descriptor, 0, 0, 0, 0, 0]);
    stat
}
