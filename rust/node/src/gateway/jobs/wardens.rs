//! Ends the shares of targets that are gone, so that no job waits for ever.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aistore_cluster::{ClusterState, Command, Consensus, Heartbeats};
use aistore_core::job::JobOutcome;

use crate::context::NodeContext;
use crate::jobs::now_ns;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(2);

/// Watches until the node stops. Only the leader's commands are carried out.
pub(in crate::gateway) async fn watch(
    ctx: Arc<NodeContext>,
    consensus: Arc<Consensus>,
    heartbeats: Arc<Heartbeats>,
) {
    let began = Instant::now();
    loop {
        tokio::time::sleep(LOOK).await;
        let (state, now) = (ctx.state(), Instant::now());
        let silence =
            |id: &str| heartbeats.silent_for(id, now).unwrap_or_else(|| now.duration_since(began));
        // One that restarts in time resumes.
        for (id, target, why) in orphans(&state, silence, ctx.times().lost()) {
            let abort = why.clone();
            let outcome =
                Box::new(JobOutcome { abort, ended_ns: now_ns(), ..JobOutcome::default() });
            tracing::warn!(job = id, target_id = target, why, "ending the share of a lost target");
            let command = Command::FinishJobOnTarget { id, target, outcome };
            if let Err(err) = consensus.submit(command).await {
                tracing::debug!(error = %err, "cannot end the share of a lost target yet");
            }
        }
    }
}

/// Open shares of targets that are not in the map, or silent for too long.
fn orphans(
    state: &ClusterState,
    silence: impl Fn(&str) -> Duration,
    limit: Duration,
) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for job in state.jobs.running() {
        for target in job.targets.keys().filter(|target| job.wants(target)) {
            let why = match state.smap.tmap.get(target) {
                None => format!("target t[{target}] left the cluster"),
                Some(node) if silence(target) >= limit => {
                    format!("{} has been silent for {} s", node.display(), limit.as_secs())
                }
                Some(_) => continue,
            };
            found.push((job.id.clone(), target.clone(), why));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use aistore_core::job::JobRecord;
    use aistore_core::smap::Snode;

    use super::*;

    #[test]
    fn shares_of_lost_targets_are_found() {
        let targets = ["t1", "t2", "t3"].map(|id| (id.to_owned(), None));
        let job =
            JobRecord { id: "abcdefghi".into(), targets: targets.into(), ..JobRecord::default() };
        let jobs = serde_json::from_value(serde_json::json!([job])).unwrap();
        let mut state = ClusterState { jobs, ..ClusterState::default() };
        for id in ["t1", "t2"] {
            state.smap.tmap.insert(id.into(), Snode::for_test(id));
        }
        let limit = Duration::from_mins(1);
        let silence = |id: &str| if id == "t2" { limit } else { Duration::ZERO };
        let found = orphans(&state, silence, limit);
        let who: Vec<&str> = found.iter().map(|(_, target, _)| target.as_str()).collect();
        assert_eq!(who, ["t2", "t3"]);
        assert!(found[0].2.contains("silent") && found[1].2.contains("left"));
    }
}
