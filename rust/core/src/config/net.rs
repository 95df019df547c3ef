//! Network section. Changes take effect on restart.

use serde::{Deserialize, Serialize};

use super::macros::sections;
use crate::units::GoDuration;

/// Transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum L4Proto {
    /// The only one.
    #[default]
    Tcp,
}

sections! {
    /// Network.
    NetConf {
        /// Sockets.
        l4: L4Conf = L4Conf::default(),
        /// HTTP.
        http: HttpConf = HttpConf::default(),
        /// Prefer IPv6.
        use_ipv6: bool = false,
    }

    /// Sockets.
    L4Conf {
        /// Protocol.
        proto: L4Proto = L4Proto::Tcp,
        /// Socket buffers in bytes; 0 = the system's.
        sndrcv_buf_size: u32 = 131_072,
    }

    /// HTTP.
    HttpConf {
        /// Certificate file.
        server_crt: String = String::new(),
        /// Key file.
        server_key: String = String::new(),
        /// Must be empty.
        domain_tls: String = String::new(),
        /// Certificates that client certificates are checked against.
        client_ca_tls: String = String::new(),
        /// Client certificates: 0 none, 1 request, 2 require any, 3 verify if given, 4 require and verify.
        client_auth_tls: u32 = 0,
        /// Idle connections close after this time, at most 30 s.
        idle_conn_time: GoDuration = GoDuration::from_secs(6),
        /// The same towards remote buckets.
        backend_idle_conn_time: GoDuration = GoDuration::from_secs(6),
        /// Idle connections per peer, at most 128; 0 = the built-in default.
        idle_conns_per_host: u32 = 0,
        /// Idle connections, at most 4096; 0 = the built-in default.
        idle_conns: u32 = 0,
        /// Read-only; 0 = 64 KiB.
        write_buffer_size: u32 = 0,
        /// Read-only; 0 = 64 KiB.
        read_buffer_size: u32 = 0,
        /// TLS on or off.
        use_https: bool = false,
        /// Do not check peers' certificates.
        skip_verify: bool = false,
        /// Chunked transfer encoding.
        chunked_transfer: bool = false,
        /// TLS of public listeners, when it differs.
        #[serde(rename = "pub", skip_serializing_if = "Option::is_none")]
        public: Option<PublicTlsConf> = None,
    }

    /// TLS of public listeners.
    PublicTlsConf {
        /// Certificate file.
        server_crt: String = String::new(),
        /// Key file.
        server_key: String = String::new(),
        /// Certificates that client certificates are checked against.
        client_ca_tls: String = String::new(),
        /// As in [`HttpConf`].
        client_auth_tls: u32 = 0,
    }
}
