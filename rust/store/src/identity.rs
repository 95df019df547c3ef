//! The two small files that say what a mountpath is and how its last use ended.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::doubts::Span;
use crate::error::StoreError;
use crate::files::{Files, replace_file};
use crate::index::Journals;
use crate::tally::Saved;

/// Version of the layout described in the crate's documentation.
const LAYOUT_VERSION: u32 = 1;

/// `format.json`: written once, durably.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub(crate) version: u32,
    /// Identity of the mountpath; objects are placed by it.
    pub(crate) uuid: String,
}

/// Whether a directory is a mountpath of some store, in use or not: its files are not to be touched.
pub fn is_mountpath(directory: &Path) -> bool {
    let data = directory.join("ais");
    // Not what it says: one that cannot be read is one still.
    ["format.json", "lock"].iter().all(|name| data.join(name).is_file())
}

impl Format {
    /// Reads the marker of a mountpath, or makes one; also says whether it was made.
    pub(crate) fn open(files: &Files) -> Result<(Self, bool), StoreError> {
        let path = files.path("format.json");
        let Some(bytes) = read_optional(&path)? else {
            let format = Self { version: LAYOUT_VERSION, uuid: random_uuid()? };
            write_json(&path, &format)?;
            return Ok((format, true));
        };
        let refuse =
            |reason: String| StoreError::Format { path: files.mountpath().to_path_buf(), reason };
        let format: Self = serde_json::from_slice(&bytes).map_err(|error| {
            refuse(format!(
                "its ais/format.json cannot be read ({error}): restore it from a backup"
            ))
        })?;
        if format.version != LAYOUT_VERSION {
            return Err(refuse(format!(
                "its layout has version {}, this program knows {LAYOUT_VERSION}: use the program that wrote it",
                format.version
            )));
        }
        Ok((format, false))
    }
}

/// `run.json`: rewritten at each start and end, and when the ids of blobs outgrow their bound.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct RunState {
    /// Whether the last store over this mountpath was closed.
    pub(crate) clean: bool,
    /// No blob has a greater id.
    pub(crate) id_ceiling: u64,
    /// Identities of all mountpaths of the last store, this one included.
    pub(crate) peers: BTreeSet<String>,
    /// Whether objects may lie on another mountpath than placement says, because the set changed.
    pub(crate) scattered: bool,
    /// The boot of the machine in which this was written, see [`doubts`](crate::doubts).
    #[serde(default)]
    pub(crate) boot: String,
    /// Blobs above this id may be in memory alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) loose: Option<u64>,
    /// Blobs that may have been, when the memory was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) doubt: Option<Span>,
    /// What is stored, after an end in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stored: Option<Saved>,
    /// The journals of the index, after an end in order that left nothing in them which is not in its tables too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settled: Option<Journals>,
}

impl RunState {
    /// The state that the last store left; `None` when it is missing or damaged.
    pub(crate) fn read(files: &Files) -> Result<Option<Self>, StoreError> {
        let bytes = read_optional(&files.path("run.json"))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// On return it survives loss of power, as do the names beside it.
    pub(crate) fn write(&self, files: &Files) -> Result<(), StoreError> {
        write_json(&files.path("run.json"), self)
    }
}

fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::io(path, "read", source)),
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| StoreError::io(path, "encode", io::Error::other(error)))?;
    replace_file(path, &bytes, true)
}

fn random_uuid() -> Result<String, StoreError> {
    Ok(format!("{:032x}", u128::from_be_bytes(random()?)))
}

/// A number that nobody can guess.
pub(crate) fn random_u64() -> Result<u64, StoreError> {
    Ok(u64::from_be_bytes(random()?))
}

fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; N];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| StoreError::io(source, "read", error))?;
    Ok(bytes)
}
