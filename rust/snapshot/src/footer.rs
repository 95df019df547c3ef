//! What the end of a snapshot file says of it.

use arrow_ipc::reader::read_footer_length;
use arrow_ipc::root_as_footer;

use crate::schema::META_ID;

/// Bytes at the end of an Arrow file: the length of the footer and the magic.
pub const TAIL_BYTES: u64 = 10;
/// Longest footer that is read: it has 24 bytes for each 65,536 rows.
const MAX_FOOTER_BYTES: u64 = 64 << 20;

/// Why a file is no snapshot.
#[derive(Debug, thiserror::Error)]
#[error("not a snapshot file: {0}")]
pub struct FooterError(String);

/// The last [`TAIL_BYTES`] bytes of a file.
#[derive(Debug)]
pub struct Tail {
    /// Where the footer lies.
    pub start: u64,
    /// Bytes of the footer.
    pub length: u64,
}

impl Tail {
    /// Finds the footer of a file of `size` bytes that ends so.
    ///
    /// # Errors
    ///
    /// When it is no Arrow file.
    pub fn parse(tail: &[u8], size: u64) -> Result<Self, FooterError> {
        let short = || FooterError("too short for an Arrow file".to_owned());
        let tail = tail.try_into().map_err(|_| short())?;
        let length = read_footer_length(tail).map_err(|err| FooterError(err.to_string()))?;
        let length = length as u64;
        if length > MAX_FOOTER_BYTES {
            return Err(FooterError(format!("a footer of {length} bytes")));
        }
        let start = size.checked_sub(TAIL_BYTES + length).ok_or_else(short)?;
        Ok(Self { start, length })
    }

    /// Identity of the list whose footer that is.
    ///
    /// # Errors
    ///
    /// When it is not that of a snapshot.
    pub fn id(footer: &[u8]) -> Result<String, FooterError> {
        let footer = root_as_footer(footer).map_err(|err| FooterError(err.to_string()))?;
        let pairs = footer.custom_metadata();
        let mut found = pairs.iter().flatten().filter(|pair| pair.key() == Some(META_ID));
        let id = found.find_map(|pair| pair.value()).map(str::to_owned);
        id.ok_or_else(|| FooterError(format!("{META_ID} is missing in the footer")))
    }
}
