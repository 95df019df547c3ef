//! Serialising work on one name, in constant memory.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use tokio::sync::{Mutex, MutexGuard};

/// Two names rarely share a lock.
const LOCKS: usize = 1024;

/// Locks by name.
pub(crate) struct Stripes(Vec<Mutex<()>>);

impl Default for Stripes {
    fn default() -> Self {
        Self((0..LOCKS).map(|_| Mutex::default()).collect())
    }
}

impl Stripes {
    /// Waits until nobody else works on the name.
    pub(crate) async fn lock(&self, name: &str) -> Option<MutexGuard<'_, ()>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(name);
        let lock = self.0.get(usize::try_from(hash % LOCKS as u64).unwrap_or(0))?;
        Some(lock.lock().await)
    }
}
