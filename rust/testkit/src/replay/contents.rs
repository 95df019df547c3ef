//! What a file holds afterwards.

use super::Attempt;
use crate::events::Event;

/// What a disk writes at once, or not at all.
const SECTOR: usize = 512;
const PAGE: usize = 4096;

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
    Before(usize),
    /// What lies behind this.
    Behind(usize),
    /// Each sector or page with this probability.
    Each(usize, f64),
}

impl Part {
    fn random(mood: Contents, chance: f64, length: usize, random: &mut fastrand::Rng) -> Self {
        match mood {
            Contents::Nothing => Self::Nothing,
            Contents::All => Self::All,
            Contents::Some => match random.u8(..8) {
                0 => Self::Before(random.usize(..=length)),
                1 => Self::Behind(random.usize(..=length)),
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
    cache: Vec<u8>,
    disk: Vec<u8>,
}

impl File {
    /// Brings the sectors of a range to the disk.
    fn keep(&mut self, start: usize, end: usize) {
        let start = start - start % SECTOR;
        let end = end.next_multiple_of(SECTOR).min(self.cache.len());
        if self.disk.len() < end {
            self.disk.resize(end, 0);
        }
        if let (Some(to), Some(from)) = (self.disk.get_mut(start..end), self.cache.get(start..end))
        {
            to.copy_from_slice(from);
        }
    }
}

/// The content after loss of power.
pub(super) fn surviving(
    start: Vec<u8>,
    changes: &[(u64, &Event)],
    syncs: &[Attempt],
    mood: Contents,
    random: &mut fastrand::Rng,
) -> Vec<u8> {
    let mut file = File { disk: start.clone(), cache: start };
    let chance = random.f64();
    // The length that it has at least.
    let mut least = file.disk.len();
    for (at, event) in changes {
        let covering = syncs.iter().filter(|attempt| attempt.covers > *at);
        // The first attempt decides, be it a failure: a later one does not try again.
        let lasts = covering.min_by_key(|attempt| attempt.covers).is_some_and(|one| !one.failed);
        match event {
            Event::Truncate { length, .. } => {
                let length = usize::try_from(*length).unwrap_or(usize::MAX);
                file.cache.resize(length, 0);
                let keep = match mood {
                    Contents::Nothing => false,
                    Contents::All => true,
                    Contents::Some => random.f64() < chance,
                };
                if lasts || keep {
                    file.disk.resize(length, 0);
                    least = if lasts { length } else { least.min(length) };
                }
            }
            Event::Write { offset, data, .. } => {
                let start = usize::try_from(*offset).unwrap_or(usize::MAX);
                let end = start.saturating_add(data.len());
                if file.cache.len() < end {
                    file.cache.resize(end, 0);
                }
                if let Some(to) = file.cache.get_mut(start..end) {
                    to.copy_from_slice(data);
                }
                if lasts {
                    // The length as well, whatever cut it before.
                    file.disk.resize(file.cache.len(), 0);
                    file.keep(start, end);
                    least = file.disk.len();
                } else {
                    keep_part(&mut file, (start, end), mood, chance, random);
                }
            }
            _ => {}
        }
    }
    let length = file.disk.len();
    if mood == Contents::Some && length > least && random.u8(..4) == 0 {
        file.disk.truncate(random.usize(least..=length));
    } else if mood == Contents::Some && file.cache.len() > length && random.u8(..4) == 0 {
        file.disk.resize(random.usize(length..=file.cache.len()), 0);
    }
    file.disk
}

fn keep_part(
    file: &mut File,
    (start, end): (usize, usize),
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
