//! `ais show cluster`: asks every node for its state; `status` turns the answers into tables.

mod buckets;
mod counters;
mod status;
mod summary;
mod tables;

use std::collections::BTreeMap;

use aistore_client::{Call, Client};
use aistore_core::smap::{NodeKind, Smap, Snode};
use futures_util::{StreamExt as _, stream};
use http::Method;
use serde_json::{Value, json};

use crate::args::ShowClusterArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::{api, settings};
use status::NodeState;

/// Nodes asked at the same time.
const PARALLEL_QUERIES: usize = 32;

/// Which nodes to show.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    All,
    Kind(NodeKind),
    Node(String),
    Map,
    Buckets,
    Config,
    Stats,
}

impl Scope {
    fn parse(text: Option<&str>, map: &Smap) -> Result<Self, Failure> {
        let Some(text) = text else { return Ok(Self::All) };
        match text {
            "proxy" | "gateway" => return Ok(Self::Kind(NodeKind::Gateway)),
            "target" => return Ok(Self::Kind(NodeKind::Target)),
            "smap" => return Ok(Self::Map),
            "bmd" => return Ok(Self::Buckets),
            "config" => return Ok(Self::Config),
            "stats" => return Ok(Self::Stats),
            _ => {}
        }
        let id = api::bare_id(text);
        if map.node(id).is_some() {
            return Ok(Self::Node(id.to_owned()));
        }
        let known: Vec<_> =
            map.pmap.values().chain(map.tmap.values()).map(Snode::display).collect();
        Err(Failure::usage(format!(
            "unknown node \"{text}\": expected proxy, target, smap, bmd, config, stats or one of {}",
            known.join(", ")
        )))
    }

    fn covers(&self, node: &Snode) -> bool {
        match self {
            Self::All | Self::Stats => true,
            Self::Kind(kind) => node.daemon_type == *kind,
            Self::Node(id) => node.daemon_id == *id,
            Self::Map | Self::Buckets | Self::Config => false,
        }
    }
}

/// Runs the command.
pub(crate) async fn show(
    client: &Client,
    args: &ShowClusterArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let map = client.smap(true).await?;
    let scope = Scope::parse(args.node.as_deref(), &map)?;
    if args.section.is_some() && scope != Scope::Config {
        return Err(Failure::usage("a section goes with config: ais show cluster config SECTION"));
    }
    match scope {
        Scope::Map => return show_map(&map, out),
        Scope::Buckets => return show_buckets(client, out).await,
        Scope::Config => {
            let config = api::ask_cluster(client, "cluster_config").await?;
            return settings::print(&config, args.section.as_deref(), out);
        }
        Scope::All | Scope::Kind(_) | Scope::Node(_) | Scope::Stats => {}
    }
    let nodes: Vec<&Snode> =
        map.pmap.values().chain(map.tmap.values()).filter(|node| scope.covers(node)).collect();
    let answers: BTreeMap<String, Result<Value, Failure>> = stream::iter(nodes)
        .map(|node| async {
            (node.daemon_id.clone(), api::ask_node(client, &node.daemon_id, "node_status").await)
        })
        .buffer_unordered(PARALLEL_QUERIES)
        .collect()
        .await;
    if out.json {
        let nodes: BTreeMap<_, _> = answers
            .into_iter()
            .map(|(id, answer)| {
                (id, answer.unwrap_or_else(|err| json!({"status": err.to_string()})))
            })
            .collect();
        return out.json(&json!({"smap": &*map, "nodes": nodes}));
    }
    if scope == Scope::Stats {
        return out.table(&counters::table(&answers));
    }
    let states = answers.into_iter().map(|(id, answer)| (id, NodeState::decode(answer))).collect();
    let (gateways, targets) = tables::nodes(&map, &states, args.verbose, out.units);
    if !gateways.is_empty() {
        out.table(&gateways)?;
    }
    if !targets.is_empty() {
        if !gateways.is_empty() {
            out.text("\n")?;
        }
        out.table(&targets)?;
    }
    if scope == Scope::All && out.footers {
        let config = api::ask_cluster(client, "cluster_config").await?;
        let backends = api::ask_cluster(client, "backends").await.unwrap_or(json!([]));
        let lines =
            summary::lines(&map, &states, &config, &backends, &client.config().endpoint, out.units);
        out.text("\nSummary:\n")?;
        for (key, value) in lines {
            out.text(&format!("   {:<16}{value}\n", format!("{key}:")))?;
        }
    }
    Ok(())
}

fn show_map(map: &Smap, out: &mut Output) -> Result<(), Failure> {
    if out.json {
        return out.json(map);
    }
    out.table(&tables::map(map))?;
    if out.footers {
        out.text(&format!(
            "\nPrimary Proxy: {}\nProxies: {}   Targets: {}   Smap Version: {}\n",
            map.proxy_si.daemon_id,
            map.pmap.len(),
            map.tmap.len(),
            map.version
        ))?;
    }
    Ok(())
}

async fn show_buckets(client: &Client, out: &mut Output) -> Result<(), Failure> {
    let call = Call::new(Method::GET, "/v1/daemon").query("what", "bmd");
    let bmd: Value = client.call(call).await?.json()?;
    if out.json {
        return out.json(&bmd);
    }
    out.table(&buckets::table(&bmd))?;
    if out.footers {
        let text = |key: &str| {
            let value = bmd.get(key).unwrap_or(&Value::Null);
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        };
        out.text(&format!("\nVersion: {}   UUID: {}\n", text("version"), text("uuid")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aistore_core::smap::NetInfo;

    fn sample() -> Smap {
        let gateway = Snode::new("p1abcdef", NodeKind::Gateway, NetInfo::http("h", 1));
        let target = Snode::for_test("t1abcdef");
        Smap {
            proxy_si: gateway.clone(),
            pmap: [(gateway.daemon_id.clone(), gateway)].into(),
            tmap: [(target.daemon_id.clone(), target)].into(),
            ..Smap::default()
        }
    }

    #[test]
    fn nodes_are_named_by_id_or_display_form() {
        let map = sample();
        let scope = |text| Scope::parse(Some(text), &map);
        assert_eq!(scope("target").unwrap(), Scope::Kind(NodeKind::Target));
        assert_eq!(scope("t[t1abcdef]").unwrap(), Scope::Node("t1abcdef".into()));
        assert_eq!(scope("p1abcdef").unwrap(), Scope::Node("p1abcdef".into()));
        let text = scope("t2").unwrap_err().to_string();
        assert!(text.contains("t2") && text.contains("t[t1abcdef]"), "{text}");
    }
}
