//! Bringing one object to where it belongs, with as many copies as it should have.
//!
//! The one way in which stored objects move: a mountpath that comes or goes, a change of the number of
//! copies, and the repair of a damaged copy all are a difference between where the blobs of an object
//! are and where they should be. Bytes are copied, and verified, without holding anything; only the
//! change of the index entries excludes other changes of the same name. What changed meanwhile is
//! noticed, and done again.
//!
//! Order: new copies, then the main entry, then removal of what is no longer wanted. A crash in between
//! leaves the object readable, and entries that the next run takes away.
mod plan;
mod work;

use std::sync::atomic::AtomicBool;

use plan::Plan;
pub(crate) use work::remove_superseded;

use crate::codec;
use crate::error::StoreError;
use crate::index::Change;
use crate::meta::Place;
use crate::shared::Shared;
use crate::survey::Survey;

/// How often an object that changes while it is copied is tried again.
const ATTEMPTS: usize = 32;

/// An object by its names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) bid: u64,
    pub(crate) uname: &'a str,
    pub(crate) name: &'a str,
}

/// What is to be done.
pub(crate) struct Order<'a> {
    /// Wanted representations of the object, itself included; fewer when there are fewer mountpaths.
    pub(crate) copies: usize,
    /// Blobs that are known to be damaged.
    pub(crate) bad: &'a [Place],
    /// Blobs to be replaced, although their payload can be copied.
    pub(crate) renew: &'a [Place],
    /// Ends the work early.
    pub(crate) cancel: &'a AtomicBool,
}

/// Puts one object in its place; returns the payload bytes written, `None` when nothing was to be done.
pub(crate) fn settle(
    shared: &Shared,
    object: Named<'_>,
    order: &Order<'_>,
) -> Result<Option<u64>, StoreError> {
    let key = codec::key(object.bid, object.name);
    for _ in 0..ATTEMPTS {
        let set = shared.set();
        let survey = Survey::of(&set, &key, false)?;
        let Some(main) = survey.main(set.scattered) else {
            if survey.0.is_empty() || remove_strays(shared, object, &key)? {
                return Ok(None);
            }
            continue;
        };
        let plan = Plan::new(&set, object, &survey, main, order);
        if plan.is_done(&survey, main) {
            return Ok(None);
        }
        let moves = plan.moves(&survey);
        let work = match plan.write(object, main, moves, order.cancel) {
            Ok(work) => work,
            // The blobs of an object that changes meanwhile go while they are copied.
            Err(StoreError::Corrupt { .. }) if has_changed(shared, object, &key, &survey)? => {
                continue;
            }
            Err(error) => return Err(error),
        };
        let bytes = work.bytes;
        if work.commit(shared, &set, object, &survey, main)? {
            return Ok(Some(bytes));
        }
    }
    Err(StoreError::Invalid(format!("object \"{}\" is changed too often to be moved", object.name)))
}

/// Whether there is something else under `key` by now, a change that is under way included.
fn has_changed(
    shared: &Shared,
    object: Named<'_>,
    key: &[u8],
    before: &Survey,
) -> Result<bool, StoreError> {
    let _name = shared.lock_name(object.bid, object.name);
    Ok(!Survey::of(&shared.set(), key, false)?.same(before))
}

/// Removes copies that have no object; `false` when there is something else by now.
fn remove_strays(shared: &Shared, object: Named<'_>, key: &[u8]) -> Result<bool, StoreError> {
    let _open = shared.enter()?;
    let _name = shared.lock_name(object.bid, object.name);
    let set = shared.set();
    let survey = Survey::of(&set, key, false)?;
    if survey.main(set.scattered).is_some() {
        return Ok(false);
    }
    for stray in &survey.0 {
        stray.mountpath.commit(Change::Remove { key: key.to_vec() })?;
        stray.mountpath.discard(stray.meta.blob);
        // An object that was renamed meanwhile may rely on its parts: left to a sweep, which knows what is in use.
        let homes = stray.meta.parts.iter().flat_map(|part| &part.places);
        homes.filter_map(|place| set.by_digest(place.mountpath)).for_each(|at| at.leave_unswept());
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
