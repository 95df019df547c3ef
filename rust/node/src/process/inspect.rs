//! `aisnode inspect`: the blobs and the index of a mountpath, read without a node.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use aistore_store::inspect::{BlobInfo, EntryInfo, each_blob, each_entry};
use clap::Parser;
use serde_json::json;

/// Lists what a mountpath holds: every blob, in files of their own and in segments, and with --index
/// every entry of its index.
#[derive(Debug, Parser)]
#[command(name = "aisnode inspect")]
struct Inspect {
    /// The mountpath
    #[arg(value_name = "DIR")]
    mountpath: PathBuf,
    /// List the index instead; not while a node uses the mountpath
    #[arg(long)]
    index: bool,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

/// Runs the command with `args`, the first of which is its name; returns the exit status.
pub(super) fn main(args: &[String]) -> i32 {
    let asked = match Inspect::try_parse_from(args) {
        Ok(asked) => asked,
        Err(err) => {
            // Nothing can be done about a closed terminal.
            let _ = err.print();
            return err.exit_code();
        }
    };
    match list(&asked) {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            super::complain(&format!("{}: {error}", asked.mountpath.display()));
            super::FAILURE
        }
        Ok(()) => 0,
    }
}

fn list(asked: &Inspect) -> io::Result<()> {
    if !asked.mountpath.join("ais").is_dir() {
        let message =
            "no mountpath: it has no folder \"ais\"; name a directory given with --mountpath";
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let mut failed = Ok(());
    let mut print = |line: String| {
        if failed.is_ok() {
            failed = writeln!(out, "{line}");
        }
        failed.is_ok()
    };
    if asked.index {
        let line = if asked.json { entry_json } else { entry_text };
        if !asked.json {
            print(format!("{:16}  {:>16}  {:>12}  NAME", "BUCKET", "BLOB", "SIZE"));
        }
        each_entry(&asked.mountpath, |entry| print(line(&entry))).map_err(io::Error::other)?;
    } else {
        let line = if asked.json { blob_json } else { blob_text };
        if !asked.json {
            print(format!(
                "{:16}  {:6}  {:>12}  {:16}  {:24}  NAME",
                "BLOB", "ROLE", "BYTES", "BUCKET", "AT"
            ));
        }
        each_blob(&asked.mountpath, |blob| {
            let _ = print(line(&blob));
        })?;
    }
    failed?;
    out.flush()
}

fn blob_json(blob: &BlobInfo) -> String {
    let (path, id) = (blob.path.display().to_string(), format!("{:016x}", blob.id));
    let mut value = json!({
        "blob": id, "path": path, "offset": blob.offset, "length": blob.length, "dead": blob.dead,
    });
    let fields = match &blob.description {
        Ok(described) => json!({
            "role": described.role, "bucket": format!("{:016x}", described.bid),
            "name": described.name, "size": described.meta.size,
            "checksum_type": described.meta.checksum_type.as_str(),
            "checksum": described.meta.checksum,
        }),
        Err(reason) => json!({ "damage": reason }),
    };
    if let (Some(all), serde_json::Value::Object(fields)) = (value.as_object_mut(), fields) {
        all.extend(fields);
    }
    value.to_string()
}

fn blob_text(blob: &BlobInfo) -> String {
    let file = blob.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let at =
        if blob.offset == 0 { "own file".to_owned() } else { format!("{file}:{}", blob.offset) };
    let (id, bytes) = (blob.id, blob.length);
    match &blob.description {
        Ok(described) => {
            let role = if blob.dead { "dead" } else { described.role };
            let (bid, name) = (described.bid, described.name.escape_debug());
            format!("{id:016x}  {role:6}  {bytes:>12}  {bid:016x}  {at:24}  {name}")
        }
        Err(reason) => {
            format!("{id:016x}  {:6}  {bytes:>12}  {:16}  {at:24}  {reason}", "damage", "")
        }
    }
}

fn entry_json(entry: &EntryInfo) -> String {
    json!({
        "bucket": format!("{:016x}", entry.bid), "name": entry.name, "role": entry.role,
        "blob": format!("{}", entry.meta.blob), "size": entry.meta.size, "version": entry.meta.version,
        "checksum_type": entry.meta.checksum_type.as_str(), "checksum": entry.meta.checksum,
        "copies": entry.meta.copies.len(), "parts": entry.meta.parts.len(),
    })
    .to_string()
}

fn entry_text(entry: &EntryInfo) -> String {
    let (bid, blob, size) = (entry.bid, entry.meta.blob.to_string(), entry.meta.size);
    format!("{bid:016x}  {blob:>16}  {size:>12}  {}", entry.name.escape_debug())
}
