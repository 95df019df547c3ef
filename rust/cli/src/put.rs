//! `ais put`: files, directories and standard input into a bucket.

mod plan;
mod stdin;

use std::time::Instant;

use aistore_client::{Client, Content, PartOptions};
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use crate::args::PutArgs;
use crate::failure::Failure;
use crate::names::{Target, parse_object, parse_target};
use crate::output::{Output, note};
use crate::progress::Progress;
use plan::{Plan, Upload};

/// Name of standard input among the sources.
const STDIN: &str = "-";
/// Parts of one file uploaded at the same time, with --chunk-size.
const PARTS_AT_A_TIME: usize = 8;

/// Runs the command.
pub(crate) async fn run(client: &Client, args: &PutArgs, out: &mut Output) -> Result<(), Failure> {
    let Some((destination, sources)) = args.paths.split_last() else {
        return Err(Failure::usage("source and destination are missing"));
    };
    if sources.iter().any(|source| source.contains("://")) && !destination.contains("://") {
        return Err(Failure::usage(format!(
            "\"{destination}\" is the destination, but not a bucket: the source comes first, as in \"ais put FILE ais://BUCKET\""
        )));
    }
    if let [source] = sources
        && source == STDIN
    {
        return put_stdin(client, destination, args, out).await;
    }
    if sources.iter().any(|source| source == STDIN) {
        return Err(Failure::usage("\"-\" (standard input) cannot be mixed with files"));
    }
    let target = parse_target(destination)?;
    let plan = {
        let (sources, name) = (sources.to_vec(), target.name.clone());
        let (recursive, include_dir) = (args.recursive, args.include_src_dir);
        tokio::task::spawn_blocking(move || plan::plan(&sources, &name, recursive, include_dir))
            .await??
    };
    for skipped in &plan.notes {
        note(&format!("Note: {skipped}"));
    }
    if args.dry_run {
        return preview(&plan, &target, out);
    }
    upload(client, plan, &target, args, out).await
}

async fn put_stdin(
    client: &Client,
    destination: &str,
    args: &PutArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let target = parse_object(destination)?;
    if args.dry_run {
        return out.text(&format!("[DRY RUN] PUT standard input to {}\n", target.cname()));
    }
    let bytes = stdin::store(client, &target).await?;
    if out.json {
        return out.json(&json!({"objects": 1, "bytes": bytes, "failed": []}));
    }
    out.message(&format!("PUT standard input to {} ({})", target.cname(), out.units.size(bytes)))
}

fn preview(plan: &Plan, target: &Target, out: &mut Output) -> Result<(), Failure> {
    if out.json {
        let names: Vec<_> = plan.uploads.iter().map(|upload| &upload.name).collect();
        return out.json(&json!({"objects": names, "bytes": plan.bytes()}));
    }
    for upload in &plan.uploads {
        let object = crate::table::printable(&target.bucket.object_cname(&upload.name));
        out.text(&format!("[DRY RUN] PUT {} to {object}\n", upload.path.display()))?;
    }
    Ok(())
}

/// A failed file, for the report.
struct Failed {
    path: String,
    reason: String,
}

async fn upload(
    client: &Client,
    plan: Plan,
    target: &Target,
    args: &PutArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let (total, total_bytes) = (plan.uploads.len(), plan.bytes());
    let single = match plan.uploads.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    };
    let started = Instant::now();
    let count = u64::try_from(total).unwrap_or(u64::MAX);
    let progress = Progress::start("uploaded", count, total_bytes, args.progress, out.units);
    let endpoint = client.config().endpoint.clone();
    let mut done = stream::iter(plan.uploads)
        .map(|upload| {
            let progress = progress.clone();
            let chunk = args.chunk_size;
            async move { (put_one(client, target, &upload, chunk, &progress).await, upload) }
        })
        .buffer_unordered(usize::from(args.num_workers));
    let (mut stored, mut stored_bytes, mut failed) = (0_u64, 0_u64, Vec::new());
    while let Some((result, upload)) = done.next().await {
        match result {
            Ok(()) => {
                stored += 1;
                stored_bytes += upload.size;
            }
            // One file: its error is the command's.
            Err(err) if single.is_some() => {
                progress.finish();
                return Err(err);
            }
            Err(err) => {
                let path = upload.path.display().to_string();
                let reason = err.describe(&endpoint);
                progress.note(&format!("Error: {path}: {reason}"));
                failed.push(Failed { path, reason });
                if !args.cont_on_err {
                    break;
                }
            }
        }
    }
    drop(done);
    progress.finish();
    let elapsed = started.elapsed();
    if out.json {
        let failures: Vec<_> =
            failed.iter().map(|f| json!({"file": f.path, "error": f.reason})).collect();
        out.json(&json!({
            "objects": stored, "bytes": stored_bytes, "seconds": elapsed.as_secs_f64(), "failed": failures,
        }))?;
    } else if let Some(one) = single {
        let object = crate::table::printable(&target.bucket.object_cname(&one.name));
        out.message(&format!(
            "PUT {} to {object} ({})",
            one.path.display(),
            out.units.size(one.size)
        ))?;
    } else {
        out.message(&format!(
            "PUT {stored} objects ({}) to {} in {} ({})",
            out.units.size(stored_bytes),
            target.cname(),
            out.units.duration(elapsed),
            out.units.rate(stored_bytes, elapsed),
        ))?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    let failures = u64::try_from(failed.len()).unwrap_or(u64::MAX);
    if !args.cont_on_err {
        note(&format!(
            "Stopped at the first failure, {stored} of {total} files are stored: --cont-on-err goes on"
        ));
    }
    Err(Failure::Partial { failed: failures, total: count, what: "uploads" })
}

async fn put_one(
    client: &Client,
    target: &Target,
    upload: &Upload,
    chunk_size: Option<u64>,
    progress: &Progress,
) -> Result<(), Failure> {
    let part = progress.part();
    let report = Box::new(move |so_far: u64| part.set(so_far));
    match chunk_size {
        Some(part_bytes) if upload.size > part_bytes => {
            let options = PartOptions { part_bytes, parallel: PARTS_AT_A_TIME };
            let content = Content::File(&upload.path);
            let put = client.put_multipart(
                &target.bucket,
                &upload.name,
                content,
                options,
                &[],
                Some(report),
            );
            put.await?;
        }
        _ => {
            client.put_file(&target.bucket, &upload.name, &upload.path, Some(report)).await?;
        }
    }
    progress.item_done();
    Ok(())
}
