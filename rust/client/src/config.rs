//! Settings of a client.

use std::time::Duration;

use crate::tls::TlsOptions;

/// Idle connections kept per node unless configured otherwise.
pub const DEFAULT_MAX_IDLE_PER_HOST: usize = 16;
/// Tries of one request, the first included, unless configured otherwise.
pub const DEFAULT_ATTEMPTS: u32 = 5;
/// First wait before a request is sent again; each further one is twice as long.
pub const DEFAULT_BACKOFF: Duration = Duration::from_millis(50);
/// Longest wait before a request is sent again.
pub const DEFAULT_BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Answers after which a request is sent again: 502 and 504 come from middlemen, 429 and 503 from a busy
/// or starting node.
pub const DEFAULT_RETRY_STATUSES: [u16; 4] = [429, 502, 503, 504];
/// How long a batch waits for a node that is gone unless configured otherwise: as long as a restart takes.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(5);
/// Stands in for "no deadline": no wait is unbounded.
pub const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// How to reach a cluster. Plain data: copy it, send it to another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Base URL of a gateway, such as `http://127.0.0.1:8080` or `https://gateway.example.com:8443`.
    pub endpoint: String,
    /// Longest wait for a connection; `None` means [`LONGEST_WAIT`]. Default 3 s.
    pub connect_timeout: Option<Duration>,
    /// Longest wait for the next bytes of an answer, not for the whole of it; `None` means
    /// [`LONGEST_WAIT`]. Default 20 s.
    pub read_timeout: Option<Duration>,
    /// Bearer token, sent with every request.
    pub token: Option<String>,
    /// Idle connections kept per node. Default [`DEFAULT_MAX_IDLE_PER_HOST`].
    pub max_idle_per_host: usize,
    /// Value of the `user-agent` header.
    pub user_agent: String,
    /// Tries of one request that gets no answer, the first included; 0 counts as 1. Default
    /// [`DEFAULT_ATTEMPTS`].
    pub attempts: u32,
    /// Tries of one request that is answered with one of `retry_statuses`; `None`, the default, means as
    /// many as `attempts`.
    pub answered_attempts: Option<u32>,
    /// Whether a GET or HEAD without an answer in time is sent again, within `attempts`. Default no:
    /// callers at a terminal want to know after one timeout.
    pub repeat_timeouts: bool,
    /// First wait before a request is sent again. Default [`DEFAULT_BACKOFF`].
    pub backoff: Duration,
    /// Longest wait before a request is sent again. Default [`DEFAULT_BACKOFF_MAX`].
    pub backoff_max: Duration,
    /// Answers after which a request is sent again if doing it twice is as good as once; 429 also if it
    /// is not. Default [`DEFAULT_RETRY_STATUSES`].
    pub retry_statuses: Vec<u16>,
    /// How long a batch waits for a node that is gone, or for its successor, after its tries are used
    /// up; with a single try it does not wait. Default [`DEFAULT_PATIENCE`].
    pub patience: Duration,
    /// What to trust and who we are, for `https://` nodes.
    pub tls: TlsOptions,
}

impl ClientConfig {
    /// Default settings for a gateway's base URL.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            connect_timeout: Some(Duration::from_secs(3)),
            read_timeout: Some(Duration::from_secs(20)),
            token: None,
            max_idle_per_host: DEFAULT_MAX_IDLE_PER_HOST,
            user_agent: concat!("aistore-native/", env!("CARGO_PKG_VERSION")).to_owned(),
            attempts: DEFAULT_ATTEMPTS,
            answered_attempts: None,
            repeat_timeouts: false,
            backoff: DEFAULT_BACKOFF,
            backoff_max: DEFAULT_BACKOFF_MAX,
            retry_statuses: DEFAULT_RETRY_STATUSES.to_vec(),
            patience: DEFAULT_PATIENCE,
            tls: TlsOptions::default(),
        }
    }

    pub(crate) fn connect_wait(&self) -> Duration {
        self.connect_timeout.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
    }

    pub(crate) fn read_wait(&self) -> Duration {
        self.read_timeout.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
    }
}
