//! Waiting for a job: polls that grow apart, a deadline, and what went wrong at the end.

use std::time::{Duration, Instant};

use aistore_client::Client;
use serde_json::{Value, json};

use super::kinds::{self, Ends};
use super::snaps::{self, Snap};
use super::{Selection, query};
use crate::failure::Failure;
use crate::output::{Output, note};
use crate::progress::Waiting;

/// Longest wait when none is given.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);
/// First pause between two polls, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Polls in a row that must find nothing at work before an idling job counts as done.
const IDLE_POLLS: u32 = 2;
/// Errors shown of a job that failed.
const ERRORS_SHOWN: usize = 3;

/// Waits until the selected job has ended; an abort or an error of it is this command's.
pub(crate) async fn until_done(
    client: &Client,
    selection: &Selection,
    timeout: Option<Duration>,
    progress: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut selection = selection.clone();
    if selection.kind.is_empty() {
        let raw = query(client, "qryxstats", &selection.message(false)).await?;
        let first = snaps::decode(&raw)?.into_iter().next();
        selection.kind = first.map(|snap| snap.kind).ok_or_else(|| not_found(&selection))?;
    }
    let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT);
    let name = format!("{}[{}]", kinds::display(&selection.kind), selection.id);
    let waiting = Waiting::start(&name, progress);
    let (began, mut pause, mut quiet) = (Instant::now(), FIRST_PAUSE, 0);
    loop {
        if has_ended(client, &selection, &waiting, out, &mut quiet).await? {
            break;
        }
        let left = timeout.saturating_sub(began.elapsed());
        if left.is_zero() {
            waiting.finish();
            return Err(Failure::Other(format!(
                "{name} still runs after {}: wait longer with --timeout, or see 'ais show job {}'",
                out.units.duration(timeout),
                selection.id
            )));
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
    waiting.finish();
    report(client, &selection, &name, out).await
}

fn not_found(selection: &Selection) -> Failure {
    Failure::Other(format!("job \"{}\" not found: see 'ais show job --all'", selection.id))
}

async fn has_ended(
    client: &Client,
    selection: &Selection,
    waiting: &Waiting,
    out: &Output,
    quiet: &mut u32,
) -> Result<bool, Failure> {
    let ends = kinds::ends(&selection.kind);
    let found = match query(client, "qryxstats", &selection.message(false)).await {
        Ok(raw) => snaps::decode(&raw)?,
        // The cluster's status of the job may outlive what targets remember.
        Err(err) if err.status() == Some(404) && ends == Ends::Status => Vec::new(),
        Err(err) => return Err(err),
    };
    let sum = |stat: &str| found.iter().map(|snap| snap.stat(stat)).fold(0, u64::saturating_add);
    waiting.show(sum("loc-objs"), sum("loc-bytes"), out.units);
    let aborted = found.iter().any(|snap| snap.aborted);
    match ends {
        Ends::Status if !selection.id.is_empty() => {
            let status = query(client, "status", &selection.message(false)).await?;
            Ok(status.get("end_time").and_then(Value::as_i64).unwrap_or(0) != 0)
        }
        Ends::Status | Ends::Finished => Ok(aborted || found.iter().all(Snap::done)),
        Ends::Idle => {
            let at_work = found.iter().any(|snap| !snap.done() && !snap.idle);
            *quiet = if at_work || found.is_empty() { 0 } else { *quiet + 1 };
            Ok(aborted || *quiet >= IDLE_POLLS)
        }
    }
}

/// Tells how the job ended.
async fn report(
    client: &Client,
    selection: &Selection,
    name: &str,
    out: &mut Output,
) -> Result<(), Failure> {
    let found = match query(client, "qryxstats", &selection.message(false)).await {
        Ok(raw) => snaps::decode(&raw)?,
        Err(err) if err.status() == Some(404) => Vec::new(),
        Err(err) => return Err(err),
    };
    let aborted = found.iter().any(|snap| snap.aborted);
    let said = found.iter().flat_map(|snap| {
        [&snap.abort_err, &snap.err].map(|text| (snap.node.clone(), text.clone()))
    });
    let errors: Vec<(String, String)> = said.filter(|(_, text)| !text.is_empty()).collect();
    if out.json {
        out.json(&json!({"id": selection.id, "kind": selection.kind, "aborted": aborted,
            "errors": errors.iter().map(|(_, text)| text).collect::<Vec<_>>()}))?;
    }
    for (node, text) in errors.iter().take(ERRORS_SHOWN) {
        note(&format!("t[{node}]: {text}"));
    }
    if aborted {
        return Err(Failure::Other(format!("{name} was aborted")));
    }
    if !errors.is_empty() {
        return Err(Failure::Other(format!("{name} finished with errors")));
    }
    out.message(&format!("{name} finished"))
}
