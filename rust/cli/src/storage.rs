//! `ais storage`: disks of the targets; mountpaths and summaries in their own files.

pub(crate) mod mountpaths;
pub(crate) mod summary;

use std::collections::BTreeMap;

use aistore_client::Client;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::api;
use crate::args::{DiskArgs, ShowStorageArgs, ShowStorageCommand};
use crate::failure::Failure;
use crate::output::Output;
use crate::sizes::Units;
use crate::table::{Align, Table};

/// Targets asked at the same time.
const PARALLEL_QUERIES: usize = 32;

/// `ais show storage`.
pub(crate) async fn show(
    client: &Client,
    args: &ShowStorageArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    match &args.what {
        None => disks(client, &DiskArgs { target: None }, out).await,
        Some(ShowStorageCommand::Disk(args)) => disks(client, args, out).await,
        Some(ShowStorageCommand::Mountpath(args)) => mountpaths::show(client, args, out).await,
        Some(ShowStorageCommand::Summary(args)) => summary::run(client, args, out).await,
    }
}

/// Asks one target, or all of them; answers by id.
pub(super) async fn ask_targets(
    client: &Client,
    args: &DiskArgs,
    what: &str,
) -> Result<BTreeMap<String, Value>, Failure> {
    let map = client.smap(true).await?;
    let ids: Vec<String> = api::targets(&map, args.target.as_deref())?
        .into_iter()
        .map(|node| node.daemon_id.clone())
        .collect();
    stream::iter(ids)
        .map(|id| async move {
            let answer = api::ask_node(client, &id, what).await?;
            Ok::<_, Failure>((id, answer))
        })
        .buffer_unordered(PARALLEL_QUERIES)
        .try_collect()
        .await
}

/// `ais storage disk`.
pub(crate) async fn disks(
    client: &Client,
    args: &DiskArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let answers = ask_targets(client, args, "disk").await?;
    if out.json {
        return out.json(&json!(answers));
    }
    out.table(&disk_table(&answers, out.units))
}

fn disk_table(answers: &BTreeMap<String, Value>, units: Units) -> Table {
    let mut table = Table::new([
        ("TARGET", Align::Left),
        ("DISK", Align::Left),
        ("READ", Align::Right),
        ("READ(avg size)", Align::Right),
        ("WRITE", Align::Right),
        ("WRITE(avg size)", Align::Right),
        ("UTIL(%)", Align::Right),
        ("CAP USED(%)", Align::Right),
        ("CAP AVAIL", Align::Right),
    ]);
    for (target, answer) in answers {
        let Some(disks) = answer.get("AllDiskStats").and_then(Value::as_object) else { continue };
        for (disk, stats) in disks {
            let number = |key: &str| stats.get(key).map_or(0, number);
            let (used, avail) = capacity(answer, disk).unwrap_or_default();
            table.push([
                format!("t[{target}]"),
                disk.clone(),
                format!("{}/s", units.size(number("RBps"))),
                units.size(number("Ravg")),
                format!("{}/s", units.size(number("WBps"))),
                units.size(number("Wavg")),
                format!("{}%", number("Util")),
                used.map(|pct| format!("{pct}%")).unwrap_or_default(),
                avail.map(|bytes| units.size(bytes)).unwrap_or_default(),
            ]);
        }
    }
    table.drop_when("CAP USED(%)", str::is_empty);
    table.drop_when("CAP AVAIL", str::is_empty);
    table
}

/// Share in use and bytes free of the mountpath whose first disk is `disk`.
fn capacity(answer: &Value, disk: &str) -> Option<(Option<u64>, Option<u64>)> {
    let mountpaths = answer.get("mountpaths")?.as_object()?;
    let on = mountpaths.values().find(|mountpath| {
        let first = mountpath.get("disks").and_then(|disks| disks.get(0));
        first.and_then(Value::as_str) == Some(disk)
    })?;
    Some((on.get("pct_used").map(number), on.get("avail").map(number)))
}

/// A number, which may travel as text.
pub(super) fn number(value: &Value) -> u64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    text.or_else(|| value.as_u64()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_show_rates_and_the_space_of_their_mountpath() {
        let answer = json!({
            "AllDiskStats": {"sda": {"RBps": 2048, "Ravg": 512, "WBps": 0, "Wavg": 0, "Util": 7}},
            "mountpaths": {"/mp": {"disks": ["sda"], "avail": "1024", "pct_used": 40}},
        });
        let text = disk_table(&[("t1".to_owned(), answer)].into(), Units::Iec).render(true);
        for part in ["t[t1]", "sda", "2.00KiB/s", "7%", "40%", "1.00KiB"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let bare = json!({"AllDiskStats": {"sda": {}}});
        let text = disk_table(&[("t1".to_owned(), bare)].into(), Units::Iec).render(true);
        assert!(!text.contains("CAP"), "{text}");
    }
}
