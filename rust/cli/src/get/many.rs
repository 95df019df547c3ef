//! `ais get BUCKET --prefix P [DIR]`: every object whose name starts so, into a directory tree.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::{Component, Path, PathBuf};
use std::time::Instant;

use aistore_client::{Client, ListOptions};
use aistore_core::list::{ENTRY_IS_DIR, FLAG_NAME_SIZE, ListEntry};
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::{Request, Show, fetch};
use crate::args::GetArgs;
use crate::failure::Failure;
use crate::names::{Target, parse_bucket};
use crate::output::{Output, confirm, note};
use crate::progress::Progress;
use crate::sink::Destination;

/// One object and its file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Download {
    name: String,
    path: PathBuf,
    size: u64,
}

pub(super) async fn run(
    client: &Client,
    args: &GetArgs,
    prefix: &str,
    out: &mut Output,
) -> Result<(), Failure> {
    let bucket = parse_bucket(&args.object)?;
    if args.output.as_deref() == Some("-") {
        return Err(Failure::usage(
            "--prefix reads many objects: standard output takes one; name a directory",
        ));
    }
    let options = ListOptions {
        prefix: prefix.to_owned(),
        props: "name,size".to_owned(),
        flags: FLAG_NAME_SIZE,
        limit: usize::try_from(args.limit).unwrap_or(usize::MAX),
        ..ListOptions::default()
    };
    let entries = client.list_all(&bucket, options).await?;
    let downloads = plan(&entries, Path::new(args.output.as_deref().unwrap_or(".")))?;
    if downloads.is_empty() {
        return Err(Failure::Other(format!("no objects in {bucket} start with \"{prefix}\"")));
    }
    let bytes = downloads.iter().fold(0_u64, |sum, download| sum.saturating_add(download.size));
    let count = u64::try_from(downloads.len()).unwrap_or(u64::MAX);
    let question =
        format!("GET {count} objects from {bucket} (total size {})?", out.units.size(bytes));
    // Nothing is destroyed by downloading, so a script without a terminal need not confirm.
    if !args.yes && std::io::stdin().is_terminal() && !confirm(&question)? {
        return Err(Failure::Other("not confirmed: nothing was read".to_owned()));
    }
    let started = Instant::now();
    let progress = Progress::start("downloaded", count, bytes, args.progress, out.units);
    let request = Request { verify: args.checksum, ..Request::default() };
    let mut done = stream::iter(downloads)
        .map(|download| {
            let (progress, request, bucket) = (progress.clone(), request.clone(), bucket.clone());
            async move {
                let target = Target { bucket, name: download.name.clone() };
                let part = progress.part();
                let destination = Destination::File(download.path.clone());
                let result =
                    fetch(client, &target, &request, &destination, Show::Part(&part)).await;
                if result.is_ok() {
                    progress.item_done();
                }
                (result, target)
            }
        })
        .buffer_unordered(usize::from(args.num_workers));
    let (mut read, mut read_bytes, mut failed) = (0_u64, 0_u64, Vec::new());
    while let Some((result, target)) = done.next().await {
        match result {
            Ok(size) => {
                read += 1;
                read_bytes += size;
            }
            Err(err) => {
                let reason = err.describe(&client.config().endpoint);
                progress.note(&format!("Error: {}: {reason}", target.cname()));
                failed.push(json!({"object": target.name, "error": reason}));
                if !args.cont_on_err {
                    break;
                }
            }
        }
    }
    drop(done);
    progress.finish();
    let elapsed = started.elapsed();
    let failures = u64::try_from(failed.len()).unwrap_or(u64::MAX);
    if out.json {
        out.json(&json!({"objects": read, "bytes": read_bytes, "seconds": elapsed.as_secs_f64(), "failed": failed}))?;
    } else {
        out.message(&format!(
            "GET {read} objects ({}) from {bucket} in {} ({})",
            out.units.size(read_bytes),
            out.units.duration(elapsed),
            out.units.rate(read_bytes, elapsed),
        ))?;
    }
    if failures == 0 {
        return Ok(());
    }
    if !args.cont_on_err {
        note(&format!(
            "Stopped at the first failure, {read} of {count} objects are read: --cont-on-err goes on"
        ));
    }
    Err(Failure::Partial { failed: failures, total: count, what: "downloads" })
}

/// Gives every object its file under `dir`. Virtual directories are skipped; a name that would leave
/// `dir`, or be both a file and a directory, is refused before anything is written.
fn plan(entries: &[ListEntry], dir: &Path) -> Result<Vec<Download>, Failure> {
    let mut downloads = Vec::new();
    let mut files = HashSet::new();
    for entry in entries {
        if entry.flags & ENTRY_IS_DIR != 0 || entry.name.ends_with('/') {
            continue;
        }
        let path = dir.join(relative(&entry.name)?);
        if !files.insert(path.clone()) {
            return Err(clash(&entry.name, &path));
        }
        downloads.push(Download { name: entry.name.clone(), path, size: entry.size });
    }
    for download in &downloads {
        let parents = download.path.ancestors().skip(1).take_while(|parent| *parent != dir);
        if let Some(parent) = parents.into_iter().find(|parent| files.contains(*parent)) {
            return Err(clash(&download.name, parent));
        }
    }
    Ok(downloads)
}

fn clash(name: &str, path: &Path) -> Failure {
    Failure::usage(format!(
        "object \"{name}\" and another one need the same file \"{}\": read them one by one",
        path.display()
    ))
}

/// An object's name as a path below the destination: no root, no parent, no null byte.
fn relative(name: &str) -> Result<PathBuf, Failure> {
    let trimmed = name.trim_start_matches('/');
    let path = Path::new(trimmed);
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    if trimmed.is_empty() || !inside || trimmed.contains('\0') {
        return Err(Failure::usage(format!(
            "object name \"{}\" is not a safe file name: read it alone, with a file name of your choice",
            crate::table::printable(name)
        )));
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(names: &[&str]) -> Vec<ListEntry> {
        names
            .iter()
            .map(|name| ListEntry { name: (*name).into(), ..ListEntry::default() })
            .collect()
    }

    #[test]
    fn names_become_paths_below_the_directory() {
        let plan = plan(&entries(&["a", "d/e/f", "d/"]), Path::new("out")).unwrap();
        let paths: Vec<_> = plan.iter().map(|download| download.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["out/a", "out/d/e/f"]);
        assert_eq!(relative("/abs").unwrap(), Path::new("abs"));
    }

    #[test]
    fn hostile_and_clashing_names_are_refused_before_any_write() {
        for bad in ["../x", "a/../../x", "//..", "./x"] {
            assert!(plan(&entries(&[bad]), Path::new("out")).is_err(), "{bad}");
        }
        for clash in [&["a", "a/b"][..], &["a/b", "a//b"][..]] {
            let err = plan(&entries(clash), Path::new("out")).unwrap_err();
            assert!(err.to_string().contains("same file"), "{err}");
        }
    }
}
