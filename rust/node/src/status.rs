//! What a node tells about itself: state, capacity, statistics, configuration.

pub(crate) mod msgpack;

use std::collections::BTreeMap;
use std::sync::Arc;

use aistore_core::AIS_VERSION;
use aistore_core::config::SpaceConf;
use aistore_core::smap::{FLAG_DECOMMISSION, FLAG_MAINTENANCE};
use aistore_store::{Amount, BucketUsage, MountpathStored, MountpathUsage, Store};
use serde_json::{Map, Value, json};

use crate::context::NodeContext;
use crate::mountpaths::Labels;
use crate::sysinfo;

/// State flag: the cluster has started.
const CLUSTER_STARTED: u64 = 2;
/// State flag: this node has started.
const NODE_STARTED: u64 = 4;
/// State flag: a disk is above `space.out_of_space`.
const OUT_OF_SPACE: u64 = 256;
/// State flag: a disk is above `space.highwm`.
const LOW_CAPACITY: u64 = 2048;
/// State flag: this node is in maintenance.
const IN_MAINTENANCE: u64 = 1024;
/// State flag: a disk failed its health check.
const DISK_FAULT: u64 = 8192;

/// Versions that this node has seen, and its state flags (6 = healthy).
pub(crate) fn node_state(ctx: &NodeContext) -> Value {
    let state = ctx.state();
    let primary = &state.smap.proxy_si;
    let uuid = state.uuid();
    let mut flags = 0;
    if state.is_bootstrapped() {
        flags |= CLUSTER_STARTED;
    }
    if ctx.is_ready() {
        flags |= NODE_STARTED;
    }
    let member = state.smap.node(&ctx.snode.daemon_id);
    if member.is_some_and(|node| node.flags & (FLAG_MAINTENANCE | FLAG_DECOMMISSION) != 0) {
        flags |= IN_MAINTENANCE;
    }
    if ctx.disk_health.has_faults() {
        flags |= DISK_FAULT;
    }
    json!({
        "smap": {
            "Primary": {
                "pub_url": primary.public_net.direct_url,
                "control_url": primary.intra_control_net.direct_url,
                "id": primary.daemon_id,
            },
            "uuid": uuid,
            "version": state.smap.version.to_string(),
        },
        "bmd": {"uuid": uuid, "version": state.bmd.version.to_string()},
        "rmd": {"version": "0"},
        "config": {"version": state.config.config_version.to_string()},
        "etlmd": {"version": "0"},
        "flags": flags,
    })
}

/// Full status record.
pub(crate) fn node_status(ctx: &NodeContext, capacity: &Value) -> Value {
    let state = ctx.state();
    let member = state.smap.node(&ctx.snode.daemon_id);
    let flags = member.map_or(0, |node| node.flags);
    let status = if flags & FLAG_DECOMMISSION != 0 {
        "decommission"
    } else if flags & FLAG_MAINTENANCE != 0 {
        "maintenance"
    } else {
        ""
    };
    let cluster = state_with_fill(ctx, capacity);
    json!({
        "status": status,
        "deployment": std::env::consts::OS,
        "ais_version": AIS_VERSION,
        "build_time": env!("AISTORE_COMMIT_TIME"),
        "k8s_pod_name": "",
        "snode": member.unwrap_or(&ctx.snode),
        "tracker": tracker(ctx, &cluster),
        "capacity": capacity,
        "cluster": cluster,
        "sys_info": sysinfo::read(),
        "memory": ctx.memory.report(),
        "smap_version": state.smap.version.to_string(),
    })
}

/// The state of a node, with what the fill of its disks means for it.
fn state_with_fill(ctx: &NodeContext, capacity: &Value) -> Value {
    let mut cluster = node_state(ctx);
    if let Some(flags) = cluster.get_mut("flags") {
        *flags = (flags.as_u64().unwrap_or(0) | fill_flags(&ctx.config().space, capacity)).into();
    }
    cluster
}

/// What the fullest disk means for the state of a node.
fn fill_flags(marks: &SpaceConf, capacity: &Value) -> u64 {
    let fill = capacity.get("pct_max").and_then(Value::as_u64).unwrap_or(0);
    if fill > u64::from(marks.out_of_space) {
        OUT_OF_SPACE
    } else if fill > u64::from(marks.highwm) {
        LOW_CAPACITY
    } else {
        0
    }
}

/// Statistics record: part of the status.
pub(crate) fn node_stats(ctx: &NodeContext, capacity: &Value) -> Value {
    let state = ctx.state();
    json!({
        "snode": state.smap.node(&ctx.snode.daemon_id).unwrap_or(&ctx.snode),
        "tracker": tracker(ctx, &state_with_fill(ctx, capacity)),
        "capacity": capacity,
    })
}

/// The numbers of a node, its state flags among them.
fn tracker(ctx: &NodeContext, cluster: &Value) -> BTreeMap<String, u64> {
    let mut numbers = ctx.metrics.tracker(ctx.started.elapsed());
    let flags = cluster.get("flags").and_then(Value::as_u64).unwrap_or(0);
    numbers.insert("state.flags".to_owned(), flags);
    numbers
}

/// Capacity record of a target's mountpaths; of nothing for a gateway.
///
/// Asks the file systems, which may block: off the async workers.
pub(crate) async fn capacity(ctx: &NodeContext, store: Option<&Arc<Store>>) -> Value {
    let Some(store) = store.cloned() else { return capacity_of(None, &ctx.labels) };
    ctx.disk_health.count(&ctx.metrics, &store);
    let asked = tokio::task::spawn_blocking(move || (store.usage(), store.stored())).await;
    let (usage, stored) = asked.unwrap_or_default();
    ctx.metrics.stored.set(&stored);
    with_stored(capacity_of(Some(&usage), &ctx.labels), &stored)
}

/// A capacity record that also says what of it is ours, and what it is made of. Not in the protocol.
fn with_stored(mut capacity: Value, stored: &[MountpathStored]) -> Value {
    for one in stored {
        let path = one.path.display().to_string();
        let record = capacity.get_mut("mountpaths").and_then(|all| all.get_mut(&path));
        let Some(fields) = record.and_then(Value::as_object_mut) else { continue };
        let sum = |of: fn(&BucketUsage) -> u64| one.buckets.values().map(of).sum::<u64>();
        let bytes = |amount: Amount| amount.bytes.to_string();
        let stored = json!({
            "counted": one.counted,
            "objects": sum(|bucket| bucket.objects).to_string(),
            "object_bytes": sum(|bucket| bucket.bytes).to_string(),
            "copies": sum(|bucket| bucket.copies).to_string(),
            "copy_bytes": sum(|bucket| bucket.copy_bytes).to_string(),
            "upload_bytes": bytes(one.upload_parts),
            "record_bytes": bytes(one.records),
            "segment_bytes": bytes(one.segments),
            "dead_bytes": one.dead_bytes.to_string(),
            "file_bytes": bytes(one.files),
            "quarantine_bytes": bytes(one.quarantine),
            "tmp_bytes": bytes(one.tmp),
            "append_bytes": bytes(one.appends),
        });
        fields.insert("stored".to_owned(), stored);
    }
    capacity
}

/// Capacity record from what the file systems say.
pub(crate) fn capacity_of(usage: Option<&[MountpathUsage]>, labels: &Labels) -> Value {
    let mut mountpaths = Map::new();
    let mut seen = Vec::new();
    let (mut used, mut avail) = (0_u64, 0_u64);
    let mut percents = Vec::new();
    for entry in usage.unwrap_or_default() {
        // Two mountpaths on one file system share its space: count it once.
        if !seen.contains(&entry.fs_id) {
            seen.push(entry.fs_id);
            used = used.saturating_add(entry.used);
            avail = avail.saturating_add(entry.avail);
        }
        let pct = whole_percent(entry.used, entry.used.saturating_add(entry.avail));
        percents.push(pct);
        let (a, b) = entry.fs_id;
        mountpaths.insert(
            entry.path.display().to_string(),
            json!({
                "mountpath_label": labels.of(&entry.path),
                "fs": {"Fs": entry.fs, "FsType": entry.fs_type, "FsID": format!("{a},{b}")},
                "disks": [disk_name(&entry.fs)],
                "used": entry.used.to_string(),
                "avail": entry.avail.to_string(),
                "pct_used": pct,
            }),
        );
    }
    let count = i64::try_from(percents.len()).unwrap_or(i64::MAX).max(1);
    json!({
        "mountpaths": usage.map(|_| mountpaths),
        "cs_err": "",
        "total_used": used.to_string(),
        "total_avail": avail.to_string(),
        "pct_max": percents.iter().max().copied().unwrap_or(0),
        "pct_avg": percents.iter().sum::<i64>() / count,
        "pct_min": percents.iter().min().copied().unwrap_or(0),
    })
}

/// Name of the disk behind a mount source: `/dev/sda1` is `sda1`.
pub(crate) fn disk_name(fs: &str) -> &str {
    fs.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(fs)
}

#[expect(clippy::cast_possible_truncation, reason = "a percentage")]
fn whole_percent(part: u64, whole: u64) -> i64 {
    sysinfo::percent(part, whole).round() as i64
}

/// Processor and memory of this node; with file-system totals for a target.
pub(crate) fn system(capacity: Option<&Value>) -> Value {
    let mut record = sysinfo::read();
    let number = |key: &str| {
        let text = capacity.and_then(|value| value.get(key)).and_then(Value::as_str);
        text.and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0)
    };
    if capacity.is_some()
        && let Some(fields) = record.as_object_mut()
    {
        let (used, avail) = (number("total_used"), number("total_avail"));
        let total = used.saturating_add(avail);
        fields.insert("fs_used".into(), used.to_string().into());
        fields.insert("fs_capacity".into(), total.to_string().into());
        fields.insert("pct_fs_used".into(), sysinfo::percent(used, total).into());
    }
    record
}

/// The cluster's configuration and this node's own keys, in one object.
pub(crate) fn node_config(ctx: &NodeContext, store: Option<&Arc<Store>>) -> Value {
    let mut config = serde_json::to_value(ctx.config().masked()).unwrap_or_default();
    if let Some(fields) = config.as_object_mut() {
        let net = &ctx.snode.public_net;
        let paths = store.map(|store| store.usage()).unwrap_or_default();
        // Disabled ones keep their names.
        let named = ctx.labels.all().into_iter();
        let used = paths.iter().map(|entry| (entry.path.clone(), ctx.labels.of(&entry.path)));
        let fspaths: Map<String, Value> = used
            .chain(named)
            .map(|(path, label)| (path.display().to_string(), label.into()))
            .collect();
        fields.insert("confdir".into(), ctx.data_dir.display().to_string().into());
        fields.insert("log_dir".into(), crate::logs::dir().display().to_string().into());
        fields.insert("fspaths".into(), fspaths.into());
        fields.insert("test_fspaths".into(), json!({"root": "", "count": 0, "instance": 0}));
        fields.insert(
            "host_net".into(),
            json!({
                "hostname": net.node_ip_addr,
                "hostname_intra_control": "",
                "hostname_intra_data": "",
                "port": net.daemon_port,
                "port_intra_control": "0",
                "port_intra_data": "0",
            }),
        );
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountpaths_on_one_file_system_count_once() {
        let usage = |path: &str, id| MountpathUsage {
            path: path.into(),
            fs: "/dev/sda1".into(),
            fs_type: "ext4".into(),
            fs_id: (id, 0),
            used: 30,
            avail: 70,
            total: 100,
        };
        let labels = Labels::default();
        labels.set_all([("/b".into(), "fast".to_owned())].into());
        let usages = [usage("/a", 1), usage("/b", 1), usage("/c", 2)];
        let record = capacity_of(Some(&usages), &labels);
        assert_eq!(record["mountpaths"]["/b"]["mountpath_label"], "fast");
        assert_eq!(record["mountpaths"]["/c"]["mountpath_label"], "");
        assert_eq!(record["total_used"], "60");
        assert_eq!(record["total_avail"], "140");
        assert_eq!(record["pct_avg"], 30);
        assert_eq!(record["mountpaths"]["/b"]["disks"][0], "sda1");
        assert_eq!(record["mountpaths"]["/b"]["fs"]["FsID"], "1,0");
    }

    #[test]
    fn what_is_stored_is_told_by_mountpath() {
        let usage = MountpathUsage { path: "/a".into(), ..MountpathUsage::default() };
        let record = capacity_of(Some(&[usage]), &Labels::default());
        let bucket = BucketUsage { objects: 2, bytes: 10, copies: 1, copy_bytes: 5 };
        let stored = MountpathStored {
            path: "/a".into(),
            counted: true,
            buckets: [(7, bucket), (8, bucket)].into(),
            dead_bytes: 3,
            ..MountpathStored::default()
        };
        let gone = MountpathStored { path: "/gone".into(), ..MountpathStored::default() };
        let record = with_stored(record, &[stored, gone]);
        let stored = &record["mountpaths"]["/a"]["stored"];
        assert_eq!((&stored["counted"], &stored["objects"]), (&json!(true), &json!("4")));
        assert_eq!((&stored["copy_bytes"], &stored["dead_bytes"]), (&json!("10"), &json!("3")));
    }

    #[test]
    fn full_disks_show_in_the_state() {
        let marks = SpaceConf::default();
        let flags = |fill: u64| fill_flags(&marks, &json!({"pct_max": fill}));
        assert_eq!([flags(90), flags(91), flags(95), flags(96)], [0, 2048, 2048, 256]);
        assert_eq!(fill_flags(&marks, &Value::Null), 0);
    }

    #[test]
    fn a_gateway_has_no_mountpaths() {
        let record = capacity_of(None, &Labels::default());
        assert!(record["mountpaths"].is_null());
        assert_eq!(record["total_used"], "0");
    }
}
