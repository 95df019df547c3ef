//! Names for the moments between two effects on a disk, at which a test may end the process.
//!
//! `step!("what has just happened")` is nothing in a program. In the tests of this crate it counts, and the process that
//! was told to end at that count is killed there; in a model of concurrent threads it is where another thread may
//! go on. Every step must have been reached, and survived, by the tests in `crash_model`.

macro_rules! step {
    ($name:literal) => {
        #[cfg(test)]
        $crate::steps::reached($name);
    };
}

#[cfg(test)]
pub(crate) use counting::{END_ENV, reached};

#[cfg(test)]
mod counting {
    use std::io::Write as _;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The step at which the process is to end, by its name or its number.
    pub(crate) const END_ENV: &str = "STORE_END_AT_STEP";

    static COUNT: AtomicU64 = AtomicU64::new(0);
    static END: OnceLock<Option<String>> = OnceLock::new();

    pub(crate) fn reached(name: &str) {
        let end = END.get_or_init(|| std::env::var(END_ENV).ok());
        let Some(end) = end else { return crate::sync::give_way() };
        let count = COUNT.fetch_add(1, Ordering::SeqCst) + 1;
        if name == end || end.parse() == Ok(count) {
            let line = format!("S {count} {name}\n");
            let _ = std::io::stdout().lock().write_all(line.as_bytes());
            let own = rustix::process::getpid();
            let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
            // Threads of a process that is being killed may run for a moment.
            loop {
                std::thread::park();
            }
        }
    }
}
