//! The client itself, and requests in general.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::batch::Away;
use crate::body::Source;
use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::objects::ObjectStream;
use crate::quick::QuickPool;
use crate::request::{Call, Reply};
use crate::retry::{Budget, Repeat};
use crate::routing::MapCache;
use crate::tls::Tls;
use crate::transport::{
    Failure, MAX_REPLY_BYTES, Opened, Outgoing, Transport, add_headers, check_base, collect,
};

/// A cluster client. Clones share connections and the cluster map.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) transport: Transport,
    pub(crate) map: MapCache,
    pub(crate) quick: QuickPool,
    /// Targets do not know our direct requests: changes go through the gateway.
    pub(crate) foreign: AtomicBool,
    /// Nodes that batches do not wait for.
    pub(crate) away: Away,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint()).finish_non_exhaustive()
    }
}

impl Client {
    /// Checks the settings; opens no connection.
    pub fn new(mut config: ClientConfig) -> Result<Self, ClientError> {
        config.endpoint.truncate(config.endpoint.trim_end_matches('/').len());
        let config = Arc::new(config);
        let tls = Tls::new(config.tls.clone());
        let transport = Transport::new(config.clone(), tls.clone())?;
        let quick = QuickPool::new(&config, tls);
        let shared = Shared {
            transport,
            map: MapCache::default(),
            quick,
            foreign: AtomicBool::new(false),
            away: Away::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Settings.
    pub fn config(&self) -> &ClientConfig {
        self.shared.transport.config()
    }

    /// Base URL of the gateway, without a trailing slash.
    pub fn endpoint(&self) -> &str {
        &self.config().endpoint
    }

    /// Any request; the answer is collected in memory, at most 1 GiB of it.
    ///
    /// Redirects are followed with method and body kept. What may safely be done twice is tried again
    /// when the connection fails or the node is busy; a POST or PATCH only when it cannot have been done.
    pub async fn call(&self, call: Call) -> Result<Reply, ClientError> {
        reply(self.open_repeating(call).await?).await
    }

    /// Like [`Client::call`], with the answer's body streamed instead of collected.
    pub async fn open(&self, call: Call) -> Result<ObjectStream, ClientError> {
        self.open_repeating(call).await.map(ObjectStream::new)
    }

    async fn open_repeating(&self, call: Call) -> Result<Opened, ClientError> {
        let repeat = Repeat::of(&call.method);
        let mut budget = Budget::new(self.config());
        loop {
            match self.open_call(&call).await {
                Ok(opened) => return Ok(opened),
                Err(failure) if budget.applies(repeat, &failure) => budget.spend(failure).await?,
                Err(failure) => return Err(failure.error),
            }
        }
    }

    /// Any request, one try.
    pub(crate) async fn call_once(&self, call: Call) -> Result<Reply, ClientError> {
        reply(self.open_call(&call).await.map_err(|failure| failure.error)?).await
    }

    /// Sends a request and returns before the answer's body is read.
    pub(crate) async fn open_call(&self, call: &Call) -> Result<Opened, Failure> {
        let base = call.base.as_deref().unwrap_or_else(|| self.endpoint()).trim_end_matches('/');
        check_base(base)?;
        if !call.path.starts_with('/') {
            let text = format!("invalid path \"{}\": it must start with '/'", call.path);
            return Err(ClientError::Invalid(text).into());
        }
        let mut url = format!("{base}{}", call.path);
        if !call.query.is_empty() {
            let start = url.len() + 1;
            url.push('?');
            url = form_urlencoded::Serializer::for_suffix(url, start)
                .extend_pairs(&call.query)
                .finish();
        }
        let mut headers = self.shared.transport.headers();
        add_headers(&mut headers, &call.headers)?;
        let body = Source::Bytes(call.body.clone());
        let wait = call.timeout.unwrap_or_else(|| self.config().read_wait());
        let out = Outgoing { method: &call.method, url, headers, body: &body, wait };
        self.shared.transport.attempt(out).await
    }
}

/// Reads the rest of an answer.
pub(crate) async fn reply(opened: Opened) -> Result<Reply, ClientError> {
    let Opened { response, url, wait, .. } = opened;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body = collect(response, &url, wait, MAX_REPLY_BYTES).await?;
    Ok(Reply { status, headers, body, url })
}

/// The empty body.
pub(crate) fn no_body() -> Source {
    Source::Bytes(bytes::Bytes::new())
}
