//! The node's time limits, as its configuration says now.
//!
//! One place says which setting acts where; what is a matter of correctness and not of taste (leases, catching
//! up with the state) stays constant.

use std::sync::Arc;
use std::time::Duration;

use aistore_core::config::ClusterConfig;

/// A transfer between nodes that is slower than this is given up.
const SLOWEST_BYTES_PER_S: u64 = 1 << 20;

/// Time limits under one configuration.
#[derive(Debug)]
pub(crate) struct Times(pub(crate) Arc<ClusterConfig>);

impl Times {
    /// A node shows that it can be reached (`timeout.cplane_operation`).
    pub(crate) fn probe(&self) -> Duration {
        self.0.timeout.cplane_operation.0
    }

    /// One of many nodes answers a question, or carries out a small change (`timeout.max_keepalive`).
    pub(crate) fn ask(&self) -> Duration {
        self.0.timeout.max_keepalive.0
    }

    /// A node that may be busy carries out a change, or answers what it must look up
    /// (`timeout.max_host_busy`). A tenth is left for the way back: clients wait as long themselves.
    pub(crate) fn busy(&self) -> Duration {
        self.0.timeout.max_host_busy.0.mul_f64(0.9)
    }

    /// A node answers a question that a client asked through this one (`client.client_timeout`).
    pub(crate) fn relay(&self) -> Duration {
        self.0.client.client_timeout.0
    }

    /// Work that a client waits for (`client.client_long_timeout`).
    pub(crate) fn long(&self) -> Duration {
        self.0.client.client_long_timeout.0
    }

    /// A target lists one page of its own names (`client.list_timeout`).
    pub(crate) fn listing(&self) -> Duration {
        self.0.client.list_timeout.0
    }

    /// An object reaches another target (`timeout.send_file_time`, and more for large ones).
    pub(crate) fn delivery(&self, bytes: u64) -> Duration {
        let more = Duration::from_secs(bytes / SLOWEST_BYTES_PER_S);
        self.0.timeout.send_file_time.0.saturating_add(more)
    }

    /// A target that starts finds a gateway (`timeout.join_startup_time`; 0: `timeout.startup_time`).
    pub(crate) fn join(&self) -> Duration {
        let timeout = &self.0.timeout;
        let join = timeout.join_startup_time.0;
        if join.is_zero() { timeout.startup_time.0 } else { join }
    }

    /// A target gives a sign of life (`keepalivetracker.target.interval`).
    pub(crate) fn beat(&self) -> Duration {
        self.0.keepalivetracker.target.interval.0
    }

    /// A target without a sign of life counts as silent (`keepalivetracker.target.factor` intervals, and as
    /// long as one sign may take).
    pub(crate) fn silence(&self) -> Duration {
        let factor = self.0.keepalivetracker.target.factor.max(1);
        self.beat().saturating_mul(factor).saturating_add(self.ask())
    }

    /// A silent target is given up: its shares of jobs end (`keepalivetracker.num_retries` more intervals).
    pub(crate) fn lost(&self) -> Duration {
        let more = self.beat().saturating_mul(self.0.keepalivetracker.num_retries);
        self.silence().saturating_add(more)
    }

    /// Longest pause before a gateway that could not be reached is asked again
    /// (`periodic.retry_sync_time`).
    pub(crate) fn retry(&self) -> Duration {
        self.0.periodic.retry_sync_time.0
    }

    /// A peer answers a request for its entries of a batch (half of `get_batch.max_wait`).
    pub(crate) fn batch_head(&self) -> Duration {
        self.0.get_batch.max_wait.0 / 2
    }

    /// A peer's next bytes of a batch come (three quarters of `get_batch.max_wait`: the client that waits as
    /// long must still hear why there are none).
    pub(crate) fn batch_piece(&self) -> Duration {
        self.0.get_batch.max_wait.0.mul_f64(0.75)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn with(change: &Value) -> Times {
        Times(Arc::new(ClusterConfig::default().patched(change).unwrap()))
    }

    #[test]
    fn every_setting_acts() {
        let seconds = Duration::from_secs;
        let times = with(&json!({
            "timeout": {
                "cplane_operation": "1s", "max_keepalive": "3s", "max_host_busy": "40s",
                "send_file_time": "2m", "join_startup_time": "4m",
            },
            "client": {"client_timeout": "7s", "client_long_timeout": "8m", "list_timeout": "9m"},
            "keepalivetracker": {"target": {"interval": "4s", "factor": 2}, "num_retries": 5},
            "periodic": {"retry_sync_time": "6s"},
            "get_batch": {"max_wait": "8s"},
        }));
        assert_eq!(
            (times.probe(), times.ask(), times.busy()),
            (seconds(1), seconds(3), seconds(36))
        );
        assert_eq!((times.relay(), times.long()), (seconds(7), seconds(480)));
        assert_eq!((times.listing(), times.join()), (seconds(540), seconds(240)));
        assert_eq!(times.delivery(5 << 20), seconds(125));
        assert_eq!(
            (times.beat(), times.silence(), times.lost()),
            (seconds(4), seconds(11), seconds(31))
        );
        assert_eq!(times.retry(), seconds(6));
        assert_eq!((times.batch_head(), times.batch_piece()), (seconds(4), seconds(6)));
    }

    #[test]
    fn without_a_time_to_join_the_time_to_start_counts() {
        let times = with(&json!({"timeout": {"join_startup_time": "0s", "startup_time": "50s"}}));
        assert_eq!(times.join(), Duration::from_secs(50));
    }

    #[test]
    fn extreme_but_valid_settings_do_not_overflow() {
        let times = with(&json!({"timeout": {"send_file_time": "2562047h"}}));
        assert!(times.delivery(u64::MAX) > Duration::from_hours(2_562_047));
    }
}
