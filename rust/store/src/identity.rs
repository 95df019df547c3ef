//! The two small files that say what a mountpath is and how its last use ended.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::doubts::Span;
use crate::error::StoreError;
use crate::files::{Files, read_small, replace_file};
use crate::index::Journals;
use crate::tally::Saved;

/// What `format.json` may be long, and the identity in it.
const MAX_FORMAT_BYTES: u64 = 64 << 10;
const MAX_UUID_BYTES: usize = 64;
/// What `run.json` may be long: it counts what each bucket has, some 150 bytes.
const MAX_RUN_BYTES: u64 = 64 << 20;
/// Ids are times in nanoseconds. With a later one, of the year 2262, few would be left.
const MAX_CEILING: u64 = 1 << 63;

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
        let refuse =
            |reason: String| StoreError::Format { path: files.mountpath().to_path_buf(), reason };
        let unusable = |error: &dyn std::fmt::Display| {
            refuse(format!(
                "its ais/format.json cannot be read ({error}): restore it from a backup"
            ))
        };
        let bytes = match read_small(&path, MAX_FORMAT_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(unusable(&error));
            }
            Err(source) => return Err(StoreError::io(&path, "read", source)),
        };
        let Some(bytes) = bytes else {
            let format = Self { version: LAYOUT_VERSION, uuid: random_uuid()? };
            write_json(&path, &format)?;
            return Ok((format, true));
        };
        let format = Self::parse(&bytes).map_err(|error| unusable(&error))?;
        if format.version != LAYOUT_VERSION {
            return Err(refuse(format!(
                "its layout has version {}, this program knows {LAYOUT_VERSION}: use the program that wrote it",
                format.version
            )));
        }
        Ok((format, false))
    }

    /// Reads a marker; the error says what is wrong with it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let format: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !(1..=MAX_UUID_BYTES).contains(&format.uuid.len()) || !format.uuid.bytes().all(plain) {
            return Err(format!("its uuid is not 1 to {MAX_UUID_BYTES} letters and digits"));
        }
        Ok(format)
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
    /// Whether changes of the index may be in memory alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unsynced: bool,
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
    /// The state that the last store left; `None` when it is missing or damaged: then the blobs are asked.
    pub(crate) fn read(files: &Files) -> Result<Option<Self>, StoreError> {
        let path = files.path("run.json");
        let read = match read_small(&path, MAX_RUN_BYTES) {
            Ok(None) => return Ok(None),
            Ok(Some(bytes)) => Self::parse(&bytes),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(error.to_string()),
            Err(source) => return Err(StoreError::io(&path, "read", source)),
        };
        Ok(read
            .inspect_err(|reason| {
                tracing::warn!(path = %path.display(), reason, "how the last run ended is not known: as after a crash");
            })
            .ok())
    }

    /// Reads a state; the error says what is wrong with it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let run: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if run.id_ceiling > MAX_CEILING {
            return Err(format!("no clock gives the id {}", run.id_ceiling));
        }
        Ok(run)
    }

    /// On return it survives loss of power, as do the names beside it.
    pub(crate) fn write(&self, files: &Files) -> Result<(), StoreError> {
        write_json(&files.path("run.json"), self)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path) -> Files {
        Files::open(dir).unwrap()
    }

    #[test]
    fn markers_that_no_store_wrote_are_refused_with_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let (format, made) = Format::open(&files).unwrap();
        assert!(made);
        assert_eq!(Format::open(&files).unwrap(), (format, false));
        let long = format!(r#"{{"version":1,"uuid":"{}"}}"#, "a".repeat(65));
        let huge = " ".repeat(usize::try_from(MAX_FORMAT_BYTES).unwrap() + 1);
        for bad in
            ["", "{}", r#"{"version":1,"uuid":""}"#, r#"{"version":1,"uuid":"../x"}"#, &long, &huge]
        {
            std::fs::write(files.path("format.json"), bad).unwrap();
            let refused = Format::open(&files).unwrap_err();
            assert!(matches!(refused, StoreError::Format { .. }), "{refused}");
            assert!(refused.to_string().contains("restore it from a backup"), "{refused}");
        }
    }

    #[test]
    fn a_state_that_no_store_wrote_is_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        assert_eq!(RunState::read(&files).unwrap(), None);
        let run = RunState { clean: true, id_ceiling: 7, ..RunState::default() };
        run.write(&files).unwrap();
        assert_eq!(RunState::read(&files).unwrap(), Some(run.clone()));
        RunState { id_ceiling: u64::MAX, ..run }.write(&files).unwrap();
        assert_eq!(RunState::read(&files).unwrap(), None);
        let file = File::create(files.path("run.json")).unwrap();
        file.set_len(MAX_RUN_BYTES + 1).unwrap();
        assert_eq!(RunState::read(&files).unwrap(), None);
    }
}
