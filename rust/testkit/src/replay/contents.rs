//! What a file holds afterwards.

use super::Attempt;
use super::image::{Image, PAGE};
use crate::events::Event;

/// What a disk writes at once, or not at all.
const SECTOR: u64 = 512;

/// Which writes are kept beyond those that last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// None.
    Nothing,
    /// All.
    All,
    /// Of each file a part, as [`Part`] says.
    Some,
}

impl Contents {
    /// Any of them, mostly the last.
    pub fn random(random: &mut fastrand::Rng) -> Self {
        match random.u8(..8) {
            0 => Self::Nothing,
            1 => Self::All,
            _ => Self::Some,
        }
    }
}

/// What is kept of one write.
#[derive(Debug, Clone, Copy)]
enum Part {
    Nothing,
    All,
    /// What lies before this.
    Before(u64),
    /// What lies behind this.
    Behind(u64),
    /// Each sector or page with this probability.
    Each(u64, f64),
}

impl Part {
    fn random(mood: Contents, chance: f64, length: u64, random: &mut fastrand::Rng) -> Self {
        match mood {
            Contents::Nothing => Self::Nothing,
            Contents::All => Self::All,
            Contents::Some => match random.u8(..8) {
                0 => Self::Before(random.u64(..=length)),
                1 => Self::Behind(random.u64(..=length)),
                2 => Self::Each(if random.bool() { SECTOR } else { PAGE }, random.f64()),
                _ if random.f64() < chance => Self::All,
                _ => Self::Nothing,
            },
        }
    }
}

/// A file as it comes to the disk.
struct File {
    /// As programs see it.
    cache: Image,
    disk: Image,
}

impl File {
    /// Brings the sectors of a range to the disk.
    fn keep(&mut self, start: u64, end: u64) {
        let end = end.next_multiple_of(SECTOR).min(self.cache.length());
        let mut at = start - start % SECTOR;
        while at < end {
            let next = (at / PAGE * PAGE + PAGE).min(end);
            self.disk.write(at, self.cache.within_page(at, next));
            at = next;
        }
    }
}

/// The content after loss of power.
pub(super) fn surviving(
    start: Image,
    changes: &[(u64, &Event)],
    syncs: &[Attempt],
    mood: Contents,
    random: &mut fastrand::Rng,
) -> Image {
    let mut file = File { disk: start.clone(), cache: start };
    let chance = random.f64();
    // The length that it has at least.
    let mut least = file.disk.length();
    for (at, event) in changes {
        let covering = syncs.iter().filter(|attempt| attempt.covers > *at);
        // The first attempt decides, be it a failure: a later one does not try again.
        let lasts = covering.min_by_key(|attempt| attempt.covers).is_some_and(|one| !one.failed);
        match event {
            Event::Truncate { length, .. } => {
                file.cache.set_length(*length);
                let keep = match mood {
                    Contents::Nothing => false,
                    Contents::All => true,
                    Contents::Some => random.f64() < chance,
                };
                if lasts || keep {
                    file.disk.set_length(*length);
                    least = if lasts { *length } else { least.min(*length) };
                }
            }
            Event::Write { offset, data, .. } => {
                let end = offset.saturating_add(data.len() as u64);
                file.cache.write(*offset, data);
                if lasts {
                    // The length as well, whatever cut it before.
                    file.disk.set_length(file.cache.length());
                    file.keep(*offset, end);
                    least = file.disk.length();
                } else {
                    keep_part(&mut file, (*offset, end), mood, chance, random);
                }
            }
            _ => {}
        }
    }
    let length = file.disk.length();
    if mood == Contents::Some && length > least && random.u8(..4) == 0 {
        file.disk.set_length(random.u64(least..=length));
    } else if mood == Contents::Some && file.cache.length() > length && random.u8(..4) == 0 {
        file.disk.set_length(random.u64(length..=file.cache.length()));
    }
    file.disk
}

fn keep_part(
    file: &mut File,
    (start, end): (u64, u64),
    mood: Contents,
    chance: f64,
    random: &mut fastrand::Rng,
) {
    match Part::random(mood, chance, end - start, random) {
        Part::Nothing => {}
        Part::All => file.keep(start, end),
        Part::Before(length) => {
            let end = (start + length) / SECTOR * SECTOR;
            if end > start {
                file.keep(start, end);
            }
        }
        Part::Behind(length) => {
            let from = (start + length).next_multiple_of(SECTOR);
            if from < end {
                file.keep(from, end);
            }
        }
        Part::Each(size, chance) => {
            let mut at = start - start % size;
            while at < end {
                if random.f64() < chance {
                    file.keep(at, (at + size).min(end));
                }
                at += size;
            }
        }
    }
}
