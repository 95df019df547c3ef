//! Rows of the cluster's tables: a pure function of the map and the nodes' answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aistore_core::smap::{FLAG_NON_ELECTABLE, NodeKind, Smap, Snode};

use super::status::{NodeState, NodeStatus};
use crate::sizes::Units;
use crate::table::{Align, Table};

pub(super) type States = BTreeMap<String, NodeState>;

/// The tables of gateways and of targets.
pub(super) fn nodes(map: &Smap, states: &States, verbose: bool, units: Units) -> (Table, Table) {
    let mut gateways = Table::new(columns(NodeKind::Gateway));
    let mut targets = Table::new(columns(NodeKind::Target));
    for node in map.pmap.values().chain(map.tmap.values()) {
        let Some(state) = states.get(&node.daemon_id) else { continue };
        let table =
            if node.daemon_type == NodeKind::Gateway { &mut gateways } else { &mut targets };
        table.push(row(map, node, state, units));
    }
    let known: Vec<&NodeStatus> = states.values().filter_map(NodeState::known).collect();
    let uniform = |field: fn(&NodeStatus) -> &str| {
        known.iter().map(|status| field(status)).collect::<BTreeSet<_>>().len() <= 1
    };
    let same_version = uniform(|status| &status.ais_version);
    let same_build = uniform(|status| &status.build_time);
    for table in [&mut gateways, &mut targets] {
        table.drop_when("THROTTLED(%)", |cell| matches!(cell, "" | "0"));
        table.drop_when("LOAD AVERAGE", |_| !verbose);
        table.drop_when("K8s POD", str::is_empty);
        table.drop_when("STATUS", |cell| cell == "online");
        table.drop_when("VERSION", |_| same_version);
        table.drop_when("BUILD TIME", |_| same_build);
        table.drop_when("ALERT", str::is_empty);
    }
    (gateways, targets)
}

fn columns(kind: NodeKind) -> Vec<(&'static str, Align)> {
    use Align::{Left, Right};
    let mut columns = vec![
        (if kind == NodeKind::Gateway { "PROXY" } else { "TARGET" }, Left),
        ("MEM USED(%)", Right),
        ("MEM AVAIL", Right),
    ];
    if kind == NodeKind::Target {
        columns.extend([("CAP USED(%)", Right), ("CAP AVAIL", Right)]);
    }
    columns.extend([
        ("SYS CPU(%)", Right),
        ("THROTTLED(%)", Right),
        ("LOAD AVERAGE", Left),
        ("UPTIME", Right),
        ("K8s POD", Left),
        ("STATUS", Left),
        ("VERSION", Left),
        ("BUILD TIME", Left),
        ("ALERT", Left),
    ]);
    columns
}

fn row(map: &Smap, node: &Snode, state: &NodeState, units: Units) -> Vec<String> {
    let target = node.daemon_type == NodeKind::Target;
    let name = label(map, node, state);
    let Some(status) = state.known() else {
        let blanks = if target { 9 } else { 7 };
        let mut cells = vec![name];
        cells.extend(std::iter::repeat_n(String::new(), blanks));
        cells.extend([state.status(), String::new(), String::new(), String::new()]);
        return cells;
    };
    let system = status.sys_info.clone().unwrap_or_default();
    let load = &system.load_avg;
    let mut cells =
        vec![name, format!("{:.2}%", system.pct_mem_used), units.size(system.mem_avail)];
    if target {
        let capacity = status.capacity.clone().unwrap_or_default();
        cells.extend([format!("{}%", capacity.pct_avg), units.size(capacity.total_avail)]);
    }
    cells.extend([
        format!("{}%", system.cpu_util),
        system.cpu_throttled.to_string(),
        format!("[{:.1} {:.1} {:.1}]", load.one, load.five, load.fifteen),
        units.duration(Duration::from_nanos(status.counter("up.ns.time"))),
        status.k8s_pod_name.clone(),
        state.status(),
        status.ais_version.clone(),
        status.build_time.clone(),
        status.alert(),
    ]);
    cells
}

/// Display form and marks: `[P]` primary, `[n/e]` non-electable, `[x]` offline.
fn label(map: &Smap, node: &Snode, state: &NodeState) -> String {
    let mut label = node.display();
    if node.daemon_id == map.proxy_si.daemon_id {
        label.push_str("[P]");
    }
    if node.flags & FLAG_NON_ELECTABLE != 0 {
        label.push_str("[n/e]");
    }
    if state.known().is_none() {
        label.push_str("[x]");
    }
    label
}

/// The cluster map.
pub(super) fn map(map: &Smap) -> Table {
    use Align::Left;
    let mut table = Table::new([
        ("NODE", Left),
        ("TYPE", Left),
        ("PUBLIC URL", Left),
        ("INTRA CONTROL URL", Left),
        ("INTRA DATA URL", Left),
    ]);
    let nodes = || map.pmap.values().chain(map.tmap.values());
    for node in nodes() {
        let mark = if node.daemon_id == map.proxy_si.daemon_id { "[P]" } else { "" };
        let kind = if node.daemon_type == NodeKind::Gateway { "proxy" } else { "target" };
        table.push([
            format!("{}{mark}", node.daemon_id),
            kind.to_owned(),
            node.url().to_owned(),
            node.intra_control_net.direct_url.clone(),
            node.intra_data_net.direct_url.clone(),
        ]);
    }
    let one_net = nodes().all(|node| {
        [&node.intra_control_net, &node.intra_data_net]
            .iter()
            .all(|net| net.direct_url.is_empty() || net.direct_url == node.url())
    });
    table.drop_when("INTRA CONTROL URL", |_| one_net);
    table.drop_when("INTRA DATA URL", |_| one_net);
    table
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use aistore_core::smap::NetInfo;

    pub(in crate::cluster) fn cluster() -> (Smap, States) {
        let gateway = Snode::new("pgateway1", NodeKind::Gateway, NetInfo::http("127.0.0.1", 8080));
        let (one, two) = (Snode::for_test("ttarget01"), Snode::for_test("ttarget02"));
        let map = Smap {
            proxy_si: gateway.clone(),
            pmap: [(gateway.daemon_id.clone(), gateway)].into(),
            tmap: [one, two].into_iter().map(|node| (node.daemon_id.clone(), node)).collect(),
            version: 3,
            ..Smap::default()
        };
        let answer = json!({
            "deployment": "linux", "ais_version": "5.0", "cluster": {"flags": 6},
            "tracker": {"up.ns.time": 60_000_000_000_u64},
            "capacity": {"total_avail": "3072", "pct_avg": 25, "mountpaths": {
                "/a": {"fs": {"FsID": "1,2"}, "used": "1024", "avail": "3072"},
                "/b": {"fs": {"FsID": "1,2"}, "used": "1024", "avail": "3072"}}},
            "sys_info": {"mem_avail": 2048, "pct_mem_used": 12.5, "cpu_util": 7},
        });
        let mut states: States = map
            .pmap
            .keys()
            .chain(map.tmap.keys())
            .map(|id| (id.clone(), NodeState::decode(Ok(answer.clone()))))
            .collect();
        let mut gateway_answer = answer;
        gateway_answer["capacity"] = json!({"mountpaths": null});
        states.insert("pgateway1".into(), NodeState::decode(Ok(gateway_answer)));
        (map, states)
    }

    #[test]
    fn a_healthy_cluster_has_short_tables() {
        let (map, states) = cluster();
        let (gateways, targets) = nodes(&map, &states, false, Units::Iec);
        assert_eq!(
            gateways.render(true),
            "PROXY            MEM USED(%)  MEM AVAIL  SYS CPU(%)  UPTIME\n\
             p[pgateway1][P]       12.50%    2.00KiB          7%    1m0s\n"
        );
        assert_eq!(targets.render(true).lines().count(), 3);
        assert!(
            targets
                .render(true)
                .starts_with("TARGET        MEM USED(%)  MEM AVAIL  CAP USED(%)  CAP AVAIL")
        );
    }

    #[test]
    fn a_silent_node_keeps_its_row_and_shows_why() {
        let (map, mut states) = cluster();
        states.insert("ttarget02".into(), NodeState::Failed("offline".into()));
        let (_, targets) = nodes(&map, &states, true, Units::Iec);
        let text = targets.render(true);
        assert!(text.contains("t[ttarget02][x]") && text.contains("offline"), "{text}");
        assert!(text.contains("STATUS") && text.contains("LOAD AVERAGE"), "{text}");
    }

    #[test]
    fn the_map_hides_identical_nets() {
        let (mut sample, _) = cluster();
        assert!(!map(&sample).render(true).contains("INTRA"));
        let node = sample.tmap.get_mut("ttarget01").unwrap();
        node.intra_data_net = NetInfo::http("10.0.0.1", 9);
        assert!(map(&sample).render(true).contains("INTRA DATA URL"));
    }
}
