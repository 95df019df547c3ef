//! What every handler sees: the request, the reply, and how errors travel.

pub mod drain;
pub mod path;
pub mod query;
pub mod reply;
pub mod request;

use bytes::Bytes;

pub use query::Query;
pub use request::Req;

/// Streaming reply body.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;
/// What a handler answers.
pub type Reply = http::Response<Body>;
