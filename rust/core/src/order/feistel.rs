//! A keyed bijection of `[0, len)`: a balanced Feistel network over the next power of four, walked
//! until it lands inside.

/// Rounds; four are enough to look random, more wash out small domains.
const ROUNDS: usize = 8;

/// A permutation of `[0, len)` in constant memory.
#[derive(Debug, Clone)]
pub struct Permutation {
    len: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// The permutation of a seed and a stream number, such as an epoch.
    pub fn new(len: u64, seed: u64, stream: u64) -> Self {
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        let mut state = mix(seed) ^ mix(stream.wrapping_add(0x6a09_e667_f3bc_c909)).rotate_left(32);
        let keys = std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(state)
        });
        Self { len, half_bits: bits.div_ceil(2).max(1), keys }
    }

    /// Where a position leads; `None` past the end.
    pub fn get(&self, position: u64) -> Option<u64> {
        self.walk(position, Self::forth)
    }

    /// The position that leads to a place; `None` past the end.
    pub fn position_of(&self, place: u64) -> Option<u64> {
        self.walk(place, Self::back)
    }

    /// The network permutes a domain less than four times as large; following it from a point inside
    /// comes back inside, at the latest at that point itself.
    fn walk(&self, from: u64, step: impl Fn(&Self, u64) -> u64) -> Option<u64> {
        if from >= self.len {
            return None;
        }
        let mut at = step(self, from);
        while at >= self.len {
            at = step(self, at);
        }
        Some(at)
    }

    fn mask(&self) -> u64 {
        (1 << self.half_bits) - 1
    }

    fn forth(&self, value: u64) -> u64 {
        let (mut left, mut right) = (value >> self.half_bits, value & self.mask());
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & self.mask()));
        }
        left << self.half_bits | right
    }

    fn back(&self, value: u64) -> u64 {
        let (mut left, mut right) = (value >> self.half_bits, value & self.mask());
        for key in self.keys.into_iter().rev() {
            (left, right) = (right ^ (mix(left ^ key) & self.mask()), left);
        }
        left << self.half_bits | right
    }
}

/// Finalizer of SplitMix64: every bit of the input reaches every bit of the output.
pub(super) fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
