//! `ais config`: what the cluster and its nodes are set to.

use aistore_client::{Call, Client};
use http::Method;
use serde_json::Value;

use crate::args::{ConfigCommand, ConfigSetArgs, ConfigShowArgs};
use crate::failure::Failure;
use crate::output::{Output, confirm};
use crate::table::{Align, Table};
use crate::{api, props};

/// The word for all nodes.
const CLUSTER: &str = "cluster";

/// Whose configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Whose {
    Cluster,
    Node(String),
}

impl Whose {
    async fn find(client: &Client, text: &str) -> Result<Self, Failure> {
        if text == CLUSTER {
            return Ok(Self::Cluster);
        }
        let map = client.smap(true).await?;
        Ok(Self::Node(api::find_node(&map, text)?.daemon_id.clone()))
    }

    async fn read(&self, client: &Client) -> Result<Value, Failure> {
        match self {
            Self::Cluster => api::ask_cluster(client, "cluster_config").await,
            Self::Node(id) => api::ask_node(client, id, "config").await,
        }
    }

    /// A request that changes it; `item` is appended to the path.
    fn change(&self, item: &str) -> Call {
        match self {
            Self::Cluster if item.is_empty() => Call::new(Method::PUT, "/v1/cluster"),
            Self::Cluster => Call::new(Method::PUT, format!("/v1/cluster/{item}")),
            Self::Node(id) => api::node_call(Method::PUT, id, item),
        }
    }

    fn label(&self) -> String {
        match self {
            Self::Cluster => "the cluster".to_owned(),
            Self::Node(id) => format!("node {id}"),
        }
    }
}

/// `ais config`.
pub(crate) async fn run(
    client: &Client,
    command: &ConfigCommand,
    out: &mut Output,
) -> Result<(), Failure> {
    match command {
        ConfigCommand::Show(args) => show(client, args, out).await,
        ConfigCommand::Cluster(args) => set(client, &Whose::Cluster, args, out).await,
        ConfigCommand::Node { node, args } => {
            let whose = Whose::find(client, node).await?;
            set(client, &whose, args, out).await
        }
        ConfigCommand::Reset { whose, yes } => {
            let whose = Whose::find(client, whose).await?;
            let question = format!("Restore the default configuration of {}?", whose.label());
            if !yes && !confirm(&question)? {
                return Err(Failure::Other("not confirmed: nothing was reset".to_owned()));
            }
            let before = whose.read(client).await?;
            api::act(client, whose.change(""), "reset-config", "", Value::Null).await?;
            report(client, &whose, &before, "reset", out).await
        }
    }
}

/// `ais config show`, `ais show config`.
pub(crate) async fn show(
    client: &Client,
    args: &ConfigShowArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let whose = Whose::find(client, &args.whose).await?;
    let value = whose.read(client).await?;
    print(&value, args.section.as_deref(), out)
}

/// Prints a configuration, or one section of it.
pub(crate) fn print(value: &Value, section: Option<&str>, out: &mut Output) -> Result<(), Failure> {
    let rows = props::select(value, section, props::CONFIG)?;
    if out.json {
        let pointer = section.map(|dotted| format!("/{}", dotted.replace('.', "/")));
        let part = pointer.and_then(|pointer| value.pointer(&pointer));
        return out.json(part.unwrap_or(value));
    }
    let mut table = Table::new([("PROPERTY", Align::Left), ("VALUE", Align::Left)]);
    for (key, text) in rows {
        table.push([key, text]);
    }
    out.table(&table)
}

async fn set(
    client: &Client,
    whose: &Whose,
    args: &ConfigSetArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let before = whose.read(client).await?;
    let transient = |call: Call| {
        if args.transient { call.query("transient", "true") } else { call }
    };
    match args.changes.as_slice() {
        [] => return print(&before, None, out),
        [section] if is_section(section) => return print(&before, Some(section), out),
        [text] if text.trim_start().starts_with('{') => {
            let value: Value = serde_json::from_str(text)
                .map_err(|err| Failure::usage(format!("configuration is not JSON: {err}")))?;
            api::act(client, transient(whose.change("")), "set-config", "", value).await?;
        }
        words => {
            let mut call = transient(whose.change("set-config"));
            for (key, value) in pairs(words, &before)? {
                call = call.query(&key, &value);
            }
            client.call(call).await?;
        }
    }
    report(client, whose, &before, "updated", out).await
}

fn is_section(word: &str) -> bool {
    !word.contains('=') && !word.trim_start().starts_with('{')
}

/// `KEY=VALUE` words, or `KEY VALUE`. Names are checked here, also those of features; values
/// by the cluster.
fn pairs(words: &[String], known: &Value) -> Result<Vec<(String, String)>, Failure> {
    if let [key, value] = words
        && is_section(key)
    {
        return Ok(vec![pair(key, value, known)?]);
    }
    words
        .iter()
        .map(|word| {
            let (key, value) = word.split_once('=').ok_or_else(|| {
                Failure::usage(format!("\"{word}\" is not KEY=VALUE, such as mirror.copies=2"))
            })?;
            pair(key, value, known)
        })
        .collect()
}

fn pair(key: &str, value: &str, known: &Value) -> Result<(String, String), Failure> {
    props::select(known, Some(key), props::CONFIG)?;
    let value = match key {
        "features" => props::features(value)?.to_string(),
        _ => value.to_owned(),
    };
    Ok((key.to_owned(), value))
}

async fn report(
    client: &Client,
    whose: &Whose,
    before: &Value,
    what: &str,
    out: &mut Output,
) -> Result<(), Failure> {
    let after = whose.read(client).await?;
    if out.json {
        return out.json(&after);
    }
    for (key, old, new) in props::changes(before, &after) {
        // These change with every update.
        if !matches!(key.as_str(), "config_version" | "lastupdate_time") {
            out.message(&format!("\"{key}\" set to: \"{new}\" (was: \"{old}\")"))?;
        }
    }
    out.message(&format!("Configuration of {} {what}", whose.label()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(words: &[&str]) -> Result<Vec<(String, String)>, Failure> {
        let known = json!({"features": "0", "mirror": {"copies": 1, "enabled": false}});
        pairs(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), &known)
    }

    #[test]
    fn settings_are_checked_by_name() {
        let copies = vec![("mirror.copies".to_owned(), "2".to_owned())];
        assert_eq!(parse(&["mirror.copies=2"]).unwrap(), copies);
        assert_eq!(parse(&["mirror.copies", "2"]).unwrap(), copies);
        let text = parse(&["mirror.copis=2"]).unwrap_err().to_string();
        assert!(text.contains("did you mean \"mirror.copies\""), "{text}");
        assert!(parse(&["mirror.copies=2", "x"]).is_err());
        let text = parse(&["nothing.like.it=1"]).unwrap_err().to_string();
        assert!(text.contains("\"ais config cluster\" prints the known ones"), "{text}");
    }

    #[test]
    fn features_have_names() {
        for (given, sent) in [
            ("none", "0"),
            ("fsync-put", "16"),
            ("Fsync-PUT,S3-API-via-Root", "24"),
            ("16", "16"),
            ("0x18", "24"),
        ] {
            let expected = vec![("features".to_owned(), sent.to_owned())];
            assert_eq!(parse(&[&format!("features={given}")]).unwrap(), expected, "{given}");
        }
        let text = parse(&["features=Fsync-PUTT"]).unwrap_err().to_string();
        assert!(text.contains("did you mean \"Fsync-PUT\""), "{text}");
        assert!(parse(&["features=,"]).unwrap_err().to_string().contains("LZ4-Block-1MB"));
    }
}
