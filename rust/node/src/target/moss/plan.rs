//! What a batch consists of and which target holds each entry.

use std::collections::HashMap;

use aistore_core::moss::Wanted;
use aistore_core::placement::owner;
use aistore_core::smap::{Smap, Snode};

use crate::target::objects::ObjectRef;

/// Where an entry is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// From this node's disks.
    Here,
    /// From the peer with this position in [`Plan::peers`].
    Peer(usize),
}

/// One entry of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) wanted: Wanted,
    /// The stored object; `None` when the bucket does not exist.
    pub(crate) object: Option<ObjectRef>,
    pub(crate) route: Route,
}

/// A batch, checked and routed.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) entries: Vec<Entry>,
    pub(crate) peers: Vec<Snode>,
}

impl Plan {
    /// A batch that this node reads alone.
    pub(crate) fn local(entries: Vec<(Wanted, Option<ObjectRef>)>) -> Self {
        let entry = |(wanted, object)| Entry { wanted, object, route: Route::Here };
        Self { entries: entries.into_iter().map(entry).collect(), peers: Vec::new() }
    }

    /// Routes each entry to its owner under `smap`; what nobody owns is looked for here, on node `own`.
    pub(crate) fn routed(
        entries: Vec<(Wanted, Option<ObjectRef>)>,
        smap: &Smap,
        own: &str,
    ) -> Self {
        let mut plan = Self::local(entries);
        let mut known: HashMap<&str, usize> = HashMap::new();
        for entry in &mut plan.entries {
            let holder = entry.object.as_ref().and_then(|object| owner(smap, &object.uname));
            let Some(holder) = holder.filter(|node| node.daemon_id != own) else { continue };
            let peers = &mut plan.peers;
            let at = *known.entry(&holder.daemon_id).or_insert_with(|| {
                peers.push(holder.clone());
                peers.len() - 1
            });
            entry.route = Route::Peer(at);
        }
        plan
    }

    /// Positions of the entries on `route`, in order.
    pub(crate) fn positions(&self, route: Route) -> Vec<usize> {
        let on = self.entries.iter().enumerate().filter(|(_, entry)| entry.route == route);
        on.map(|(position, _)| position).collect()
    }

    /// The entries on `route`, as a peer is asked for them.
    pub(crate) fn wanted(&self, route: Route) -> Vec<&Wanted> {
        self.entries.iter().filter(|e| e.route == route).map(|e| &e.wanted).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use aistore_core::bucket::Bucket;

    use super::*;

    pub(crate) fn entry(object: &str) -> (Wanted, Option<ObjectRef>) {
        let bucket = Bucket::ais("b");
        let uname = bucket.object_uname(object);
        let wanted = Wanted {
            bucket: bucket.clone(),
            object: object.to_owned(),
            archpath: String::new(),
            start: 0,
            length: None,
            cut: None,
        };
        (wanted, Some(ObjectRef { bucket, name: object.to_owned(), bid: 1, uname }))
    }

    #[test]
    fn entries_go_to_their_owners_in_order() {
        let mut smap = Smap::default();
        for id in ["t1", "t2", "t3"] {
            smap.tmap.insert(id.to_owned(), Snode::for_test(id));
        }
        let names: Vec<String> = (0..300).map(|i| format!("o{i}")).collect();
        let plan = Plan::routed(names.iter().map(|n| entry(n)).collect(), &smap, "t2");
        assert_eq!(plan.peers.len(), 2);
        let mut seen = plan.positions(Route::Here).len();
        for (at, peer) in plan.peers.iter().enumerate() {
            let positions = plan.positions(Route::Peer(at));
            assert!(positions.is_sorted() && positions.len() > 50, "{}", positions.len());
            seen += positions.len();
            for (position, wanted) in positions.iter().zip(plan.wanted(Route::Peer(at))) {
                assert_eq!(wanted.object, names[*position]);
                let holder = owner(&smap, &wanted.bucket.object_uname(&wanted.object)).unwrap();
                assert_eq!(holder.daemon_id, peer.daemon_id);
            }
        }
        assert_eq!(seen, 300);
    }

    #[test]
    fn without_targets_in_the_map_everything_is_looked_for_here() {
        let plan = Plan::routed(vec![entry("o")], &Smap::default(), "t1");
        assert_eq!((plan.positions(Route::Here), plan.peers.len()), (vec![0], 0));
    }
}
