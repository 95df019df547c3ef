//! Frames: how batch entries travel between nodes, and from targets to the native client.
//!
//! A stream is a sequence of `header payload`, one per entry in request order, closed by an end frame,
//! so that a stream cut short can never be taken for a complete one. Header, 16 bytes little-endian:
//! entry index `u32`, status `u16` (0 = data, else an HTTP status whose message is the payload),
//! reserved `u16`, payload length `u64`.

/// Size of a frame header in bytes.
pub const HEADER_BYTES: usize = 16;
/// Index of the end frame.
pub const END_INDEX: u32 = u32::MAX;
/// Longest error message a decoder accepts.
pub const MAX_MESSAGE_BYTES: u64 = 64 << 10;

/// One frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Position of the entry in the request, or [`END_INDEX`].
    pub index: u32,
    /// 0 for data, else an HTTP status.
    pub status: u16,
    /// Payload bytes that follow.
    pub length: u64,
}

/// A stream that breaks the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed batch stream: {0}")]
pub struct FrameError(pub String);

impl Header {
    /// A data frame.
    pub fn data(index: u32, length: u64) -> Self {
        Self { index, status: 0, length }
    }

    /// The end frame.
    pub fn end() -> Self {
        Self { index: END_INDEX, status: 0, length: 0 }
    }

    /// Whether this closes the stream.
    pub fn is_end(&self) -> bool {
        self.index == END_INDEX
    }

    /// Encodes the header.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&self.index.to_le_bytes());
        out[4..6].copy_from_slice(&self.status.to_le_bytes());
        out[8..16].copy_from_slice(&self.length.to_le_bytes());
        out
    }

    /// Decodes a header and checks what can be checked without context.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let [i0, i1, i2, i3, s0, s1, r0, r1, length @ ..] = *bytes;
        let header = Self {
            index: u32::from_le_bytes([i0, i1, i2, i3]),
            status: u16::from_le_bytes([s0, s1]),
            length: u64::from_le_bytes(length),
        };
        if r0 != 0 || r1 != 0 {
            return Err(FrameError("reserved bytes are set".into()));
        }
        if header.is_end() && (header.status != 0 || header.length != 0) {
            return Err(FrameError("end frame with content".into()));
        }
        if header.status != 0 && !(400..600).contains(&header.status) {
            return Err(FrameError(format!("status {} is not an error", header.status)));
        }
        if header.status != 0 && header.length > MAX_MESSAGE_BYTES {
            return Err(FrameError(format!("error message of {} bytes", header.length)));
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn headers_round_trip(index in 0..u32::MAX, length in any::<u64>()) {
            let header = Header::data(index, length);
            prop_assert_eq!(Header::decode(&header.encode()).unwrap(), header);
        }

        #[test]
        fn any_bytes_decode_or_fail_cleanly(bytes in any::<[u8; HEADER_BYTES]>()) {
            if let Ok(header) = Header::decode(&bytes) {
                prop_assert_eq!(header.encode(), bytes);
            }
        }
    }
}
