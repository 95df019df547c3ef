//! The lines under the tables of `ais show cluster`.

use std::collections::{BTreeMap, BTreeSet};

use aistore_core::smap::{FLAG_NON_ELECTABLE, Smap};
use serde_json::Value;

use super::status::{NodeState, NodeStatus};
use super::tables::States;
use crate::sizes::Units;

/// The lines under the tables.
pub(super) fn lines(
    map: &Smap,
    states: &States,
    config: &Value,
    backends: &Value,
    endpoint: &str,
    units: Units,
) -> Vec<(&'static str, String)> {
    let known: Vec<&NodeStatus> = states.values().filter_map(NodeState::known).collect();
    let of = |field: fn(&NodeStatus) -> &str| {
        let values: BTreeSet<&str> =
            known.iter().map(|s| field(s)).filter(|v| !v.is_empty()).collect();
        values.into_iter().collect::<Vec<_>>().join(", ")
    };
    let electable = map.pmap.values().filter(|n| n.flags & FLAG_NON_ELECTABLE == 0).count();
    let mut lines = vec![
        ("Primary", format!("{} ({})", map.proxy_si.display(), map.proxy_si.url())),
        ("Proxies", format!("{} ({electable} electable)", map.pmap.len())),
        ("Targets", targets_line(map, &known)),
        ("Capacity", capacity_line(&known, units)),
        (
            "Cluster Map",
            format!(
                "version {}, UUID {}, primary {}, created {}",
                map.version, map.uuid, map.proxy_si.daemon_id, map.creation_time
            ),
        ),
        ("Backend", backend_line(backends)),
        ("Deployment", of(|status| &status.deployment)),
        ("Status", status_line(states)),
        ("Rebalance", enabled(config.pointer("/rebalance/enabled"))),
        (
            "Authentication",
            enabled(
                config.pointer("/auth/client_auth_required").or(config.pointer("/auth/enabled")),
            ),
        ),
        ("Version", of(|status| &status.ais_version)),
        ("Build", of(|status| &status.build_time)),
    ];
    if map.proxy_si.url() != endpoint {
        lines.insert(0, ("CLI Endpoint", endpoint.to_owned()));
    }
    lines.retain(|(_, value)| !value.is_empty());
    lines
}

fn targets_line(map: &Smap, known: &[&NodeStatus]) -> String {
    let paths = |s: &&NodeStatus| {
        s.capacity.as_ref().and_then(|c| c.mountpaths.as_ref()).map_or(0, BTreeMap::len)
    };
    let total: usize = known.iter().map(paths).sum();
    format!("{} ({total} mountpaths)", map.tmap.len())
}

/// Sums file systems, each once: mountpaths and targets may share one.
fn capacity_line(known: &[&NodeStatus], units: Units) -> String {
    let mut file_systems = BTreeMap::new();
    for (at, status) in known.iter().enumerate() {
        let paths = status.capacity.as_ref().and_then(|capacity| capacity.mountpaths.as_ref());
        for (path, mountpath) in paths.into_iter().flatten() {
            let id = &mountpath.fs.id;
            let key = if id.is_empty() { format!("{at} {path}") } else { id.clone() };
            file_systems.insert(key, (mountpath.used, mountpath.avail));
        }
    }
    if file_systems.is_empty() {
        return String::new();
    }
    let used = file_systems.values().fold(0_u64, |sum, (used, _)| sum.saturating_add(*used));
    let avail = file_systems.values().fold(0_u64, |sum, (_, avail)| sum.saturating_add(*avail));
    let percent = u128::from(used) * 100 / (u128::from(used) + u128::from(avail)).max(1);
    format!("used {} ({percent}%), available {}", units.size(used), units.size(avail))
}

fn status_line(states: &States) -> String {
    let offline = states.values().filter(|state| state.status() != "online").count();
    let online = states.len() - offline;
    if offline == 0 {
        format!("{online} online")
    } else {
        format!("{online} online, {offline} not")
    }
}

fn backend_line(backends: &Value) -> String {
    let names: Vec<_> =
        backends.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn enabled(value: Option<&Value>) -> String {
    value
        .and_then(Value::as_bool)
        .map_or(String::new(), |on| if on { "enabled" } else { "disabled" }.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tables::tests::cluster;
    use super::*;

    #[test]
    fn shared_file_systems_count_once() {
        let (map, states) = cluster();
        let config = json!({"rebalance": {"enabled": true}, "auth": {"enabled": false}});
        let lines = super::lines(&map, &states, &config, &json!([]), "http://other:1", Units::Iec);
        let line = |key| lines.iter().find(|(k, _)| *k == key).map(|(_, v)| v.as_str());
        assert_eq!(line("Capacity"), Some("used 1.00KiB (25%), available 3.00KiB"));
        assert_eq!(line("CLI Endpoint"), Some("http://other:1"));
        assert_eq!(
            (line("Rebalance"), line("Authentication")),
            (Some("enabled"), Some("disabled"))
        );
        assert_eq!(line("Targets"), Some("2 (4 mountpaths)"));
    }

    #[test]
    fn silent_nodes_are_counted() {
        let (_, mut states) = cluster();
        states.insert("ttarget02".into(), NodeState::Failed("offline".into()));
        assert_eq!(status_line(&states), "2 online, 1 not");
    }
}
