//! What the leader keeps in order: who is primary, and the addresses of the other gateways.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aistore_core::smap::Snode;
use openraft::{ChangeMembers, ServerState};
use tokio::sync::watch;

use crate::command::Command;
use crate::raft_types::{Gateway, GatewayKey, Raft};
use crate::state::ClusterState;

/// Pause after a failed correction; the next change of state or leadership ends it early too.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A correction that the leader makes.
#[derive(Debug, PartialEq)]
enum Correction {
    /// Write the leader into the map as primary.
    Primary,
    /// A gateway has registered under a new address: reach it there.
    Address(GatewayKey, Gateway),
}

/// Follows state and leadership for the life of a gateway; dropping the future is safe.
pub(crate) async fn run(raft: Raft, mut state: watch::Receiver<Arc<ClusterState>>, own_id: String) {
    let mut server = raft.server_metrics();
    loop {
        let current = Arc::clone(&state.borrow_and_update());
        let (leads, members) = {
            let metrics = server.borrow_and_update();
            let members: Vec<(GatewayKey, Gateway)> =
                metrics.membership_config.nodes().map(|(key, node)| (*key, node.clone())).collect();
            (metrics.state == ServerState::Leader, members)
        };
        let correction = if leads { next_correction(&current, &members, &own_id) } else { None };
        let mut failed = false;
        if let Some(correction) = correction
            && let Err(text) = correct(&raft, correction, &own_id).await
        {
            tracing::warn!(error = text, "the leader could not update the cluster map");
            failed = true;
        }
        let ended = tokio::select! {
            changed = state.changed() => changed.is_err(),
            changed = server.changed() => changed.is_err(),
            () = tokio::time::sleep(RETRY_PAUSE), if failed => false,
        };
        if ended {
            return;
        }
    }
}

/// The address under which a gateway takes consensus messages.
fn control_url(node: &Snode) -> &str {
    let control = node.intra_control_net.direct_url.as_str();
    if control.is_empty() { node.url() } else { control }
}

fn next_correction(
    state: &ClusterState,
    members: &[(GatewayKey, Gateway)],
    own_id: &str,
) -> Option<Correction> {
    let own = state.smap.pmap.get(own_id);
    if own.is_some_and(|own| *own != state.smap.proxy_si) {
        return Some(Correction::Primary);
    }
    members.iter().find_map(|(key, member)| {
        let url = control_url(state.smap.pmap.get(&member.id)?);
        let moved = Gateway { id: member.id.clone(), url: url.to_owned() };
        (moved != *member).then_some(Correction::Address(*key, moved))
    })
}

async fn correct(raft: &Raft, correction: Correction, own_id: &str) -> Result<(), String> {
    let result = match correction {
        Correction::Primary => raft.client_write(Command::SetPrimary { id: own_id.into() }).await,
        Correction::Address(key, gateway) => {
            tracing::info!(gateway.id, gateway.url, "a gateway has moved");
            let nodes = BTreeMap::from([(key, gateway)]);
            raft.change_membership(ChangeMembers::SetNodes(nodes), false).await
        }
    };
    result.map(|_| ()).map_err(|err| err.to_string())
}

#[cfg(test)]
mod tests {
    use aistore_core::smap::{NetInfo, NodeKind};

    use super::*;

    fn state() -> ClusterState {
        let mut state = ClusterState::default();
        for (id, port) in [("g1", 1), ("g2", 2)] {
            let node = Snode::new(id, NodeKind::Gateway, NetInfo::http("h", port));
            state.smap.pmap.insert(id.to_owned(), node);
        }
        state.smap.proxy_si = state.smap.pmap["g1"].clone();
        state
    }

    fn member(key: u64, id: &str, url: &str) -> (GatewayKey, Gateway) {
        (key, Gateway { id: id.to_owned(), url: url.to_owned() })
    }

    #[test]
    fn nothing_to_do_when_map_and_membership_agree() {
        let members = [member(1, "g1", "http://h:1"), member(2, "g2", "http://h:2")];
        assert_eq!(next_correction(&state(), &members, "g1"), None);
        assert_eq!(next_correction(&state(), &members, "stranger"), None);
    }

    #[test]
    fn a_new_leader_becomes_primary_and_follows_addresses() {
        let members = [member(1, "g1", "http://h:9"), member(2, "g2", "http://h:2")];
        assert_eq!(next_correction(&state(), &members, "g2"), Some(Correction::Primary));
        let (key, moved) = member(1, "g1", "http://h:1");
        let expected = Some(Correction::Address(key, moved));
        assert_eq!(next_correction(&state(), &members, "g1"), expected);
    }
}
