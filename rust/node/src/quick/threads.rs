//! Threads that do nothing but answer quickly.
//!
//! The runtime of everything else moves tasks between its threads and lets one of them wait for all connections. That
//! serves work that takes long and costs work that does not: here each thread waits for its own connections. And
//! because nothing on these threads ever takes long, the system lets them run before those that stream.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::io::QuickIo;

/// Some threads, which end when this goes.
#[derive(Debug)]
pub(crate) struct Threads {
    threads: Vec<Thread>,
    _end: DropGuard,
}

#[derive(Debug)]
struct Thread {
    runtime: Handle,
    /// Connections on it.
    load: Arc<AtomicUsize>,
}

impl Threads {
    /// Starts so many.
    ///
    /// # Errors
    ///
    /// The system has no more threads or descriptors.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let end = CancellationToken::new();
        let threads = (0..count).map(|_| Thread::start(end.clone())).collect::<io::Result<_>>();
        // Before the error goes, so that those that did start end.
        let guard = end.drop_guard();
        Ok(Self { threads: threads?, _end: guard })
    }

    /// [`QuickIo::alone`] on one of the threads. The connection belongs to the caller's runtime before and after.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    pub(crate) async fn alone(
        &self,
        mut io: QuickIo,
        stop: &CancellationToken,
    ) -> io::Result<(QuickIo, bool)> {
        let Some(thread) = self.threads.iter().min_by_key(|thread| thread.connections()) else {
            let goes_on = io.alone(stop).await?;
            return Ok((io, goes_on));
        };
        let (counted, stop) = (Counted::on(thread), stop.clone());
        let there = thread.runtime.spawn(async move {
            let _counted = counted;
            io.change_runtime()?;
            let goes_on = io.alone(&stop).await?;
            Ok::<_, io::Error>((io, goes_on))
        });
        let (mut io, goes_on) = there.await.map_err(io::Error::other).flatten()?;
        if goes_on {
            io.change_runtime()?;
        }
        Ok((io, goes_on))
    }
}

impl Thread {
    fn start(end: CancellationToken) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let thread = Self { runtime: runtime.handle().clone(), load: Arc::default() };
        std::thread::Builder::new().name("aisnode-quick".to_owned()).spawn(move || {
            if let Err(err) = take_turns_whole() {
                tracing::debug!(error = %err, "the policy of scheduling stays as it is");
            }
            runtime.block_on(end.cancelled());
        })?;
        Ok(thread)
    }

    fn connections(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }
}

/// Has the calling thread, when it wakes, wait for who runs to have had his turn, rather than cut in.
///
/// Where readers and node share processors, a thread that cuts in answers one request and sleeps again: the caches and
/// the switches then cost more than the request. Behind a whole turn it finds several. Others that only compute are
/// no hindrance, since who has slept is before them; measured in the record of quick reads.
#[expect(unsafe_code, reason = "no safe wrapper of this call is at hand")]
fn take_turns_whole() -> io::Result<()> {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: the kernel reads one `sched_param`, alive until the call returns; 0 is the calling thread.
    let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const param) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// One of a thread's connections.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn on(thread: &Thread) -> Self {
        thread.load.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&thread.load))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
