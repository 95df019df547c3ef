//! Cluster map: who the nodes are and how to reach them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::placement::digest;
use crate::wire::string_u64;

/// Node cannot become primary.
pub const FLAG_NON_ELECTABLE: u64 = 1;
/// Node is in maintenance and accepts no data.
pub const FLAG_MAINTENANCE: u64 = 4;
/// Node is being removed and accepts no data.
pub const FLAG_DECOMMISSION: u64 = 8;

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// Gateway: routes requests, holds cluster metadata. The wire calls it `proxy`.
    #[serde(rename = "proxy")]
    Gateway,
    /// Storage node.
    #[default]
    Target,
}

/// One listener of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct NetInfo {
    /// Host name or address.
    #[serde(default)]
    pub node_ip_addr: String,
    /// TCP port as text.
    #[serde(default)]
    pub daemon_port: String,
    /// Base URL without a trailing slash.
    #[serde(default)]
    pub direct_url: String,
}

impl NetInfo {
    /// Plain HTTP listener at `host:port`.
    pub fn http(host: &str, port: u16) -> Self {
        Self::listener("http", host, port)
    }

    /// TLS listener at `host:port`.
    pub fn https(host: &str, port: u16) -> Self {
        Self::listener("https", host, port)
    }

    fn listener(scheme: &str, host: &str, port: u16) -> Self {
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Self {
            node_ip_addr: host.to_owned(),
            daemon_port: port.to_string(),
            direct_url: format!("{scheme}://{bracketed}:{port}"),
        }
    }
}

/// One node as the cluster map knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Snode {
    /// Stable identity, persisted on the node.
    pub daemon_id: String,
    /// Role.
    pub daemon_type: NodeKind,
    /// Listener for clients.
    pub public_net: NetInfo,
    /// Listener for control traffic between nodes.
    #[serde(default)]
    pub intra_control_net: NetInfo,
    /// Listener for data traffic between nodes.
    #[serde(default)]
    pub intra_data_net: NetInfo,
    /// `FLAG_*` bits.
    #[serde(default)]
    pub flags: u64,
    /// [`digest`] of the id; clients use it for placement.
    #[serde(default)]
    pub id_digest: u64,
}

impl Snode {
    /// A node whose three nets are one plain HTTP listener.
    pub fn new(id: &str, kind: NodeKind, net: NetInfo) -> Self {
        Self {
            daemon_id: id.to_owned(),
            daemon_type: kind,
            intra_control_net: net.clone(),
            intra_data_net: net.clone(),
            public_net: net,
            flags: 0,
            id_digest: digest(id),
        }
    }

    /// Whether placement may choose this node.
    pub fn accepts_data(&self) -> bool {
        self.flags & (FLAG_MAINTENANCE | FLAG_DECOMMISSION) == 0
    }

    /// Base URL for clients.
    pub fn url(&self) -> &str {
        &self.public_net.direct_url
    }

    /// Display form used in messages: `p[id]` or `t[id]`.
    pub fn display(&self) -> String {
        let letter = if self.daemon_type == NodeKind::Gateway { 'p' } else { 't' };
        format!("{letter}[{}]", self.daemon_id)
    }

    /// A target on a port nobody listens on.
    #[doc(hidden)]
    pub fn for_test(id: &str) -> Self {
        Self::new(id, NodeKind::Target, NetInfo::http("127.0.0.1", 1))
    }
}

/// The cluster map, in its wire form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Smap {
    /// Gateways by id.
    #[serde(default)]
    pub pmap: BTreeMap<String, Snode>,
    /// The primary gateway.
    pub proxy_si: Snode,
    /// Targets by id.
    #[serde(default)]
    pub tmap: BTreeMap<String, Snode>,
    /// Cluster identity.
    pub uuid: String,
    /// `YYYY-MM-DD hh:mm:ss`, UTC.
    pub creation_time: String,
    /// Grows with every change of the map.
    #[serde(with = "string_u64")]
    pub version: u64,
}

impl Smap {
    /// Finds a node of either kind.
    pub fn node(&self, id: &str) -> Option<&Snode> {
        self.tmap.get(id).or_else(|| self.pmap.get(id))
    }
}
