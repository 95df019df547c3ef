//! What becomes of the calls of this process below one directory.

#![allow(
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::many_single_char_names,
    reason = "arguments of calls are registers, which hold numbers of each kind and have no names"
)]

mod content;
mod names;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::events::Event;
use crate::faults::{Call, Fault, Hit, Plan, Rule};
use crate::trap::{self, Arguments, identify, kernel};
use crate::tree::{Id, ROOT, Tree};

/// The one of this process.
static TWIN: OnceLock<Twin> = OnceLock::new();

/// The file system as this process sees it below one directory.
///
/// Only this process may change what is there, and it may start no other: see the note on filters in `trap`.
/// Nothing is brought to the real disk: syncs below the directory are recorded, and return at once. Not seen: writes through memory maps, and links to places outside. `O_TMPFILE`, symbolic links and renames
/// from and to outside are refused below the directory, with errors that programs expect of such calls.
#[derive(Debug)]
pub struct Twin {
    /// Paths of the directory: as given, and without links.
    roots: Vec<Vec<u8>>,
    /// The directory of the process.
    working: Vec<u8>,
    log: Option<OwnedFd>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tree: Tree,
    /// Files and directories by device and inode.
    inodes: HashMap<(u64, u64), Id>,
    next: Id,
    /// Events so far.
    count: u64,
    plan: Plan,
}

impl Twin {
    /// Puts itself between this process and the kernel, for all that is below `directory`, for good. Changes go to
    /// the file `log`, which is made anew and must lie elsewhere. A second call fails.
    pub fn install(directory: &Path, log: Option<&Path>) -> io::Result<&'static Self> {
        let canonical = directory.canonicalize()?;
        let given = std::path::absolute(directory)?;
        let mut roots = vec![canonical.as_os_str().as_bytes().to_vec()];
        if given != canonical {
            roots.push(given.into_os_string().into_vec());
        }
        let log = log.map(fs::File::create).transpose()?.map(OwnedFd::from);
        let working = std::env::current_dir()?.into_os_string().into_vec();
        let twin = Self { roots, working, log, state: Mutex::default() };
        {
            let mut state = twin.lock();
            let meta = fs::metadata(&canonical)?;
            state.inodes.insert((meta.dev(), meta.ino()), ROOT);
            state.next = ROOT + 1;
            twin.survey(&mut state, ROOT, &canonical)?;
        }
        if TWIN.set(twin).is_err() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        trap::install()?;
        TWIN.get().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Notes in the log that the program got this far.
    pub fn mark(&self, text: &str) {
        let mut state = self.lock();
        self.record(&mut state, &Event::Mark(text.to_owned()));
    }

    /// From now on calls fail by these rules, and by no others. Chances are drawn from `seed`.
    pub fn set_rules(&self, seed: u64, rules: Vec<Rule>) {
        let mut state = self.lock();
        state.plan = Plan { rules, random: fastrand::Rng::with_seed(seed), hits: Vec::new() };
    }

    /// Ends all rules and tells what they did.
    pub fn end_rules(&self) -> Vec<Hit> {
        std::mem::take(&mut self.lock().plan).hits
    }

    /// Which calls failed since the rules were set, or since this was asked.
    pub fn take_hits(&self) -> Vec<Hit> {
        std::mem::take(&mut self.lock().plan.hits)
    }

    /// Takes note of what is there.
    fn survey(&self, state: &mut State, parent: Id, path: &Path) -> io::Result<()> {
        let mut entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let meta = entry.metadata()?;
            let id = state.new_id();
            let name = entry.file_name().into_vec();
            state.tree.add(id, parent, &name, meta.is_dir());
            state.inodes.insert((meta.dev(), meta.ino()), id);
            self.record(state, &Event::Known { id, parent, dir: meta.is_dir(), name });
            if meta.is_dir() {
                self.survey(state, id, &entry.path())?;
            }
        }
        Ok(())
    }

    fn record(&self, state: &mut State, event: &Event) {
        state.count += 1;
        let Some(log) = &self.log else { return };
        let mut bytes = Vec::new();
        event.encode(&mut bytes);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let descriptor = usize::try_from(log.as_raw_fd()).unwrap_or(usize::MAX);
            let done =
                kernel(libc::SYS_write, [descriptor, rest.as_ptr() as usize, rest.len(), 0, 0, 0]);
            match usize::try_from(done) {
                Ok(done) => rest = rest.get(done..).unwrap_or_default(),
                // A log with a hole would pass for a store that loses data.
                Err(_) => std::process::abort(),
            }
        }
    }

    // The state is consistent between statements; a thread that panicked here has aborted the process anyway.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What lies behind a descriptor, if it is below the directory.
    fn opened(&self, descriptor: usize) -> Option<(MutexGuard<'_, State>, Id)> {
        let stat = identify(descriptor)?;
        let state = self.lock();
        let id = *state.inodes.get(&(stat.st_dev, stat.st_ino))?;
        Some((state, id))
    }

    /// Does a call that may be about the directory; `None` when it is not.
    fn call(&self, number: libc::c_long, arguments: Arguments) -> Option<isize> {
        let [a, b, c, d, e, f] = arguments;
        let here = libc::AT_FDCWD as usize;
        match number {
            libc::SYS_read => self.read(a, &[(b, c)], None, 0),
            libc::SYS_pread64 => self.read(a, &[(b, c)], Some(d), 0),
            libc::SYS_readv => self.read(a, &pieces(b, c), None, 0),
            libc::SYS_preadv => self.read(a, &pieces(b, c), Some(d), 0),
            libc::SYS_preadv2 => self.read(a, &pieces(b, c), position(d), f),
            libc::SYS_write => self.write(a, &[(b, c)], None, 0),
            libc::SYS_pwrite64 => self.write(a, &[(b, c)], Some(d), 0),
            libc::SYS_writev => self.write(a, &pieces(b, c), None, 0),
            libc::SYS_pwritev => self.write(a, &pieces(b, c), Some(d), 0),
            libc::SYS_pwritev2 => self.write(a, &pieces(b, c), position(d), f),
            libc::SYS_copy_file_range => self.opened(c).map(|_| error(libc::EXDEV)),
            libc::SYS_splice => self.opened(c).map(|_| error(libc::EINVAL)),
            libc::SYS_sendfile => match self.opened(a) {
                Some(_) => Some(error(libc::EINVAL)),
                None => self.sends(b, d),
            },
            libc::SYS_ftruncate => self.truncate(a, b),
            libc::SYS_fallocate => self.allocate(a, b, c, d),
            libc::SYS_fsync => self.sync(a, false),
            libc::SYS_fdatasync => self.sync(a, true),
            libc::SYS_syncfs | libc::SYS_sync => Some(self.sync_all()),
            libc::SYS_openat => self.open(a, b, c, d),
            libc::SYS_openat2 => self.resolve(a, b).map(|_| error(libc::ENOSYS)),
            libc::SYS_renameat => self.rename((a, b), (c, d), 0),
            libc::SYS_renameat2 => self.rename((a, b), (c, d), e),
            libc::SYS_linkat => self.link((a, b), (c, d), e),
            libc::SYS_symlinkat => self.resolve(b, c).map(|_| error(libc::EPERM)),
            libc::SYS_unlinkat => self.remove(a, b, c),
            libc::SYS_mkdirat => self.make_dir(a, b, c),
            libc::SYS_truncate => self.resolve(here, a).map(|_| error(libc::ENOSYS)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => self.open(here, a, b, c),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_creat => {
                let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
                self.open(here, a, flags as usize, b)
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_rename => self.rename((here, a), (here, b), 0),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_link => self.link((here, a), (here, b), 0),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_symlink => self.resolve(here, b).map(|_| error(libc::EPERM)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_unlink => self.remove(here, a, 0),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_rmdir => self.remove(here, a, libc::AT_REMOVEDIR as usize),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_mkdir => self.make_dir(here, a, b),
            // sync_file_range promises nothing about what lasts.
            _ => None,
        }
    }
}

impl State {
    fn new_id(&mut self) -> Id {
        let id = self.next;
        self.next += 1;
        id
    }

    /// What is to become of a call on something that is there.
    fn decide(&mut self, call: Call, id: Id, length: usize) -> Option<Fault> {
        let tree = &self.tree;
        self.plan.decide(call, length, this_thread(), || tree.path(id))
    }

    /// What is to become of a call on a name.
    fn decide_name(&mut self, call: Call, (parent, name): (Id, &[u8])) -> Option<Fault> {
        let tree = &self.tree;
        let path = || match tree.path(parent) {
            root if root.is_empty() => name.to_vec(),
            parent => [&parent[..], name].join(&b'/'),
        };
        self.plan.decide(call, 0, this_thread(), path)
    }
}

/// Does a trapped call.
pub(crate) fn on_call(number: libc::c_long, arguments: Arguments) -> isize {
    let done = TWIN.get().and_then(|twin| twin.call(number, arguments));
    done.unwrap_or_else(|| kernel(number, arguments))
}

/// The result of a call that fails.
fn error(number: i32) -> isize {
    -(number as isize)
}

/// The error that a call ends with which does nothing.
fn failure(fault: Option<Fault>) -> Option<isize> {
    match fault? {
        Fault::Error(number) | Fault::Torn(number) => Some(error(number)),
        Fault::Short => None,
    }
}

/// A position as the newer calls have it, where -1 stands for that of the descriptor.
fn position(at: usize) -> Option<usize> {
    (at != usize::MAX).then_some(at)
}

#[allow(unsafe_code, reason = "memory of the caller")]
fn pieces(address: usize, count: usize) -> Vec<(usize, usize)> {
    // SAFETY: both are the arguments of the call being done.
    unsafe { trap::pieces_of(address, count) }
}

fn this_thread() -> i32 {
    i32::try_from(kernel(libc::SYS_gettid, [0; 6])).unwrap_or(0)
}
