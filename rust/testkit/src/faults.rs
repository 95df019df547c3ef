//! Which calls fail, and how.

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Opens what is there.
    Open,
    /// Makes a file.
    Create,
    /// Reads from a file.
    Read,
    /// Writes to a file.
    Write,
    /// Reserves space.
    Allocate,
    /// Changes the length of a file.
    Truncate,
    /// `fsync` and `fdatasync`, of files and directories.
    Sync,
    /// Renames, or makes a second name.
    Rename,
    /// Removes a file or a directory.
    Remove,
    /// Makes a directory.
    MakeDir,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does nothing and returns this error number.
    Error(i32),
    /// A write writes a part, then fails with this error number; other calls as [`Fault::Error`].
    Torn(i32),
    /// A read or write does a part and returns its length. Of a single byte, and to others, nothing happens.
    Short,
}

/// Lets some calls fail.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    fault: Fault,
    calls: Vec<Call>,
    path: String,
    skip: u64,
    times: u64,
    chance: f64,
}

impl Rule {
    /// Lets every call of these kinds fail.
    pub fn new(fault: Fault, calls: &[Call]) -> Self {
        let calls = calls.to_vec();
        Self { fault, calls, path: String::new(), skip: 0, times: u64::MAX, chance: 1.0 }
    }

    /// Only where the path below the directory contains `part`.
    #[must_use]
    pub fn on(self, part: &str) -> Self {
        Self { path: part.to_owned(), ..self }
    }

    /// Lets the first calls pass.
    #[must_use]
    pub fn after(self, calls: u64) -> Self {
        Self { skip: calls, ..self }
    }

    /// At most so many.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Each with this probability.
    #[must_use]
    pub fn chance(self, chance: f64) -> Self {
        Self { chance, ..self }
    }
}

/// A call that was made to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// What it was to do.
    pub call: Call,
    /// To what, below the directory.
    pub path: String,
    /// What it did instead.
    pub fault: Fault,
    /// The kernel's number of the thread that made it.
    pub thread: i32,
}

/// The rules in force, and what they did.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rules: Vec<Rule>,
    pub(crate) random: fastrand::Rng,
    pub(crate) hits: Vec<Hit>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { rules: Vec::new(), random: fastrand::Rng::with_seed(0), hits: Vec::new() }
    }
}

impl Plan {
    /// What is to become of a call, of `length` bytes if it reads or writes. The first rule that applies counts.
    pub(crate) fn decide(
        &mut self,
        call: Call,
        length: usize,
        thread: i32,
        path: impl FnOnce() -> Vec<u8>,
    ) -> Option<Fault> {
        if !self.rules.iter().any(|rule| rule.calls.contains(&call)) {
            return None;
        }
        let path = String::from_utf8_lossy(&path()).into_owned();
        let parts = matches!(call, Call::Read | Call::Write) && length > 1;
        for rule in &mut self.rules {
            if !rule.calls.contains(&call)
                || !path.contains(&rule.path)
                || (rule.fault == Fault::Short && !parts)
            {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 && self.random.f64() < rule.chance {
                rule.times -= 1;
                self.hits.push(Hit { call, path, fault: rule.fault, thread });
                return Some(rule.fault);
            }
        }
        None
    }

    /// A part of `length` bytes, which are more than one: at least one byte and not all.
    pub(crate) fn part_of(&mut self, length: usize) -> usize {
        self.random.usize(1..length.max(2))
    }
}
