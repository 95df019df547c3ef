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

/// Whether the code is to have this flaw: in a model that must find it. Never in a program.
#[cfg(not(test))]
pub(crate) const fn has_flaw(_: &str) -> bool {
    false
}

#[cfg(test)]
pub(crate) use flaws::{has_flaw, with_flaw};

#[cfg(test)]
mod flaws {
    use std::cell::Cell;

    thread_local! {
        static FLAW: Cell<&'static str> = const { Cell::new("") };
    }

    pub(crate) fn has_flaw(name: &str) -> bool {
        FLAW.get() == name
    }

    /// Runs something, on this thread, with code that has this flaw.
    pub(crate) fn with_flaw(name: &'static str, run: impl FnOnce()) {
        FLAW.set(name);
        run();
        FLAW.set("");
    }
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
