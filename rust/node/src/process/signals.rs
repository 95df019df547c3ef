//! Why a node stops: a signal, or the process it belongs to is gone.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};

/// What to wait for; made before anything is started, so that no signal is missed.
pub(crate) struct StopReasons {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    parent: Parent,
}

enum Parent {
    None,
    Watched(AsyncFd<OwnedFd>),
    Gone,
}

impl StopReasons {
    /// Watches SIGTERM, SIGINT and, if given, another process.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a signal handler or a process descriptor.
    pub(crate) fn watch(parent_pid: Option<i32>) -> io::Result<Self> {
        let parent = match parent_pid.and_then(Pid::from_raw) {
            None => Parent::None,
            // A descriptor, unlike a process id, cannot come to mean another process.
            Some(pid) => match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(fd) => Parent::Watched(watched(fd)?),
                Err(rustix::io::Errno::SRCH) => Parent::Gone,
                Err(err) => return Err(err.into()),
            },
        };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            parent,
        })
    }

    /// Waits for the first reason to stop, and names it. Dropping the future is safe.
    pub(crate) async fn next(&mut self) -> &'static str {
        let parent = async {
            match &self.parent {
                Parent::None => std::future::pending().await,
                // An unreadable descriptor counts as gone: better stop than outlive the owner.
                Parent::Watched(fd) => drop(fd.readable().await),
                Parent::Gone => {}
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = parent => "the parent process is gone",
        }
    }
}

#[expect(
    deprecated,
    reason = "an OwnedFd keeps its descriptor open, the fault is in types that may not; the successor is unsafe"
)]
fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn the_end_of_the_parent_is_a_reason_to_stop() {
        let mut child = Command::new("sleep").arg("0.2").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mut reasons = StopReasons::watch(Some(pid)).unwrap();
        assert!(reasons.next().await.contains("parent"));
        child.wait().unwrap();
        let mut late = StopReasons::watch(Some(pid)).unwrap();
        assert!(late.next().await.contains("parent"));
    }
}
