//! Where sessions stand: a small file beside each session's own.
//!
//! The length of a session's file does not tell what was acknowledged: an append may have been torn. The mark
//! is written after the bytes of an append and before its answer, in one piece. It has the checksum of all that was
//! acknowledged, too: where loss of power took some of it, the flush must not make an object of the rest.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::files;
use crate::error::StoreError;
use crate::files::read_small;

const SUFFIX: &str = "at";
/// Without a checksum of what was appended.
const V1: u8 = 1;
const V2: u8 = 2;
/// Longer ones are none.
const MOST_BYTES: u64 = 4096;

/// The last append of a session: from where to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) before: u64,
    pub(crate) size: u64,
    /// crc32c of the session up to `size`; unknown where an older version began it.
    pub(crate) crc32c: Option<u32>,
}

impl Mark {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = vec![V2];
        out.extend_from_slice(&self.before.to_be_bytes());
        out.extend_from_slice(&self.size.to_be_bytes());
        // Of one length always: a mark is written over the one before.
        out.push(u8::from(self.crc32c.is_some()));
        out.extend_from_slice(&self.crc32c.unwrap_or(0).to_be_bytes());
        out.extend_from_slice(&crc32c::crc32c(&out).to_be_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (bytes, sum) = bytes.split_last_chunk::<4>()?;
        let (version, rest) = bytes.split_first()?;
        let (before, rest) = rest.split_first_chunk::<8>()?;
        let (size, rest) = rest.split_first_chunk::<8>()?;
        let crc32c = match (*version, rest) {
            (V1, []) | (V2, [0, 0, 0, 0, 0]) => None,
            (V2, [1, crc @ ..]) => Some(u32::from_be_bytes(*crc.first_chunk()?)),
            _ => return None,
        };
        let whole = rest.len() <= 5 && u32::from_be_bytes(*sum) == crc32c::crc32c(bytes);
        let (before, size) = (u64::from_be_bytes(*before), u64::from_be_bytes(*size));
        whole.then_some(Self { before, size, crc32c })
    }
}

/// Where the mark of a session is.
pub(crate) fn path_of(session: &Path) -> PathBuf {
    session.with_added_extension(SUFFIX)
}

/// Name of the file of a session, of that of its mark.
pub(crate) fn session_of(name: &str) -> Option<&str> {
    name.strip_suffix(SUFFIX)?.strip_suffix('.')
}

/// Writes the mark; it survives the end of the process, with `sync` loss of power, but for its name.
pub(crate) fn write(session: &Path, mark: Mark, sync: bool) -> Result<File, StoreError> {
    let path = path_of(session);
    let write = || {
        let file = File::options().write(true).create(true).truncate(false).open(&path)?;
        file.write_all_at(&mark.encode(), 0)?;
        if sync { file.sync_data().map(|()| file) } else { Ok(file) }
    };
    write().map_err(|source| StoreError::io(&path, "write to", source))
}

/// Reads the mark; `None` where none was written, or not whole.
pub(crate) fn read(session: &Path) -> Result<Option<Mark>, StoreError> {
    let path = path_of(session);
    match read_small(&path, MOST_BYTES) {
        Ok(bytes) => Ok(bytes.and_then(|bytes| Mark::decode(&bytes))),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(source) => Err(StoreError::io(&path, "read", source)),
    }
}

/// Removes the mark of a session that has ended.
pub(crate) fn remove(session: &Path) {
    files::remove_file(&path_of(session));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn marks_are_read_back_and_torn_ones_are_not() {
        let mark = Mark { before: 7, size: u64::MAX, crc32c: Some(0x0102_0304) };
        for crc32c in [mark.crc32c, None] {
            let mark = Mark { crc32c, ..mark };
            let bytes = mark.encode();
            assert_eq!(Mark::decode(&bytes), Some(mark));
            for len in 0..bytes.len() {
                assert_eq!(Mark::decode(&bytes[..len]), None);
            }
        }
        let mut old = mark.encode()[..17].to_vec();
        old[0] = V1;
        old.extend_from_slice(&crc32c::crc32c(&old).to_be_bytes());
        assert_eq!(Mark::decode(&old), Some(Mark { crc32c: None, ..mark }), "of an older version");
        let directory = tempfile::tempdir().unwrap();
        let session = directory.path().join("1-2-3");
        assert_eq!(read(&session).unwrap(), None);
        write(&session, mark, true).unwrap();
        assert_eq!(read(&session).unwrap(), Some(mark));
        assert_eq!(session_of("1-2-3.at"), Some("1-2-3"));
        assert_eq!(session_of("1-2-3"), None);
        remove(&session);
        assert_eq!(read(&session).unwrap(), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in any::<Vec<u8>>()) {
            let _ = Mark::decode(&bytes);
        }
    }
}
