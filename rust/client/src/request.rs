//! What goes in and what comes out of one exchange.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::error::ClientError;

/// One request, as far as the protocol cares. Redirects are followed with method and body kept.
#[derive(Debug, Clone)]
pub struct Call {
    /// Method.
    pub method: Method,
    /// Base URL of a node; `None` is the client's endpoint.
    pub base: Option<String>,
    /// Path, percent-encoded, starting with `/`.
    pub path: String,
    /// Query, not encoded yet.
    pub query: Vec<(String, String)>,
    /// Headers, in addition to those that every request has.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Bytes,
    /// Longest wait for the next bytes of the answer; `None` is the client's read timeout.
    pub timeout: Option<Duration>,
}

impl Call {
    /// A request without query, headers and body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            base: None,
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            timeout: None,
        }
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, key: &str, value: &str) -> Self {
        self.query.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, key: &str, value: &str) -> Self {
        self.headers.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Sends to this node instead of the endpoint.
    #[must_use]
    pub fn base(mut self, base: impl Into<String>) -> Self {
        self.base = Some(base.into());
        self
    }

    /// Sets a JSON body.
    pub fn json<T: serde::Serialize + ?Sized>(mut self, value: &T) -> Result<Self, ClientError> {
        let text = serde_json::to_vec(value)
            .map_err(|e| ClientError::Invalid(format!("{}: body is not JSON: {e}", self.path)))?;
        self.body = Bytes::from(text);
        Ok(self.header("content-type", "application/json"))
    }
}

/// A complete answer with status below 400.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// URL that answered, after redirects.
    pub url: String,
}

impl Reply {
    /// Decodes a JSON body.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|e| ClientError::Protocol {
            url: self.url.clone(),
            message: format!("answer is not the expected JSON: {e}"),
        })
    }

    /// A header as text; `None` when absent or not ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What to read of an object.
#[derive(Debug, Clone, Default)]
pub struct GetOptions {
    /// Value of the `range` header, such as `bytes=0-99`.
    pub range: Option<String>,
    /// Further query parameters, such as `archpath`.
    pub query: Vec<(String, String)>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Asks the gateway and follows its redirect instead of computing the owner.
    pub via_gateway: bool,
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Name prefix.
    pub prefix: String,
    /// Properties, comma-separated; empty means the server's default.
    pub props: String,
    /// `aistore_core::list::FLAG_*` bits.
    pub flags: u64,
    /// Exclusive lower bound.
    pub start_after: String,
    /// Entries per page and target; 0 means the largest.
    pub page_size: u64,
    /// Most entries to return; 0 means all.
    pub limit: usize,
}

/// Reports bytes sent so far.
pub type ProgressFn = Box<dyn Fn(u64) + Send + Sync>;
