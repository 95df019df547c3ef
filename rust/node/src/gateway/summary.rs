//! Bucket summaries: started, polled, and forgotten a while after.
//!
//! A summary is held by the gateway that started it; if that one restarts, the client starts it anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aistore_core::bucket::{Bucket, Provider};
use aistore_core::error::ApiError;
use aistore_core::headers::{BUCKET_PROPS, BUCKET_SUMMARY, JOB_ID};
use aistore_core::job::is_valid_id;
use aistore_core::smap::Snode;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Gateway, jobs};
use crate::context::NodeContext;
use crate::http::{Reply, Req, reply};
use crate::jobs::{Partial, SummaryAsk};

/// A summary nobody asks about is forgotten after this time.
const KEPT: Duration = Duration::from_mins(3);
/// Most summaries at a time.
const MAX_SUMMARIES: usize = 256;

/// `value` of a summary request.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SummaryMsg {
    uuid: String,
    prefix: String,
}

/// Summaries by id.
#[derive(Default)]
pub(super) struct Summaries {
    running: Mutex<HashMap<String, Summary>>,
}

struct Summary {
    ask: Arc<SummaryAsk>,
    targets: usize,
    /// One per target that has answered.
    parts: Vec<Result<Vec<Partial>, ApiError>>,
    asked: Instant,
}

/// How far a summary is.
enum Progress {
    Nothing,
    Partly(Vec<Value>),
    Whole(Vec<Value>),
}

impl Summaries {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Summary>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: &str, ask: Arc<SummaryAsk>, targets: usize) -> Result<(), ApiError> {
        let mut running = self.lock();
        let now = Instant::now();
        running.retain(|_, summary| now.duration_since(summary.asked) < KEPT);
        if running.len() >= MAX_SUMMARIES {
            return Err(ApiError::new(
                429,
                "ErrTooManyRequests",
                format!("{MAX_SUMMARIES} summaries are under way: try again in a while"),
            ));
        }
        let parts = Vec::with_capacity(targets);
        running.insert(id.to_owned(), Summary { ask, targets, parts, asked: now });
        Ok(())
    }

    fn take_part(&self, id: &str, part: Result<Vec<Partial>, ApiError>) {
        if let Some(summary) = self.lock().get_mut(id) {
            summary.parts.push(part);
        }
    }

    fn progress(&self, id: &str, present: bool) -> Result<Progress, ApiError> {
        if !is_valid_id(id) {
            return Err(ApiError::bad_request(format!("invalid summary id \"{id}\"")));
        }
        let mut running = self.lock();
        let Some(summary) = running.get_mut(id) else {
            return Err(ApiError::not_found(format!("summary \"{id}\" not found: start it anew")));
        };
        summary.asked = Instant::now();
        if summary.parts.is_empty() {
            return Ok(Progress::Nothing);
        }
        let mut sums = vec![Partial::default(); summary.ask.buckets.len()];
        for part in &summary.parts {
            let part = part.as_ref().map_err(Clone::clone)?;
            for (sum, part) in sums.iter_mut().zip(part) {
                *sum = std::mem::take(sum).join(part);
            }
        }
        let buckets = summary.ask.buckets.iter().zip(&sums);
        let buckets = buckets.map(|(bucket, sum)| wire(bucket, sum, present)).collect();
        Ok(if summary.parts.len() >= summary.targets {
            Progress::Whole(buckets)
        } else {
            Progress::Partly(buckets)
        })
    }
}

fn wire(bucket: &Bucket, sum: &Partial, present: bool) -> Value {
    let average = sum.bytes.checked_div(sum.objects).unwrap_or_default();
    let percent = u128::from(sum.on_disk) * 100 + u128::from(sum.disks) / 2;
    let used = percent.checked_div(u128::from(sum.disks)).unwrap_or_default();
    json!({
        "name": bucket.name, "provider": bucket.provider, "namespace": bucket.namespace,
        "ObjCount": {"obj_count_present": sum.objects.to_string(), "obj_count_remote": "0"},
        "ObjSize": {"obj_min_size": sum.min, "obj_avg_size": average, "obj_max_size": sum.max},
        "TotalSize": {
            "size_on_disk": sum.on_disk.to_string(),
            "size_all_present_objs": sum.bytes.to_string(),
            "size_all_remote_objs": "0",
            "total_disks_size": sum.disks.to_string(),
        },
        "used_pct": u64::try_from(used).unwrap_or_default(), "is_present": present,
    })
}

impl Gateway {
    /// GET `summary-bck`: starts a summary, or tells how far it is.
    pub(super) fn summary(
        &self,
        req: &Req,
        name: Option<&str>,
        value: Value,
    ) -> Result<Reply, ApiError> {
        let msg: SummaryMsg = if value.is_null() {
            SummaryMsg::default()
        } else {
            serde_json::from_value(value)
                .map_err(|err| ApiError::bad_request(format!("malformed summary request: {err}")))?
        };
        if msg.uuid.is_empty() {
            let id = self.start_summary(self.summary_buckets(req, name)?, &msg.prefix)?;
            return Ok(with_status(reply::text(id), StatusCode::ACCEPTED));
        }
        let (status, buckets) = match self.summaries.progress(&msg.uuid, false).map_err(gone)? {
            Progress::Nothing => (StatusCode::ACCEPTED, Vec::new()),
            Progress::Partly(buckets) => (StatusCode::PARTIAL_CONTENT, buckets),
            Progress::Whole(buckets) => (StatusCode::OK, buckets),
        };
        Ok(with_status(req.json(&buckets), status))
    }

    /// HEAD with `bsumm_remote`: the same in headers.
    pub(super) fn summary_in_headers(
        &self,
        req: &Req,
        bucket: &Bucket,
        prefix: &str,
        props: &str,
    ) -> Result<Reply, ApiError> {
        let known = req.query.text("uuid");
        let (id, status, summary) = if known.is_empty() {
            let id = self.start_summary(vec![bucket.clone()], prefix)?;
            (id, StatusCode::ACCEPTED, None)
        } else {
            let progress = self.summaries.progress(known, true).map_err(gone)?;
            let (status, buckets) = match progress {
                Progress::Nothing => (StatusCode::ACCEPTED, Vec::new()),
                Progress::Partly(buckets) => (StatusCode::PARTIAL_CONTENT, buckets),
                Progress::Whole(buckets) => (StatusCode::OK, buckets),
            };
            (known.to_owned(), status, buckets.into_iter().next())
        };
        let mut answer = reply::with_header(reply::empty(status), JOB_ID, &id);
        answer = reply::with_header(answer, BUCKET_PROPS, &reply::ascii(props));
        if let Some(summary) = summary {
            answer =
                reply::with_header(answer, BUCKET_SUMMARY, &reply::ascii(&summary.to_string()));
        }
        Ok(answer)
    }

    fn summary_buckets(&self, req: &Req, name: Option<&str>) -> Result<Vec<Bucket>, ApiError> {
        let state = self.ctx.state();
        if let Some(name) = name {
            let bucket = req.bucket(name)?;
            super::props(&state, &bucket)?;
            return Ok(vec![bucket]);
        }
        let provider = req.query.text("provider");
        let provider = (!provider.is_empty()).then(|| Provider::parse(provider)).transpose()?;
        let buckets = state.bmd.iter().map(|(bucket, _)| bucket);
        let wanted = buckets.filter(|bucket| provider.is_none_or(|one| one == bucket.provider));
        Ok(wanted.cloned().collect())
    }

    fn start_summary(&self, buckets: Vec<Bucket>, prefix: &str) -> Result<String, ApiError> {
        let id = jobs::new_record("summary-bck").id;
        let prefix = prefix.strip_suffix('*').unwrap_or(prefix).to_owned();
        let ask = Arc::new(SummaryAsk { buckets, prefix });
        let state = self.ctx.state();
        let targets: Vec<Snode> = state.smap.tmap.values().cloned().collect();
        if targets.is_empty() {
            return Err(ApiError::unavailable("the cluster has no target to ask"));
        }
        self.summaries.add(&id, Arc::clone(&ask), targets.len())?;
        for node in targets {
            let (ctx, summaries) = (Arc::clone(&self.ctx), Arc::clone(&self.summaries));
            let (ask, id, version) = (Arc::clone(&ask), id.clone(), state.version);
            self.ctx.tasks.spawn_until_stop(async move {
                let part = ask_target(&ctx, &node, &ask, version).await;
                summaries.take_part(&id, part);
            });
        }
        Ok(id)
    }
}

async fn ask_target(
    ctx: &NodeContext,
    node: &Snode,
    ask: &SummaryAsk,
    version: u64,
) -> Result<Vec<Partial>, ApiError> {
    let url = format!("{}/v1/jobs/summary?sv={version}", node.url());
    ctx.intra.json(Method::POST, &url, ask, ctx.times().long()).await
}

/// A bucket that was there when the summary started and is not any more.
fn gone(err: ApiError) -> ApiError {
    match err.tcode.as_str() {
        "ErrBckNotFound" | "ErrRemoteBckNotFound" => {
            ApiError::new(410, &err.tcode, format!("{}: it was destroyed meanwhile", err.message))
        }
        _ => err,
    }
}

fn with_status(mut reply: Reply, status: StatusCode) -> Reply {
    *reply.status_mut() = status;
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(targets: usize) -> Summaries {
        let summaries = Summaries::default();
        let (buckets, prefix) = (vec![Bucket::ais("b")], String::new());
        let ask = Arc::new(SummaryAsk { buckets, prefix });
        summaries.add("abcdefghi", ask, targets).unwrap();
        summaries
    }

    #[test]
    fn a_summary_goes_from_nothing_over_part_to_whole() {
        let summaries = started(2);
        let progress = || summaries.progress("abcdefghi", false).unwrap();
        assert!(matches!(progress(), Progress::Nothing));
        let part = Partial { objects: 2, bytes: 9, min: 4, max: 5, on_disk: 8192, disks: 100_000 };
        summaries.take_part("abcdefghi", Ok(vec![part.clone()]));
        assert!(matches!(progress(), Progress::Partly(_)));
        summaries.take_part("abcdefghi", Ok(vec![part]));
        let Progress::Whole(buckets) = progress() else { panic!("not whole") };
        assert_eq!(buckets[0]["ObjCount"]["obj_count_present"], "4");
        assert_eq!(buckets[0]["ObjSize"]["obj_avg_size"], 4);
        assert_eq!(buckets[0]["used_pct"], 8);
        assert_eq!(buckets[0]["TotalSize"]["size_all_present_objs"], "18");
    }

    #[test]
    fn unknown_bad_and_vanished_are_told_apart() {
        let summaries = started(1);
        let status = |id: &str| summaries.progress(id, false).map_err(gone).err().map(|e| e.status);
        assert_eq!(status("zzzzzzzzz"), Some(404));
        assert_eq!(status("x"), Some(400));
        assert_eq!(status("abcdefghi"), None);
        let lost = ApiError::bucket_not_found(&Bucket::ais("b"));
        summaries.take_part("abcdefghi", Err(lost));
        assert_eq!(status("abcdefghi"), Some(410));
    }
}
