//! Output of a batch: small pieces are gathered, large ones pass through without a copy.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use crate::target::buffers::{BUFFER_BYTES, Buffer, Pieces};

/// A gathered page is sent once it holds this much.
const PAGE_TARGET_BYTES: usize = 128 << 10;
/// Pieces at least this large are sent as they are: below, the copy is cheaper than one more write.
const PASS_THROUGH_BYTES: usize = 32 << 10;

/// A buffer being filled.
pub(crate) struct Page {
    buffer: Buffer,
    length: usize,
}

impl Page {
    /// An empty page that starts `gap` bytes into its buffer.
    pub(crate) fn new(buffer: Buffer, gap: usize) -> Self {
        Self { buffer, length: gap.min(BUFFER_BYTES) }
    }

    /// Position of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.length
    }

    /// Whether `more` bytes fit.
    pub(crate) fn fits(&self, more: usize) -> bool {
        more <= BUFFER_BYTES - self.length
    }

    /// Room for `length` bytes, which count as written; shorter when they do not fit.
    pub(crate) fn grow(&mut self, length: usize) -> &mut [u8] {
        let from = self.length;
        self.length = (from + length).min(BUFFER_BYTES);
        self.buffer.space().get_mut(from..self.length).unwrap_or_default()
    }

    /// Appends bytes that fit.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        debug_assert!(self.fits(bytes.len()), "callers check the space");
        let room = self.grow(bytes.len());
        room.copy_from_slice(bytes.get(..room.len()).unwrap_or_default());
    }

    /// Takes back everything from position `at` on.
    pub(crate) fn cut(&mut self, at: usize) {
        self.length = self.length.min(at);
    }

    /// The page as bytes, gap included.
    pub(crate) fn freeze(self) -> Bytes {
        self.buffer.freeze(self.length)
    }
}

/// Ordered output waiting to be sent.
pub(crate) struct Outbox {
    pieces: Pieces,
    ready: VecDeque<Bytes>,
    page: Option<Page>,
    /// Consecutive encoded entries of one local read, still without a copy.
    run: Option<(Bytes, Range<usize>)>,
}

impl Outbox {
    pub(crate) fn new(pieces: Pieces) -> Self {
        Self { pieces, ready: VecDeque::new(), page: None, run: None }
    }

    /// The next piece to send.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// Adds part of `bytes`; parts that follow each other in the same memory leave as one piece.
    pub(crate) fn push_run(&mut self, bytes: &Bytes, range: Range<usize>) {
        if let Some((current, extent)) = &mut self.run
            && current.as_ptr() == bytes.as_ptr()
            && extent.end == range.start
        {
            extent.end = range.end;
            return;
        }
        self.end_run();
        self.run = Some((bytes.clone(), range));
    }

    /// Adds a piece, by copy when it is small.
    pub(crate) fn push(&mut self, bytes: &Bytes) {
        self.end_run();
        self.append(bytes);
    }

    /// Adds a few bytes by copy.
    pub(crate) fn push_slice(&mut self, bytes: &[u8]) {
        self.end_run();
        self.page_for(bytes.len()).put(bytes);
        self.send_full_page();
    }

    /// A page with room for `length` bytes, to write an entry into that may have to be taken back.
    /// Follow with [`settle`](Self::settle).
    pub(crate) fn open_page(&mut self, length: usize) -> &mut Page {
        self.end_run();
        self.page_for(length)
    }

    /// Ends what [`open_page`](Self::open_page) started.
    pub(crate) fn settle(&mut self) {
        self.send_full_page();
    }

    /// Makes everything ready to be sent.
    pub(crate) fn flush(&mut self) {
        self.end_run();
        self.end_page();
    }

    fn end_run(&mut self) {
        if let Some((bytes, range)) = self.run.take() {
            self.append(&bytes.slice(range));
        }
    }

    fn append(&mut self, bytes: &Bytes) {
        if bytes.len() >= PASS_THROUGH_BYTES {
            self.end_page();
            self.ready.push_back(bytes.clone());
        } else if !bytes.is_empty() {
            self.page_for(bytes.len()).put(bytes);
            self.send_full_page();
        }
    }

    fn page_for(&mut self, length: usize) -> &mut Page {
        if self.page.as_ref().is_some_and(|page| !page.fits(length)) {
            self.end_page();
        }
        self.page.get_or_insert_with(|| Page::new(self.pieces.buffer(), 0))
    }

    fn send_full_page(&mut self) {
        if self.page.as_ref().is_some_and(|page| page.at() >= PAGE_TARGET_BYTES) {
            self.end_page();
        }
    }

    fn end_page(&mut self) {
        if let Some(page) = self.page.take()
            && page.at() > 0
        {
            self.ready.push_back(page.freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &mut Outbox) -> Vec<Bytes> {
        outbox.flush();
        std::iter::from_fn(|| outbox.pop()).collect()
    }

    #[test]
    fn order_is_kept_across_copies_runs_and_large_pieces() {
        let mut outbox = Outbox::new(Pieces::unlimited());
        let run = Bytes::from((0..100_u8).collect::<Vec<_>>());
        outbox.push_slice(b"head");
        outbox.push_run(&run, 10..20);
        outbox.push_run(&run, 20..30);
        outbox.push_run(&run, 40..41);
        let large = Bytes::from(vec![9; PASS_THROUGH_BYTES]);
        outbox.push(&large);
        outbox.push_slice(b"tail");
        let pieces = drain(&mut outbox);
        let mut expected = b"head".to_vec();
        expected.extend(10..30_u8);
        expected.push(40);
        expected.extend_from_slice(&large);
        expected.extend_from_slice(b"tail");
        assert_eq!(pieces.concat(), expected);
        assert_eq!(pieces[1].as_ptr(), large.as_ptr(), "passed through");
    }

    #[test]
    fn long_runs_leave_without_a_copy() {
        let mut outbox = Outbox::new(Pieces::unlimited());
        let run = Bytes::from(vec![1; 4 * PASS_THROUGH_BYTES]);
        for at in 0..8 {
            outbox.push_run(&run, at * 10_000..(at + 1) * 10_000);
        }
        let pieces = drain(&mut outbox);
        assert_eq!((pieces.len(), pieces[0].len()), (1, 80_000));
        assert_eq!(pieces[0].as_ptr(), run.as_ptr());
    }

    #[test]
    fn an_entry_can_be_taken_back() {
        let mut outbox = Outbox::new(Pieces::unlimited());
        outbox.push_slice(b"kept");
        let page = outbox.open_page(100);
        let at = page.at();
        page.put(b"half an entry");
        page.cut(at);
        outbox.settle();
        outbox.push_slice(b"!");
        assert_eq!(drain(&mut outbox).concat(), b"kept!");
    }
}
