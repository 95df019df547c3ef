//! Small state files: replaced whole, atomically and durably, in a versioned envelope.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::ClusterError;

/// Format written by this build.
const FORMAT: u64 = 1;
/// Largest state file read back; a bigger one is not ours.
const MAX_FILE_BYTES: u64 = 1 << 30;

#[derive(Serialize)]
struct Envelope<'a, T> {
    format: u64,
    #[serde(flatten)]
    content: &'a T,
}

/// Read before the content, whose shape depends on it.
#[derive(Deserialize)]
struct Probe {
    format: u64,
}

/// Creates a directory and its parents.
pub(crate) fn create_dir(dir: &Path) -> Result<(), ClusterError> {
    fs::create_dir_all(dir).map_err(ClusterError::io("create directory", dir))
}

/// Replaces the file: after return the new content survives power loss; a crash in between leaves
/// the old or the new content, never a mixture. One writer per path at a time.
pub(crate) fn store<T: Serialize>(path: &Path, content: &T) -> Result<(), ClusterError> {
    let bytes = serde_json::to_vec(&Envelope { format: FORMAT, content })
        .map_err(|err| ClusterError::Corrupt { path: path.into(), detail: err.to_string() })?;
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).map_err(ClusterError::io("create", &temporary))?;
    file.write_all(&bytes).map_err(ClusterError::io("write", &temporary))?;
    file.sync_all().map_err(ClusterError::io("sync", &temporary))?;
    fs::rename(&temporary, path).map_err(ClusterError::io("replace", path))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let handle = File::open(dir).map_err(ClusterError::io("open directory", dir))?;
    handle.sync_all().map_err(ClusterError::io("sync directory", dir))
}

/// Reads a file written by [`store`]; `None` when there is none.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ClusterError> {
    let corrupt = |detail: String| ClusterError::Corrupt { path: path.into(), detail };
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(ClusterError::io("read", path)(err)),
    };
    if length > MAX_FILE_BYTES {
        return Err(corrupt(format!("{length} bytes, at most {MAX_FILE_BYTES} expected")));
    }
    let bytes = fs::read(path).map_err(ClusterError::io("read", path))?;
    let probe: Probe = serde_json::from_slice(&bytes).map_err(|err| corrupt(err.to_string()))?;
    if probe.format != FORMAT {
        return Err(ClusterError::Format { path: path.into(), found: probe.format, known: FORMAT });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|err| corrupt(err.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        text: String,
    }

    #[test]
    fn content_comes_back_and_absence_is_not_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.json");
        assert_eq!(load::<Sample>(&path).unwrap(), None);
        for text in ["first", "second"] {
            let sample = Sample { text: text.to_owned() };
            store(&path, &sample).unwrap();
            assert_eq!(load::<Sample>(&path).unwrap(), Some(sample));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn unknown_formats_and_damage_are_errors_that_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.json");
        fs::write(&path, r#"{"format":7,"other":1}"#).unwrap();
        let err = load::<Sample>(&path).unwrap_err();
        assert!(matches!(err, ClusterError::Format { found: 7, known: 1, .. }), "{err}");
        for damaged in ["", "{", r#"{"format":1}"#, r#"{"text":"x"}"#, "\0\0\0\0"] {
            fs::write(&path, damaged).unwrap();
            let err = load::<Sample>(&path).unwrap_err();
            assert!(matches!(err, ClusterError::Corrupt { .. }), "{damaged:?}: {err}");
            assert!(err.to_string().contains("s.json"), "{err}");
        }
    }

    #[test]
    fn a_missing_directory_is_named() {
        let sample = Sample { text: String::new() };
        let err = store(Path::new("/nonexistent/s.json"), &sample).unwrap_err();
        assert!(err.to_string().contains("/nonexistent/s.tmp"), "{err}");
    }
}
