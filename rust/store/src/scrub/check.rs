//! Whether the bytes of a blob are what they should be.

use super::Fault;
use crate::meta::BlobId;
use crate::segments::Header;
use crate::trailer::{self, Description};

/// What is wrong with a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) fault: Fault,
    pub(super) reason: String,
    /// What its trailer says, where that is intact.
    pub(super) description: Option<Box<Description>>,
}

impl Wrong {
    pub(super) fn new(fault: Fault, reason: impl Into<String>) -> Self {
        Self { fault, reason: reason.into(), description: None }
    }
}

/// Looks at payload and trailer of a record whose header is intact.
pub(super) fn record(header: &Header, bytes: &[u8]) -> Result<(), Wrong> {
    let (payload, trailer) = bytes.split_at_checked(header.payload as usize).unwrap_or_default();
    let length = header.payload.saturating_add(header.trailer);
    let described = trailer::of_record(trailer, length);
    let intact = crc32c::crc32c(payload) == header.crc32c;
    match described {
        Ok(description) if !intact => Err(Wrong {
            fault: Fault::Payload,
            reason: "the payload does not match the checksum of its record".to_owned(),
            description: Some(Box::new(description)),
        }),
        Err(_) if !intact => {
            Err(Wrong::new(Fault::Payload, "neither payload nor trailer are intact"))
        }
        Err(reason) => Err(Wrong::new(Fault::Description, reason)),
        Ok(description) => same_blob(&description, header.blob),
    }
}

/// Whether a trailer is that of the blob.
pub(super) fn same_blob(description: &Description, blob: BlobId) -> Result<(), Wrong> {
    if description.meta.blob == blob {
        return Ok(());
    }
    Err(Wrong::new(Fault::Description, format!("it describes blob {}", description.meta.blob)))
}
