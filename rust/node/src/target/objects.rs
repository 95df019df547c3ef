//! The objects of this target: the store behind its caches.

use std::sync::Arc;

use aistore_cluster::ClusterState;
use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_store::{ObjectReader, Store};
use tokio::sync::Semaphore;

use super::buffers::BufferPool;
use super::failure::store_failure;
use super::members::MemberCache;
use super::policies::Policies;
use super::read::Extent;
use super::readers::ReaderCache;
use super::writing::Writing;
use crate::memory::Budget;
use crate::sendfile;

/// Fewest shards that may be searched at a time.
const MIN_SEARCHES: usize = 8;

/// One object, resolved: whose bytes are meant under the current buckets.
#[derive(Debug, Clone)]
pub(crate) struct ObjectRef {
    pub(crate) bucket: Bucket,
    pub(crate) name: String,
    /// Bucket id under which the store keeps it.
    pub(crate) bid: u64,
    /// Placement key.
    pub(crate) uname: String,
}

impl ObjectRef {
    /// The object of that name, whether or not it exists, in a bucket that must.
    pub(crate) fn find(
        state: &ClusterState,
        bucket: Bucket,
        name: String,
    ) -> Result<Self, ApiError> {
        let props = state.bmd.get(&bucket).ok_or_else(|| ApiError::bucket_not_found(&bucket))?;
        let (bid, uname) = (props.bid, bucket.object_uname(&name));
        Ok(Self { bucket, name, bid, uname })
    }

    /// `ais://bucket/object`, for messages.
    pub(crate) fn cname(&self) -> String {
        self.bucket.object_cname(&self.name)
    }
}

/// The store and what is cached of it. Shared by all requests.
pub(crate) struct Objects {
    pub(crate) store: Arc<Store>,
    pub(crate) readers: ReaderCache,
    pub(crate) members: MemberCache,
    /// Bounds how many shards are searched, or unpacked to the first byte wanted, at a time.
    pub(crate) searches: Arc<Semaphore>,
    /// One at a time: such a recording holds memory while the cut waits for more.
    pub(crate) unpackings: Arc<Semaphore>,
    pub(crate) pool: BufferPool,
    pub(crate) writing: Writing,
    pub(crate) policies: Policies,
    /// Whether this target's connections can send from files.
    pub(crate) sendfile: bool,
}

impl Objects {
    #[cfg(test)]
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self::within(store, Budget::default())
    }

    /// The same, within a memory budget.
    pub(crate) fn within(store: Arc<Store>, memory: Budget) -> Self {
        let readers = ReaderCache::within(memory.shares().readers);
        let members = MemberCache::within(memory.shares().members);
        let pool = BufferPool::new(memory);
        let writing = Writing::default();
        let policies = Policies::default();
        let searches = std::thread::available_parallelism().map_or(MIN_SEARCHES, |n| n.get() * 4);
        let searches = Arc::new(Semaphore::new(searches.max(MIN_SEARCHES)));
        let unpackings = Arc::new(Semaphore::new(1));
        let sendfile = false;
        Self { store, readers, members, searches, unpackings, pool, writing, policies, sendfile }
    }

    /// The same, for connections that send from files.
    pub(crate) fn with_sendfile(self, sendfile: bool) -> Self {
        Self { sendfile, ..self }
    }

    /// Whether a plain connection would start sending this from its file at once.
    pub(crate) fn sends_now(&self, extent: &mut Extent) -> bool {
        self.sendfile
            && sendfile::worth_it(extent)
            && extent.starts_in_memory(sendfile::WINDOW_BYTES as u64)
    }

    /// Opens the current version, `None` when there is no such object. Blocks on the disk.
    pub(crate) fn open(&self, object: &ObjectRef) -> Result<Option<Arc<ObjectReader>>, ApiError> {
        let ObjectRef { bid, uname, name, .. } = object;
        if let Some(reader) = self.readers.get(*bid, uname) {
            return Ok(Some(reader));
        }
        let ticket = self.readers.ticket(uname);
        let opened = self.store.open_object(*bid, uname, name);
        let opened = opened.map_err(|err| store_failure(&err, &object.cname()))?;
        Ok(opened.map(|reader| {
            let reader = Arc::new(reader);
            self.readers.insert(ticket, *bid, uname, &reader);
            reader
        }))
    }
}
