//! Idle blocking connections by node.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::TICK;
use super::conn::Conn;
use crate::config::ClientConfig;

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_mins(1);
/// Addresses tried of a host name that has several.
const MAX_ADDRESSES: usize = 4;

/// Connections that wait for the next request.
pub(crate) struct QuickPool {
    idle: Mutex<HashMap<String, Vec<(Conn, Instant)>>>,
    max_idle: usize,
    connect_wait: Duration,
    common_headers: Vec<u8>,
}

impl QuickPool {
    /// The configuration has been checked: its texts are valid header values.
    pub(crate) fn new(config: &ClientConfig) -> Self {
        let mut common_headers = format!("user-agent: {}\r\n", config.user_agent);
        if let Some(token) = &config.token {
            common_headers.push_str("authorization: Bearer ");
            common_headers.push_str(token);
            common_headers.push_str("\r\n");
        }
        Self {
            idle: Mutex::default(),
            max_idle: config.max_idle_per_host.max(1),
            connect_wait: config.connect_wait(),
            common_headers: common_headers.into_bytes(),
        }
    }

    pub(crate) fn common_headers(&self) -> &[u8] {
        &self.common_headers
    }

    /// The connection used last: most likely still open, and warm.
    pub(crate) fn take(&self, authority: &str) -> Option<Conn> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let list = idle.get_mut(authority)?;
        let (conn, since) = list.pop()?;
        if since.elapsed() < IDLE {
            return Some(conn);
        }
        // The others are older still.
        list.clear();
        None
    }

    pub(crate) fn put(&self, authority: &str, conn: Conn) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let list = match idle.get_mut(authority) {
            Some(list) => list,
            None => idle.entry(authority.to_owned()).or_default(),
        };
        if list.len() < self.max_idle {
            list.push((conn, Instant::now()));
        }
    }

    /// A new connection; `None` when there is none to be had.
    pub(crate) fn connect(&self, authority: &str) -> Option<Conn> {
        let parsed = authority.parse::<SocketAddr>().map(|address| vec![address]);
        let addresses = match parsed {
            Ok(addresses) => addresses,
            Err(_) if has_port(authority) => authority.to_socket_addrs().ok()?.collect(),
            Err(_) => (authority, 80).to_socket_addrs().ok()?.collect(),
        };
        let stream = addresses
            .iter()
            .take(MAX_ADDRESSES)
            .find_map(|address| TcpStream::connect_timeout(address, self.connect_wait).ok())?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(TICK)).ok()?;
        stream.set_write_timeout(Some(TICK)).ok()?;
        Some(Conn::new(stream))
    }
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
}
