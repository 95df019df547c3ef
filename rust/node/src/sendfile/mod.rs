//! Large bodies from the page cache to the socket without passing through this process.
//!
//! hyper writes bodies from memory. Here it is handed *stand-ins*: slices of one block of zeros whose
//! only meaning is their length. The connection's stream knows, in order, which file each stand-in is for, and
//! where hyper asks it to write one it calls `sendfile` instead. What makes this sound:
//!
//! - a stand-in is made and queued in one step, by the body that the connection itself wraps around a
//!   reply ([`Outgoing`]), so their order on the wire is their order in the queue;
//! - before each write the stand-ins in hyper's slices are compared with the queue, one by one; what does not
//!   match closes the connection, so a client may see a short body but never the zeros;
//! - stored payloads never change, so what is sent later is what was meant.
//!
//! Handlers know nothing of this. They attach an [`Extent`] to their reply ([`offer`]); a
//! connection that cannot send files (TLS) passes it over and sends the ordinary body.
//!
//! [`Extent`]: crate::target::read::Extent

mod body;
mod io;
mod queue;
mod residency;
mod selftest;

pub(crate) use body::{MIN_BYTES, Outgoing, offer, worth_it};
pub(crate) use io::SendfileIo;
pub(crate) use queue::{Queue, WINDOW_BYTES};
pub(crate) use residency::resident;
pub(crate) use selftest::works_in;
