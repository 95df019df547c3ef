//! Memory of a worker for the request that it is answering.

use std::cell::RefCell;

use crate::target::hot::{Answer, MAX_BODY};

/// Most bytes read at once while there is no hyper: no head that is answered here is longer.
const HEAD_BYTES: usize = 8 << 10;
/// Where the kernel copies to fastest.
const PAGE: usize = 4096;

/// What one worker reads heads to and writes answers to; what does not leave at once is copied.
pub(super) struct Scratch {
    received: Vec<u8>,
    head: Vec<u8>,
    /// [`MAX_BODY`] bytes from a page's beginning on, somewhere within.
    body: Vec<u8>,
}

impl Scratch {
    /// Lends this worker's.
    pub(super) fn lend<T>(to: impl FnOnce(&mut Self) -> T) -> T {
        thread_local! {
            static OWN: RefCell<Scratch> =
                const { RefCell::new(Scratch { received: vec![], head: vec![], body: vec![] }) };
        }
        OWN.with_borrow_mut(to)
    }

    /// Space for a head, and for an answer to it: no lines yet, and space for the body.
    pub(super) fn parts(&mut self) -> (&mut [u8], Answer<'_>) {
        self.received.resize(HEAD_BYTES, 0);
        self.head.clear();
        self.body.resize(MAX_BODY + PAGE, 0);
        let start = Some(self.body.as_ptr().align_offset(PAGE)).filter(|n| *n < PAGE).unwrap_or(0);
        let body = self.body.get_mut(start..start + MAX_BODY).unwrap_or_default();
        (&mut self.received, Answer { head: &mut self.head, body })
    }
}
