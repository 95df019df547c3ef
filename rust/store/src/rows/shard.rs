//! One shard: a ring of rows, and a table of chains that finds them.
//!
//! ```text
//! row = next in the chain: u32 | hash: u32 | length of the key: u16, its top bit: gone | length of the value: u16
//!     | key | value | up to 3 bytes, so that the next one begins at a multiple of 4
//! ```
//!
//! Places are multiples of 4 and kept as a fourth of them, plus one; zero is none.

const HEAD_BYTES: usize = 12;
const GONE: u16 = 1 << 15;
const UNIT: usize = 4;
/// Bytes of ring for each chain, at least: bounds the table to an eighth of the ring.
const BYTES_PER_CHAIN: usize = 32;
/// The ring grows from this to its bound, each time to twice of what it was.
const LEAST_RING: usize = 16 * 1024;

/// With fewer a shard keeps nothing.
const LEAST_BYTES: usize = 64;

pub(super) struct Shard {
    ring: Vec<u8>,
    /// Most bytes of the ring.
    bound: usize,
    chains: Vec<u32>,
    /// Where the next row goes.
    head: usize,
    /// Where the oldest row is, and the end of the rows that lie above `head`; while `head` is above all of them: 0, 0.
    tail: usize,
    end: usize,
    /// Hashes of the keys whose changes are under way.
    pub(super) changing: Vec<u32>,
    /// How often a change began or ended.
    pub(super) epoch: u64,
}

/// The start of a row.
struct Head {
    next: u32,
    hash: u32,
    key: usize,
    value: usize,
    gone: bool,
}

impl Head {
    fn stride(&self) -> usize {
        stride(self.key, self.value)
    }
}

fn stride(key: usize, value: usize) -> usize {
    (HEAD_BYTES + key + value).next_multiple_of(UNIT)
}

impl Shard {
    /// A shard of at most so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        // A ninth is for the table, which has one chain at least.
        let bytes = if bytes < LEAST_BYTES { 0 } else { bytes };
        let bound = (bytes - bytes.div_ceil(9)) / UNIT * UNIT;
        Self {
            ring: Vec::new(),
            bound: bound.min(u32::MAX as usize),
            chains: Vec::new(),
            head: 0,
            tail: 0,
            end: 0,
            changing: Vec::new(),
            epoch: 0,
        }
    }

    /// The value under a key.
    pub(super) fn get(&self, hash: u32, key: &[u8]) -> Option<&[u8]> {
        let at = self.find(hash, key)?.1;
        let head = self.head_at(at);
        let start = at + HEAD_BYTES + head.key;
        self.ring.get(start..start + head.value)
    }

    /// Forgets a key.
    pub(super) fn remove(&mut self, hash: u32, key: &[u8]) {
        if let Some((before, at)) = self.find(hash, key) {
            self.unlink(before, at);
        }
    }

    /// Keeps a row whose key is not there.
    pub(super) fn insert(&mut self, hash: u32, key: &[u8], value: &[u8]) {
        let bytes = stride(key.len(), value.len());
        let lengths = (u16::try_from(key.len()), u16::try_from(value.len()));
        let (Ok(key_length), Ok(value_length)) = lengths else { return };
        if key_length >= GONE || !self.make_room(bytes) {
            return;
        }
        let at = self.head;
        let chain = self.chain(hash);
        let next = self.chains[chain];
        let mut head = [0; HEAD_BYTES];
        head[..4].copy_from_slice(&next.to_ne_bytes());
        head[4..8].copy_from_slice(&hash.to_ne_bytes());
        head[8..10].copy_from_slice(&key_length.to_ne_bytes());
        head[10..].copy_from_slice(&value_length.to_ne_bytes());
        let row = &mut self.ring[at..at + bytes];
        row[..HEAD_BYTES].copy_from_slice(&head);
        let (to_key, to_value) = row[HEAD_BYTES..].split_at_mut(key.len());
        to_key.copy_from_slice(key);
        to_value[..value.len()].copy_from_slice(value);
        self.chains[chain] = place(at);
        self.head += bytes;
    }

    /// Whether a change is under way of a key with this hash.
    pub(super) fn is_changing(&self, hash: u32) -> bool {
        self.changing.contains(&hash)
    }

    /// Forgets everything and gives the memory back.
    pub(super) fn clear(&mut self) {
        self.epoch += 1;
        (self.head, self.tail, self.end) = (0, 0, 0);
        self.ring = Vec::new();
        self.chains = Vec::new();
    }

    /// Makes the bytes from `head` on free; `false` when there are never so many.
    fn make_room(&mut self, bytes: usize) -> bool {
        if bytes > self.bound {
            return false;
        }
        loop {
            if self.end == 0 {
                if self.head + bytes <= self.bound {
                    self.grow(self.head + bytes);
                    return true;
                }
                // Over the oldest ones from now on.
                (self.end, self.head, self.tail) = (self.head, 0, 0);
            }
            if self.head + bytes <= self.tail {
                return true;
            }
            let oldest = self.head_at(self.tail);
            if !oldest.gone {
                self.unlink_at(self.tail, oldest.hash);
            }
            self.tail += oldest.stride();
            if self.tail >= self.end {
                // All that is left lies below `head`.
                (self.end, self.tail) = (0, 0);
            }
        }
    }

    /// Lets the ring have at least so many bytes, and the table as many chains as befits it.
    fn grow(&mut self, bytes: usize) {
        if bytes <= self.ring.len() {
            return;
        }
        let length = bytes.max(2 * self.ring.len()).max(LEAST_RING).min(self.bound);
        self.ring.reserve_exact(length - self.ring.len());
        self.ring.resize(length, 0);
        // A power of two, so that a mask finds the chain.
        let chains = (length / BYTES_PER_CHAIN + 1).next_power_of_two() / 2;
        self.chains = vec![0; chains.max(1)];
        // Only while `head` is above all rows: they are all of them.
        let mut at = 0;
        while at < self.head {
            let Head { hash, gone, .. } = self.head_at(at);
            if !gone {
                let chain = self.chain(hash);
                self.set_next(at, self.chains[chain]);
                self.chains[chain] = place(at);
            }
            at += self.head_at(at).stride();
        }
    }

    /// Where a key is, and what comes before it in its chain.
    fn find(&self, hash: u32, key: &[u8]) -> Option<(Option<usize>, usize)> {
        let mut before = None;
        let mut next = *self.chains.get(self.chain(hash))?;
        while let Some(at) = position(next) {
            let head = self.head_at(at);
            let start = at + HEAD_BYTES;
            if head.hash == hash && self.ring.get(start..start + head.key) == Some(key) {
                return Some((before, at));
            }
            before = Some(at);
            next = head.next;
        }
        None
    }

    fn unlink_at(&mut self, wanted: usize, hash: u32) {
        let mut before = None;
        let mut next = self.chains[self.chain(hash)];
        while let Some(at) = position(next) {
            if at == wanted {
                return self.unlink(before, at);
            }
            before = Some(at);
            next = self.head_at(at).next;
        }
    }

    fn unlink(&mut self, before: Option<usize>, at: usize) {
        let head = self.head_at(at);
        if let Some(before) = before {
            self.set_next(before, head.next);
        } else {
            let chain = self.chain(head.hash);
            self.chains[chain] = head.next;
        }
        let key = u16::try_from(head.key).unwrap_or(0) | GONE;
        self.ring[at + 8..at + 10].copy_from_slice(&key.to_ne_bytes());
    }

    fn set_next(&mut self, at: usize, next: u32) {
        self.ring[at..at + 4].copy_from_slice(&next.to_ne_bytes());
    }

    fn chain(&self, hash: u32) -> usize {
        hash as usize & self.chains.len().wrapping_sub(1)
    }

    fn head_at(&self, at: usize) -> Head {
        let bytes = &self.ring[at..at + HEAD_BYTES];
        let word = |from: usize| {
            u32::from_ne_bytes([bytes[from], bytes[from + 1], bytes[from + 2], bytes[from + 3]])
        };
        let half = |from: usize| u16::from_ne_bytes([bytes[from], bytes[from + 1]]);
        let key = half(8);
        Head {
            next: word(0),
            hash: word(4),
            key: usize::from(key & !GONE),
            value: usize::from(half(10)),
            gone: key & GONE != 0,
        }
    }
}

fn place(at: usize) -> u32 {
    u32::try_from(at / UNIT + 1).unwrap_or(0)
}

fn position(place: u32) -> Option<usize> {
    Some((place as usize).checked_sub(1)? * UNIT)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Rows of a few keys, many of which share their hash.
    fn key(n: u8) -> Vec<u8> {
        vec![n; 1 + usize::from(n % 13)]
    }

    proptest! {
        #[test]
        fn what_is_kept_is_what_came_last_within_the_bound(
            bytes in 0_usize..3000,
            steps in prop::collection::vec((0_u8..40, prop::option::of(0_usize..200)), 0..400),
        ) {
            let mut shard = Shard::new(bytes);
            let mut known: HashMap<u8, Vec<u8>> = HashMap::new();
            for (at, (n, length)) in steps.into_iter().enumerate() {
                let (hash, key) = (u32::from(n % 7), key(n));
                shard.remove(hash, &key);
                known.remove(&n);
                if let Some(length) = length {
                    let value = vec![at.to_le_bytes()[0]; length];
                    shard.insert(hash, &key, &value);
                    let fits = stride(key.len(), length) <= shard.bound;
                    prop_assert_eq!(shard.get(hash, &key), fits.then_some(&value[..]));
                    known.insert(n, value);
                }
                for n in 0..40 {
                    if let Some(value) = shard.get(u32::from(n % 7), &super::tests::key(n)) {
                        prop_assert_eq!(Some(value), known.get(&n).map(Vec::as_slice));
                    }
                }
                prop_assert!(shard.ring.capacity() + 4 * shard.chains.capacity() <= bytes);
            }
        }
    }

    #[test]
    fn the_oldest_rows_go_first() {
        let mut shard = Shard::new(100_000);
        let (key, value) = (|n: u32| n.to_le_bytes(), [7; 44]);
        for n in 0..10_000 {
            shard.insert(n, &key(n), &value);
        }
        let kept: Vec<u32> = (0..10_000).filter(|n| shard.get(*n, &key(*n)).is_some()).collect();
        // 60 bytes each in eight ninths of the whole.
        assert!(kept.len() > 1_450 && kept.len() < 1_500, "{}", kept.len());
        assert_eq!(kept, (10_000 - u32::try_from(kept.len()).unwrap()..10_000).collect::<Vec<_>>());
        shard.clear();
        assert_eq!(shard.get(9_999, &key(9_999)), None);
        shard.insert(1, &key(1), &value);
        assert_eq!(shard.get(1, &key(1)), Some(&value[..]));
    }
}
