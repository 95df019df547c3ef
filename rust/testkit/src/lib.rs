//! A twin of the file system for tests of what programs make of failing disks.
//!
//! [`Twin::install`] puts itself between this process and the kernel, for everything below one directory. From
//! then on
//!
//! * each change is appended to a log, with what it wrote, in the order in which changes took effect;
//! * calls fail as a [`Rule`] says: with an error, or having done a part of what they were asked.
//!
//! A [`Recording`] is such a log read back. [`Recording::replay`] makes from it a directory as a disk may hold it
//! after it lost power at some point: see [`replay`] for what is kept and what is not.
//!
//! Linux on x86-64 and aarch64 only; elsewhere [`SUPPORTED`] is false and installing fails.

mod events;
mod faults;
pub mod replay;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod trap;
mod tree;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod twin;

pub use events::{Event, Recording};
pub use faults::{Call, Fault, Hit, Rule};
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub use twin::Twin;

/// Whether this machine can run a process on a [`Twin`].
pub const SUPPORTED: bool =
    cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")));
