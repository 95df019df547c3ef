//! How entries are laid out in the stream: as TAR members for clients, as frames between our own.

use aistore_core::error::ApiError;
use aistore_core::frames::{Header, MAX_MESSAGE_BYTES};
use aistore_core::moss::Wanted;
use aistore_core::tar;

/// Format of a batch stream. Every entry is prefix, payload, suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// TAR members named after object and bucket.
    Tar {
        /// Leave the bucket out of the names.
        only_object_name: bool,
    },
    /// [`aistore_core::frames`].
    Frames,
}

static ZEROS: [u8; tar::BLOCK] = [0; tar::BLOCK];

impl Layout {
    /// What precedes the payload of entry number `position`.
    pub(crate) fn prefix(
        self,
        position: usize,
        wanted: &Wanted,
        size: u64,
        mtime_s: u64,
    ) -> Vec<u8> {
        match self {
            Self::Tar { only_object_name } => {
                tar::encode_header(&wanted.archive_name(only_object_name, false), size, mtime_s)
            }
            Self::Frames => Header::data(frame_index(position), size).encode().to_vec(),
        }
    }

    /// What follows the payload.
    pub(crate) fn suffix(self, size: u64) -> &'static [u8] {
        match self {
            Self::Tar { .. } => ZEROS.get(..tar::padding(size)).unwrap_or_default(),
            Self::Frames => &[],
        }
    }

    /// An entry that could not be had, complete.
    pub(crate) fn failed(self, position: usize, wanted: &Wanted, error: &ApiError) -> Vec<u8> {
        match self {
            Self::Tar { only_object_name } => {
                tar::encode_header(&wanted.archive_name(only_object_name, true), 0, 0)
            }
            Self::Frames => {
                let message = clip(&error.message);
                let length = message.len() as u64;
                let index = frame_index(position);
                let mut frame = Header { index, status: error.status, length }.encode().to_vec();
                frame.extend_from_slice(message.as_bytes());
                frame
            }
        }
    }

    /// What closes the stream.
    pub(crate) fn end(self) -> Vec<u8> {
        match self {
            Self::Tar { .. } => tar::END.to_vec(),
            Self::Frames => Header::end().encode().to_vec(),
        }
    }
}

/// Requests have far fewer than 2^32 entries, see `MAX_ENTRIES`.
fn frame_index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX - 1)
}

fn clip(message: &str) -> &str {
    let most = usize::try_from(MAX_MESSAGE_BYTES).unwrap_or(usize::MAX);
    message.get(..message.floor_char_boundary(most)).unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::entry;
    use super::*;

    #[test]
    fn tar_entries_fill_whole_blocks() {
        let (wanted, _) = entry("dir/o");
        let layout = Layout::Tar { only_object_name: false };
        for size in [0, 1, 511, 512, 513] {
            let prefix = layout.prefix(0, &wanted, size, 7).len();
            let all = prefix + usize::try_from(size).unwrap() + layout.suffix(size).len();
            assert_eq!(all % tar::BLOCK, 0, "{size}");
        }
        let missing = layout.failed(0, &wanted, &ApiError::not_found("gone"));
        assert!(missing.starts_with(b"__404__/b/dir/o\0"), "{missing:?}");
        let bare = Layout::Tar { only_object_name: true };
        assert!(bare.prefix(0, &wanted, 1, 0).starts_with(b"dir/o\0"));
    }

    #[test]
    fn failed_frames_carry_status_and_message() {
        let (wanted, _) = entry("o");
        let long = ApiError::not_found("ü".repeat(60_000));
        let frame = Layout::Frames.failed(3, &wanted, &long);
        let (head, message) = frame.split_first_chunk().unwrap();
        let header = Header::decode(head).unwrap();
        assert_eq!((header.index, header.status), (3, 404));
        assert_eq!(header.length, message.len() as u64);
        assert!(std::str::from_utf8(message).is_ok(), "cut between characters");
    }
}
