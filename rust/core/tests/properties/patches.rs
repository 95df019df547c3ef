//! Property and configuration patches: refused with a 4xx, or the result is valid and survives its wire form.

use aistore_core::bucket::Bucket;
use aistore_core::config::ClusterConfig;
use aistore_core::props::BucketProps;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn props() -> BucketProps {
    BucketProps::new(&ClusterConfig::default(), &Bucket::ais("b"), 1 << 63 | 5, 42)
}

/// Values of every kind, with those that settings take well represented.
fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..40).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        any::<u64>().prop_map(|n| json!(n.to_string())),
        prop::sample::select(vec![
            "",
            "md5",
            "sha1",
            "none",
            "1h",
            "9s",
            "10m0s",
            "1GiB",
            "4KiB",
            "-1",
            "9999999TiB",
            "delayed",
            "immediate",
            "s3",
            "/a/b",
            "http://h",
            "a b",
            "get:3,put:4",
        ])
        .prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ]
}

/// Every dotted key of a wire form.
fn keys(value: &Value, prefix: &str, found: &mut Vec<String>) {
    if let Value::Object(map) = value {
        for (key, inner) in map {
            let dotted = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            keys(inner, &dotted, found);
            found.push(dotted);
        }
    }
}

fn put(patch: &mut Map<String, Value>, dotted: &str, value: Value) {
    match dotted.split_once('.') {
        None => drop(patch.insert(dotted.to_owned(), value)),
        Some((first, rest)) => {
            let slot = patch.entry(first).or_insert_with(|| json!({}));
            if let Value::Object(inner) = slot {
                put(inner, rest, value);
            }
        }
    }
}

/// Patches that set a few real keys, or ones that look so, to anything.
fn patch(of: &Value) -> impl Strategy<Value = Value> + use<> {
    let mut real = vec![
        "force".to_owned(),
        "colour".into(),
        "extra.custom".into(),
        "extra.aws.endpoint".into(),
        "extra.aws.multipart_size".into(),
        "extra.gcp.application_creds".into(),
        "backend_bck.name".into(),
    ];
    keys(of, "", &mut real);
    prop::collection::vec((prop::sample::select(real), scalar()), 0..5).prop_map(|pairs| {
        let mut patch = Map::new();
        for (key, value) in pairs {
            put(&mut patch, &key, value);
        }
        Value::Object(patch)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn of_buckets(patches in prop::collection::vec(patch(&serde_json::to_value(props()).unwrap()), 1..4)) {
        let mut now = props();
        for patch in patches {
            match now.patched(&patch) {
                Ok(after) => {
                    after.validate().unwrap();
                    let wire = serde_json::to_value(&after).unwrap();
                    prop_assert_eq!(&serde_json::from_value::<BucketProps>(wire).unwrap(), &after, "after {}", patch);
                    prop_assert_eq!((after.bid, after.created, after.provider), (now.bid, now.created, now.provider));
                    // The same patch again changes nothing more.
                    prop_assert_eq!(&after.patched(&patch).unwrap(), &after, "{} twice", patch);
                    now = after;
                }
                Err(err) => prop_assert!((400..500).contains(&err.status), "{patch}: {err}"),
            }
        }
        prop_assert_eq!(now.reset(&ClusterConfig::default()), props());
    }

    #[test]
    fn of_the_configuration(patch in patch(&serde_json::to_value(ClusterConfig::default()).unwrap())) {
        match ClusterConfig::default().patched(&patch) {
            Ok(after) => {
                after.validate().unwrap();
                let wire = serde_json::to_value(&after).unwrap();
                prop_assert_eq!(serde_json::from_value::<ClusterConfig>(wire).unwrap(), after, "after {}", patch);
            }
            Err(err) => prop_assert!((400..500).contains(&err.status), "{patch}: {err}"),
        }
    }

    #[test]
    fn of_any_shape(text in "\\PC{0,60}", number in any::<i64>()) {
        for shape in [json!(text), json!(number), json!([text]), json!({text.clone(): number}), Value::Null] {
            let _ = (props().patched(&shape), ClusterConfig::default().patched(&shape));
        }
    }
}
