//! Blob ids: growing, unique over restarts, without a write per id.

use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::StoreError;
use crate::meta::BlobId;
use crate::sync::Mutex;

/// How far the stored bound runs ahead, in nanoseconds: 18 minutes, so that it is rewritten rarely.
pub(crate) const CEILING_STEP: u64 = 1 << 40;

/// Gives out ids. An id is the time in nanoseconds, or the last id plus one when the clock lags; a
/// bound above every id is stored before an id beyond the old bound is given out, so a clock set back
/// between two runs cannot make an id repeat.
#[derive(Debug)]
pub(crate) struct BlobIds(Mutex<Ids>);

#[derive(Debug)]
struct Ids {
    last: u64,
    ceiling: u64,
}

impl BlobIds {
    /// Starts above `last`; ids up to `ceiling` are covered by the stored bound.
    pub(crate) fn new(last: BlobId, ceiling: u64) -> Self {
        Self(Mutex::new(Ids { last: last.0, ceiling }))
    }

    /// The next id, greater than `above`. `store_ceiling` is called first when the stored bound must be raised.
    pub(crate) fn next(
        &self,
        above: BlobId,
        store_ceiling: impl FnOnce(u64) -> Result<(), StoreError>,
    ) -> Result<BlobId, StoreError> {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = ids.last.max(above.0).saturating_add(1).max(now_ns());
        if id > ids.ceiling {
            let ceiling = id.saturating_add(CEILING_STEP);
            store_ceiling(ceiling)?;
            ids.ceiling = ceiling;
        }
        ids.last = id;
        Ok(BlobId(id))
    }

    /// Gives out no id up to `above` from now on.
    pub(crate) fn raise(&self, above: BlobId) {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.last = ids.last.max(above.0);
    }

    /// The greatest id given out, or raised to.
    pub(crate) fn last(&self) -> BlobId {
        BlobId(self.0.lock().unwrap_or_else(PoisonError::into_inner).last)
    }
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn now_ns() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_past_a_clock_that_lags() {
        let far = now_ns() + (1 << 50);
        let ids = BlobIds::new(BlobId(far), u64::MAX);
        assert_eq!(ids.next(BlobId(0), |_| Ok(())).unwrap(), BlobId(far + 1));
        assert_eq!(ids.next(BlobId(0), |_| Ok(())).unwrap(), BlobId(far + 2));
        assert_eq!(ids.next(BlobId(far + 9), |_| Ok(())).unwrap(), BlobId(far + 10));
    }

    #[test]
    fn the_bound_is_stored_before_an_id_beyond_it_is_given_out() {
        let ids = BlobIds::new(BlobId(0), 0);
        let mut stored = 0;
        let first = ids
            .next(BlobId(0), |ceiling| {
                stored = ceiling;
                Ok(())
            })
            .unwrap();
        assert!(stored > first.0);
        ids.next(BlobId(0), |_| panic!("the bound still holds")).unwrap();
        let ids = BlobIds::new(BlobId(0), 0);
        assert!(ids.next(BlobId(0), |_| Err(StoreError::Closed)).is_err());
        assert_eq!(ids.last(), BlobId(0));
    }
}
