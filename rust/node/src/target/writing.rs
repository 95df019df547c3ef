//! Which objects are being written now: what `check-lock` answers from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Number of writers by object uname.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writing {
    writers: Arc<Mutex<HashMap<Box<str>, usize>>>,
}

/// A writer at work; dropping it ends that.
#[derive(Debug)]
pub(crate) struct Writer {
    all: Writing,
    uname: Box<str>,
}

impl Writing {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, usize>> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a writer until the answer is dropped.
    pub(crate) fn begin(&self, uname: &str) -> Writer {
        let uname: Box<str> = uname.into();
        *self.lock().entry(uname.clone()).or_default() += 1;
        Writer { all: self.clone(), uname }
    }

    /// Whether someone writes the object now.
    pub(crate) fn is_written(&self, uname: &str) -> bool {
        self.lock().contains_key(uname)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut writers = self.all.lock();
        if let Some(count) = writers.get_mut(&self.uname) {
            *count -= 1;
            if *count == 0 {
                writers.remove(&self.uname);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_written_until_its_last_writer_ends() {
        let writing = Writing::default();
        let (first, second) = (writing.begin("a"), writing.begin("a"));
        drop(first);
        assert!(writing.is_written("a") && !writing.is_written("b"));
        drop(second);
        assert!(!writing.is_written("a") && writing.lock().is_empty());
    }
}
