//! Hot small objects past hyper.
//!
//! Reading 10 KiB from memory and sending them costs less of a processor than what surrounds it: turning a head
//! into a request, finding a handler, building a map of headers, and writing that out again. So the stream under
//! hyper looks at what arrives first. One whole head of a GET or HEAD, of an object that is open and in memory, it
//! answers itself; hyper never sees those bytes, and takes the connection for an idle one. All else, and
//! everything unusual, it hands on as it came. A connection gets its hyper with the first request that needs one.
//! What makes this sound:
//!
//! - it answers only between requests: when all that hyper was given are whole requests, counted by their length, and
//!   all answers to them have been written ([`Lane`]). Where that cannot be told for certain, the
//!   connection is hyper's to its end;
//! - heads are read by the parser that hyper has, so both see the same;
//! - headers that it does not know by name, and queries that it does not know, go to hyper;
//! - it writes no errors: whatever is wrong is hyper's, and the handlers', to say;
//! - handlers and this way write the same headers with the same functions.
//!
//! All that never waits for anything but the connection, so it has [`Threads`] of its own: until a connection needs
//! hyper, and again when it does not need it any more.
//!
//! Bodies up to 32 KiB are copied, up to 1 MiB sent from the file; larger ones, which need a look at the page cache on
//! the way, are hyper's. Plain connections only: TLS costs more than what is saved here.

mod date;
mod head;
mod io;
mod lane;
mod scratch;
mod threads;

pub(crate) use io::QuickIo;
pub(crate) use lane::Answered;
pub(crate) use threads::Threads;
