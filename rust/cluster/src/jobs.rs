//! Jobs in the replicated state.

use std::sync::Arc;

use aistore_core::job::JobRecord;
use serde::{Deserialize, Serialize};

/// Jobs that ended stay this long, so that whoever waits can see how.
const KEPT_NS: u64 = 3_600 * 1_000_000_000;
/// Most jobs that ended and are still shown.
const MAX_ENDED: usize = 1024;

/// Jobs in the order of their start. Entries are shared between states.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Jobs {
    list: Vec<Arc<JobRecord>>,
}

impl Jobs {
    /// The job of that id.
    pub fn get(&self, id: &str) -> Option<&Arc<JobRecord>> {
        self.list.iter().find(|job| job.id == id)
    }

    /// All jobs, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<JobRecord>> {
        self.list.iter()
    }

    /// Jobs that run, oldest first.
    pub fn running(&self) -> impl DoubleEndedIterator<Item = &Arc<JobRecord>> {
        self.list.iter().filter(|job| !job.is_over())
    }

    pub(crate) fn push(&mut self, job: JobRecord) {
        self.list.push(Arc::new(job));
    }

    /// Changes a job in place; whether there is one.
    pub(crate) fn change(&mut self, id: &str, change: impl FnOnce(&mut JobRecord)) -> bool {
        let Some(job) = self.list.iter_mut().find(|job| job.id == id) else { return false };
        change(Arc::make_mut(job));
        true
    }

    /// Forgets jobs that ended long before `now_ns`, and the oldest of too many.
    pub(crate) fn prune(&mut self, now_ns: u64) {
        let stale =
            |job: &JobRecord| job.is_over() && job.ended_ns.saturating_add(KEPT_NS) < now_ns;
        self.list.retain(|job| !stale(job));
        let ended = self.list.iter().filter(|job| job.is_over()).count();
        let mut surplus = ended.saturating_sub(MAX_ENDED);
        self.list.retain(|job| {
            let drop = surplus > 0 && job.is_over();
            surplus -= usize::from(drop);
            !drop
        });
    }
}
