//! Push decoder: archive bytes in, in pieces of any size; members and their data out.

use bytes::{Buf, Bytes};

use super::header::{Headers, RecordKind, Step};
use super::{BLOCK, TarError, padding};

/// What the decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A regular file begins.
    Entry {
        /// Name as stored.
        name: String,
        /// Bytes of data to come.
        size: u64,
        /// Seconds since the epoch.
        mtime_s: u64,
    },
    /// Data of the current file; shares memory with the input.
    Data(Bytes),
    /// The current file is complete.
    EntryEnd,
    /// The archive is complete; later input is discarded.
    End,
}

#[derive(Debug)]
enum State {
    Header,
    Record { kind: RecordKind, size: usize, at: u64 },
    Skip { left: u64 },
    Data { left: u64, padding: u64 },
    Done,
}

/// Decodes an archive that arrives in pieces. Holds at most one header or extended header.
#[derive(Debug)]
pub struct StreamDecoder {
    state: State,
    headers: Headers,
    /// Bytes of a header or record that arrived so far.
    partial: Vec<u8>,
    /// Bytes consumed.
    at: u64,
}

impl Default for StreamDecoder {
    fn default() -> Self {
        Self { state: State::Header, headers: Headers::default(), partial: Vec::new(), at: 0 }
    }
}

impl StreamDecoder {
    /// Starts at the beginning of an archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes off the front of `input` and returns the next event; `None` once `input` is used up.
    ///
    /// Call it again with the same `input` until it returns `None`, then with the next piece.
    ///
    /// # Errors
    ///
    /// [`TarError`] when the archive is damaged; the decoder is of no use afterwards.
    pub fn push(&mut self, input: &mut Bytes) -> Result<Option<Event>, TarError> {
        loop {
            match self.state {
                State::Done => {
                    self.consume(input, input.len());
                    return Ok(None);
                }
                State::Header => {
                    let at = self.at - self.partial.len() as u64;
                    if !self.gather(input, BLOCK) {
                        return Ok(None);
                    }
                    if let Some(event) = self.header(at)? {
                        return Ok(Some(event));
                    }
                }
                State::Record { kind, size, at } => {
                    if !self.gather(input, size) {
                        return Ok(None);
                    }
                    self.headers.record(kind, &self.partial, at)?;
                    self.partial.clear();
                    self.state = State::Skip { left: padding(size as u64) as u64 };
                }
                State::Skip { left } => {
                    let taken = at_most(left, input.len());
                    self.consume(input, taken);
                    let left = left - taken as u64;
                    if left > 0 {
                        self.state = State::Skip { left };
                        return Ok(None);
                    }
                    self.state = State::Header;
                }
                State::Data { left: 0, padding } => {
                    self.state = State::Skip { left: padding };
                    return Ok(Some(Event::EntryEnd));
                }
                State::Data { left, padding } => {
                    let taken = at_most(left, input.len());
                    if taken == 0 {
                        return Ok(None);
                    }
                    self.state = State::Data { left: left - taken as u64, padding };
                    self.at += taken as u64;
                    return Ok(Some(Event::Data(input.split_to(taken))));
                }
            }
        }
    }

    /// Checks, at the end of the input, that the archive was complete.
    ///
    /// # Errors
    ///
    /// [`TarError::Truncated`] when the end-of-archive blocks did not come: a stream that stops between two
    /// members looks like a shorter archive otherwise.
    pub fn finish(&self) -> Result<(), TarError> {
        let inside = match self.state {
            State::Done => return Ok(()),
            State::Header if self.partial.is_empty() => {
                "the list of members (no end-of-archive block)"
            }
            State::Header => "a header",
            State::Record { .. } => "an extended header",
            State::Skip { .. } => "padding or a skipped member",
            State::Data { .. } => "the data of a member",
        };
        Err(TarError::Truncated { at: self.at, inside })
    }

    /// Whether the end of the archive was seen.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Interprets the gathered header block.
    fn header(&mut self, at: u64) -> Result<Option<Event>, TarError> {
        let block: [u8; BLOCK] = self
            .partial
            .as_slice()
            .try_into()
            .map_err(|_| TarError::Malformed { at, what: "header of a wrong length" })?;
        self.partial.clear();
        let (state, event) = match self.headers.block(&block, at)? {
            Step::End => (State::Done, Some(Event::End)),
            Step::Skip { size } => (State::Skip { left: size + padding(size) as u64 }, None),
            Step::Record { kind, size } => {
                let size = usize::try_from(size)
                    .map_err(|_| TarError::Limit { at, what: "extended header too large" })?;
                (State::Record { kind, size, at }, None)
            }
            Step::Entry { name, size, mtime_s } => (
                State::Data { left: size, padding: padding(size) as u64 },
                Some(Event::Entry { name, size, mtime_s }),
            ),
        };
        self.state = state;
        Ok(event)
    }

    /// Moves input into `partial` until it holds `want` bytes; false when the input did not suffice.
    fn gather(&mut self, input: &mut Bytes, want: usize) -> bool {
        let taken = want.saturating_sub(self.partial.len()).min(input.len());
        self.partial.extend_from_slice(input.get(..taken).unwrap_or_default());
        self.consume(input, taken);
        self.partial.len() >= want
    }

    fn consume(&mut self, input: &mut Bytes, count: usize) {
        input.advance(count);
        self.at += count as u64;
    }
}

/// `left`, but no more than `available`.
fn at_most(left: u64, available: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(available)
}
