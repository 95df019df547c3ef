use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::checksum::ChecksumType;
use crate::units::{GoDuration, Size};

fn config() -> ClusterConfig {
    ClusterConfig { uuid: "cluster-1".into(), config_version: 7, ..ClusterConfig::default() }
}

fn pairs(pairs: &[(&str, &str)]) -> Result<ClusterConfig, ApiError> {
    let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    config().with_pairs(&pairs)
}

/// Asserts a 400 whose message has all of `parts`.
fn refused<T: std::fmt::Debug>(result: Result<T, ApiError>, parts: &[&str]) {
    let err = result.unwrap_err();
    assert_eq!(err.status, 400, "{err}");
    for part in parts {
        assert!(err.message.contains(part), "{part:?} is missing in: {err}");
    }
}

#[test]
fn defaults_are_valid_and_have_the_wire_form() {
    config().validate().unwrap();
    let wire = serde_json::to_value(config()).unwrap();
    assert_eq!(wire["config_version"], json!("7"));
    assert_eq!(wire["features"], json!("0"));
    assert_eq!(wire["backend"], json!({}));
    assert_eq!(wire["mirror"], json!({"copies": 2, "burst_buffer": 512, "enabled": false}));
    assert_eq!(
        wire["chunks"],
        json!({"objsize_limit": "0B", "max_monolithic_size": "1TiB", "chunk_size": "1GiB"})
    );
    assert_eq!(
        wire["lru"],
        json!({"dont_evict_time": "2h0m", "capacity_upd_time": "10m", "batch_size": 32768, "enabled": false})
    );
    assert_eq!(
        wire["get_batch"],
        json!({"compression": "never", "bundle_multiplier": 2, "burst_buffer": 512, "max_wait": "20s",
               "warmup_workers": -1, "max_soft_errs": 8, "max_gfn": 5})
    );
    assert_eq!(wire["write_policy"], json!({"data": "immediate", "md": "immediate"}));
    assert_eq!(
        wire["rate_limit"],
        json!({"backend": {"interval": "1m", "max_tokens": 1000, "enabled": false, "num_retries": 3},
               "frontend": {"interval": "1m", "max_tokens": 1000, "enabled": false, "burst_size": 375}})
    );
    assert_eq!(
        wire["keepalivetracker"]["proxy"],
        json!({"name": "heartbeat", "interval": "10s", "factor": 3})
    );
    assert_eq!(wire["checksum"]["type"], json!("xxhash2"));
    assert_eq!(wire["disk"]["iostat_time_short"], json!("100ms"));
    assert_eq!(wire["auth"], json!({"client_auth_required": false}));
    assert!(wire.get("tracing").is_none());
    for section in [
        "space",
        "rebalance",
        "log",
        "ec",
        "timeout",
        "client",
        "net",
        "fshc",
        "transport",
        "memsys",
    ] {
        assert!(wire[section].is_object(), "{section}");
    }
}

#[test]
fn a_configuration_survives_its_wire_form() {
    let odd = pairs(&[("chunks.chunk_size", "1500.5KiB"), ("disk.iostat_time_short", "1234567ns")])
        .unwrap();
    let text = serde_json::to_string(&odd).unwrap();
    assert_eq!(serde_json::from_str::<ClusterConfig>(&text).unwrap(), odd);
}

#[test]
fn patches_change_only_what_they_name() {
    let after = config()
        .patched(&json!({"lru": {"enabled": true, "batch_size": null}, "checksum": {"type": "md5"}, "ec": null,
                         "tracing": {"enabled": true, "attributes": {"a": "b"}},
                         "backend": {"ais": {"other": ["http://h:1"]}, "aws": {}}}))
        .unwrap();
    let mut expected = config();
    expected.lru.enabled = true;
    expected.checksum.kind = ChecksumType::Md5;
    let attributes = [("a".to_owned(), "b".to_owned())].into();
    expected.tracing = Some(TracingConf { enabled: true, attributes, ..TracingConf::default() });
    expected.backend =
        [("ais".to_owned(), json!({"other": ["http://h:1"]})), ("aws".to_owned(), json!({}))]
            .into();
    assert_eq!(after, expected);
    let back = after.reset();
    assert_eq!(
        (back.lru, back.config_version, back.backend),
        (LruConf::default(), 7, after.backend)
    );
}

#[test]
fn bad_patches_name_key_value_and_what_is_accepted() {
    let patch = |value| config().patched(&value);
    refused(
        patch(json!({"lru": {"enabeld": true}})),
        &["lru.enabeld", "`enabled`", "`dont_evict_time`"],
    );
    refused(patch(json!({"lruu": {}})), &["lruu", "`lru`"]);
    refused(patch(json!({"lru": {"enabled": "yes"}})), &["lru.enabled", "\"yes\"", "boolean"]);
    refused(patch(json!({"lru": {"dont_evict_time": 5}})), &["lru.dont_evict_time", "5", "10s"]);
    refused(patch(json!({"lru": {"dont_evict_time": "5x"}})), &["lru.dont_evict_time", "5x"]);
    refused(patch(json!({"lru": 3})), &["\"lru\"", "3"]);
    refused(patch(json!({"checksum": {"type": "sha1"}})), &["checksum.type", "sha1", "`sha256`"]);
    refused(patch(json!({"tcb": {"compression": "zip"}})), &["tcb.compression", "zip", "`never`"]);
    refused(patch(json!({"mirror": {"copies": -1}})), &["mirror.copies", "-1"]);
    refused(
        patch(json!({"chunks": {"chunk_size": "1B"}})),
        &["chunks.chunk_size", "1B", "1KiB to 5GiB"],
    );
    refused(
        patch(json!({"space": {"highwm": 50}})),
        &["space.highwm", "50", "space.lowwm, which is 75"],
    );
    refused(patch(json!({"features": "268435456"})), &["features", "268435456"]);
    refused(patch(json!({"features": "6144"})), &["Disable-Cold-GET and Streaming-Cold-GET"]);
    refused(patch(json!([1])), &["JSON object"]);
    refused(patch(json!("x")), &["JSON object"]);
}

#[test]
fn keepalive_is_never_shorter_than_its_limit() {
    refused(
        pairs(&[("keepalivetracker.proxy.interval", "4s")]),
        &["keepalivetracker.proxy.interval", "4s", "timeout.max_keepalive"],
    );
    refused(pairs(&[("timeout.max_keepalive", "11s")]), &["keepalivetracker.proxy.interval"]);
}

#[test]
fn read_only_keys_are_refused() {
    for (key, value) in [
        ("net.http.write_buffer_size", "4096"),
        ("net.http.READ_buffer_size", "4096"),
        ("keepalivetracker.proxy.name", "x"),
        ("keepalivetracker.target.name", "x"),
        ("uuid", "x"),
        ("config_version", "9"),
    ] {
        refused(pairs(&[(key, value)]), &["read-only", &key.to_lowercase()]);
    }
    for patch in [
        json!({"uuid": "other"}),
        json!({"config_version": "8"}),
        json!({"net": {"http": {"read_buffer_size": 1}}}),
        json!({"keepalivetracker": {"target": {"name": "x"}}}),
    ] {
        refused(config().patched(&patch), &["read-only"]);
    }
    let whole = serde_json::to_value(config()).unwrap();
    assert_eq!(config().patched(&whole).unwrap(), config(), "what was read can be sent back");
}

#[test]
fn pairs_are_read_by_the_type_of_their_key() {
    let after = pairs(&[
        ("Rebalance.Enabled", "off"),
        ("lru.enabled", "YES"),
        ("chunks.checkpoint_every", "12"),
        ("chunks.chunk_size", "64m"),
        ("log.flush_time", "1h30m"),
        ("log.level", "4"),
        ("features", "16"),
        ("checksum.type", "sha256"),
        ("get_batch.warmup_workers", "-1"),
        ("get_batch.max_soft_errs", "100"),
        ("rate_limit.frontend.per_op_max_tokens", "get:10"),
        ("auth.required_claims.aud", "[a b c]"),
        ("auth.oidc.allowed_iss", "none"),
        ("net.http.pub.server_crt", "/c"),
        ("tracing.enabled", "true"),
    ])
    .unwrap();
    let mut expected = config();
    expected.rebalance.enabled = false;
    expected.lru.enabled = true;
    expected.chunks.checkpoint_every = 12;
    expected.chunks.chunk_size = Size(64 << 20);
    expected.log.flush_time = GoDuration::from_secs(5400);
    expected.log.level = "4".into();
    expected.features = 16;
    expected.checksum.kind = ChecksumType::Sha256;
    expected.get_batch.max_soft_errs = 100;
    expected.rate_limit.frontend.per_op_max_tokens = "get:10".into();
    let aud = ["a", "b", "c"].map(str::to_owned).into();
    expected.auth.required_claims = Some(ClaimsConf { aud });
    expected.auth.oidc = Some(OidcConf::default());
    expected.net.http.public =
        Some(PublicTlsConf { server_crt: "/c".into(), ..Default::default() });
    expected.tracing = Some(TracingConf { enabled: true, ..TracingConf::default() });
    assert_eq!(after, expected);
}

#[test]
fn bad_pairs_name_key_value_and_what_is_accepted() {
    refused(pairs(&[]), &["KEY=VALUE"]);
    refused(pairs(&[("lru.enabled", "maybe")]), &["lru.enabled", "maybe", "true or false"]);
    refused(pairs(&[("lru.enabled", "")]), &["lru.enabled", "true or false"]);
    refused(pairs(&[("lru.enabeld", "true")]), &["lru.enabeld", "dont_evict_time"]);
    refused(pairs(&[("lru.enabled.x", "true")]), &["lru.enabled.x", "no keys of its own"]);
    refused(pairs(&[("", "true")]), &["unknown"]);
    refused(pairs(&[("lru", "true")]), &["\"lru\" is a section", "enabled"]);
    refused(pairs(&[("backend", "x")]), &["\"backend\"", "JSON"]);
    refused(pairs(&[("mirror.copies", "two")]), &["mirror.copies", "two", "an integer"]);
    refused(pairs(&[("log.flush_time", "10")]), &["log.flush_time", "10", "1h30m"]);
    refused(pairs(&[("chunks.chunk_size", "1PB")]), &["chunks.chunk_size", "1PB"]);
    refused(
        pairs(&[("auth.required_claims.aud", "a b")]),
        &["auth.required_claims.aud", "[a b c]"],
    );
    refused(pairs(&[("features", "0x10")]), &["features", "0x10"]);
    let many: Vec<_> = (0..2000).map(|i| (format!("k{i}"), String::new())).collect();
    refused(config().with_pairs(&many), &["at most 1024"]);
}

#[test]
fn every_key_can_be_found_under_its_own_name() {
    fn leaves(prefix: &str, value: &Value, out: &mut Vec<String>) {
        match value.as_object() {
            Some(keys) => {
                for (key, value) in keys {
                    let name =
                        if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                    leaves(&name, value, out);
                }
            }
            None => out.push(prefix.to_owned()),
        }
    }
    let mut names = Vec::new();
    let wire = serde_json::to_value(config()).unwrap();
    leaves("", &wire, &mut names);
    assert!(names.len() > 150, "{}", names.len());
    for name in names {
        if READ_ONLY.iter().any(|pattern| expand(pattern).contains(&name)) {
            continue;
        }
        // Setting a key to its present value, as text, changes nothing.
        let text = match patch::lookup(&wire, &name) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => panic!("{name}"),
        };
        assert_eq!(pairs(&[(&name.to_uppercase(), &text)]).unwrap(), config(), "{name}");
    }
}

#[test]
fn secrets_are_masked_and_local_keys_stand_beside() {
    let config = config()
        .patched(&json!({"auth": {"signature": {"key": "s3cret", "method": "HS256"}}}))
        .unwrap();
    let local = LocalConfig { confdir: "/etc/x".into(), ..LocalConfig::default() };
    let shown = config.with_local(&local).unwrap();
    assert_eq!(shown["auth"]["signature"], json!({"key": MASK, "method": "HS256"}));
    assert_eq!(shown["confdir"], "/etc/x");
    assert_eq!(shown["host_net"]["port"], "0");
    assert!(!shown.to_string().contains("s3cret"));
    assert_eq!(config.auth.signature.unwrap().key, "s3cret");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        "lru|ec|chunks|mirror|auth|net|http|tracing|oidc|backend|log|level|features|enabled|copies",
        ".{0,6}",
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map(key.clone(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_patch_gives_a_valid_configuration_or_a_400(patch in any_json()) {
        match config().patched(&patch) {
            Ok(after) => prop_assert!(after.validate().is_ok()),
            Err(err) => prop_assert_eq!(err.status, 400),
        }
    }
}
