//! Looking at the blobs of a mountpath from outside: without its index, its lock or a running node.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codec::{self, RESERVED_BID};
use crate::error::StoreError;
use crate::files::parse_blob_name;
use crate::index::{Index, OpenFailure};
use crate::meta::{ObjectMeta, Role};
use crate::mountpath::Claimed;
use crate::segments::{HEADER_BYTES, Scan, dead_offsets, parse_segment_name};
use crate::stored::Stored;
use crate::trailer::{self, Description};

/// Memory for reading an index once.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;

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

/// One entry of an index.
#[derive(Debug, Clone)]
pub struct EntryInfo {
    /// Bucket id; 0 for what is no object: uploads and what waits to be done.
    pub bid: u64,
    /// Object name.
    pub name: String,
    /// `object`, `copy` or `part`.
    pub role: &'static str,
    /// The object's metadata.
    pub meta: ObjectMeta,
}

/// Hands out every entry of objects of a mountpath's index, in order, until `see` returns `false`.
///
/// # Errors
///
/// [`StoreError::Locked`] while a node uses the mountpath, [`StoreError::Index`] and
/// [`StoreError::Corrupt`] for an index that cannot be read.
pub fn each_entry(
    mountpath: &Path,
    mut see: impl FnMut(EntryInfo) -> bool,
) -> Result<(), StoreError> {
    let _claimed = Claimed::open(mountpath)?;
    let path = mountpath.join("ais/index");
    if !path.is_dir() {
        let reason = "there is none; the next start of a node builds it".to_owned();
        return Err(StoreError::Index { path, reason });
    }
    let index = Index::open(&path, CACHE_BYTES).map_err(|failure| match failure {
        OpenFailure::Damaged(reason) => StoreError::Index { path: path.clone(), reason },
        OpenFailure::Failed(error) => error,
    })?;
    let from = codec::key(RESERVED_BID + 1, "");
    for entry in index.range((Bound::Included(from.as_slice()), Bound::Unbounded)) {
        let (key, value) = entry?;
        let decoded = codec::split_key(&key).zip(codec::decode_entry(&value));
        let Some(((bid, name), (role, meta))) = decoded else {
            let reason = "an entry cannot be decoded".to_owned();
            return Err(StoreError::Corrupt { path, reason });
        };
        if !see(EntryInfo { bid, name: name.to_owned(), role: name_of(role), meta }) {
            break;
        }
    }
    Ok(())
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
    Described { bid, name, role: name_of(role), meta }
}

fn name_of(role: Role) -> &'static str {
    match role {
        Role::Object => "object",
        Role::Copy { .. } => "copy",
        Role::Part { .. } => "part",
    }
}
