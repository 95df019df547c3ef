//! The msgpack forms of status records: other keys, and numbers where JSON has text.
//!
//! Made from the JSON records, so that the two cannot tell different things.

use serde_json::{Map, Value, json};

/// Node status.
pub(crate) fn node_status(json: &Value) -> Value {
    let mut out = node_stats(json);
    if let Some(fields) = out.as_object_mut() {
        let copied = [
            ("s", "status"),
            ("d", "deployment"),
            ("v", "ais_version"),
            ("b", "build_time"),
            ("k", "k8s_pod_name"),
        ];
        for (short, key) in copied {
            fields.insert(short.into(), json.get(key).cloned().unwrap_or_else(|| "".into()));
        }
        fields.insert("c".into(), node_state(&json["cluster"]));
        fields.insert("y".into(), system(&json["sys_info"]));
        fields.insert("w".into(), number(&json["smap_version"]));
    }
    out
}

/// Node statistics.
pub(crate) fn node_stats(json: &Value) -> Value {
    json!({
        "n": snode(&json["snode"]),
        "t": json["tracker"],
        "x": capacity(&json["capacity"]),
    })
}

/// Capacity of mountpaths.
pub(crate) fn capacity(json: &Value) -> Value {
    let mountpaths = json["mountpaths"].as_object();
    let mountpaths: Option<Map<String, Value>> = mountpaths
        .map(|paths| paths.iter().map(|(path, entry)| (path.clone(), mountpath(entry))).collect());
    json!({
        "m": mountpaths.unwrap_or_default(),
        "e": json["cs_err"],
        "u": number(&json["total_used"]),
        "a": number(&json["total_avail"]),
        "x": json["pct_max"],
        "v": json["pct_avg"],
        "n": json["pct_min"],
    })
}

/// Throughput of disks, with the capacity of their mountpaths at the same level.
pub(crate) fn disk_stats(json: &Value) -> Value {
    let mut out = capacity(json);
    let disk = |disk: &Value| {
        json!({
            "r": disk["RBps"], "s": disk["Ravg"],
            "w": disk["WBps"], "x": disk["Wavg"],
            "u": disk["Util"],
        })
    };
    if let (Some(fields), Some(disks)) = (out.as_object_mut(), json["AllDiskStats"].as_object()) {
        let disks: Map<String, Value> =
            disks.iter().map(|(name, stats)| (name.clone(), disk(stats))).collect();
        fields.insert("AllDiskStats".into(), disks.into());
    }
    out
}

fn mountpath(json: &Value) -> Value {
    let fs = &json["fs"];
    let id = fs["FsID"].as_str().unwrap_or_default();
    let id: Vec<i64> = id.split(',').map(|half| half.trim().parse().unwrap_or(0)).collect();
    json!({
        "l": json["mountpath_label"],
        "f": {"f": fs["Fs"], "t": fs["FsType"], "i": id},
        "d": json["disks"],
        "Capacity": {"u": number(&json["used"]), "a": number(&json["avail"]), "p": json["pct_used"]},
    })
}

fn snode(json: &Value) -> Value {
    if json.is_null() {
        return Value::Null;
    }
    let net = |key: &str| {
        let net = &json[key];
        let (host, port) = (text(&net["node_ip_addr"]), text(&net["daemon_port"]));
        let endpoint = format!("{host}:{port}");
        json!({"h": host, "p": port, "u": text(&net["direct_url"]), "tcpEndpoint": endpoint})
    };
    let kind = text(&json["daemon_type"]);
    let id = text(&json["daemon_id"]);
    let name = format!("{}[{id}]", kind.get(..1).unwrap_or_default());
    json!({
        "p": net("public_net"),
        "d": net("intra_data_net"),
        "c": net("intra_control_net"),
        "t": kind,
        "i": id,
        "name": name,
        "f": json["flags"],
        "g": json["id_digest"],
    })
}

fn node_state(json: &Value) -> Value {
    let (smap, primary) = (&json["smap"], &json["smap"]["Primary"]);
    let version = |key: &str| number(&json[key]["version"]);
    json!({
        "s": {
            "Primary": {
                "PubURL": primary["pub_url"],
                "CtrlURL": primary["control_url"],
                "ID": primary["id"],
            },
            "UUID": smap["uuid"],
            "Version": number(&smap["version"]),
        },
        "b": {"UUID": json["bmd"]["uuid"], "Version": version("bmd")},
        "r": {"Version": version("rmd")},
        "c": {"Version": version("config")},
        "e": {"Version": version("etlmd")},
        "f": json["flags"],
    })
}

fn system(json: &Value) -> Value {
    let (mem, load) = (&json["mem"], &json["load_avg"]);
    let (cpu, own) = (&json["proc"]["CPU"], &json["proc"]["Mem"]);
    json!({
        "u": json["mem_used"],
        "a": json["mem_avail"],
        "p": float(&json["pct_mem_used"]),
        "c": float(&json["pct_cpu_used"]),
        "l": {"o": float(&load["One"]), "f": float(&load["Five"]), "t": float(&load["Fifteen"])},
        "t": json["cpu_util"],
        "m": {
            "t": mem["Total"], "u": mem["Used"], "f": mem["Free"], "b": mem["BuffCache"],
            "af": mem["ActualFree"], "au": mem["ActualUsed"],
            "st": mem["SwapTotal"], "sf": mem["SwapFree"], "su": mem["SwapUsed"],
        },
        "r": {
            "c": {
                "u": cpu["User"], "s": cpu["System"], "t": cpu["Total"],
                "l": cpu["LastTime"], "p": float(&cpu["Percent"]),
            },
            "m": {"s": own["Size"], "r": own["Resident"], "h": own["Share"]},
        },
    })
}

fn text(json: &Value) -> &str {
    json.as_str().unwrap_or_default()
}

/// A number that JSON has as text.
fn number(json: &Value) -> Value {
    text(json).parse::<u64>().unwrap_or(0).into()
}

/// A number that decoders want as a float even when it is whole.
fn float(json: &Value) -> Value {
    json.as_f64().unwrap_or(0.0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_leave_their_quotes_and_keys_become_short() {
        let record = json!({
            "status": "", "deployment": "linux", "ais_version": "5.0",
            "snode": {"daemon_id": "tabc", "daemon_type": "target", "flags": 4, "id_digest": u64::MAX,
                      "public_net": {"node_ip_addr": "h", "daemon_port": "1", "direct_url": "http://h:1"}},
            "tracker": {"get.n": 3},
            "capacity": {"mountpaths": {"/a": {"fs": {"Fs": "x", "FsType": "y", "FsID": "5,-6"},
                         "used": "7", "avail": "8", "pct_used": 9, "disks": ["sda"]}}, "total_used": "7"},
            "cluster": {"smap": {"Primary": {"id": "p"}, "uuid": "u", "version": "12"}, "flags": 6},
            "sys_info": {"pct_mem_used": 1, "load_avg": {"One": 0}},
            "smap_version": "12",
        });
        let bytes = rmp_serde::to_vec(&node_status(&record)).unwrap();
        let back: Value = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(
            (&back["w"], &back["t"]["get.n"], &back["v"]),
            (&json!(12), &json!(3), &json!("5.0"))
        );
        assert_eq!(back["n"]["g"], json!(u64::MAX));
        assert_eq!(
            (&back["n"]["name"], &back["n"]["p"]["tcpEndpoint"]),
            (&json!("t[tabc]"), &json!("h:1"))
        );
        assert_eq!(back["x"]["m"]["/a"]["f"]["i"], json!([5, -6]));
        assert_eq!(back["x"]["m"]["/a"]["Capacity"], json!({"u": 7, "a": 8, "p": 9}));
        assert_eq!((&back["c"]["s"]["Version"], &back["c"]["f"]), (&json!(12), &json!(6)));
        assert!(back["y"]["p"].is_f64() && back["y"]["l"]["o"].is_f64());
    }

    #[test]
    fn a_gateway_has_no_mountpaths() {
        let record = json!({"mountpaths": null, "total_used": "0"});
        assert_eq!(capacity(&record)["m"], json!({}));
    }

    #[test]
    fn disks_stand_beside_the_capacity_of_their_mountpaths() {
        let record = json!({
            "AllDiskStats": {"sda": {"RBps": 1, "Ravg": 2, "WBps": 3, "Wavg": 4, "Util": 5}},
            "mountpaths": {}, "cs_err": "", "total_used": "7", "total_avail": "8",
            "pct_max": 1, "pct_avg": 1, "pct_min": 1,
        });
        let out = disk_stats(&record);
        let expected = json!({"r": 1, "s": 2, "w": 3, "x": 4, "u": 5});
        assert_eq!(out["AllDiskStats"]["sda"], expected);
        assert_eq!((&out["u"], &out["a"]), (&json!(7), &json!(8)));
    }
}
