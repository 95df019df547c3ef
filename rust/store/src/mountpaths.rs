//! Changing the set of mountpaths while the store is in use.
//!
//! A mountpath that comes is used for new objects at once, and [`Store::resilver`] then moves in what
//! belongs there. One that goes takes no new objects from that moment on; it leaves when `resilver` has
//! moved everything off. Meanwhile every object is found wherever it is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::appends;
use crate::codec;
use crate::config::Limits;
use crate::error::StoreError;
use crate::intents;
use crate::manifests;
use crate::mountpath::{Claimed, Mountpath, SharedMountpath};
use crate::probe::same_file_system;
use crate::resilver::{self, Pass, Passed};
use crate::set::MountpathSet;
use crate::shared::Shared;
use crate::store::Store;
use crate::sweep;
use crate::sync::{Mutex, MutexGuard};
use crate::uploads;
use crate::usage;

/// How often a resilver starts over because the mountpaths changed meanwhile.
const PASSES: usize = 16;
/// How long a mountpath that comes back is waited for while uploads and listings still use it.
const RELEASE_WAIT: Duration = Duration::from_secs(10);
const RELEASE_STEP: Duration = Duration::from_millis(5);

/// The mountpaths of a store by what they are used for, each list sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mountpaths {
    /// Those that objects are read from and written to.
    pub available: Vec<PathBuf>,
    /// Those that are being emptied, read from but no longer written to, with what becomes of them.
    pub draining: Vec<(PathBuf, Leave)>,
    /// Those that are known but not used.
    pub disabled: Vec<PathBuf>,
}

/// What becomes of a mountpath that is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It is forgotten.
    Detach,
    /// It stays known, and may be enabled again.
    Disable,
}

/// Mountpaths that are not, or not for long, in the set.
#[derive(Debug, Default)]
pub(crate) struct Admin {
    pub(crate) disabled: BTreeSet<PathBuf>,
    pub(crate) leaving: BTreeMap<PathBuf, Leave>,
    /// Those that left in this run: whoever still read them then lets go of them shortly.
    departed: BTreeSet<PathBuf>,
    /// What each mountpath is opened with.
    pub(crate) limits: Limits,
}

impl Store {
    /// The mountpaths as of now.
    pub fn mountpaths(&self) -> Mountpaths {
        let admin = self.admin();
        let set = self.shared.set();
        let path = |one: &SharedMountpath| one.path().to_path_buf();
        let mut available: Vec<_> = set.available().iter().map(path).collect();
        available.sort();
        let leave = |path: &PathBuf| admin.leaving.get(path).copied().unwrap_or(Leave::Disable);
        let draining = set.draining().iter().map(path).map(|path| (path.clone(), leave(&path)));
        let mut draining: Vec<_> = draining.collect();
        draining.sort_by(|a, b| a.0.cmp(&b.0));
        Mountpaths { available, draining, disabled: admin.disabled.iter().cloned().collect() }
    }

    /// Whether objects may lie elsewhere than they belong: [`resilver`](Self::resilver) has work.
    pub fn is_scattered(&self) -> bool {
        self.shared.set().scattered
    }

    /// Whether a mountpath was not closed in order before this run, so that copies may be out of date.
    pub fn was_interrupted(&self) -> bool {
        self.shared.set().members().iter().any(|one| one.interrupted)
    }

    /// Adds a mountpath, or takes back one that is disabled or being emptied.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] when it is in use already; otherwise as [`open`](Self::open).
    pub fn attach(&self, path: &Path) -> Result<(), StoreError> {
        let mut admin = self.admin();
        let set = self.shared.set();
        if set.available().iter().any(|one| **one.path() == *path) {
            return Err(StoreError::Invalid(format!(
                "mountpath {} is attached already",
                path.display()
            )));
        }
        self.bring_in(&mut admin, path)
    }

    /// Uses a disabled mountpath again; `false` when it is in use.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownMountpath`]; otherwise as [`attach`](Self::attach).
    pub fn enable(&self, path: &Path) -> Result<bool, StoreError> {
        let mut admin = self.admin();
        let set = self.shared.set();
        if set.available().iter().any(|one| **one.path() == *path) {
            return Ok(false);
        }
        let known =
            admin.disabled.contains(path) || set.draining().iter().any(|one| **one.path() == *path);
        if !known {
            return Err(StoreError::UnknownMountpath { path: path.to_owned() });
        }
        self.bring_in(&mut admin, path)?;
        Ok(true)
    }

    /// Stops using a mountpath; `false` when that is so already. With `drain` it goes on being read until
    /// [`resilver`](Self::resilver) has emptied it; without, what only it holds cannot be read until it is
    /// enabled again.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownMountpath`], [`StoreError::Invalid`] for the last one in use.
    pub fn disable(&self, path: &Path, drain: bool) -> Result<bool, StoreError> {
        let mut admin = self.admin();
        if admin.disabled.contains(path) || admin.leaving.get(path) == Some(&Leave::Disable) {
            return Ok(false);
        }
        self.send_out(&mut admin, path, drain, Leave::Disable)?;
        Ok(true)
    }

    /// As [`disable`](Self::disable), but the mountpath is forgotten in the end.
    ///
    /// # Errors
    ///
    /// As for [`disable`](Self::disable).
    pub fn detach(&self, path: &Path, drain: bool) -> Result<(), StoreError> {
        let mut admin = self.admin();
        if admin.disabled.remove(path) {
            return Ok(());
        }
        self.send_out(&mut admin, path, drain, Leave::Detach)
    }

    /// Moves every object to where it belongs, and lets go of the mountpaths that are empty then. An
    /// object that cannot be moved stays where it is, readable, and so does its mountpath.
    ///
    /// # Errors
    ///
    /// [`StoreError::Cancelled`], [`StoreError::Closed`], or the failure of an index;
    /// [`StoreError::TooFull`] after all was moved that a disk has room for. What was moved stays moved; a
    /// later call goes on.
    pub fn resilver(&self, pass: &Pass<'_>) -> Result<Passed, StoreError> {
        let (mut total, mut full) = (Passed::default(), None);
        for _ in 0..PASSES {
            let set = self.shared.set();
            let strayed = self.strayed();
            let mut passed = resilver::pass(&self.shared, None, pass, &mut full)?;
            let mut failed = |name: &str, error: &StoreError| {
                passed.failed += 1;
                (pass.failed)(name, error);
            };
            uploads::vacate(&self.shared, pass.cancel, &mut failed)?;
            appends::vacate(&self.shared, pass.cancel, &mut failed)?;
            total.add(passed);
            if passed.failed > 0 || self.finish(&set, strayed, passed.unknown == 0)? {
                break;
            }
        }
        full.map_or(Ok(total), Err)
    }

    /// Gives every object of a bucket as many copies as the guide says.
    ///
    /// # Errors
    ///
    /// As for [`resilver`](Self::resilver).
    pub fn settle_bucket(&self, bid: u64, pass: &Pass<'_>) -> Result<Passed, StoreError> {
        let mut full = None;
        let passed = resilver::pass(&self.shared, Some(bid), pass, &mut full)?;
        full.map_or(Ok(passed), Err)
    }

    pub(crate) fn admin(&self) -> MutexGuard<'_, Admin> {
        self.admin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a mountpath available that is not in the set, or is being emptied.
    fn bring_in(&self, admin: &mut Admin, path: &Path) -> Result<(), StoreError> {
        let set = self.shared.set();
        let is_this = |one: &&SharedMountpath| **one.path() == *path;
        let joining = match set.draining().iter().find(is_this) {
            Some(draining) => Arc::clone(draining),
            None => open_another(admin, &self.shared, &set, path)?,
        };
        let counting = usage::start_count(&joining)?;
        self.sweepers.lock().unwrap_or_else(PoisonError::into_inner).extend(counting);
        let mut available = set.available().to_vec();
        available.push(joining);
        let draining = set.draining().iter().filter(|one| !is_this(one)).map(Arc::clone).collect();
        self.swap(&set, MountpathSet::new(available, draining, true)?)?;
        admin.disabled.remove(path);
        admin.leaving.remove(path);
        Ok(())
    }

    /// Takes a mountpath out of use, at once or when it is empty.
    fn send_out(
        &self,
        admin: &mut Admin,
        path: &Path,
        drain: bool,
        leave: Leave,
    ) -> Result<(), StoreError> {
        let set = self.shared.set();
        let (going, available): (Vec<_>, Vec<_>) =
            set.available().iter().map(Arc::clone).partition(|one| **one.path() == *path);
        if going.is_empty() && !admin.leaving.contains_key(path) {
            return Err(StoreError::UnknownMountpath { path: path.to_owned() });
        }
        if available.is_empty() {
            return Err(StoreError::Invalid(format!(
                "mountpath {} is the last one in use: attach or enable another one first",
                path.display()
            )));
        }
        let mut draining = set.draining().to_vec();
        draining.extend(going);
        let (gone, draining): (Vec<_>, Vec<_>) =
            draining.into_iter().partition(|one| !drain && **one.path() == *path);
        self.swap(&set, MountpathSet::new(available, draining, true)?)?;
        admin.leaving.insert(path.to_owned(), leave);
        admin.let_go(gone)
    }

    /// Ends a resilver that saw every object of `set`: mountpaths that are empty leave. `false` when the
    /// set changed meanwhile, so that there is more to do.
    fn finish(
        &self,
        set: &Arc<MountpathSet>,
        strayed: u64,
        complete: bool,
    ) -> Result<bool, StoreError> {
        let mut admin = self.admin();
        let gate = self.shared.gate.write().unwrap_or_else(PoisonError::into_inner);
        if *gate {
            return Err(StoreError::Closed);
        }
        if !Arc::ptr_eq(set, &self.shared.set()) {
            return Ok(false);
        }
        if self.shared.strayed.load(Ordering::Relaxed) != strayed {
            return Ok(false);
        }
        intents::vacate(set)?;
        let (mut gone, mut left) = (Vec::new(), Vec::new());
        for mountpath in set.draining() {
            let empty = is_empty(set, mountpath, complete)?;
            if empty { &mut gone } else { &mut left }.push(Arc::clone(mountpath));
        }
        let scattered = !left.is_empty() || !complete;
        let next = MountpathSet::new(set.available().to_vec(), left, scattered)?;
        self.install(next)?;
        drop(gate);
        admin.let_go(gone)?;
        step!("mountpaths: emptied ones left");
        Ok(true)
    }

    /// How often something came to lie on a mountpath that is being emptied, counting all that is under way.
    fn strayed(&self) -> u64 {
        let _alone = self.shared.gate.write().unwrap_or_else(PoisonError::into_inner);
        self.shared.strayed.load(Ordering::Relaxed)
    }

    fn swap(&self, expected: &Arc<MountpathSet>, next: MountpathSet) -> Result<(), StoreError> {
        // Alone: no change is under way that still works on the old set.
        let gate = self.shared.gate.write().unwrap_or_else(PoisonError::into_inner);
        if *gate {
            return Err(StoreError::Closed);
        }
        debug_assert!(Arc::ptr_eq(expected, &self.shared.set()), "administration is serialised");
        Mountpath::align_ids(expected.members().iter().chain(next.members()));
        // What a crash interrupted on a mountpath that comes back, or waited for it.
        intents::roll_forward(&next)?;
        appends::roll_forward(&next)?;
        manifests::settle(&next)?;
        self.install(next)
    }

    /// Records on the mountpaths what the set is from now on, and makes it so.
    fn install(&self, next: MountpathSet) -> Result<(), StoreError> {
        let peers = next.uuids();
        let before = self.shared.set();
        for mountpath in next.members() {
            let Err(error) = mountpath.note_peers(&peers, next.scattered) else { continue };
            // One that vanished does not hold up the others. What it notes is of an earlier set, so that a
            // start with it takes the objects for scattered.
            let known = before.members().iter().any(|one| one.path() == mountpath.path());
            if !known || same_file_system(mountpath).is_ok() {
                return Err(error);
            }
            tracing::warn!(mountpath = %mountpath.path().display(), %error, "the disk is gone");
        }
        step!("mountpaths: set recorded");
        self.shared.set.store(Arc::new(next));
        Ok(())
    }
}

impl Admin {
    /// Closes mountpaths that left the set.
    fn let_go(&mut self, gone: Vec<SharedMountpath>) -> Result<(), StoreError> {
        let mut result = Ok(());
        for mountpath in gone {
            let path = mountpath.path().to_path_buf();
            if self.leaving.remove(&path) == Some(Leave::Disable) {
                self.disabled.insert(path);
            }
            // Of one that takes no more changes this was told before, and it goes all the same.
            let known = mountpath.has_failed();
            match mountpath.close() {
                Err(error) if known => {
                    tracing::warn!(mountpath = %mountpath.path().display(), %error, "it leaves as it is");
                }
                closed => result = result.and(closed),
            }
            self.departed.insert(mountpath.path().to_path_buf());
        }
        result
    }

    /// Claims a mountpath. One that left before is waited for while uploads and listings still use it.
    fn claim(&self, path: &Path) -> Result<Claimed, StoreError> {
        let since = Instant::now();
        loop {
            match Claimed::open(path) {
                Err(StoreError::Locked { .. })
                    if self.departed.contains(path) && since.elapsed() < RELEASE_WAIT =>
                {
                    std::thread::sleep(RELEASE_STEP);
                }
                claimed => return claimed,
            }
        }
    }
}

fn open_another(
    admin: &Admin,
    shared: &Shared,
    set: &MountpathSet,
    path: &Path,
) -> Result<SharedMountpath, StoreError> {
    let claimed = admin.claim(path)?;
    let mut peers = set.uuids();
    if !peers.insert(claimed.format.uuid.clone()) {
        return Err(StoreError::Format {
            path: path.to_owned(),
            reason: "it is a copy of one in use: remove its ais folder to use it as a new one"
                .to_owned(),
        });
    }
    let rules = (shared.watermark.clone(), shared.policies.clone());
    let mountpath = Mountpath::open(claimed, &peers, true, admin.limits, rules)?;
    // Parts there may have been discarded while it was away.
    mountpath.leave_unswept();
    sweep::vouch(&mountpath);
    Ok(Arc::new(mountpath))
}

/// Whether nothing that is in use is on a mountpath. With `complete` no object outside has parts there.
fn is_empty(set: &MountpathSet, mountpath: &Mountpath, complete: bool) -> Result<bool, StoreError> {
    for entry in mountpath.index.range((Bound::Unbounded, Bound::Unbounded)) {
        let (key, _) = entry?;
        if codec::split_key(&key).is_some() {
            return Ok(false);
        }
    }
    if appends::any_on(mountpath)? || uploads::names_mountpath(set, mountpath.digest)? {
        return Ok(false);
    }
    Ok(complete || !sweep::is_referenced(set, mountpath)?)
}

/// What a store starts with.
pub(crate) fn admin(
    disabled: Vec<PathBuf>,
    leaving: Vec<(PathBuf, Leave)>,
    limits: Limits,
) -> Mutex<Admin> {
    Mutex::new(Admin {
        departed: BTreeSet::new(),
        disabled: disabled.into_iter().collect(),
        leaving: leaving.into_iter().collect(),
        limits,
    })
}
