//! Which numbers segments may have: a bound on those that were given out, in a small file beside them.
//!
//! A crash of the machine may take a segment and leave what the index knows of it. Its number must not go to
//! another one, and to look at all that the index knows takes seconds with millions of objects.
//!
//! ```text
//! numbers = the bound, decimal
//! ```

use std::io;
use std::path::Path;

use crate::error::StoreError;
use crate::files::{read_small, replace_file};

/// How far the bound runs ahead: it is written, and synced, once in as many segments.
const STEP: u32 = 256;

/// What the file may be long.
const MAX_BYTES: u64 = 64;

pub(super) const NAME: &str = "numbers";

/// The bound: no segment has this number or a greater one. `None` where none was written yet, or it is damaged.
pub(super) fn read(dir: &Path) -> Result<Option<u32>, StoreError> {
    let path = dir.join(NAME);
    match read_small(&path, MAX_BYTES) {
        Ok(bytes) => Ok(bytes.and_then(|bytes| parse(&bytes))),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(source) => Err(StoreError::io(&path, "read", source)),
    }
}

pub(crate) fn parse(bytes: &[u8]) -> Option<u32> {
    std::str::from_utf8(bytes).ok()?.trim().parse().ok()
}

/// Makes room for `number`, if it has none; returns the bound. On return it survives loss of power.
pub(super) fn reserve(dir: &Path, number: u32, bound: u32) -> Result<u32, StoreError> {
    if number < bound {
        return Ok(bound);
    }
    let bound = number.saturating_add(STEP);
    replace_file(&dir.join(NAME), bound.to_string().as_bytes(), true)?;
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_written_before_a_number_beyond_it_is_used_and_seldom() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let bound = reserve(dir.path(), 7, 0).unwrap();
        assert_eq!((read(dir.path()).unwrap(), bound > 7), (Some(bound), true));
        std::fs::remove_file(dir.path().join(NAME)).unwrap();
        assert_eq!(reserve(dir.path(), bound - 1, bound).unwrap(), bound);
        assert_eq!(read(dir.path()).unwrap(), None);
        assert!(reserve(dir.path(), bound, bound).unwrap() > bound);
        for damaged in [&b"many"[..], b"\xff", b""] {
            std::fs::write(dir.path().join(NAME), damaged).unwrap();
            assert_eq!(read(dir.path()).unwrap(), None);
        }
    }
}
