//! A shuffle that keeps neighbours near: chunks in random order, then samples within windows.

use super::feistel::{Permutation, mix};

/// Shuffled chunks, mixed within windows.
#[derive(Debug, Clone)]
pub struct Windowed {
    len: u64,
    chunk: u64,
    window: u64,
    chunks: Permutation,
    /// Place in the order of chunks of the last one, which may be shorter.
    short_at: u64,
    short_len: u64,
    seed: u64,
}

impl Windowed {
    /// The order of an epoch; a chunk or window of 0 counts as 1.
    pub fn new(len: u64, seed: u64, epoch: u64, chunk: u64, window: u64) -> Self {
        let (chunk, window) = (chunk.max(1), window.max(1));
        let count = len.div_ceil(chunk);
        let chunks = Permutation::new(count, seed, epoch);
        let last = count.saturating_sub(1);
        let short_at = chunks.position_of(last).unwrap_or_default();
        let short_len = len - last * chunk;
        let seed = mix(seed ^ mix(epoch).rotate_left(17));
        Self { len, chunk, window, chunks, short_at, short_len, seed }
    }

    /// The sample at a position; `None` past the end.
    pub fn get(&self, position: u64) -> Option<u64> {
        if position >= self.len {
            return None;
        }
        let number = position / self.window;
        let start = number * self.window;
        let inside = Permutation::new(self.window.min(self.len - start), self.seed, number);
        self.in_chunks(start + inside.get(position - start)?)
    }

    /// The sample at a position of the chunks laid end to end.
    fn in_chunks(&self, position: u64) -> Option<u64> {
        let before = self.short_at * self.chunk;
        let (place, offset) = if position < before {
            (position / self.chunk, position % self.chunk)
        } else if position - before < self.short_len {
            (self.short_at, position - before)
        } else {
            let rest = position - before - self.short_len;
            (self.short_at + 1 + rest / self.chunk, rest % self.chunk)
        };
        Some(self.chunks.get(place)? * self.chunk + offset)
    }
}
