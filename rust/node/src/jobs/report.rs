//! Telling the cluster how a share ended.

use std::time::{Duration, Instant};

use aistore_core::job::JobOutcome;
use http::Method;
use serde::{Deserialize, Serialize};

use crate::context::NodeContext;

/// First and longest pause between attempts.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A cluster without a reachable leader for so long is given up; the share runs again after a restart.
const REPORT_LIMIT: Duration = Duration::from_hours(1);

/// Body of a report.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) id: String,
    pub(crate) target: String,
    pub(crate) outcome: JobOutcome,
}

/// Reports an outcome until a gateway has taken it, or nobody wants it any more.
pub(super) async fn report(ctx: &NodeContext, id: &str, outcome: JobOutcome) {
    let Some(upstream) = &ctx.upstream else { return };
    let target = ctx.snode.daemon_id.clone();
    let report = Report { id: id.to_owned(), target, outcome };
    let (deadline, mut pause) = (Instant::now() + REPORT_LIMIT, PAUSE.0);
    while Instant::now() < deadline {
        let state = ctx.state();
        let open = |job: &aistore_core::job::JobRecord| {
            matches!(job.targets.get(&report.target), Some(None))
        };
        if !state.jobs.get(id).is_some_and(|job| open(job)) {
            return;
        }
        for gateway in upstream.gateways(&state) {
            let url = format!("{gateway}/v1/internal/jobs/finish");
            let timeout = ctx.times().busy();
            let sent = ctx.intra.json::<bool>(Method::POST, &url, &report, timeout).await;
            match sent {
                Ok(_) => return,
                Err(err) => {
                    tracing::warn!(job = id, gateway, error = %err, "cannot report a job's end yet");
                }
            }
        }
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(PAUSE.1);
    }
    tracing::error!(job = id, "gave up reporting a job's end");
}
