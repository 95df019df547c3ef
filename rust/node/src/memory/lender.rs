//! What one answer may hold of the budget while it is sent.
//!
//! An answer takes what it needs at least before it begins, and more while there is plenty. What it lent and
//! not yet got back bounds it: a slow reader holds its own share of memory and no more, and never
//! waits for anybody else's, so answers cannot wait for each other.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use super::{Budget, Permit, Purpose};

/// Memory of one answer. Cheap to clone; what was taken is given back when all clones and leases are gone.
#[derive(Debug, Clone)]
pub(crate) struct Lender(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    budget: Budget,
    purpose: Purpose,
    reserved: u64,
    /// Bytes lent of those reserved.
    lent: AtomicU64,
    /// Whoever waits for a lease to come back; there is one task per answer.
    waiter: AtomicWaker,
    permit: Permit,
}

/// Memory lent to one buffer.
#[derive(Debug)]
pub(crate) struct Lease {
    from: Option<Arc<Shared>>,
    bytes: u64,
    /// Taken besides what is reserved.
    _extra: Permit,
}

impl Lender {
    /// Lends out `permit`, which was taken of `budget` for `purpose`.
    pub(crate) fn new(budget: Budget, purpose: Purpose, permit: Permit) -> Self {
        let (reserved, lent) = (permit.bytes(), AtomicU64::new(0));
        let waiter = AtomicWaker::new();
        Self(Arc::new(Shared { budget, purpose, reserved, lent, waiter, permit }))
    }

    /// A lender without bounds to speak of, for tests.
    #[cfg(test)]
    pub(crate) fn unlimited() -> Self {
        let budget = Budget::default();
        let permit = budget.try_take(Purpose::Replies, 1 << 30).unwrap_or_default();
        Self::new(budget, Purpose::Replies, permit)
    }

    /// What was reserved, for another use; none while something is lent, or another clone is there.
    pub(crate) fn into_permit(self) -> Permit {
        Arc::try_unwrap(self.0).map_or_else(|_| Permit::default(), |shared| shared.permit)
    }

    /// Bytes reserved for this answer.
    pub(crate) fn reserved(&self) -> u64 {
        self.0.reserved
    }

    /// Bytes lent of those reserved.
    pub(crate) fn lent(&self) -> u64 {
        self.0.lent.load(Ordering::Acquire)
    }

    /// Lends memory if it is there: of what is reserved, or of the budget while there is plenty. An answer
    /// with nothing lent always gets a first lease, however large.
    pub(crate) fn try_lend(&self, bytes: u64) -> Option<Lease> {
        let shared = &self.0;
        let fits = |lent: u64| {
            let after = lent.saturating_add(bytes);
            (lent == 0 || after <= shared.reserved).then_some(after)
        };
        if shared.lent.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok() {
            return Some(Lease {
                from: Some(Arc::clone(shared)),
                bytes,
                _extra: Permit::default(),
            });
        }
        let extra = shared
            .budget
            .is_plenty(shared.purpose)
            .then(|| shared.budget.try_take(shared.purpose, bytes))??;
        Some(Lease { from: None, bytes, _extra: extra })
    }

    /// Lends memory when this answer has got back enough of it.
    pub(crate) fn poll_lend(&self, bytes: u64, cx: &mut Context<'_>) -> Poll<Lease> {
        if let Some(lease) = self.try_lend(bytes) {
            return Poll::Ready(lease);
        }
        self.0.waiter.register(cx.waker());
        // A lease may have come back just before.
        self.try_lend(bytes).map_or(Poll::Pending, Poll::Ready)
    }

    /// Lends memory without asking whether it is there: for who waited for [`room`](Self::room), or never lends
    /// more than was reserved.
    pub(crate) fn lend(&self, bytes: u64) -> Lease {
        let before = self.0.lent.fetch_add(bytes, Ordering::AcqRel);
        debug_assert!(before == 0 || before + bytes <= self.0.reserved, "more than was reserved");
        Lease { from: Some(Arc::clone(&self.0)), bytes, _extra: Permit::default() }
    }

    /// Waits until at most `most` bytes are lent.
    pub(crate) async fn room(&self, most: u64) {
        poll_fn(|cx| {
            if self.lent() <= most {
                return Poll::Ready(());
            }
            self.0.waiter.register(cx.waker());
            if self.lent() <= most { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(shared) = &self.from {
            shared.lent.fetch_sub(self.bytes, Ordering::AcqRel);
            shared.waiter.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::super::tests::budget;
    use super::*;

    fn lender(budget: &Budget, bytes: u64) -> Lender {
        let permit = budget.try_take(Purpose::Replies, bytes).unwrap();
        Lender::new(budget.clone(), Purpose::Replies, permit)
    }

    #[test]
    fn an_answer_holds_no_more_than_it_reserved_while_memory_is_scarce() {
        let budget = budget();
        let share = budget.share(Purpose::Replies);
        let _others = budget.try_take(Purpose::Replies, share / 4 * 3).unwrap();
        let lender = lender(&budget, 256 << 10);
        let first = lender.try_lend(200 << 10).unwrap();
        assert!(lender.try_lend(100 << 10).is_none());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(lender.poll_lend(100 << 10, &mut cx).is_pending());
        drop(first);
        assert!(lender.poll_lend(100 << 10, &mut cx).is_ready());
    }

    #[test]
    fn an_answer_takes_more_while_there_is_plenty_and_gives_all_of_it_back() {
        let budget = budget();
        let free = || budget.account(Purpose::Replies).free_bytes();
        let before = free();
        let lender = lender(&budget, 64 << 10);
        let leases: Vec<_> = (0..10).map_while(|_| lender.try_lend(64 << 10)).collect();
        assert_eq!(leases.len(), 10);
        assert_eq!(free(), before - (640 << 10));
        drop(lender);
        assert!(free() < before, "leases hold what was reserved");
        drop(leases);
        assert_eq!(free(), before);
    }

    #[tokio::test]
    async fn whoever_waits_for_room_is_woken_by_the_lease_that_makes_it() {
        let budget = budget();
        let lender = lender(&budget, 64 << 10);
        let lease = lender.lend(64 << 10);
        let waiting = tokio::spawn({
            let lender = lender.clone();
            async move { lender.room(0).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(lease);
        waiting.await.unwrap();
    }
}
