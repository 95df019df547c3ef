//! Keeping the parts of an object that is being read.
//!
//! A reader of an object in one blob holds its file, and the file system keeps the bytes. An object may
//! have thousands of parts, more than a process may hold files, so its readers pin the parts by name
//! instead, and a part that is discarded meanwhile is removed when its last reader is gone.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use crate::meta::Place;
use crate::steps::has_flaw;
use crate::sync::{Mutex, MutexGuard};

#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    pinned: HashMap<Place, Pin>,
    /// Discarded, and read by nobody any more: to be removed.
    released: Vec<Place>,
}

#[derive(Debug, Default)]
struct Pin {
    readers: usize,
    discarded: bool,
}

impl Pins {
    /// Pins all of these until the guard is dropped.
    pub(crate) fn pin(self: &Arc<Self>, places: Vec<Place>) -> PinGuard {
        let mut state = self.lock();
        for place in &places {
            state.pinned.entry(*place).or_default().readers += 1;
        }
        drop(state);
        PinGuard { pins: Arc::clone(self), places }
    }

    /// Whether a blob may be removed now. One that may not is released later.
    pub(crate) fn may_remove(&self, place: Place) -> bool {
        if has_flaw("pins: not looked at") {
            return true;
        }
        match self.lock().pinned.get_mut(&place) {
            Some(pin) => {
                pin.discarded = true;
                false
            }
            None => true,
        }
    }

    /// Takes the blobs that nobody reads any more.
    pub(crate) fn released(&self) -> Vec<Place> {
        std::mem::take(&mut self.lock().released)
    }

    /// Whether a discarded blob is still read or waits to be removed.
    pub(crate) fn any_left(&self) -> bool {
        let state = self.lock();
        !state.released.is_empty() || state.pinned.values().any(|pin| pin.discarded)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps blobs from being removed.
#[derive(Debug)]
pub(crate) struct PinGuard {
    pins: Arc<Pins>,
    places: Vec<Place>,
}

impl Drop for PinGuard {
    fn drop(&mut self) {
        let mut state = self.pins.lock();
        for place in &self.places {
            let Some(pin) = state.pinned.get_mut(place) else { continue };
            pin.readers -= 1;
            if pin.readers == 0 {
                let discarded = pin.discarded;
                state.pinned.remove(place);
                if discarded {
                    // Not removed here: a reader may be dropped where nothing may block.
                    state.released.push(*place);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::BlobId;

    #[test]
    fn a_pinned_blob_is_released_by_its_last_reader() {
        let pins = Arc::new(Pins::default());
        let place = |blob| Place { mountpath: 1, blob: BlobId(blob) };
        let (first, second) = (pins.pin(vec![place(1), place(2)]), pins.pin(vec![place(1)]));
        assert!(pins.may_remove(place(3)) && !pins.may_remove(place(1)));
        drop(first);
        assert!(pins.released().is_empty() && pins.may_remove(place(2)) && pins.any_left());
        drop(second);
        assert!(pins.any_left());
        assert_eq!(pins.released(), [place(1)]);
        assert!(!pins.any_left());
        assert!(pins.released().is_empty() && pins.may_remove(place(1)));
    }
}
