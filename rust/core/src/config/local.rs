//! What one node adds to the cluster configuration.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ClusterConfig;
use super::macros::sections;
use crate::error::ApiError;
use crate::patch;
use crate::wire::string_u64;

sections! {
    /// Keys that belong to one node, shown at the same level as the cluster's sections.
    LocalConfig {
        /// Directory of the node's own state.
        confdir: String = String::new(),
        /// Directory of logs.
        log_dir: String = String::new(),
        /// Mountpaths and their labels.
        fspaths: BTreeMap<String, String> = BTreeMap::new(),
        /// Mountpaths for development.
        test_fspaths: TestFspaths = TestFspaths::default(),
        /// Addresses.
        host_net: HostNet = HostNet::default(),
    }

    /// Mountpaths for development.
    TestFspaths {
        /// Parent directory.
        root: String = String::new(),
        /// Number of mountpaths, 0 = not in use.
        count: u32 = 0,
        /// Number of the node on its machine.
        instance: u32 = 0,
    }

    /// Addresses and ports; ports travel as text.
    HostNet {
        /// Public host name.
        hostname: String = String::new(),
        /// Host name for control traffic within the cluster.
        hostname_intra_control: String = String::new(),
        /// Host name for data traffic within the cluster.
        hostname_intra_data: String = String::new(),
        /// Public port.
        #[serde(with = "string_u64")]
        port: u64 = 0,
        /// Port for control traffic within the cluster.
        #[serde(with = "string_u64")]
        port_intra_control: u64 = 0,
        /// Port for data traffic within the cluster.
        #[serde(with = "string_u64")]
        port_intra_data: u64 = 0,
    }
}

impl ClusterConfig {
    /// A node's whole configuration as it is shown: the cluster's, secrets masked, with local keys beside.
    pub fn with_local(&self, local: &LocalConfig) -> Result<Value, ApiError> {
        let mut shown = patch::to_value("configuration", &self.masked())?;
        patch::merge(&mut shown, &patch::to_value("configuration", local)?);
        Ok(shown)
    }
}
