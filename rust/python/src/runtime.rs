//! One asynchronous runtime per process, replaced after a fork.
//!
//! A forked child has the runtime's memory but none of its threads, and shares its epoll instance with
//! the parent. So nothing of the parent may be used there, nor dropped: dropping a runtime joins threads
//! that do not exist, and dropping a socket would take the parent's registration out of the shared epoll.
//! Everything that belongs to a runtime is therefore bound to a generation, and a child starts the next.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::{PyErr, PyResult};
use tokio::runtime::{Builder, Runtime};

/// Threads that drive sockets; callers wait on their own threads.
const WORKERS: usize = 2;

static GENERATION: AtomicUsize = AtomicUsize::new(0);
static FIRST: Slot = Slot::new();

/// Runtimes by generation: a chain, so that a child never touches the lock of its parent's link.
struct Slot {
    runtime: OnceLock<Runtime>,
    next: OnceLock<Box<Slot>>,
}

impl Slot {
    const fn new() -> Self {
        Self { runtime: OnceLock::new(), next: OnceLock::new() }
    }
}

/// Number of forks between the first process that loaded the module and this one.
pub(crate) fn generation() -> usize {
    GENERATION.load(Ordering::Relaxed)
}

/// To be called in a forked child: leaves the parent's runtime, and all that is bound to it, untouched.
pub(crate) fn after_fork() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// This process's runtime, started on first use.
pub(crate) fn runtime() -> Result<&'static Runtime, PyErr> {
    let mut slot = &FIRST;
    for _ in 0..generation() {
        slot = slot.next.get_or_init(|| Box::new(Slot::new()));
    }
    if let Some(runtime) = slot.runtime.get() {
        return Ok(runtime);
    }
    let built = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("aistore-io")
        .enable_all()
        .build()
        .map_err(|e| PyRuntimeError::new_err(format!("cannot start the client's threads: {e}")))?;
    // Of two threads that get here at once one wins; the other's runtime has nothing to do yet.
    if let Err(spare) = slot.runtime.set(built) {
        spare.shutdown_background();
    }
    slot.runtime.get().ok_or_else(|| PyRuntimeError::new_err("the client's threads are gone"))
}

/// A value that belongs to the generation in which it was made.
pub(crate) struct ForkBound<T> {
    value: Option<T>,
    generation: usize,
}

impl<T> ForkBound<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(value), generation: generation() }
    }

    /// The value if it was made in this process and not taken out.
    pub(crate) fn get(&mut self) -> Option<&mut T> {
        if self.generation == generation() { self.value.as_mut() } else { None }
    }

    /// The value, or an error when it is closed or was inherited over a fork.
    pub(crate) fn open(&mut self, what: &str) -> PyResult<&mut T> {
        self.require_own(what)?;
        self.value.as_mut().ok_or_else(|| PyValueError::new_err(format!("this {what} is closed")))
    }

    /// The value, to look at; errors as for [`ForkBound::open`].
    pub(crate) fn shared(&self, what: &str) -> PyResult<&T> {
        self.require_own(what)?;
        self.value.as_ref().ok_or_else(|| PyValueError::new_err(format!("this {what} is closed")))
    }

    fn require_own(&self, what: &str) -> PyResult<()> {
        if self.generation == generation() {
            return Ok(());
        }
        let text = format!("this {what} was opened before a fork; open a new one in this process");
        Err(PyRuntimeError::new_err(text))
    }

    /// Drops the value, if it is this process's.
    pub(crate) fn close(&mut self) {
        if self.generation == generation() {
            self.value = None;
        }
    }
}

impl<T> Drop for ForkBound<T> {
    fn drop(&mut self) {
        if self.generation != generation() {
            std::mem::forget(self.value.take());
        }
    }
}
