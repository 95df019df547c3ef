//! Background work of one node: every task has this owner, which awaits it at shutdown.

use std::future::Future;
use std::time::Duration;

use aistore_core::error::ApiError;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Spawns tasks, tells them to stop, waits for them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Runs `work` until it ends. It should watch [`Tasks::stop`] when it may run for long.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(work);
    }

    /// Runs `work` until it ends or the node stops, whichever comes first.
    pub fn spawn_until_stop(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            tokio::select! { () = stop.cancelled() => {}, () = work => {} }
        });
    }

    /// Set when the node stops.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Tells all tasks to stop and waits for them; whether all ended within `deadline`.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok()
    }

    /// Number of tasks that run.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether no task runs.
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }
}

/// A blocking task did not come back: it panicked, or the node shuts down.
pub(crate) fn lost_task(err: &JoinError) -> ApiError {
    tracing::error!(error = %err, "blocking task lost");
    ApiError::internal("the node could not finish the request; see its log")
}
