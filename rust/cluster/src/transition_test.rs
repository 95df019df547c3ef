//! Each command, carried out and refused.

use aistore_core::bucket::{Bucket, Provider};
use aistore_core::error::ApiError;
use aistore_core::placement::digest;
use aistore_core::smap::{FLAG_MAINTENANCE, NetInfo, NodeKind, Snode};
use serde_json::{Value, json};

use crate::command::{Command, ConfigChange};
use crate::state::ClusterState;
use crate::transition::transition;

fn gateway(id: &str, port: u16) -> Snode {
    Snode::new(id, NodeKind::Gateway, NetInfo::http("h", port))
}

fn target(id: &str, port: u16) -> Snode {
    Snode::new(id, NodeKind::Target, NetInfo::http("h", port))
}

fn register(node: &Snode) -> Command {
    Command::RegisterNode { node: node.clone() }
}

fn create(name: &str) -> Command {
    Command::CreateBucket { bucket: Bucket::ais(name), patch: None, created_ns: 77 }
}

fn patch_props(name: &str, patch: Value) -> Command {
    Command::PatchProps { bucket: Bucket::ais(name), patch }
}

/// A log: applies commands at rising positions.
struct Log {
    state: ClusterState,
    index: u64,
}

#[expect(clippy::needless_pass_by_value, reason = "commands are built where they are used")]
impl Log {
    /// Bootstrapped at position 1.
    fn new() -> Self {
        let mut log = Self { state: ClusterState::default(), index: 0 };
        log.change(Command::Bootstrap {
            primary: gateway("g1", 1),
            uuid: "cluster".to_owned(),
            creation_time: "2025-01-01 00:00:00".to_owned(),
        });
        log
    }

    fn apply(&mut self, command: &Command) -> Result<bool, ApiError> {
        self.index += 1;
        let next = transition(&self.state, command, self.index)?;
        let changed = next.is_some();
        if let Some(next) = next {
            assert_eq!(next.version, self.index);
            self.state = next;
        }
        Ok(changed)
    }

    fn change(&mut self, command: Command) {
        assert!(self.apply(&command).unwrap(), "{command:?} changed nothing");
    }

    fn ignore(&mut self, command: Command) {
        assert!(!self.apply(&command).unwrap(), "{command:?} changed something");
    }

    fn refuse(&mut self, command: Command) -> ApiError {
        self.apply(&command).unwrap_err()
    }

    /// Versions of map, buckets and config.
    fn versions(&self) -> (u64, u64, u64) {
        let ClusterState { smap, bmd, config, .. } = &self.state;
        (smap.version, bmd.version, config.config_version)
    }
}

#[test]
fn the_bootstrap_gives_identity_once() {
    let mut log = Log::new();
    let ClusterState { version, smap, bmd, config, jobs, half_renamed } = &log.state;
    assert_eq!(jobs.iter().count() + half_renamed.len(), 0);
    assert_eq!(*version, 1);
    assert_eq!((&*smap.uuid, &*bmd.uuid, &*config.uuid), ("cluster", "cluster", "cluster"));
    assert_eq!(smap.creation_time, "2025-01-01 00:00:00");
    assert_eq!(smap.proxy_si, gateway("g1", 1));
    assert_eq!(log.versions(), (1, 1, 1));
    log.ignore(Command::Bootstrap {
        primary: gateway("g2", 2),
        uuid: "another".to_owned(),
        creation_time: String::new(),
    });
}

#[test]
fn before_the_bootstrap_everything_else_is_refused() {
    let mut log = Log { state: ClusterState::default(), index: 0 };
    let err = log.refuse(create("b"));
    assert_eq!(err.status, 503, "{err}");
    let (uuid, creation_time) = ("u".to_owned(), String::new());
    let err = log.refuse(Command::Bootstrap { primary: target("t1", 1), uuid, creation_time });
    assert!(err.message.contains("t[t1]"), "{err}");
    assert_eq!(log.state, ClusterState::default());
}

#[test]
fn nodes_register_move_and_leave() {
    let mut log = Log::new();
    log.change(register(&target("t1", 11)));
    log.ignore(register(&target("t1", 11)));
    let mut flagged = log.state.clone();
    flagged.smap.tmap.get_mut("t1").unwrap().flags = FLAG_MAINTENANCE;
    log.state = flagged;

    let mut moved = target("t1", 12);
    moved.id_digest = 5;
    moved.intra_control_net = NetInfo::default();
    log.change(register(&moved));
    let known = &log.state.smap.tmap["t1"];
    assert_eq!((known.url(), known.flags), ("http://h:12", FLAG_MAINTENANCE));
    assert_eq!(known.id_digest, digest("t1"), "clients place by it");
    assert_eq!(known.intra_control_net, known.public_net);
    assert_eq!(log.versions(), (3, 1, 1));

    log.change(Command::RemoveNode { id: "t1".to_owned() });
    let err = log.refuse(Command::RemoveNode { id: "t1".to_owned() });
    assert_eq!((err.status, err.message.contains("\"t1\"")), (404, true), "{err}");
    assert_eq!(log.versions(), (4, 1, 1));
}

#[test]
fn a_taken_id_or_address_is_refused_naming_both_nodes() {
    let mut log = Log::new();
    log.change(register(&target("t1", 11)));
    let before = log.state.clone();
    for (node, parts) in [
        (gateway("t1", 12), ["p[t1]", "t[t1]"]),
        (target("g1", 12), ["t[g1]", "p[g1]"]),
        (target("t2", 11), ["t[t2]", "t[t1]"]),
        (target("t2", 1), ["t[t2]", "p[g1]"]),
    ] {
        let err = log.refuse(register(&node));
        assert_eq!(err.status, 409);
        assert!(parts.iter().all(|part| err.message.contains(part)), "{err}");
    }
    for id in ["", "a b", "a/b", &"x".repeat(65)] {
        assert_eq!(log.refuse(register(&target(id, 99))).status, 400, "{id}");
    }
    let nowhere = Snode::new("t3", NodeKind::Target, NetInfo::default());
    assert!(log.refuse(register(&nowhere)).message.contains("t[t3]"));
    assert_eq!(log.state, before);
    log.change(register(&gateway("g2", 11)));
}

#[test]
fn the_primary_changes_hands_and_cannot_be_removed() {
    let mut log = Log::new();
    log.change(register(&gateway("g2", 2)));
    log.ignore(Command::SetPrimary { id: "g1".to_owned() });
    log.change(Command::SetPrimary { id: "g2".to_owned() });
    assert_eq!(log.state.smap.proxy_si, gateway("g2", 2));
    log.change(register(&gateway("g2", 22)));
    assert_eq!(log.state.smap.proxy_si, gateway("g2", 22), "follows the address");
    let err = log.refuse(Command::RemoveNode { id: "g2".to_owned() });
    assert_eq!((err.status, err.message.contains("p[g2]")), (400, true), "{err}");
    log.change(Command::RemoveNode { id: "g1".to_owned() });
    assert_eq!(log.refuse(Command::SetPrimary { id: "g1".to_owned() }).status, 404);
}

#[test]
fn buckets_come_and_go_with_ids_that_are_never_reused() {
    let mut log = Log::new();
    log.change(create("b"));
    let bucket = Bucket::ais("b");
    let props = log.state.bmd.get(&bucket).unwrap();
    assert_eq!((props.bid, props.created), ((1 << 63) | 2, 77));
    let err = log.refuse(create("b"));
    assert_eq!((err.status, &*err.message), (409, "bucket \"ais://b\" already exists"));
    log.change(Command::DestroyBucket { bucket: bucket.clone() });
    let err = log.refuse(Command::DestroyBucket { bucket: bucket.clone() });
    assert_eq!((err.status, &*err.message), (404, "bucket \"ais://b\" does not exist"));
    log.change(create("b"));
    assert_eq!(log.state.bmd.get(&bucket).unwrap().bid, (1 << 63) | 6);
    assert_eq!(log.versions(), (1, 4, 1));
    assert_eq!(log.refuse(create("..")).status, 400);
}

#[test]
fn cloud_buckets_have_plain_ids_and_are_not_destroyed() {
    let mut log = Log::new();
    let bucket = Bucket { provider: Provider::Aws, ..Bucket::ais("c") };
    log.change(Command::CreateBucket { bucket: bucket.clone(), patch: None, created_ns: 1 });
    assert_eq!(log.state.bmd.get(&bucket).unwrap().bid, 2);
    let err = log.refuse(Command::DestroyBucket { bucket });
    assert_eq!((err.status, &*err.tcode), (405, "ErrUnsupp"), "{err}");
    assert!(err.message.contains("s3://c"), "{err}");
}

#[test]
fn properties_are_patched_and_reset() {
    let mut log = Log::new();
    let on = json!({"mirror": {"enabled": true, "copies": 2}});
    let create_with = |name: &str, patch: Value| Command::CreateBucket {
        bucket: Bucket::ais(name),
        patch: Some(patch),
        created_ns: 1,
    };
    log.change(create_with("a", on.clone()));
    assert!(log.state.bmd.get(&Bucket::ais("a")).unwrap().mirror.enabled);
    log.change(create_with("b", Value::Null));
    let plain = log.state.bmd.get(&Bucket::ais("b")).unwrap().clone();
    log.change(patch_props("b", on.clone()));
    log.ignore(patch_props("b", on));
    assert!(log.state.bmd.get(&Bucket::ais("b")).unwrap().mirror.enabled);
    log.change(Command::ResetProps { bucket: Bucket::ais("b") });
    assert_eq!(*log.state.bmd.get(&Bucket::ais("b")).unwrap(), plain);
    log.ignore(Command::ResetProps { bucket: Bucket::ais("b") });

    let before = log.state.clone();
    assert_eq!(log.refuse(create_with("c", json!({"mirrors": {}}))).status, 400);
    assert!(log.refuse(patch_props("b", json!({"mirrors": {}}))).message.contains("mirrors"));
    assert_eq!(log.refuse(patch_props("none", json!({}))).status, 404);
    assert_eq!(log.refuse(Command::ResetProps { bucket: Bucket::ais("none") }).status, 404);
    assert_eq!(log.state, before);
}

#[test]
fn configuration_changes_bump_its_version_alone() {
    let mut log = Log::new();
    log.change(Command::SetConfig { patch: json!({"mirror": {"copies": 3}}) });
    log.ignore(Command::SetConfig { patch: json!({"mirror": {"copies": 3}}) });
    let pair = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    log.change(Command::SetConfigPairs { pairs: pair("lru.enabled", "true") });
    assert_eq!(log.versions(), (1, 1, 3));
    let err = log.refuse(Command::SetConfigPairs { pairs: pair("lru.enable", "true") });
    assert_eq!((err.status, err.message.contains("lru.enable")), (400, true), "{err}");
    let change = ConfigChange::Pairs(pair("space.highwm", "91"));
    log.change(Command::ChangeConfig { change: change.clone(), updated: "now".into() });
    assert_eq!(log.state.config.lastupdate_time, "now");
    log.ignore(Command::ChangeConfig { change, updated: "later".into() });
    assert_eq!(log.state.config.lastupdate_time, "now");
    log.change(Command::ResetConfig);
    assert_eq!((log.versions(), &*log.state.config.uuid), ((1, 1, 5), "cluster"));
    log.ignore(Command::ResetConfig);
}

#[test]
fn the_bucket_map_is_sorted_on_the_wire_and_in_storage() {
    let mut log = Log::new();
    for name in ["b-x", "b", "a"] {
        log.change(create(name));
    }
    let far = Bucket::from_parts("a", "aws", "@#ns").unwrap();
    log.change(Command::CreateBucket { bucket: far, patch: None, created_ns: 1 });
    let names: Vec<_> = log.state.bmd.iter().map(|(bucket, _)| bucket.cname()).collect();
    assert_eq!(names, ["ais://a", "ais://b", "ais://b-x", "s3://#ns/a"]);

    let wire = log.state.bmd.to_wire();
    assert_eq!((&wire["uuid"], &wire["version"]), (&json!("cluster"), &json!("5")));
    assert_eq!(wire["providers"]["ais"]["@#"].as_object().unwrap().len(), 3);
    assert!(wire["providers"]["aws"]["@#ns"]["a"]["bid"].is_string());

    let stored = serde_json::to_value(&log.state).unwrap();
    assert_eq!(serde_json::from_value::<ClusterState>(stored.clone()).unwrap(), log.state);
    let mut twisted = stored;
    twisted["bmd"]["buckets"].as_array_mut().unwrap().reverse();
    let err = serde_json::from_value::<ClusterState>(twisted).unwrap_err();
    assert!(err.to_string().contains("out of order"), "{err}");
}

#[test]
fn commands_keep_their_stored_form() {
    let stored = json!({"register_node": {"node": target("t1", 1)}});
    assert_eq!(serde_json::to_value(register(&target("t1", 1))).unwrap(), stored);
    assert_eq!(serde_json::to_value(Command::ResetConfig).unwrap(), json!("reset_config"));
    let pairs = vec![("a".to_owned(), "b".to_owned())];
    let command = Command::SetConfigPairs { pairs };
    let stored = json!({"set_config_pairs": {"pairs": [["a", "b"]]}});
    assert_eq!(serde_json::from_value::<Command>(stored).unwrap(), command);
}

#[test]
fn erasure_coding_needs_enough_targets_unless_forced() {
    let mut log = Log::new();
    log.change(create("b"));
    let ec = |force: bool| json!({"ec": {"enabled": true, "data_slices": 1, "parity_slices": 1}, "force": force});
    for (id, port) in [("t1", 11), ("t2", 12)] {
        log.change(register(&target(id, port)));
    }
    let err = log.refuse(patch_props("b", ec(false)));
    assert_eq!(err.status, 400);
    for part in ["ais://b", "needs 3 active targets", "has 2", "force"] {
        assert!(err.message.contains(part), "{err}");
    }
    let create_with = |patch| Command::CreateBucket {
        bucket: Bucket::ais("c"),
        patch: Some(patch),
        created_ns: 1,
    };
    assert_eq!(log.refuse(create_with(ec(false))).status, 400);
    log.change(create_with(ec(true)));
    log.change(register(&target("t3", 13)));
    log.change(patch_props("b", ec(false)));
}

#[test]
fn properties_are_not_reset_under_an_attached_backend() {
    let mut log = Log::new();
    log.change(create("b"));
    let backend = |name: &str, provider: &str| {
        patch_props("b", json!({"backend_bck": {"name": name, "provider": provider}}))
    };
    log.change(backend("far", "aws"));
    let reset = Command::ResetProps { bucket: Bucket::ais("b") };
    let err = log.refuse(reset.clone());
    assert_eq!((err.status, err.message.contains("s3://far")), (400, true), "{err}");
    log.change(backend("", ""));
    log.ignore(reset);
}
