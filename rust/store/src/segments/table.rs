//! What is known in memory of each segment, and the files that are open.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;

use super::Fill;

/// Lists of dead records held open for appending.
const OPEN_LISTS: usize = 16;

#[derive(Debug)]
pub(super) struct Table {
    segments: BTreeMap<u32, Counts>,
    next: u32,
    open: LruCache<u32, Arc<File>>,
    lists: LruCache<u32, Arc<File>>,
    avoided: BTreeSet<u32>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    bytes: u64,
    dead: u64,
}

impl Table {
    pub(super) fn new(descriptors: usize) -> Self {
        let cache = |capacity: usize| {
            // Not preallocated: an idle target stays small.
            let mut cache = LruCache::unbounded();
            cache.resize(NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN));
            cache
        };
        let (open, lists) = (cache(descriptors), cache(OPEN_LISTS));
        Self { segments: BTreeMap::new(), next: 0, open, lists, avoided: BTreeSet::new() }
    }

    pub(super) fn add(&mut self, number: u32, bytes: u64) {
        self.segments.insert(number, Counts { bytes, dead: 0 });
        self.next = self.next.max(number.saturating_add(1));
    }

    pub(super) fn has(&self, number: u32) -> bool {
        self.segments.contains_key(&number)
    }

    /// Adds dead bytes; `false` when there is no such segment.
    pub(super) fn add_dead(&mut self, number: u32, bytes: u64) -> bool {
        let Some(counts) = self.segments.get_mut(&number) else { return false };
        counts.dead += bytes;
        true
    }

    /// Takes dead bytes away: what they are of lives.
    pub(super) fn take_dead(&mut self, number: u32, bytes: u64) {
        if let Some(counts) = self.segments.get_mut(&number) {
            counts.dead = counts.dead.saturating_sub(bytes);
        }
    }

    pub(super) fn set_bytes(&mut self, number: u32, bytes: u64) {
        if let Some(counts) = self.segments.get_mut(&number) {
            counts.bytes = bytes;
        }
    }

    pub(super) fn forget(&mut self, number: u32) {
        self.segments.remove(&number);
        self.open.pop(&number);
        self.lists.pop(&number);
    }

    pub(super) fn pass_over(&mut self, number: u32) {
        self.next = self.next.max(number.saturating_add(1));
    }

    pub(super) fn avoid(&mut self, number: u32) {
        self.avoided.insert(number);
    }

    pub(super) fn avoids(&self, number: u32) -> bool {
        self.avoided.contains(&number)
    }

    pub(super) fn next_number(&self) -> u32 {
        self.next
    }

    pub(super) fn newest(&self) -> Option<Fill> {
        self.segments.last_key_value().map(|(number, counts)| fill(*number, *counts))
    }

    pub(super) fn fills(&self) -> Vec<Fill> {
        self.segments.iter().map(|(number, counts)| fill(*number, *counts)).collect()
    }

    /// The first segment of this number or a greater one.
    pub(super) fn from(&self, number: u32) -> Option<Fill> {
        let (number, counts) = self.segments.range(number..).next()?;
        Some(fill(*number, *counts))
    }

    pub(super) fn opened(&mut self, number: u32) -> Option<Arc<File>> {
        self.open.get(&number).cloned()
    }

    pub(super) fn close_list(&mut self, number: u32) {
        self.lists.pop(&number);
    }

    /// Keeps a segment open, unless it was removed meanwhile.
    pub(super) fn keep_open(&mut self, number: u32, file: &Arc<File>) {
        if self.has(number) {
            self.open.push(number, Arc::clone(file));
        }
    }

    pub(super) fn list(&mut self, number: u32) -> Option<Arc<File>> {
        self.lists.get(&number).cloned()
    }

    pub(super) fn keep_list(&mut self, number: u32, file: &Arc<File>) {
        if self.has(number) {
            self.lists.push(number, Arc::clone(file));
        }
    }
}

fn fill(number: u32, counts: Counts) -> Fill {
    Fill { number, bytes: counts.bytes, dead: counts.dead }
}
