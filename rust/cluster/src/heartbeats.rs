//! When each node was last heard of.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most ids remembered; far above any cluster, it bounds what strangers can make us store.
const MAX_IDS: usize = 16_384;

/// Last sign of life of each node, in memory: after a restart every node counts as never heard of.
#[derive(Debug, Default)]
pub struct Heartbeats {
    last: Mutex<HashMap<String, Instant>>,
}

impl Heartbeats {
    /// Notes a sign of life. New ids beyond 16,384 are ignored.
    pub fn beat(&self, id: &str, now: Instant) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = last.get_mut(id) {
            *at = now;
        } else if last.len() < MAX_IDS {
            last.insert(id.to_owned(), now);
        }
    }

    /// How long the node has been silent at `now`; `None` when it was never heard of.
    pub fn silent_for(&self, id: &str, now: Instant) -> Option<Duration> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(id).map(|at| now.saturating_duration_since(*at))
    }

    /// Forgets a node that has left.
    pub fn forget(&self, id: &str) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_counted_from_the_last_beat_and_unknown_ids_have_none() {
        let (beats, start) = (Heartbeats::default(), Instant::now());
        beats.beat("t1", start);
        beats.beat("t1", start + Duration::from_secs(3));
        let later = start + Duration::from_secs(5);
        assert_eq!(beats.silent_for("t1", later), Some(Duration::from_secs(2)));
        assert_eq!(beats.silent_for("t1", start), Some(Duration::ZERO));
        assert_eq!(beats.silent_for("t2", later), None);
        beats.forget("t1");
        assert_eq!(beats.silent_for("t1", later), None);
    }

    #[test]
    fn strangers_cannot_grow_it_without_bound() {
        let (beats, now) = (Heartbeats::default(), Instant::now());
        beats.beat("first", now);
        for i in 0..MAX_IDS {
            beats.beat(&i.to_string(), now);
        }
        assert_eq!(beats.last.lock().unwrap().len(), MAX_IDS);
        assert!(beats.silent_for("first", now).is_some());
    }
}
