//! `ais ml get-batch`: many objects, or files in shards, as one TAR.

pub(crate) mod lhotse;
mod request;

use aistore_client::{BatchItem, Client, ListOptions};
use aistore_core::bucket::Bucket;
use aistore_core::list::{ENTRY_IS_DIR, FLAG_NAME_ONLY};
use aistore_core::moss::{MossIn, MossReq, Wanted};
use aistore_core::tar::{END, encode_header, padding};
use bytes::Bytes;
use serde_json::json;
use std::io::IsTerminal;

use crate::args::BatchArgs;
use crate::failure::Failure;
use crate::output::{Output, note};
use crate::sink::{Destination, Sink};
use request::{Batch, Output as Target, Selection};

/// Runs the command.
pub(crate) async fn run(
    client: &Client,
    args: &BatchArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let batch = Batch::from_args(args)?;
    let destination = match &batch.output {
        Target::Stdout => Destination::Stdout,
        Target::File(path) => Destination::File(path.clone()),
    };
    if destination == Destination::Stdout && std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "an archive does not belong on a terminal: name an output such as batch.tar",
        ));
    }
    let request = build(client, &batch, args).await?;
    let wanted = resolve(&request, batch.bucket.as_ref())?;
    let onob = request.only_object_name;
    let mut items = client.batch(request, batch.bucket.clone()).await?;
    let mut sink = Sink::open(&destination, None).await?;
    let (mut found, mut missing, mut bytes) = (0_u64, Vec::new(), 0_u64);
    let mut expected = wanted.iter();
    while let Some(BatchItem { data, .. }) = items.next().await? {
        let entry = expected.next().ok_or_else(|| {
            Failure::Other("the cluster sent more entries than were asked for".to_owned())
        })?;
        match data {
            Ok(data) => {
                let size = u64::try_from(data.len()).unwrap_or(u64::MAX);
                sink.write(encode_header(&entry.archive_name(onob, false), size, 0).into()).await?;
                let pad = padding(size);
                sink.write(data).await?;
                sink.write(Bytes::from_static(END.get(..pad).unwrap_or_default())).await?;
                found += 1;
                bytes += size;
            }
            Err(err) => {
                let name = entry.archive_name(onob, true);
                sink.write(encode_header(&name, 0, 0).into()).await?;
                missing.push(json!({"name": name, "error": err.message}));
            }
        }
    }
    let left = expected.len();
    if left > 0 {
        return Err(Failure::Other(format!("{left} of {} entries did not come", wanted.len())));
    }
    sink.write(Bytes::from_static(&END)).await?;
    sink.finish(|_| Ok(())).await?;
    report(&destination, args, found, &missing, bytes, out)
}

/// The request: from the file, or from names, lists, templates and prefixes.
async fn build(client: &Client, batch: &Batch, args: &BatchArgs) -> Result<MossReq, Failure> {
    let mut request = match &batch.selection {
        Selection::Spec(path) => {
            let path = path.clone();
            tokio::task::spawn_blocking(move || request::read_spec(&path)).await??
        }
        Selection::Entries(entries) => MossReq { entries: entries.clone(), ..MossReq::default() },
        Selection::Prefix(prefix) => {
            let bucket =
                batch.bucket.as_ref().ok_or_else(|| Failure::usage("--prefix needs a bucket"))?;
            MossReq { entries: list(client, bucket, prefix).await?, ..MossReq::default() }
        }
    };
    if request.entries.is_empty() {
        return Err(Failure::usage("the batch is empty: no object was selected"));
    }
    request.only_object_name |= args.omit_src_bck;
    if args.cont_on_err {
        request.continue_on_error = Some(true);
    }
    request.streaming = true;
    Ok(request)
}

async fn list(client: &Client, bucket: &Bucket, prefix: &str) -> Result<Vec<MossIn>, Failure> {
    let options = ListOptions {
        prefix: prefix.to_owned(),
        props: "name".to_owned(),
        flags: FLAG_NAME_ONLY,
        ..ListOptions::default()
    };
    let entries = client.list_all(bucket, options).await?;
    let objects = entries.into_iter().filter(|entry| entry.flags & ENTRY_IS_DIR == 0);
    Ok(objects.map(|entry| MossIn { object: entry.name, ..MossIn::default() }).collect())
}

fn resolve(request: &MossReq, bucket: Option<&Bucket>) -> Result<Vec<Wanted>, Failure> {
    request
        .entries
        .iter()
        .map(|entry| entry.resolve(bucket).map_err(|err| Failure::usage(err.to_string())))
        .collect()
}

fn report(
    destination: &Destination,
    args: &BatchArgs,
    found: u64,
    missing: &[serde_json::Value],
    bytes: u64,
    out: &mut Output,
) -> Result<(), Failure> {
    if args.non_verbose {
        return Ok(());
    }
    if !missing.is_empty() {
        note(&format!("Note: {} missing entries are empty, under __404__/", missing.len()));
    }
    match destination {
        // Standard output carries the archive and nothing else.
        Destination::Stdout => {
            note(&format!("Streamed {found} objects to standard output"));
            Ok(())
        }
        Destination::File(path) if out.json => out.json(&json!({
            "file": path.display().to_string(), "objects": found, "bytes": bytes, "missing": missing,
        })),
        Destination::File(path) if args.streaming => {
            out.message(&format!("Streamed {found} objects to {}", path.display()))
        }
        Destination::File(path) => {
            out.message(&format!("Created ML batch archive {} with {found} objects", path.display()))
        }
    }
}
