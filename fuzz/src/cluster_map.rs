//! What nodes and clients read about the cluster: map, state, node descriptions.

use aistore_cluster::ClusterState;
use aistore_core::placement;
use aistore_core::smap::{Smap, Snode};

/// What parses comes back the same, and placement never leaves the map.
pub fn cluster_map(data: &[u8]) {
    let _ = serde_json::from_slice::<Snode>(data);
    if let Ok(smap) = serde_json::from_slice::<Smap>(data) {
        let text = serde_json::to_vec(&smap).expect("a map encodes");
        assert_eq!(serde_json::from_slice::<Smap>(&text).expect("it parses"), smap);
        if let Some(owner) = placement::owner(&smap, "ais/@#/b/o") {
            assert!(owner.accepts_data());
        }
    }
    if let Ok(state) = serde_json::from_slice::<ClusterState>(data) {
        for (bucket, _) in state.bmd.iter() {
            assert!(state.bmd.contains(bucket), "{bucket} is listed but not found");
        }
        let _ = state.bmd.to_wire();
    }
}
