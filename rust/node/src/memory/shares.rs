//! What the budget is split into. The parts of all purposes and of all caches add up to the budget.

use aistore_core::units::human_size;

use super::Purpose;
use super::limits::{self, Limit};

/// The default budget is the memory that the process can have, divided by this: page cache, which makes reads
/// fast, the runtime and other processes want some too.
const DEFAULT_DIVISOR: u64 = 2;
/// The default where the system tells nothing.
const DEFAULT_BYTES: u64 = 1 << 30;
/// Least budget of a node with one mountpath: some twenty uploads and four batches at a time.
const LEAST_BYTES: u64 = 64 << 20;
/// Write buffers of the index of one mountpath: two tables, two buffers each, of 2 MiB.
const INDEX_WRITES_BYTES: u64 = 8 << 20;
/// The index cache gets this part of the budget, within bounds.
const INDEX_DIVISOR: u64 = 8;
const INDEX_MOST_BYTES: u64 = 1 << 30;
/// Indexes of shards, and read buffers that wait for their next use, get this part each, within bounds.
const CACHES_DIVISOR: u64 = 32;
/// Part of cached readers.
const READERS_DIVISOR: u64 = 16;
const MEMBERS_MOST_BYTES: u64 = 256 << 20;
const READERS_MOST_BYTES: u64 = 128 << 20;
const IDLE_MOST_BYTES: u64 = 16 << 20;

/// A budget, split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shares {
    /// All of it.
    pub(crate) total: u64,
    /// Where the number comes from, for messages.
    pub(crate) source: String,
    /// Cached blocks of the index, all mountpaths together.
    pub(crate) index_cache: u64,
    /// Write buffers of the index, all mountpaths together.
    pub(crate) index_writes: u64,
    /// Cached indexes of TAR shards.
    pub(crate) members: u64,
    /// Open objects that were read lately.
    pub(crate) readers: u64,
    /// Buffers that wait for their next use.
    pub(crate) idle: u64,
    /// What is split among the purposes.
    rest: u64,
}

impl Shares {
    /// The shares of `given` bytes, or of the default, for a node with so many mountpaths.
    ///
    /// # Errors
    ///
    /// Text for the operator when that is too little.
    pub(crate) fn of(given: Option<u64>, mountpaths: usize) -> Result<Self, String> {
        let limit = if given.is_none() { limits::own() } else { None };
        Self::within(given, mountpaths, limit)
    }

    fn within(given: Option<u64>, mountpaths: usize, limit: Option<Limit>) -> Result<Self, String> {
        let index_writes = INDEX_WRITES_BYTES.saturating_mul(mountpaths as u64);
        let least = LEAST_BYTES.saturating_add(index_writes.saturating_sub(INDEX_WRITES_BYTES));
        let (total, source) = match (given, limit) {
            (Some(bytes), _) => (bytes, "--memory".to_owned()),
            (None, Some(Limit { bytes, source })) => {
                (bytes / DEFAULT_DIVISOR, format!("half of {source}"))
            }
            (None, None) => (DEFAULT_BYTES, "default".to_owned()),
        };
        if total < least {
            let remedy = match given {
                Some(_) => format!("use --memory {} or more", size(least)),
                None => {
                    format!("raise that limit, or choose with --memory {} or more", size(least))
                }
            };
            return Err(format!(
                "a memory budget of {} ({source}) is too small for a node with {mountpaths} mountpath(s), which needs {}: {remedy}",
                size(total),
                size(least)
            ));
        }
        let index_cache = (total / INDEX_DIVISOR).min(INDEX_MOST_BYTES);
        let members = (total / CACHES_DIVISOR).min(MEMBERS_MOST_BYTES);
        let idle = (total / CACHES_DIVISOR).min(IDLE_MOST_BYTES);
        let readers = (total / READERS_DIVISOR).min(READERS_MOST_BYTES);
        let rest = total - (index_cache + index_writes + members + readers + idle);
        Ok(Self { total, source, index_cache, index_writes, members, readers, idle, rest })
    }

    /// What a purpose may use.
    pub(crate) fn of_purpose(&self, purpose: Purpose) -> u64 {
        self.rest / 100 * purpose.percent()
    }
}

/// A size that can be given back as an option: whole units only.
fn size(bytes: u64) -> String {
    let mib = 1 << 20;
    if bytes >= mib { format!("{}MiB", bytes.div_ceil(mib)) } else { human_size(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: u64, mountpaths: usize) -> Result<Shares, String> {
        Shares::within(Some(given), mountpaths, None)
    }

    #[test]
    fn all_parts_together_are_the_budget() {
        for (given, mountpaths) in [(64 << 20, 1), (64 << 20, 0), (200 << 20, 10), (1 << 40, 3)] {
            let shares = of(given, mountpaths).unwrap();
            let purposes: u64 = Purpose::ALL.iter().map(|p| shares.of_purpose(*p)).sum();
            let caches = shares.index_cache + shares.index_writes + shares.members + shares.readers;
            let caches = caches + shares.idle;
            assert!(purposes + caches <= given && purposes + caches > given - 200, "{shares:?}");
        }
        assert_eq!(Purpose::ALL.iter().map(|p| p.percent()).sum::<u64>(), 100);
    }

    #[test]
    fn too_small_a_budget_is_refused_with_the_least_that_will_do() {
        let text = of(10 << 20, 1).unwrap_err();
        assert!(text.contains("10MiB (--memory)") && text.contains("use --memory 64MiB"), "{text}");
        assert!(of(64 << 20, 2).unwrap_err().contains("--memory 72MiB or more"));
        of(72 << 20, 2).unwrap();
        let limit = Limit { bytes: 100 << 20, source: "memory.max of /sys/fs/cgroup".to_owned() };
        let text = Shares::within(None, 1, Some(limit)).unwrap_err();
        assert!(text.contains("50MiB (half of memory.max of /sys/fs/cgroup)"), "{text}");
    }

    #[test]
    fn the_default_is_half_of_what_the_system_allows() {
        let limit = Limit { bytes: 8 << 30, source: "the machine's memory".to_owned() };
        assert_eq!(Shares::within(None, 1, Some(limit)).unwrap().total, 4 << 30);
        assert_eq!(Shares::within(None, 1, None).unwrap().total, DEFAULT_BYTES);
    }
}
