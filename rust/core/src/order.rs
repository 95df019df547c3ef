//! The order in which samples are read: a permutation of `[0, len)` that is computed, not stored.
//!
//! Invariant: for one (length, seed, epoch, mode) every process on every machine computes the same
//! order, in any version of this crate. The constants below are part of that promise.

mod feistel;
mod windowed;

pub use self::feistel::Permutation;
pub use self::windowed::Windowed;

/// How samples are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shuffle {
    /// As stored.
    None,
    /// Any order is as likely as any other, as far as a 64-bit seed reaches.
    Full,
    /// Runs of `chunk` neighbours stay near each other: runs are shuffled, then samples within each
    /// `window`. For data that is slow to read at random.
    Windowed {
        /// Samples that are stored side by side.
        chunk: u64,
        /// Samples that are mixed with each other.
        window: u64,
    },
}

/// The order of one epoch.
#[derive(Debug, Clone)]
pub struct Order {
    len: u64,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Stored,
    Full(Permutation),
    Windowed(Windowed),
}

impl Order {
    /// The order of `len` samples in an epoch.
    pub fn new(len: u64, seed: u64, epoch: u64, shuffle: Shuffle) -> Self {
        let kind = match shuffle {
            Shuffle::None => Kind::Stored,
            Shuffle::Full => Kind::Full(Permutation::new(len, seed, epoch)),
            Shuffle::Windowed { chunk, window } => {
                Kind::Windowed(Windowed::new(len, seed, epoch, chunk, window))
            }
        };
        Self { len, kind }
    }

    /// Number of samples.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The sample at a position; `None` past the end.
    pub fn get(&self, position: u64) -> Option<u64> {
        if position >= self.len {
            return None;
        }
        Some(match &self.kind {
            Kind::Stored => position,
            Kind::Full(permutation) => permutation.get(position)?,
            Kind::Windowed(windowed) => windowed.get(position)?,
        })
    }

    /// How well the order is mixed, from at most `most` positions spread over it.
    #[expect(clippy::cast_precision_loss, reason = "a statistic of samples, not an address")]
    pub fn quality(&self, most: u64) -> Quality {
        let taken = self.len.min(most);
        if taken < 2 {
            return Quality { correlation: 0.0, displacement: 0.0 };
        }
        let scale = 1.0 / self.len as f64;
        let (mut product, mut left, mut right, mut moved) = (0.0, 0.0, 0.0, 0.0);
        for i in 0..taken {
            let at = u64::try_from(u128::from(i) * u128::from(self.len) / u128::from(taken))
                .unwrap_or_default();
            let (x, y) = (at as f64 * scale, self.get(at).unwrap_or(at) as f64 * scale);
            let (dx, dy) = (x - 0.5, y - 0.5);
            product += dx * dy;
            left += dx * dx;
            right += dy * dy;
            moved += (x - y).abs();
        }
        Quality {
            correlation: product / (left * right).sqrt(),
            // Two independent uniform places are a third of the whole apart.
            displacement: moved / taken as f64 * 3.0,
        }
    }
}

/// How well an order is mixed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Rank correlation of stored and delivered order: 1 is unshuffled, 0 is mixed.
    pub correlation: f64,
    /// Mean distance that a sample moves, as a share of that of a full shuffle: 0 to about 1.
    pub displacement: f64,
}

#[cfg(test)]
mod tests;
