//! `ais storage mountpath`: which directories targets keep their data in, and changes of that.

use std::collections::BTreeMap;

use aistore_client::Client;
use http::Method;
use serde_json::{Value, json};

use super::ask_targets;
use crate::api;
use crate::args::{DiskArgs, MountpathArgs, MountpathCommand};
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Align, Table};

/// States that targets tell apart, and the words shown.
const STATES: [(&str, &str); 3] =
    [("available", "available"), ("waiting_dd", "transitioning"), ("disabled", "disabled")];

/// Runs the command.
pub(crate) async fn run(
    client: &Client,
    command: &MountpathCommand,
    out: &mut Output,
) -> Result<(), Failure> {
    match command {
        MountpathCommand::Show(args) => show(client, args, out).await,
        MountpathCommand::Attach(args) => {
            change(client, args, Method::PUT, "attach-mp", "attached", out).await
        }
        MountpathCommand::Detach(args) => {
            change(client, args, Method::DELETE, "detach-mp", "detached", out).await
        }
        MountpathCommand::Enable(args) => {
            change(client, args, Method::POST, "enable-mp", "enabled", out).await
        }
        MountpathCommand::Disable(args) => {
            change(client, args, Method::POST, "disable-mp", "disabled", out).await
        }
        MountpathCommand::RescanDisks(args) => {
            change(client, args, Method::POST, "rescan-mp", "rescanned", out).await
        }
        MountpathCommand::Fshc(args) => {
            change(client, args, Method::POST, "fshc-mp", "is being checked", out).await
        }
    }
}

/// `ais storage mountpath show`.
pub(crate) async fn show(
    client: &Client,
    args: &DiskArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let answers = ask_targets(client, args, "mountpaths").await?;
    if out.json {
        return out.json(&json!(answers));
    }
    let configs = ask_targets(client, args, "config").await?;
    out.table(&table(&answers, &configs))
}

/// The mountpaths in the answers of the targets; what they are called is in their configurations.
fn table(answers: &BTreeMap<String, Value>, configs: &BTreeMap<String, Value>) -> Table {
    let columns = ["TARGET", "MOUNTPATH", "LABEL", "STATE"];
    let mut table = Table::new(columns.map(|column| (column, Align::Left)));
    for (target, answer) in answers {
        let known = configs.get(target).and_then(|config| config.get("fspaths"));
        let label = |path: &str| {
            let label = known.and_then(|known| known.get(path)?.as_str());
            label.unwrap_or_default().to_owned()
        };
        for (key, state) in STATES {
            let paths = answer.get(key).and_then(Value::as_array);
            for path in paths.into_iter().flatten().filter_map(Value::as_str) {
                table.push([
                    format!("t[{target}]"),
                    path.to_owned(),
                    label(path),
                    state.to_owned(),
                ]);
            }
        }
    }
    table.drop_when("LABEL", str::is_empty);
    table
}

async fn change(
    client: &Client,
    args: &MountpathArgs,
    method: Method,
    action: &str,
    done: &str,
    out: &mut Output,
) -> Result<(), Failure> {
    let pairs = args.paths.iter().map(|text| split(text)).collect::<Result<Vec<_>, _>>()?;
    if args.label.is_some() && action != "attach-mp" {
        return Err(Failure::usage("--label goes with attach"));
    }
    if args.no_resilver && !matches!(action, "detach-mp" | "disable-mp" | "rescan-mp") {
        return Err(Failure::usage("--no-resilver goes with detach, disable and rescan-disks"));
    }
    let map = client.smap(true).await?;
    let mut changed = Vec::new();
    for (target, path) in pairs {
        let node = api::find_target(&map, target)?;
        let mut call = api::node_call(method.clone(), &node.daemon_id, "mountpaths");
        if let Some(label) = &args.label {
            call = call.query("mountpath_label", label);
        }
        if args.no_resilver {
            call = call.query("dntres", "true");
        }
        api::act(client, call, action, "", json!(path)).await?;
        out.message(&format!("{}: mountpath \"{path}\" {done}", node.display()))?;
        changed.push(json!({"target": node.daemon_id, "mountpath": path}));
    }
    if out.json { out.json(&json!({done: changed})) } else { Ok(()) }
}

/// `TARGET=PATH`.
fn split(text: &str) -> Result<(&str, &str), Failure> {
    match text.split_once('=') {
        Some((target, path)) if !target.is_empty() && path.starts_with('/') => Ok((target, path)),
        _ => Err(Failure::usage(format!(
            "\"{text}\" is not TARGET=PATH: expected such as t[ab12cd34]=/disks/3"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_beside_their_mountpaths() {
        let answers =
            [("t1".to_owned(), json!({"available": ["/a", "/b"], "disabled": ["/c"]}))].into();
        let config = json!({"fspaths": {"/a": "", "/b": "nvme", "/c": "old"}});
        let text = table(&answers, &[("t1".to_owned(), config)].into()).render(false);
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["t[t1]", "/b", "nvme", "available"], "{text}");
        assert_eq!(lines[2], ["t[t1]", "/c", "old", "disabled"], "{text}");
        assert!(!table(&answers, &BTreeMap::new()).render(false).contains("LABEL"));
    }

    #[test]
    fn mountpaths_name_their_target() {
        assert_eq!(split("t[t1]=/a=b").unwrap(), ("t[t1]", "/a=b"));
        for bad in ["/a", "t1=a", "=/a", "t1="] {
            assert!(split(bad).unwrap_err().to_string().contains(bad));
        }
    }
}
