//! `ais ls`: buckets, or the objects of one.

mod query;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aistore_client::{Client, ListOptions};
use aistore_core::bucket::{Bucket, Provider};
use aistore_core::list::{ENTRY_CACHED, ENTRY_IS_DIR, ListEntry, ListMsg};
use serde_json::json;

use crate::args::LsArgs;
use crate::failure::Failure;
use crate::names::{Listing, Target, parse_listing};
use crate::output::Output;
use crate::sizes::Units;
use crate::storage::{self, summary::Whose};
use crate::table::{Align, Table};
use query::{Prop, Query};

/// Listings shorter than this have no footer.
const FOOTER_FROM: usize = 11;
/// Low bits of an entry's flags: its status, 0 = ok.
const STATUS_MASK: u16 = 31;

/// Runs the command.
pub(crate) async fn run(client: &Client, args: &LsArgs, out: &mut Output) -> Result<(), Failure> {
    let listing = parse_listing(args.target.as_deref())?;
    if args.summary {
        let (whose, name) = match &listing {
            Listing::Buckets(provider) => (Whose::All(*provider), ""),
            Listing::Objects(target) => (Whose::One(&target.bucket), target.name.as_str()),
        };
        let prefix = args.prefix.as_deref().unwrap_or(name);
        return storage::summary::print(client, whose, prefix, false, out).await;
    }
    match listing {
        Listing::Buckets(provider) => list_buckets(client, provider, out).await,
        Listing::Objects(target) => list_objects(client, args, target, out).await,
    }
}

async fn list_buckets(
    client: &Client,
    provider: Option<Provider>,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut buckets = client.list_buckets(provider).await?;
    if out.json {
        return out.json(&buckets);
    }
    buckets.sort_unstable_by_key(|b| (b.provider, b.namespace.clone(), b.name.clone()));
    out.table(&bucket_table(&buckets))?;
    if out.footers && !buckets.is_empty() {
        out.text(&bucket_footer(&buckets))?;
    }
    Ok(())
}

fn bucket_table(buckets: &[Bucket]) -> Table {
    let mut table = Table::new([("NAME", Align::Left), ("PRESENT", Align::Left)]);
    for bucket in buckets {
        table.push([bucket.cname(), "yes".to_owned()]);
    }
    table
}

fn bucket_footer(buckets: &[Bucket]) -> String {
    let mut counts: BTreeMap<Provider, usize> = BTreeMap::new();
    for bucket in buckets {
        *counts.entry(bucket.provider).or_default() += 1;
    }
    let line =
        |(provider, n)| format!("Total: [{provider} bucket(s): {n} ({n} present)] ========\n");
    counts.into_iter().map(line).collect::<Vec<_>>().concat()
}

async fn list_objects(
    client: &Client,
    args: &LsArgs,
    target: Target,
    out: &mut Output,
) -> Result<(), Failure> {
    let query = Query::from_args(args, &target)?;
    let bucket = target.bucket;
    let started = Instant::now();
    if args.paged && !args.count_only {
        return list_paged(client, &bucket, &query, out).await;
    }
    let options = ListOptions {
        prefix: query.prefix.clone(),
        props: query.wire_props(),
        flags: query.flags,
        start_after: query.start_after.clone(),
        page_size: query.page_size,
        limit: usize::try_from(query.limit).unwrap_or(usize::MAX),
    };
    let mut entries = client.list_all(&bucket, options).await?;
    entries.retain(|entry| entry.flags & STATUS_MASK == 0);
    if args.count_only {
        return print_count(&entries, started.elapsed(), out);
    }
    if out.json {
        return out.json(&entries);
    }
    out.table(&object_table(&entries, &query.columns(&bucket), out.units))?;
    if out.footers && entries.len() >= FOOTER_FROM {
        out.text(&format!("Listed: {}\n", summary(&entries)))?;
    }
    Ok(())
}

fn print_count(entries: &[ListEntry], elapsed: Duration, out: &mut Output) -> Result<(), Failure> {
    if out.json {
        return out.json(&json!({"count": entries.len(), "cached": cached(entries)}));
    }
    if !out.headings {
        return out.text(&format!("{}\n", entries.len()));
    }
    let line = format!("Listed: {} in {}\n", summary(entries), out.units.duration(elapsed));
    out.text(&line)
}

fn cached(entries: &[ListEntry]) -> usize {
    entries.iter().filter(|entry| entry.flags & ENTRY_CACHED != 0).count()
}

fn summary(entries: &[ListEntry]) -> String {
    format!("{} names (in-cluster: {})", entries.len(), cached(entries))
}

/// One table (or JSON array) per page, so that memory stays bounded however large the bucket is.
async fn list_paged(
    client: &Client,
    bucket: &Bucket,
    query: &Query,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut left = if query.limit == 0 { u64::MAX } else { query.limit };
    let mut message = ListMsg {
        prefix: query.prefix.clone(),
        props: query.wire_props(),
        flags: query.flags,
        start_after: query.start_after.clone(),
        ..ListMsg::default()
    };
    let columns = query.columns(bucket);
    let headings = out.headings;
    loop {
        message.page_size = match query.page_size {
            0 if left == u64::MAX => 0,
            0 => left,
            size => size.min(left),
        };
        let mut page = client.list_page(bucket, &message).await?;
        page.entries.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= u64::try_from(page.entries.len()).unwrap_or(u64::MAX).min(left);
        let last = page.continuation_token.is_empty() || left == 0;
        if out.json {
            out.json(&page.entries)?;
        } else {
            out.table(&object_table(&page.entries, &columns, out.units))?;
        }
        out.flush()?;
        if last {
            break;
        }
        out.headings = false;
        message.uuid = page.uuid;
        message.continuation_token = page.continuation_token;
    }
    out.headings = headings;
    Ok(())
}

fn object_table(entries: &[ListEntry], columns: &[Prop], units: Units) -> Table {
    let mut table = Table::new(columns.iter().map(|prop| {
        let align =
            if matches!(prop, Prop::Size | Prop::Copies) { Align::Right } else { Align::Left };
        (prop.name().to_uppercase(), align)
    }));
    for entry in entries {
        table.push(columns.iter().map(|prop| cell(entry, *prop, units)));
    }
    table
}

fn cell(entry: &ListEntry, prop: Prop, units: Units) -> String {
    let is_dir = entry.flags & ENTRY_IS_DIR != 0;
    match prop {
        Prop::Name => entry.name.clone(),
        Prop::Size | Prop::Cached | Prop::Status if is_dir => String::new(),
        Prop::Size => units.size(entry.size),
        Prop::Checksum => entry.checksum.clone(),
        Prop::Atime => entry.atime.clone(),
        Prop::Version => entry.version.clone(),
        Prop::Location => entry.location.clone(),
        Prop::Custom => entry.custom.clone(),
        Prop::Copies if entry.copies == 0 => String::new(),
        Prop::Copies => entry.copies.to_string(),
        Prop::Cached => if entry.flags & ENTRY_CACHED == 0 { "no" } else { "yes" }.to_owned(),
        Prop::Status => status_word(entry.flags).to_owned(),
    }
}

fn status_word(flags: u16) -> &'static str {
    match flags & STATUS_MASK {
        _ if flags & 1024 != 0 => "version-changed",
        _ if flags & 2048 != 0 => "deleted",
        _ if flags & 4096 != 0 => "remote-error",
        0 => "ok",
        1 => "misplaced(cluster)",
        2 => "misplaced(mountpath)",
        3 => "replica",
        4 => "replica(object-is-missing)",
        _ => "invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_directories_share_a_table() {
        let object =
            ListEntry { name: "a".into(), size: 2048, flags: ENTRY_CACHED, ..ListEntry::default() };
        let dir = ListEntry { name: "d/".into(), flags: ENTRY_IS_DIR, ..ListEntry::default() };
        let table =
            object_table(&[object, dir], &[Prop::Name, Prop::Size, Prop::Status], Units::Iec);
        assert_eq!(table.render(true), "NAME     SIZE  STATUS\na     2.00KiB  ok\nd/\n");
    }

    #[test]
    fn the_bucket_footer_counts_by_provider() {
        let remote = Bucket { provider: Provider::Aws, ..Bucket::ais("r") };
        let text = bucket_footer(&[Bucket::ais("a"), Bucket::ais("b"), remote]);
        assert_eq!(
            text,
            "Total: [ais bucket(s): 2 (2 present)] ========\nTotal: [aws bucket(s): 1 (1 present)] ========\n"
        );
    }
}
