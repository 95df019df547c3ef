//! The memory that this process may spend on the bytes passing through it: one budget, handed out as permits.
//!
//! Each purpose has a share of its own, so slow readers cannot keep uploads out, and requests that wait for
//! requests to other nodes never compete with those. A [`Permit`] lives as long as the bytes it stands for: it is
//! held by whatever owns them, and given back when that is dropped. Where a share is used up, requests wait in
//! order, a bounded number of them for a bounded time, and are then refused with 429, which clients take as "again,
//! later". Nothing waits for memory once its answer has begun: see [`Lender`].
//!
//! Not counted, and bounded otherwise: threads' stacks, connections' own buffers, the tables of the runtime.

mod lender;
mod limits;
mod report;
mod shares;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aistore_core::error::ApiError;
use aistore_core::units::human_size;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use lender::{Lease, Lender};
pub(crate) use limits::own as own_limit;
pub(crate) use shares::Shares;

/// What one semaphore permit stands for.
const GRAIN_BYTES: u64 = 1 << 10;
/// Longest wait for memory. Clients give an answer 20 s to begin.
const WAIT: Duration = Duration::from_secs(8);
/// Longest wait of an answer that has begun.
const LATE_WAIT: Duration = Duration::from_mins(1);
/// Most requests that wait for one purpose.
const MAX_WAITING: usize = 1024;
/// Class of the error.
pub(crate) const TOO_MANY_REQUESTS: &str = "ErrTooManyRequests";
/// Budget of a node that was not given one: tests.
const UNLIMITED_BYTES: u64 = 1 << 40;

/// What memory is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Pieces of uploaded objects, parts and appends between socket and disk.
    Uploads,
    /// Pieces of objects that are copied on their way out.
    Replies,
    /// Batches being assembled for clients.
    Batches,
    /// Batches being read for other nodes and for map-aware clients. Apart from the others, which wait for these.
    Frames,
    /// Bodies of control requests, and answers of other nodes.
    Bodies,
    /// Pages of listings.
    Listings,
    /// Cuts of recordings, from the first sample until they are sent. Apart from batches, which hold memory while
    /// they wait for these.
    Cuts,
}

impl Purpose {
    pub(crate) const ALL: [Self; 7] = [
        Self::Uploads,
        Self::Replies,
        Self::Batches,
        Self::Frames,
        Self::Bodies,
        Self::Listings,
        Self::Cuts,
    ];

    /// Part of what is left of the budget after the caches.
    fn percent(self) -> u64 {
        match self {
            Self::Uploads | Self::Replies => 20,
            Self::Batches | Self::Bodies => 15,
            Self::Frames | Self::Listings | Self::Cuts => 10,
        }
    }

    /// The word in metrics and messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uploads => "uploads",
            Self::Replies => "replies",
            Self::Batches => "batches",
            Self::Frames => "frames",
            Self::Bodies => "bodies",
            Self::Listings => "listings",
            Self::Cuts => "cuts",
        }
    }
}

/// The budget of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shares: Shares,
    /// Longest wait.
    wait: Duration,
    accounts: [Account; Purpose::ALL.len()],
}

/// The share of one purpose.
#[derive(Debug)]
struct Account {
    purpose: Purpose,
    bytes: u64,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    waits: AtomicU64,
    refusals: AtomicU64,
}

impl Budget {
    /// A budget split as `shares` says.
    pub(crate) fn new(shares: Shares) -> Self {
        Self::with_wait(shares, WAIT)
    }

    fn with_wait(shares: Shares, wait: Duration) -> Self {
        let accounts =
            Purpose::ALL.map(|purpose| Account::new(purpose, shares.of_purpose(purpose)));
        Self(Arc::new(Inner { shares, wait, accounts }))
    }

    /// How it is split.
    pub(crate) fn shares(&self) -> &Shares {
        &self.0.shares
    }

    /// The share of a purpose in bytes.
    pub(crate) fn share(&self, purpose: Purpose) -> u64 {
        self.account(purpose).bytes
    }

    /// Takes memory if it is there at once.
    pub(crate) fn try_take(&self, purpose: Purpose, bytes: u64) -> Option<Permit> {
        self.account(purpose).try_take(bytes)
    }

    /// Takes memory, waiting for it in turn; `what` begins the message of a refusal and names the object or
    /// the bucket. Dropping the future is safe.
    ///
    /// # Errors
    ///
    /// 413 for more than there can ever be, 429 when it was not there in time.
    pub(crate) async fn take(
        &self,
        purpose: Purpose,
        bytes: u64,
        what: &str,
    ) -> Result<Permit, ApiError> {
        let account = self.account(purpose);
        match account.try_take(bytes) {
            Some(permit) => Ok(permit),
            None => self.wait(account, bytes, what, self.0.wait).await,
        }
    }

    /// As [`take`](Self::take) for an answer that has begun, and cannot be refused any more: waits longer.
    pub(crate) async fn take_late(
        &self,
        purpose: Purpose,
        bytes: u64,
        what: &str,
    ) -> Result<Permit, ApiError> {
        let account = self.account(purpose);
        match account.try_take(bytes) {
            Some(permit) => Ok(permit),
            None => self.wait(account, bytes, what, LATE_WAIT).await,
        }
    }

    async fn wait(
        &self,
        account: &Account,
        bytes: u64,
        what: &str,
        longest: Duration,
    ) -> Result<Permit, ApiError> {
        let (name, total) = (account.purpose.name(), human_size(self.0.shares.total));
        let share = human_size(account.bytes);
        if bytes > account.bytes {
            account.refusals.fetch_add(1, Ordering::Relaxed);
            return Err(ApiError::new(
                413,
                "",
                format!(
                    "{what}: takes {} of memory, and this node has {share} for {name} (of its budget of {total}): ask for less at a time, or raise the node's --memory",
                    human_size(bytes)
                ),
            ));
        }
        let waited = {
            let waiting = Waiting::begin(account);
            if waiting.is_some() {
                let turn = Arc::clone(&account.free).acquire_many_owned(grains(bytes));
                tokio::time::timeout(longest, turn).await.ok().and_then(Result::ok)
            } else {
                None
            }
        };
        waited.map(Permit::holding).ok_or_else(|| self.refuse(account.purpose, what))
    }

    /// The error of a request for which there is no memory now.
    pub(crate) fn refuse(&self, purpose: Purpose, what: &str) -> ApiError {
        let account = self.account(purpose);
        account.refusals.fetch_add(1, Ordering::Relaxed);
        let (share, total) = (human_size(account.bytes), human_size(self.0.shares.total));
        ApiError::new(
            429,
            TOO_MANY_REQUESTS,
            format!(
                "{what}: all {share} of this node's memory for {} (of its budget of {total}) are in use: try again shortly, send fewer requests at a time, or raise the node's --memory",
                purpose.name()
            ),
        )
    }

    fn account(&self, purpose: Purpose) -> &Account {
        let [uploads, replies, batches, frames, bodies, listings, cuts] = &self.0.accounts;
        match purpose {
            Purpose::Uploads => uploads,
            Purpose::Replies => replies,
            Purpose::Batches => batches,
            Purpose::Frames => frames,
            Purpose::Bodies => bodies,
            Purpose::Listings => listings,
            Purpose::Cuts => cuts,
        }
    }

    /// Whether at least half of a share is free, so that a request may take more than it needs.
    pub(crate) fn is_plenty(&self, purpose: Purpose) -> bool {
        let account = self.account(purpose);
        account.free_bytes() >= account.bytes / 2
    }

    /// Takes memory ahead of its time, if three quarters of the share stay free for those whose time it is.
    pub(crate) fn spare(&self, purpose: Purpose, bytes: u64) -> Option<Permit> {
        let account = self.account(purpose);
        let least = (account.bytes / 4 * 3).saturating_add(bytes);
        (account.free_bytes() >= least).then(|| account.try_take(bytes))?
    }
}

impl Default for Budget {
    fn default() -> Self {
        static UNLIMITED: LazyLock<Budget> = LazyLock::new(|| {
            let shares = Shares::of(Some(UNLIMITED_BYTES), 1);
            #[expect(clippy::expect_used, reason = "far above the least budget")]
            Budget::new(shares.expect("a terabyte is enough"))
        });
        UNLIMITED.clone()
    }
}

impl Account {
    fn new(purpose: Purpose, bytes: u64) -> Self {
        let bytes = bytes / GRAIN_BYTES * GRAIN_BYTES;
        let free = usize::try_from(bytes / GRAIN_BYTES).unwrap_or(usize::MAX);
        Self {
            purpose,
            bytes,
            free: Arc::new(Semaphore::new(free.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            waits: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
        }
    }

    /// The semaphore is fair: while someone waits there is nothing to take here.
    fn try_take(&self, bytes: u64) -> Option<Permit> {
        if bytes == 0 {
            return Some(Permit::default());
        }
        Arc::clone(&self.free).try_acquire_many_owned(grains(bytes)).ok().map(Permit::holding)
    }

    fn free_bytes(&self) -> u64 {
        (self.free.available_permits() as u64).saturating_mul(GRAIN_BYTES)
    }
}

fn grains(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(GRAIN_BYTES)).unwrap_or(u32::MAX)
}

/// A place in the queue of one purpose.
struct Waiting<'a>(&'a Account);

impl<'a> Waiting<'a> {
    fn begin(account: &'a Account) -> Option<Self> {
        let before = account.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Self(account);
        account.waits.fetch_add(1, Ordering::Relaxed);
        (before < MAX_WAITING).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Memory that was taken; dropping it gives it back.
#[derive(Debug, Default)]
pub(crate) struct Permit(Option<OwnedSemaphorePermit>);

impl Permit {
    fn holding(permit: OwnedSemaphorePermit) -> Self {
        Self(Some(permit))
    }

    /// Bytes that it stands for.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |held| held.num_permits() as u64 * GRAIN_BYTES)
    }

    /// Gives back what is more than `bytes`.
    pub(crate) fn shrink(&mut self, bytes: u64) {
        if let Some(held) = &mut self.0 {
            let keep = usize::try_from(bytes.div_ceil(GRAIN_BYTES)).unwrap_or(usize::MAX);
            let surplus = held.num_permits().saturating_sub(keep);
            drop(held.split(surplus));
        }
    }

    /// Parts with `bytes` of it.
    pub(crate) fn split(&mut self, bytes: u64) -> Self {
        let part = usize::try_from(bytes.div_ceil(GRAIN_BYTES)).unwrap_or(usize::MAX);
        Self(self.0.as_mut().and_then(|held| held.split(part.min(held.num_permits()))))
    }

    /// Adds memory of the same purpose.
    pub(crate) fn add(&mut self, other: Self) {
        match (&mut self.0, other.0) {
            (Some(held), Some(more)) => held.merge(more),
            (none, more) => *none = more,
        }
    }

    /// The same bytes, holding this permit until the last reference to them goes.
    pub(crate) fn attach(self, bytes: Bytes) -> Bytes {
        struct Held {
            bytes: Bytes,
            _permit: Permit,
        }
        impl AsRef<[u8]> for Held {
            fn as_ref(&self) -> &[u8] {
                &self.bytes
            }
        }
        if self.0.is_none() {
            return bytes;
        }
        Bytes::from_owner(Held { bytes, _permit: self })
    }
}

#[cfg(test)]
mod tests;
