//! Names as numbers: to compare a name means to fetch it from memory, which no cache of a processor holds where there
//! are many.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash, Hasher};

use siphasher::sip128::SipHasher13;

/// Stands for a name. Two names have the same with a chance of 1 in 2^128, also where someone chooses them: the hash
/// is keyed, and the key is drawn by each process anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(u64, u64);

impl Key {
    /// One of `count` shares that keys fall into.
    pub(super) fn share(self, count: usize) -> usize {
        usize::try_from(self.1 % count.max(1) as u64).unwrap_or(0)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Gives names their keys.
pub(super) struct Keys(SipHasher13);

impl Keys {
    pub(super) fn new() -> Self {
        // The standard library's way to the system's random numbers.
        let draw = || RandomState::new().hash_one(std::process::id());
        Self(SipHasher13::new_with_keys(draw(), draw()))
    }

    pub(super) fn of(&self, name: &str) -> Key {
        let hash = self.0.hash(name.as_bytes());
        Key(hash.h1, hash.h2)
    }
}

/// Takes a key for its hash.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AsIs;

impl BuildHasher for AsIs {
    type Hasher = First;

    fn build_hasher(&self) -> First {
        First(0)
    }
}

/// The half of a key.
pub(super) struct First(u64);

impl Hasher for First {
    fn finish(&self) -> u64 {
        self.0
    }

    /// Only keys are hashed, and they are one number.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_keys_are_drawn_anew() {
        let (one, other) = (Keys::new(), Keys::new());
        assert_eq!(one.of("ais/@#/b/o"), one.of("ais/@#/b/o"));
        assert_ne!(one.of("ais/@#/b/o"), one.of("ais/@#/b/p"));
        assert_ne!(one.of("ais/@#/b/o"), other.of("ais/@#/b/o"), "not to be foreseen");
        let shares: std::collections::HashSet<usize> =
            (0..1000).map(|n| one.of(&n.to_string()).share(16)).collect();
        assert_eq!(shares.len(), 16);
    }
}
