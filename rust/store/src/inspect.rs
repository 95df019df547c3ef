//! Looking at the blobs of a mountpath from outside: without its index, its lock or a running node.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::files::parse_blob_name;
use crate::meta::{ObjectMeta, Role};
use crate::segments::{HEADER_BYTES, Scan, dead_offsets, parse_segment_name};
use crate::stored::Stored;
use crate::trailer::{self, Description};

/// One stored blob.
#[derive(Debug, Clone)]
pub struct BlobInfo {
    /// Its id, as in the name of its file or the head of its record.
    pub id: u64,
    /// The file that holds it, alone or with others.
    pub path: PathBuf,
    /// Where in the file its payload starts.
    pub offset: u64,
    /// Bytes of payload and of the description that follows it.
    pub length: u64,
    /// Whether it is a record that was noted as waste.
    pub dead: bool,
    /// What it says about itself, or why that cannot be read.
    pub description: Result<Described, String>,
}

/// What a blob says about itself.
#[derive(Debug, Clone)]
pub struct Described {
    /// Bucket id.
    pub bid: u64,
    /// Object name.
    pub name: String,
    /// `object`, `copy` or `part`.
    pub role: &'static str,
    /// Metadata of the object, or of the part.
    pub meta: ObjectMeta,
}

/// Hands out every blob of a mountpath: those in files of their own, then those in segments in the order in
/// which they were written. Reads no payload. Of a node that is running, what changes meanwhile may be missed.
///
/// # Errors
///
/// Those of the file system, and `InvalidData` for a segment of an unknown version.
pub fn each_blob(mountpath: &Path, mut see: impl FnMut(BlobInfo)) -> io::Result<()> {
    let root = mountpath.join("ais");
    for dir in sorted(&root.join("blobs"))? {
        if !dir.is_dir() {
            continue;
        }
        for path in sorted(&dir)? {
            let Some(id) = path.file_name().and_then(parse_blob_name) else { continue };
            if let Some(info) = in_file(path, id.0)? {
                see(info);
            }
        }
    }
    for path in sorted(&root.join("segments"))? {
        if parse_segment_name(&path).is_some() {
            each_record(&path, &mut see)?;
        }
    }
    Ok(())
}

fn sorted(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    Ok(paths)
}

fn in_file(path: PathBuf, id: u64) -> io::Result<Option<BlobInfo>> {
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let stored = Stored::whole(Arc::new(file));
    let description = trailer::read(&stored)?.map(described).map_err(str::to_owned);
    let length = stored.length()?;
    Ok(Some(BlobInfo { id, path, offset: 0, length, dead: false, description }))
}

fn each_record(path: &Path, see: &mut impl FnMut(BlobInfo)) -> io::Result<()> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let dead = dead_offsets(path)?;
    let mut scan = Scan::new(&file)?;
    while let Some(record) = scan.next()? {
        let length = record.header.payload.saturating_add(record.header.trailer);
        let description = trailer::of_record(scan.trailer(&record)?, length);
        see(BlobInfo {
            id: record.header.blob.0,
            path: path.to_owned(),
            offset: u64::from(record.offset) + HEADER_BYTES as u64,
            length: u64::from(length),
            dead: dead.contains(&record.offset),
            description: description.map(described).map_err(str::to_owned),
        });
    }
    Ok(())
}

fn described(description: Description) -> Described {
    let Description { role, bid, name, meta } = description;
    let role = match role {
        Role::Object => "object",
        Role::Copy { .. } => "copy",
        Role::Part { .. } => "part",
    };
    Described { bid, name, role, meta }
}
