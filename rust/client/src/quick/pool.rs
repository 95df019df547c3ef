//! Idle blocking connections by node.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::conn::{Broken, Conn};
use super::link::Link;
use super::{TICK, Tick};
use crate::config::ClientConfig;
use crate::tls::Tls;

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_mins(1);
/// Addresses tried of a host name that has several.
const MAX_ADDRESSES: usize = 4;
/// Longest time in which a connection attempt does not look whether the caller wants to end.
const CONNECT_TRY: Duration = Duration::from_millis(500);

/// A node's listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Host and, mostly, port.
    pub(crate) authority: &'a str,
    /// Whether it speaks TLS.
    pub(crate) encrypted: bool,
}

/// Connections that wait for the next request.
pub(crate) struct QuickPool {
    idle: Mutex<HashMap<String, Vec<(Conn, Instant)>>>,
    idle_encrypted: Mutex<HashMap<String, Vec<(Conn, Instant)>>>,
    tls: Tls,
    max_idle: usize,
    connect_wait: Duration,
    common_headers: Vec<u8>,
}

impl QuickPool {
    /// The configuration has been checked: its texts are valid header values.
    pub(crate) fn new(config: &ClientConfig, tls: Tls) -> Self {
        let mut common_headers = format!("user-agent: {}\r\n", config.user_agent);
        if let Some(token) = &config.token {
            common_headers.push_str("authorization: Bearer ");
            common_headers.push_str(token);
            common_headers.push_str("\r\n");
        }
        Self {
            idle: Mutex::default(),
            idle_encrypted: Mutex::default(),
            tls,
            max_idle: config.max_idle_per_host.max(1),
            connect_wait: config.connect_wait(),
            common_headers: common_headers.into_bytes(),
        }
    }

    pub(crate) fn common_headers(&self) -> &[u8] {
        &self.common_headers
    }

    fn idle(&self, place: Place<'_>) -> MutexGuard<'_, HashMap<String, Vec<(Conn, Instant)>>> {
        let idle = if place.encrypted { &self.idle_encrypted } else { &self.idle };
        idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection used last: most likely still open, and warm.
    pub(crate) fn take(&self, place: Place<'_>) -> Option<Conn> {
        let mut idle = self.idle(place);
        let list = idle.get_mut(place.authority)?;
        let (conn, since) = list.pop()?;
        if since.elapsed() < IDLE {
            return Some(conn);
        }
        // The others are older still.
        list.clear();
        None
    }

    pub(crate) fn put(&self, place: Place<'_>, conn: Conn) {
        let mut idle = self.idle(place);
        let list = match idle.get_mut(place.authority) {
            Some(list) => list,
            None => idle.entry(place.authority.to_owned()).or_default(),
        };
        if list.len() < self.max_idle {
            list.push((conn, Instant::now()));
        }
    }

    /// A new connection; `None` when there is none to be had.
    pub(crate) fn connect(&self, place: Place<'_>, tick: Tick<'_>) -> Result<Option<Conn>, Broken> {
        let Some(addresses) = resolve(place) else { return Ok(None) };
        for address in addresses.iter().take(MAX_ADDRESSES) {
            let Some(stream) = connect_watched(address, self.connect_wait, tick)? else { continue };
            let prepared = stream
                .set_nodelay(true)
                .and_then(|()| stream.set_read_timeout(Some(TICK)))
                .and_then(|()| stream.set_write_timeout(Some(TICK)));
            let link = prepared.is_ok().then(|| self.link(stream, place, tick)).flatten();
            if link.is_none() && !tick() {
                return Err(Broken::Interrupted);
            }
            return Ok(link.map(Conn::new));
        }
        Ok(None)
    }

    /// What is wrong with a certificate is told by the asynchronous client, which asks again.
    fn link(&self, stream: TcpStream, place: Place<'_>, tick: Tick<'_>) -> Option<Link> {
        if !place.encrypted {
            return Some(Link::Plain(stream));
        }
        let config = self.tls.config().ok()?;
        Link::encrypted(stream, config, host(place.authority), self.connect_wait, tick).ok()
    }
}

/// The authority without its port.
fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, _)) if has_port(authority) => host,
        _ => authority,
    }
}

fn resolve(place: Place<'_>) -> Option<Vec<SocketAddr>> {
    let authority = place.authority;
    if let Ok(address) = authority.parse::<SocketAddr>() {
        return Some(vec![address]);
    }
    if has_port(authority) {
        return authority.to_socket_addrs().ok().map(Iterator::collect);
    }
    let port = if place.encrypted { 443 } else { 80 };
    (authority, port).to_socket_addrs().ok().map(Iterator::collect)
}

/// Connects in short tries, with the caller's check in between.
fn connect_watched(
    address: &SocketAddr,
    wait: Duration,
    tick: Tick<'_>,
) -> Result<Option<TcpStream>, Broken> {
    let deadline = Instant::now() + wait;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match TcpStream::connect_timeout(address, left.min(CONNECT_TRY).max(TICK)) {
            Ok(stream) => return Ok(Some(stream)),
            Err(e) if e.kind() != std::io::ErrorKind::TimedOut => return Ok(None),
            Err(_) if !tick() => return Err(Broken::Interrupted),
            Err(_) if left <= CONNECT_TRY => return Ok(None),
            Err(_) => {}
        }
    }
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
}
