//! What targets say about jobs, and the tables of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aistore_core::bucket::Bucket;
use serde::Deserialize;
use serde_json::{Value, json};

use super::kinds;
use crate::failure::Failure;
use crate::sizes::Units;
use crate::table::{Align, Table};

/// A time that is not set.
const UNSET: &str = "0001-01-01T00:00:00Z";

/// One target's view of one job.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Snap {
    /// Target; not part of the answer itself.
    #[serde(skip)]
    pub(super) node: String,
    #[serde(skip)]
    raw: Value,
    pub(super) id: String,
    pub(super) kind: String,
    bck: Value,
    src_bck: Value,
    dst_bck: Value,
    start_time: String,
    end_time: String,
    ctlmsg: String,
    pub(super) abort_err: String,
    pub(super) err: String,
    pub(super) aborted: bool,
    #[serde(rename = "is_idle")]
    pub(super) idle: bool,
    stats: BTreeMap<String, Value>,
}

impl Snap {
    /// Whether the target has ended its part.
    pub(super) fn done(&self) -> bool {
        self.aborted || !(self.end_time.is_empty() || self.end_time == UNSET)
    }

    /// A number of `stats`, which travel as text.
    pub(super) fn stat(&self, name: &str) -> u64 {
        let value = self.stats.get(name);
        let text = value.and_then(Value::as_str).and_then(|text| text.parse().ok());
        text.or_else(|| value.and_then(Value::as_u64)).unwrap_or(0)
    }

    fn state(&self) -> &'static str {
        match (self.aborted, self.done()) {
            (true, _) => "Aborted",
            (false, true) if !self.err.is_empty() => "Finished with errors",
            (false, true) => "Finished",
            (false, false) if self.idle => "Idle",
            (false, false) => "Running",
        }
    }

    fn bucket(&self) -> String {
        let (from, to) = (cname(&self.src_bck), cname(&self.dst_bck));
        match (from.as_str(), to.as_str()) {
            ("", _) | (_, "") => cname(&self.bck),
            _ => format!("{from} => {to}"),
        }
    }
}

fn cname(bucket: &Value) -> String {
    let named = bucket.get("name").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    let parsed = serde_json::from_value::<Bucket>(bucket.clone()).ok().filter(|_| named);
    parsed.map(|bucket| bucket.cname()).unwrap_or_default()
}

/// Reads the answer of `what=qryxstats`.
pub(super) fn decode(raw: &Value) -> Result<Vec<Snap>, Failure> {
    let by_node: BTreeMap<String, Option<Vec<Value>>> = serde_json::from_value(raw.clone())
        .map_err(|err| Failure::Other(format!("malformed answer about jobs: {err}")))?;
    let mut all = Vec::new();
    for (node, list) in by_node {
        for raw in list.unwrap_or_default() {
            let mut snap: Snap = serde_json::from_value(raw.clone())
                .map_err(|err| Failure::Other(format!("malformed answer about jobs: {err}")))?;
            snap.node.clone_from(&node);
            snap.raw = raw;
            all.push(snap);
        }
    }
    all.sort_by(|a, b| (&a.kind, &a.id, &a.node).cmp(&(&b.kind, &b.id, &b.node)));
    Ok(all)
}

/// Keeps the `top` jobs that started last.
pub(super) fn newest(all: &mut Vec<Snap>, top: Option<usize>) {
    let Some(top) = top else { return };
    let mut starts: BTreeMap<String, String> = BTreeMap::new();
    for snap in &*all {
        let start = starts.entry(snap.id.clone()).or_default();
        *start = snap.start_time.clone().max(std::mem::take(start));
    }
    let mut order: Vec<_> = starts.into_iter().map(|(id, start)| (start, id)).collect();
    order.sort();
    let kept: Vec<String> = order.into_iter().rev().take(top).map(|(_, id)| id).collect();
    all.retain(|snap| kept.contains(&snap.id));
}

/// As the protocol has it: by target.
pub(super) fn to_json(all: &[Snap]) -> Value {
    let mut by_node: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for snap in all {
        by_node.entry(&snap.node).or_default().push(&snap.raw);
    }
    json!(by_node)
}

/// One row per target and job, and the sum of each job that several work on.
pub(super) fn table(all: &[Snap], units: Units) -> Table {
    let mut table = Table::new([
        ("NODE", Align::Left),
        ("ID", Align::Left),
        ("KIND", Align::Left),
        ("BUCKET", Align::Left),
        ("OBJECTS", Align::Right),
        ("BYTES", Align::Right),
        ("START", Align::Left),
        ("END", Align::Left),
        ("STATE", Align::Left),
    ]);
    let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    for jobs in all.chunk_by(|a, b| a.id == b.id) {
        let (mut objects, mut bytes) = (0_u64, 0_u64);
        for snap in jobs {
            let (count, size) = (snap.stat("loc-objs"), snap.stat("loc-bytes"));
            objects = objects.saturating_add(count);
            bytes = bytes.saturating_add(size);
            table.push([
                snap.node.clone(),
                snap.id.clone(),
                kinds::display(&snap.kind).to_owned(),
                snap.bucket(),
                dash(if count == 0 { String::new() } else { count.to_string() }),
                dash(if size == 0 { String::new() } else { units.size(size) }),
                clock(&snap.start_time),
                clock(&snap.end_time),
                snap.state().to_owned(),
            ]);
        }
        if jobs.len() > 1 {
            let sum = [("Total:".to_owned(), objects.to_string(), units.size(bytes))];
            for (label, objects, bytes) in sum {
                let none = String::new;
                table.push([label, none(), none(), none(), objects, bytes, none(), none(), none()]);
            }
        }
    }
    table.drop_when("BUCKET", str::is_empty);
    table
}

/// `HH:MM:SS` of a time, `-` when it is not set.
fn clock(time: &str) -> String {
    if time.is_empty() || time == UNSET {
        return "-".to_owned();
    }
    let of_day = time.split_once('T').map_or(time, |(_, of_day)| of_day);
    of_day.get(..8).unwrap_or(of_day).to_owned()
}

/// All properties of each job on each target.
pub(super) fn details(all: &[Snap], units: Units) -> String {
    let mut text = String::new();
    for snap in all {
        let mut table = Table::new([("PROPERTY", Align::Left), ("VALUE", Align::Left)]);
        let fixed = [
            (".id", snap.id.clone()),
            (".kind", snap.kind.clone()),
            (".bck", snap.bucket()),
            (".start", snap.start_time.clone()),
            (".end", snap.end_time.clone()),
            (".state", snap.state().to_owned()),
            (".ctl", snap.ctlmsg.clone()),
            (".err", snap.err.clone()),
            (".abort", snap.abort_err.clone()),
        ];
        for (key, value) in fixed.into_iter().filter(|(_, value)| !value.is_empty()) {
            table.push([key.to_owned(), value]);
        }
        for (name, wire) in [("loc", "loc"), ("in", "in"), ("out", "out")] {
            let (objects, bytes) =
                (snap.stat(&format!("{wire}-objs")), snap.stat(&format!("{wire}-bytes")));
            if objects > 0 || bytes > 0 {
                table.push([format!("{name}.obj.n"), objects.to_string()]);
                table.push([format!("{name}.obj.size"), units.size(bytes)]);
            }
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{}\n{}\n", snap.node, table.render(true));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        let bucket = |name: &str| json!({"name": name, "provider": "ais", "namespace": {"uuid": "", "name": ""}});
        let snap = |end: &str, aborted: bool| {
            json!({
                "id": "abcdefghi", "kind": "copy-bck", "bck": bucket("d"), "src-bck": bucket("s"),
                "dst-bck": bucket("d"), "start-time": "2026-01-02T03:04:05.123Z", "end-time": end,
                "stats": {"loc-objs": "12", "loc-bytes": "4096"}, "aborted": aborted,
                "is_idle": false, "ctlmsg": "", "abort-err": "", "err": "", "ext": null,
            })
        };
        json!({"t1": [snap(UNSET, false)], "t2": [snap("2026-01-02T03:05:00Z", false)], "t3": []})
    }

    #[test]
    fn rows_show_buckets_states_and_sums() {
        let all = decode(&sample()).unwrap();
        let text = table(&all, Units::Iec).render(true);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("ais://s => ais://d") && lines[1].ends_with("Running"), "{text}");
        assert!(lines[2].contains("03:05:00") && lines[2].ends_with("Finished"), "{text}");
        assert!(lines[3].starts_with("Total:") && lines[3].contains("24"), "{text}");
        assert!(details(&all, Units::Raw).contains("loc.obj.n"));
        assert_eq!(to_json(&all)["t1"][0]["id"], "abcdefghi");
    }

    #[test]
    fn the_newest_jobs_are_kept_whole() {
        let mut raw = sample();
        raw["t1"][0]["id"] = json!("older_one");
        raw["t1"][0]["start-time"] = json!("2020-01-01T00:00:00Z");
        let mut all = decode(&raw).unwrap();
        newest(&mut all, Some(1));
        assert_eq!(all.iter().map(|snap| snap.id.as_str()).collect::<Vec<_>>(), ["abcdefghi"]);
        assert!(decode(&json!([1])).is_err());
    }
}
