//! Decoder of the frame stream: pieces of any size in, entries out, without copies where a piece holds
//! a whole entry.

use std::collections::VecDeque;

use aistore_core::error::ApiError;
use aistore_core::frames::{FrameError, HEADER_BYTES, Header};
use bytes::{Buf as _, Bytes, BytesMut};

/// Memory set aside for an entry before its bytes have come, at most: a header alone must not be able
/// to claim all memory.
const RESERVE_BYTES: u64 = 8 << 20;
/// Entries of fewer bytes are copied out of the piece they came in, so that a small entry that somebody
/// keeps does not keep the whole piece.
const COPY_BELOW_BYTES: usize = 1 << 10;

/// State of one stream. Frames must come in order, from `next` on.
#[derive(Debug)]
pub(super) struct Decoder {
    next: u32,
    end: u32,
    header: [u8; HEADER_BYTES],
    have: usize,
    payload: Option<(Header, BytesMut)>,
    done: bool,
}

impl Decoder {
    pub(super) fn new(entries: u32) -> Self {
        Self {
            next: 0,
            end: entries,
            header: [0; HEADER_BYTES],
            have: 0,
            payload: None,
            done: false,
        }
    }

    /// Whether the end frame was seen.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Decodes a piece; complete entries are appended to `out`. Returns the bytes they hold.
    pub(super) fn push(
        &mut self,
        mut input: Bytes,
        out: &mut VecDeque<Result<Bytes, ApiError>>,
    ) -> Result<u64, FrameError> {
        let mut total = 0;
        loop {
            if let Some((header, partial)) = &mut self.payload {
                let length = header.length;
                let missing = length - partial.len() as u64;
                let take = usize::try_from(missing).unwrap_or(usize::MAX).min(input.len());
                let payload = if partial.is_empty() && take as u64 == missing {
                    let whole = input.split_to(take);
                    if take < COPY_BELOW_BYTES { Bytes::copy_from_slice(&whole) } else { whole }
                } else {
                    if partial.is_empty() {
                        let reserve = length.min(RESERVE_BYTES);
                        partial.reserve(usize::try_from(reserve).unwrap_or_default());
                    }
                    partial.extend_from_slice(input.get(..take).unwrap_or_default());
                    input.advance(take);
                    if (partial.len() as u64) < length {
                        return Ok(total);
                    }
                    std::mem::take(partial).freeze()
                };
                total += length;
                out.push_back(entry(header.status, payload));
                self.payload = None;
            }
            if input.is_empty() {
                return Ok(total);
            }
            if self.done {
                return Err(FrameError("bytes after the end frame".into()));
            }
            let take = (HEADER_BYTES - self.have).min(input.len());
            let room = self.header.get_mut(self.have..self.have + take).unwrap_or_default();
            room.copy_from_slice(input.get(..take).unwrap_or_default());
            input.advance(take);
            self.have += take;
            if self.have < HEADER_BYTES {
                return Ok(total);
            }
            self.have = 0;
            self.start(Header::decode(&self.header)?)?;
        }
    }

    fn start(&mut self, header: Header) -> Result<(), FrameError> {
        if header.is_end() {
            if self.next != self.end {
                return Err(FrameError(format!("{} of {} entries came", self.next, self.end)));
            }
            self.done = true;
            return Ok(());
        }
        if header.index != self.next || self.next >= self.end {
            let (next, index) = (self.next, header.index);
            return Err(FrameError(format!("entry {index} came where {next} was due")));
        }
        self.next += 1;
        self.payload = Some((header, BytesMut::new()));
        Ok(())
    }
}

fn entry(status: u16, payload: Bytes) -> Result<Bytes, ApiError> {
    if status == 0 {
        return Ok(payload);
    }
    let tcode = if status == 404 { "ErrNotFound" } else { "" };
    Err(ApiError::new(status, tcode, String::from_utf8_lossy(&payload)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(entries: &[Result<Vec<u8>, u16>]) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, entry) in (0_u32..).zip(entries) {
            match entry {
                Ok(data) => {
                    out.extend(Header::data(index, data.len() as u64).encode());
                    out.extend(data);
                }
                Err(status) => {
                    out.extend(Header { index, status: *status, length: 4 }.encode());
                    out.extend(b"gone");
                }
            }
        }
        out.extend(Header::end().encode());
        out
    }

    fn entries() -> impl Strategy<Value = Vec<Result<Vec<u8>, u16>>> {
        let data = prop::collection::vec(any::<u8>(), 0..3_000).prop_map(Ok);
        prop::collection::vec(prop_oneof![4 => data, 1 => Just(Err(404))], 0..12)
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_entries(entries in entries(), cut in 1_usize..5_000) {
            let mut decoder = Decoder::new(u32::try_from(entries.len()).unwrap());
            let mut out = VecDeque::new();
            for piece in encode(&entries).chunks(cut) {
                decoder.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
            }
            prop_assert!(decoder.is_done());
            let got: Vec<_> = out.into_iter().map(|r| r.map(|b| b.to_vec()).map_err(|e| e.status)).collect();
            prop_assert_eq!(got, entries);
        }

        #[test]
        fn garbage_is_an_error_not_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Decoder::new(3).push(Bytes::from(bytes), &mut VecDeque::new());
        }
    }

    #[test]
    fn entries_out_of_order_and_early_ends_are_refused() {
        let mut out = VecDeque::new();
        let second = Bytes::copy_from_slice(&Header::data(1, 0).encode());
        assert!(Decoder::new(2).push(second, &mut out).is_err());
        let end = Bytes::copy_from_slice(&Header::end().encode());
        assert!(Decoder::new(2).push(end, &mut out).is_err());
        let huge = Bytes::copy_from_slice(&Header::data(0, u64::MAX).encode());
        assert_eq!(Decoder::new(1).push(huge, &mut out).unwrap(), 0);
        assert!(out.is_empty());
    }
}
