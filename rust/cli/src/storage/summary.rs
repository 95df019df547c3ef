//! `ais storage summary`: a job counts, and is asked until it has the final numbers.

use std::time::{Duration, Instant};

use aistore_client::Client;
use aistore_core::bucket::{Bucket, Provider};
use aistore_core::wire::ActionMsg;
use http::Method;
use serde_json::{Value, json};

use super::number;
use crate::api;
use crate::args::SummaryArgs;
use crate::failure::Failure;
use crate::names::{Listing, parse_listing};
use crate::output::{Output, note};
use crate::progress::Waiting;
use crate::sizes::Units;
use crate::table::{Align, Table};

/// First pause between two polls, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Longest wait for the final numbers.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// Status of an answer that is final.
const FINAL: u16 = 200;

/// Runs the command.
pub(crate) async fn run(
    client: &Client,
    args: &SummaryArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let listing = parse_listing(args.bucket.as_deref())?;
    let prefix = args.prefix.clone().unwrap_or_else(|| match &listing {
        Listing::Objects(target) => target.name.clone(),
        Listing::Buckets(_) => String::new(),
    });
    let whose = match &listing {
        Listing::Objects(target) => Whose::One(&target.bucket),
        Listing::Buckets(provider) => Whose::All(*provider),
    };
    print(client, whose, &prefix, args.cached, out).await
}

/// Which buckets are summed up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whose<'b> {
    One(&'b Bucket),
    All(Option<Provider>),
}

/// Sums up and prints.
pub(crate) async fn print(
    client: &Client,
    whose: Whose<'_>,
    prefix: &str,
    cached: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let rows = collect(client, whose, prefix, cached).await?;
    if out.json {
        return out.json(&rows);
    }
    if rows.is_empty() {
        note("No buckets");
        return Ok(());
    }
    out.table(&table(&rows, out.units))
}

async fn collect(
    client: &Client,
    whose: Whose<'_>,
    prefix: &str,
    cached: bool,
) -> Result<Vec<Value>, Failure> {
    let mut id = String::new();
    let waiting = Waiting::start("summary", false);
    let (began, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        let value = json!({"uuid": id, "prefix": prefix, "cached": cached, "present": true});
        let call = match whose {
            Whose::One(bucket) => api::bucket_call(Method::GET, bucket),
            Whose::All(provider) => {
                let call = aistore_client::Call::new(Method::GET, "/v1/buckets");
                match provider {
                    Some(provider) => call.query("provider", provider.as_str()),
                    None => call,
                }
            }
        };
        let reply = client.call(call.json(&ActionMsg::new("summary-bck", value))?).await?;
        if !id.is_empty() && reply.status == FINAL {
            waiting.finish();
            return Ok(reply.json::<Option<Vec<Value>>>()?.unwrap_or_default());
        }
        if id.is_empty() {
            id = String::from_utf8_lossy(&reply.body).trim().trim_matches('"').to_owned();
        }
        if id.is_empty() || began.elapsed() > LONGEST_WAIT {
            waiting.finish();
            return Err(Failure::Other(format!("summary \"{id}\" brought no result")));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

fn table(rows: &[Value], units: Units) -> Table {
    let mut table = Table::new([
        ("NAME", Align::Left),
        ("OBJECTS (cached, remote)", Align::Right),
        ("OBJECT SIZES (min, avg, max)", Align::Right),
        ("TOTAL OBJECT SIZE (cached, remote)", Align::Right),
        ("USAGE(%)", Align::Right),
    ]);
    for row in rows {
        let count = |key: &str| at(row, "ObjCount", key);
        let size = |key: &str| units.size(at(row, "ObjSize", key));
        let total = |key: &str| units.size(at(row, "TotalSize", key));
        let name = serde_json::from_value::<Bucket>(row.clone()).map(|bucket| bucket.cname());
        table.push([
            name.unwrap_or_default(),
            format!("{} {}", count("obj_count_present"), count("obj_count_remote")),
            format!("{} {} {}", size("obj_min_size"), size("obj_avg_size"), size("obj_max_size")),
            format!("{} {}", total("size_all_present_objs"), total("size_all_remote_objs")),
            format!("{}%", row.get("used_pct").map_or(0, number)),
        ]);
    }
    table
}

fn at(row: &Value, section: &str, key: &str) -> u64 {
    row.get(section).and_then(|section| section.get(key)).map_or(0, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_hold_counts_sizes_and_share() {
        let row = json!({
            "name": "b", "provider": "ais", "namespace": {"uuid": "", "name": ""},
            "ObjCount": {"obj_count_present": "10", "obj_count_remote": "0"},
            "ObjSize": {"obj_min_size": 1, "obj_avg_size": 2, "obj_max_size": 3},
            "TotalSize": {"size_on_disk": "4096", "size_all_present_objs": "2048",
                          "size_all_remote_objs": "0", "total_disks_size": "1000"},
            "used_pct": 5, "is_present": false,
        });
        let text = table(&[row], Units::Iec).render(false);
        for part in ["ais://b", "10 0", "1B 2B 3B", "2.00KiB 0B", "5%"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
