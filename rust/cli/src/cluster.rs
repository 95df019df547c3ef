//! `ais show cluster`: asks every node for its state; `status` turns the answers into tables.

mod status;
mod tables;

use std::collections::BTreeMap;

use aistore_client::{Call, Client};
use aistore_core::headers::NODE_ID;
use aistore_core::smap::{NodeKind, Smap, Snode};
use futures_util::{StreamExt as _, stream};
use http::Method;
use serde_json::{Value, json};

use crate::args::ShowClusterArgs;
use crate::failure::Failure;
use crate::output::Output;
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
}

impl Scope {
    fn parse(text: Option<&str>, map: &Smap) -> Result<Self, Failure> {
        let Some(text) = text else { return Ok(Self::All) };
        match text {
            "proxy" | "gateway" => return Ok(Self::Kind(NodeKind::Gateway)),
            "target" => return Ok(Self::Kind(NodeKind::Target)),
            "smap" => return Ok(Self::Map),
            _ => {}
        }
        let id = text
            .strip_prefix("t[")
            .or_else(|| text.strip_prefix("p["))
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        if map.node(id).is_some() {
            return Ok(Self::Node(id.to_owned()));
        }
        let known: Vec<_> =
            map.pmap.values().chain(map.tmap.values()).map(Snode::display).collect();
        Err(Failure::usage(format!(
            "unknown node \"{text}\": expected proxy, target, smap or one of {}",
            known.join(", ")
        )))
    }

    fn covers(&self, node: &Snode) -> bool {
        match self {
            Self::All => true,
            Self::Kind(kind) => node.daemon_type == *kind,
            Self::Node(id) => node.daemon_id == *id,
            Self::Map => false,
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
    if scope == Scope::Map {
        return show_map(&map, out);
    }
    let nodes: Vec<&Snode> =
        map.pmap.values().chain(map.tmap.values()).filter(|node| scope.covers(node)).collect();
    let answers: BTreeMap<String, Result<Value, Failure>> = stream::iter(nodes)
        .map(|node| async { (node.daemon_id.clone(), node_status(client, &node.daemon_id).await) })
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
        let config = cluster_value(client, "cluster_config").await?;
        let backends = cluster_value(client, "backends").await.unwrap_or(json!([]));
        let lines = tables::summary(
            &map,
            &states,
            &config,
            &backends,
            &client.config().endpoint,
            out.units,
        );
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

async fn node_status(client: &Client, id: &str) -> Result<Value, Failure> {
    let call = Call::new(Method::GET, "/v1/reverse/daemon")
        .query("what", "node_status")
        .header(NODE_ID, id)
        .header("accept", "application/json");
    Ok(client.call(call).await?.json()?)
}

async fn cluster_value(client: &Client, what: &str) -> Result<Value, Failure> {
    Ok(client.call(Call::new(Method::GET, "/v1/cluster").query("what", what)).await?.json()?)
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
