//! Several gateways: joining, failover, catching up, moving.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;

use aistore_cluster::{Command, Consensus, SubmitError};
use aistore_core::smap::{NetInfo, Snode};
use common::{Switchboard, create, gateway, start, until};

struct Group {
    dir: tempfile::TempDir,
    board: Arc<Switchboard>,
    members: Vec<(Snode, Arc<Consensus>)>,
}

impl Group {
    fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `g1` bootstraps, the others join.
    async fn form(count: usize) -> Self {
        let (dir, board) = (tempfile::tempdir().unwrap(), Arc::default());
        let mut group = Self { dir, board, members: Vec::new() };
        for i in 1..=count {
            group.join(&format!("g{i}")).await;
        }
        group
    }

    async fn join(&mut self, id: &str) {
        let node = gateway(id);
        let consensus = start(self.dir(), &node, &self.board).await;
        if self.members.is_empty() {
            consensus.bootstrap(node.clone()).await.unwrap();
        } else {
            let leader = self.leader().await;
            leader.submit(Command::RegisterNode { node: node.clone() }).await.unwrap();
            leader.add_voter(id, node.url()).await.unwrap();
        }
        self.members.push((node, consensus));
    }

    /// The member that leads and whom the map calls primary.
    async fn leader(&self) -> Arc<Consensus> {
        let mut found = None;
        until("a leader that is primary", || {
            found = self.members.iter().find(|(node, consensus)| {
                let primary = consensus.watch().borrow().smap.proxy_si.daemon_id.clone();
                consensus.is_leader() && primary == node.daemon_id
            });
            found.is_some()
        })
        .await;
        Arc::clone(&found.unwrap().1)
    }

    /// Stops a member as a crash of its machine would look to the others.
    async fn stop(&mut self, at: usize) -> Snode {
        let (node, consensus) = self.members.remove(at);
        self.board.unplug(node.url());
        consensus.shutdown().await;
        node
    }

    async fn agree(&self) {
        until("all members hold the same state", || {
            let mut states =
                self.members.iter().map(|(_, member)| Arc::clone(&member.watch().borrow()));
            let first = states.next().unwrap();
            states.all(|state| state == first)
        })
        .await;
    }

    async fn end(mut self) {
        while !self.members.is_empty() {
            self.stop(0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_survives_its_leader() {
    let mut group = Group::form(3).await;
    let first = group.leader().await;
    for i in 0..60 {
        first.submit(create(&format!("b{i:02}"))).await.unwrap();
    }
    group.agree().await;
    let before = Arc::clone(&first.watch().borrow());
    assert_eq!(before.smap.pmap.len(), 3);
    drop(first);
    let stopped = group.stop(0).await;

    let second = group.leader().await;
    let after = Arc::clone(&second.watch().borrow());
    assert_ne!(after.smap.proxy_si, before.smap.proxy_si);
    assert_eq!((after.uuid(), &after.bmd), (before.uuid(), &before.bmd));
    let grown = second.submit(create("new")).await.unwrap();
    assert_eq!(grown.bmd.len(), 61);
    group.agree().await;

    let (_, follower) =
        group.members.iter().find(|(_, member)| !Arc::ptr_eq(member, &second)).unwrap();
    let Err(SubmitError::NotLeader { url }) = follower.submit(create("astray")).await else {
        panic!("a follower took a command");
    };
    assert_eq!(url, second.leader_url());
    assert_eq!(url.as_deref(), Some(grown.smap.proxy_si.url()));

    let back = start(group.dir(), &stopped, &group.board).await;
    until("the old leader catches up", || *back.watch().borrow() == grown).await;
    assert!(!back.is_leader());
    group.members.push((stopped, back));
    drop(second);
    group.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_acknowledged() {
    let mut group = Group::form(3).await;
    group.leader().await.submit(create("kept")).await.unwrap();
    group.agree().await;
    group.stop(2).await;
    group.stop(1).await;
    let (node, last) = group.members.first().unwrap();
    assert!(last.submit(create("lost")).await.is_err());
    assert_eq!(last.watch().borrow().bmd.len(), 1, "{}", node.display());
    group.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_gateway_gets_a_snapshot_and_a_moved_one_is_found() {
    let mut group = Group::form(1).await;
    let leader = group.leader().await;
    for i in 0..120 {
        leader.submit(create(&format!("b{i:03}"))).await.unwrap();
    }
    group.join("g2").await;
    group.join("g3").await;
    group.agree().await;

    let mut node = group.stop(2).await;
    assert_eq!(node.daemon_id, "g3");
    for i in 0..80 {
        leader.submit(create(&format!("c{i:03}"))).await.unwrap();
    }
    node.public_net = NetInfo::http("127.0.0.1", 9_999);
    node.intra_control_net = node.public_net.clone();
    let back = start(group.dir(), &node, &group.board).await;
    let state = leader.submit(Command::RegisterNode { node: node.clone() }).await.unwrap();
    assert_eq!(state.smap.pmap["g3"].url(), node.url());
    group.members.push((node, back));
    group.agree().await;
    drop(leader);
    group.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sixth_gateway_follows_without_a_vote() {
    let group = Group::form(6).await;
    group.leader().await.submit(create("b")).await.unwrap();
    group.agree().await;
    // Five voters need three: with three gone, two voters and the learner cannot decide.
    let mut group = group;
    for _ in 0..3 {
        group.stop(0).await;
    }
    let last = Arc::clone(&group.members[2].1);
    assert!(group.members[0].1.submit(create("x")).await.is_err());
    assert!(!last.is_leader());
    drop(last);
    group.end().await;
}
