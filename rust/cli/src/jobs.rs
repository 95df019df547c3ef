//! `ais show job`, `wait`, `stop`, `job start`.

mod kinds;
mod snaps;
mod wait;

use aistore_client::{Call, Client};
use aistore_core::bucket::Bucket;
use http::Method;
use serde_json::{Value, json};

use crate::api;
use crate::args::{
    JobCommand, JobShowArgs, JobStartCommand, JobStopArgs, JobWaitArgs, MirrorArgs, ThenArgs,
};
use crate::copy;
use crate::failure::Failure;
use crate::names::parse_bucket;
use crate::output::{Output, confirm};

pub(crate) use wait::until_done;

/// Shortest text that can be a job's id.
const MIN_ID: usize = 9;

/// Which jobs are meant. Empty parts mean any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Id.
    pub(crate) id: String,
    /// Kind, as the protocol spells it.
    pub(crate) kind: String,
    /// Bucket.
    pub(crate) bucket: Option<Bucket>,
    /// Target.
    pub(crate) node: Option<String>,
}

impl Selection {
    /// Reads words in any order: each is a bucket, a kind, a node's `t[ID]` or a job's id.
    fn parse(words: &[String]) -> Result<Self, Failure> {
        let mut all = Self::default();
        for word in words {
            if word.contains("://") {
                all.bucket = Some(parse_bucket(word)?);
            } else if word.starts_with("t[") {
                all.node = Some(api::bare_id(word).to_owned());
            } else if let Some((kind, id)) = split_display(word) {
                kind.clone_into(&mut all.kind);
                id.clone_into(&mut all.id);
            } else if let Some(kind) = kinds::find(word) {
                kind.clone_into(&mut all.kind);
            } else if is_id(word) {
                word.clone_into(&mut all.id);
            } else {
                return Err(kinds::unknown(word));
            }
        }
        Ok(all)
    }

    /// Body of a query.
    fn message(&self, only_running: bool) -> Value {
        json!({
            "id": self.id,
            "kind": self.kind,
            "bck": self.bucket.clone(),
            "show_active": only_running.then_some(true),
        })
    }
}

/// `kind[id]` as `stop` and listings print it.
fn split_display(word: &str) -> Option<(&str, &str)> {
    let (kind, id) = word.strip_suffix(']')?.split_once('[')?;
    kinds::find(kind).map(|kind| (kind, id))
}

fn is_id(word: &str) -> bool {
    let rebalance = word.strip_prefix('g').is_some_and(|n| n.parse::<u64>().is_ok());
    let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b','));
    rebalance || (word.len() >= MIN_ID && plain)
}

/// `ais job`.
pub(crate) async fn run(
    client: &Client,
    command: &JobCommand,
    out: &mut Output,
) -> Result<(), Failure> {
    match command {
        JobCommand::Start(command) => start(client, command, out).await,
        JobCommand::Show(args) => show(client, args, out).await,
        JobCommand::Wait(args) => wait_for(client, args, out).await,
        JobCommand::Stop(args) => stop(client, args, out).await,
    }
}

/// `ais show job`.
pub(crate) async fn show(
    client: &Client,
    args: &JobShowArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let selection = Selection::parse(&args.what)?;
    let active = !args.all && selection.id.is_empty();
    let raw = query(client, "qryxstats", &selection.message(active)).await?;
    let mut found = snaps::decode(&raw)?;
    found.retain(|snap| selection.node.as_ref().is_none_or(|node| *node == snap.node));
    if active {
        found.retain(|snap| !snap.done());
    }
    snaps::newest(&mut found, args.top);
    if out.json {
        return out.json(&snaps::to_json(&found));
    }
    if found.is_empty() {
        let hint = if active { " (finished ones are shown with --all)" } else { "" };
        return out.message(&format!("No jobs{hint}"));
    }
    if args.verbose {
        return out.text(&snaps::details(&found, out.units));
    }
    out.table(&snaps::table(&found, out.units))
}

/// `ais wait`.
pub(crate) async fn wait_for(
    client: &Client,
    args: &JobWaitArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let selection = Selection::parse(&args.what)?;
    until_done(client, &selection, args.timeout, args.progress, out).await
}

/// `ais stop`.
pub(crate) async fn stop(
    client: &Client,
    args: &JobStopArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let selection = Selection::parse(&args.what)?;
    let jobs: Vec<(String, String)> = if selection.id.is_empty() {
        let running = query(client, "running_all", &selection.message(true)).await?;
        let names: Vec<String> = serde_json::from_value(running).unwrap_or_default();
        let split = |name: &String| {
            let (kind, id) = name.strip_suffix(']')?.split_once('[')?;
            Some((kind.to_owned(), id.to_owned()))
        };
        names.iter().filter_map(split).collect()
    } else {
        let raw = query(client, "qryxstats", &selection.message(false)).await?;
        let found = snaps::decode(&raw)?;
        match found.iter().find(|snap| !snap.done()) {
            Some(snap) => vec![(snap.kind.clone(), snap.id.clone())],
            None => Vec::new(),
        }
    };
    if jobs.is_empty() {
        out.message("Nothing to stop: no such job runs")?;
    } else if selection.id.is_empty() && jobs.len() > 1 && !args.yes {
        let names: Vec<_> = jobs.iter().map(|(kind, id)| format!("{kind}[{id}]")).collect();
        if !confirm(&format!("Stop {}?", names.join(", ")))? {
            return Err(Failure::Other("not confirmed: nothing was stopped".to_owned()));
        }
    }
    for (kind, id) in &jobs {
        let value = json!({"ID": id, "Kind": kind, "Bck": selection.bucket});
        api::act(client, Call::new(Method::PUT, "/v1/cluster"), "stop", "", value).await?;
        out.message(&format!("Stopped {kind}[{id}]"))?;
    }
    if out.json {
        let ids: Vec<_> = jobs.iter().map(|(_, id)| id).collect();
        return out.json(&json!({"stopped": ids}));
    }
    Ok(())
}

/// `ais job start`.
pub(crate) async fn start(
    client: &Client,
    command: &JobStartCommand,
    out: &mut Output,
) -> Result<(), Failure> {
    match command {
        JobStartCommand::Mirror(args) => mirror(client, args, out).await,
        JobStartCommand::Copy(args) => copy::run(client, args, out).await,
        JobStartCommand::Rename(args) => copy::rename_bucket(client, args, out).await,
        JobStartCommand::Resilver { target, then } => {
            let map = client.smap(true).await?;
            let node = api::find_target(&map, target)?;
            let value = json!({"Kind": "resilver", "DaemonID": node.daemon_id});
            let call = Call::new(Method::PUT, "/v1/cluster");
            let id = api::act(client, call, "start", "", value).await?;
            started(client, "resilver", &id, then, out).await
        }
        JobStartCommand::Other(words) => start_other(client, words, out).await,
    }
}

async fn start_other(client: &Client, words: &[String], out: &mut Output) -> Result<(), Failure> {
    let wait = words.iter().any(|word| word == "--wait");
    if let Some(flag) = words.iter().find(|word| word.starts_with('-') && *word != "--wait") {
        return Err(Failure::usage(format!(
            "unknown option \"{flag}\": only --wait goes with other kinds"
        )));
    }
    let words: Vec<String> = words.iter().filter(|word| !word.starts_with('-')).cloned().collect();
    let selection = Selection::parse(&words)?;
    if selection.kind.is_empty() || !selection.id.is_empty() {
        return Err(Failure::usage(
            "expected a kind and, for some, a bucket: ais job start KIND [BUCKET]",
        ));
    }
    let value = json!({"Kind": selection.kind, "Bck": selection.bucket, "DaemonID": selection.node.unwrap_or_default()});
    let mut call = Call::new(Method::PUT, "/v1/cluster");
    if let Some(bucket) = &selection.bucket {
        call = call.query("provider", bucket.provider.as_str());
    }
    let id = api::act(client, call, "start", "", value).await?;
    let then = ThenArgs { wait, timeout: None, progress: false, non_verbose: false };
    started(client, &selection.kind, &id, &then, out).await
}

/// `ais storage mirror`.
pub(crate) async fn mirror(
    client: &Client,
    args: &MirrorArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let bucket = parse_bucket(&args.bucket)?;
    let call = api::bucket_call(Method::POST, &bucket);
    let id = api::act(client, call, "make-n-copies", "", json!(args.copies)).await?;
    started(client, "make-n-copies", &id, &args.then, out).await
}

/// Says that a job has started, and waits for it if asked to.
pub(crate) async fn started(
    client: &Client,
    kind: &str,
    id: &str,
    then: &ThenArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let name = kinds::display(kind);
    if id.is_empty() {
        out.message(&format!("{name}: nothing left to do"))?;
        return if out.json { out.json(&json!({"id": "", "kind": kind})) } else { Ok(()) };
    }
    if then.non_verbose {
        out.message(id)?;
    } else {
        let hint = if then.waits() {
            String::new()
        } else {
            format!(". To monitor the progress, run 'ais show job {id}'")
        };
        out.message(&format!("Started {name}[{id}]{hint}"))?;
    }
    if then.waits() {
        let kind = kind.to_owned();
        let selection = Selection { id: id.to_owned(), kind, ..Selection::default() };
        return until_done(client, &selection, then.timeout, then.progress, out).await;
    }
    if out.json { out.json(&json!({"id": id, "kind": kind})) } else { Ok(()) }
}

/// Asks the cluster about jobs.
async fn query(client: &Client, what: &str, message: &Value) -> Result<Value, Failure> {
    let call = Call::new(Method::GET, "/v1/cluster").query("what", what).json(message)?;
    Ok(client.call(call).await?.json()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Selection, Failure> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Selection::parse(&words)
    }

    #[test]
    fn words_mean_what_they_look_like() {
        let all = parse("copy-bucket ais://b Ab3_defgh t[t1]").unwrap();
        assert_eq!((all.kind.as_str(), all.id.as_str()), ("copy-bck", "Ab3_defgh"));
        assert_eq!((all.bucket, all.node.as_deref()), (Some(Bucket::ais("b")), Some("t1")));
        assert_eq!(parse("rebalance g7").unwrap().id, "g7");
        let both = parse("make-n-copies[abcdefghi]").unwrap();
        assert_eq!((both.kind.as_str(), both.id.as_str()), ("make-n-copies", "abcdefghi"));
    }

    #[test]
    fn a_misspelt_kind_gets_a_suggestion() {
        let text = parse("rebalanc").unwrap_err().to_string();
        assert!(text.contains("did you mean \"rebalance\"?"), "{text}");
        assert!(parse("zz").unwrap_err().to_string().contains("\"zz\""));
    }
}
