use serde_json::{Value, json};

use super::*;
use crate::checksum::ChecksumType;

const BID: u64 = 1 << 63 | 5;

fn props() -> BucketProps {
    BucketProps::new(&ClusterConfig::default(), &Bucket::ais("b"), BID, 42)
}

fn cloud() -> BucketProps {
    let bucket = Bucket { provider: Provider::Aws, ..Bucket::ais("b") };
    BucketProps::new(&ClusterConfig::default(), &bucket, 9, 42)
}

/// Asserts a 400 whose message has all of `parts`.
fn refused(result: Result<BucketProps, ApiError>, parts: &[&str]) {
    let err = result.unwrap_err();
    assert_eq!(err.status, 400, "{err}");
    for part in parts {
        assert!(err.message.contains(part), "{part:?} is missing in: {err}");
    }
}

#[test]
fn a_new_bucket_has_the_wire_form() {
    let wire = serde_json::to_value(props()).unwrap();
    let config = serde_json::to_value(ClusterConfig::default()).unwrap();
    let expected = json!({
        "backend_bck": {"name": "", "provider": "", "namespace": {"uuid": "", "name": ""}},
        "write_policy": config["write_policy"], "checksum": config["checksum"],
        "rate_limit": config["rate_limit"], "ec": config["ec"], "chunks": config["chunks"],
        "mirror": config["mirror"], "versioning": config["versioning"], "lru": config["lru"],
        "provider": "ais", "Renamed": "", "extra": {"aws": {}, "gcp": {}, "oci": {}},
        "access": "18446744073709551615", "features": "0", "bid": BID.to_string(), "created": "42",
    });
    assert_eq!(wire, expected);
    assert_eq!(serde_json::from_value::<BucketProps>(wire).unwrap(), props());
}

#[test]
fn eviction_starts_off_in_native_buckets_only() {
    let mut config = ClusterConfig::default();
    config.lru.enabled = true;
    let far = Bucket { provider: Provider::Gcp, ..Bucket::ais("b") };
    assert!(!BucketProps::new(&config, &Bucket::ais("b"), BID, 1).lru.enabled);
    assert!(BucketProps::new(&config, &far, 1, 1).lru.enabled);
}

#[test]
fn patches_merge_at_every_level() {
    let after = props()
        .patched(&json!({
            "versioning": {"enabled": false, "synchronize": null}, "mirror": null, "access": "771",
            "checksum": {"type": "md5"}, "extra": {"custom": "mine", "aws": {"multipart_size": "-1"}},
            "features": "33554448", "force": true,
        }))
        .unwrap();
    let mut expected = props();
    expected.versioning.enabled = false;
    expected.access = ACCESS_READ_ONLY;
    expected.checksum.kind = ChecksumType::Md5;
    expected.extra.custom = "mine".into();
    expected.extra.aws.multipart_size = crate::units::OptionalSize::Off;
    // Bit 25 is not a bucket's; only bit 4 stays.
    expected.features = 16;
    assert_eq!(after, expected);
    assert!(
        after.allows(ACCESS_GET | ACCESS_LIST_OBJECTS) && !after.allows(ACCESS_GET | ACCESS_PUT)
    );
    assert_eq!(after.reset(&ClusterConfig::default()), props());
    assert_eq!(props().patched(&json!({})).unwrap(), props());
}

#[test]
fn bad_patches_name_key_value_and_what_is_accepted() {
    let patch = |value: Value| props().patched(&value);
    refused(patch(json!({"mirror": {"copiez": 3}})), &["mirror.copiez", "mean \"copies\"?"]);
    refused(patch(json!({"checksum": {"type": "xxhash3"}})), &["mean \"xxhash2\"?"]);
    refused(patch(json!({"colour": 3})), &["colour", "`checksum`"]);
    refused(patch(json!({"extra": {"aws": {"x": 1}}})), &["extra.aws.x", "`cloud_region`"]);
    refused(patch(json!({"mirror": {"copies": "3"}})), &["mirror.copies", "\"3\""]);
    refused(patch(json!({"mirror": 3})), &["mirror", "3"]);
    refused(patch(json!({"access": "rw"})), &["access", "rw", "decimal"]);
    refused(patch(json!({"checksum": {"type": "sha1"}})), &["checksum.type", "sha1", "`md5`"]);
    refused(patch(json!({"force": 1})), &["force", "1", "true or false"]);
    refused(
        patch(json!({"write_policy": {"data": "soon"}})),
        &["write_policy.data", "soon", "immediate"],
    );
    refused(patch(json!({"features": "6144"})), &["Disable-Cold-GET"]);
    refused(patch(json!({"features": "1073741824"})), &["features"]);
    refused(patch(json!(null)), &["JSON object"]);
    for key in ["bid", "created", "provider", "Renamed"] {
        refused(patch(json!({key: "1"})), &[key, "cannot be set"]);
        assert!(patch(json!({key: null})).is_ok(), "null changes nothing");
    }
}

#[test]
fn bounds_of_the_protocol() {
    let long = "x".repeat(300);
    for (value, key) in [
        (json!({"extra": {"custom": &long}}), "extra.custom"),
        (json!({"extra": {"custom": "a\nb"}}), "extra.custom"),
        (json!({"extra": {"aws": {"endpoint": "ftp://h"}}}), "extra.aws.endpoint"),
        (json!({"extra": {"aws": {"endpoint": "http://"}}}), "extra.aws.endpoint"),
        (json!({"extra": {"aws": {"multipart_size": "1MiB"}}}), "extra.aws.multipart_size"),
        (json!({"extra": {"aws": {"multipart_size": "6GiB"}}}), "extra.aws.multipart_size"),
        (json!({"extra": {"aws": {"max_pagesize": 10001}}}), "extra.aws.max_pagesize"),
        (json!({"extra": {"aws": {"profile": &long}}}), "extra.aws.profile"),
        (json!({"extra": {"aws": {"cloud_region": " eu"}}}), "extra.aws.cloud_region"),
        (json!({"extra": {"oci": {"region": "x".repeat(65)}}}), "extra.oci.region"),
        (json!({"extra": {"gcp": {"application_creds": "a/b"}}}), "extra.gcp.application_creds"),
        (
            json!({"extra": {"gcp": {"application_creds": "/a/../b"}}}),
            "extra.gcp.application_creds",
        ),
        (json!({"mirror": {"enabled": true, "copies": 33}}), "mirror.copies"),
        (json!({"ec": {"data_slices": 0}}), "ec.data_slices"),
        (json!({"ec": {"parity_slices": 33}}), "ec.parity_slices"),
        (json!({"ec": {"objsize_limit": -2}}), "ec.objsize_limit"),
        (json!({"chunks": {"chunk_size": "6GiB"}}), "chunks.chunk_size"),
        (
            json!({"mirror": {"enabled": true}, "chunks": {"objsize_limit": "1GiB"}}),
            "chunks.objsize_limit",
        ),
        (json!({"lru": {"capacity_upd_time": "9s"}}), "lru.capacity_upd_time"),
        (json!({"lru": {"dont_evict_time": "59m"}}), "lru.dont_evict_time"),
        (
            json!({"rate_limit": {"frontend": {"burst_size": 600}}}),
            "rate_limit.frontend.burst_size",
        ),
    ] {
        refused(props().patched(&value), &[key]);
    }
    let good = json!({"extra": {"aws": {"endpoint": "https://h:1/x", "multipart_size": "5MiB", "max_pagesize": 10000},
                                "gcp": {"application_creds": "/a/b.json"}}});
    props().patched(&good).unwrap();
}

#[test]
fn one_copy_switches_mirroring_off_and_enabling_repairs_it() {
    let on = props().patched(&json!({"mirror": {"enabled": true, "copies": 3}})).unwrap();
    assert!(on.mirror.enabled && on.needs_mirroring(&props()));
    let off = on.patched(&json!({"mirror": {"copies": 1}})).unwrap();
    assert!(!off.mirror.enabled && !off.needs_mirroring(&on));
    let again = off.patched(&json!({"mirror": {"enabled": true}})).unwrap();
    assert_eq!((again.mirror.enabled, again.mirror.copies), (true, 2));
}

#[test]
fn erasure_coding_is_fixed_once_enabled() {
    let on = props().patched(&json!({"ec": {"enabled": true}})).unwrap();
    assert!(on.needs_encoding(&props()));
    assert_eq!((on.targets_needed(), props().targets_needed()), (5, 1));
    refused(on.patched(&json!({"ec": {"data_slices": 3}})), &["ec", "data_slices 3", "disable"]);
    refused(on.patched(&json!({"ec": {"objsize_limit": -1}})), &["ec.objsize_limit", "force"]);
    let forced = on.patched(&json!({"ec": {"objsize_limit": -1}, "force": true})).unwrap();
    assert_eq!((forced.ec.objsize_limit, forced.targets_needed()), (-1, 3));
    on.patched(&json!({"ec": {"enabled": false, "data_slices": 3}})).unwrap();
    let both = json!({"ec": {"enabled": true}, "mirror": {"enabled": true}});
    assert_eq!(props().patched(&both).unwrap_err().status, 409);
}

#[test]
fn backends_are_remote_and_complete_and_can_be_detached() {
    let attach =
        json!({"backend_bck": {"name": "far", "provider": "s3", "namespace": {"name": "n"}}});
    let on = props().patched(&attach).unwrap();
    let remote = on.backend_bck.bucket().unwrap().unwrap();
    assert_eq!((on.backend_bck.provider.as_str(), remote.cname().as_str()), ("aws", "s3://#n/far"));
    let moved = on.patched(&json!({"backend_bck": {"namespace": {"uuid": "u"}}})).unwrap();
    assert_eq!(moved.backend_bck.namespace, Namespace { uuid: "u".into(), name: String::new() });
    let off = on.patched(&json!({"backend_bck": {"name": "", "provider": ""}})).unwrap();
    assert_eq!(off, props());
    for bad in [
        json!({"name": "far"}),
        json!({"name": "far", "provider": "ais"}),
        json!({"name": "fa/r", "provider": "aws"}),
        json!({"name": "far", "provider": "ftp"}),
        json!({"bucket": "far"}),
    ] {
        refused(props().patched(&json!({"backend_bck": bad})), &[]);
    }
    refused(cloud().patched(&attach), &["backend_bck", "ais://"]);
    // A remote cluster of our own kind is remote too.
    let remote =
        json!({"backend_bck": {"name": "far", "provider": "ais", "namespace": {"uuid": "u"}}});
    props().patched(&remote).unwrap();
}

#[test]
fn versioning_of_cloud_buckets_follows_the_provider() {
    refused(cloud().patched(&json!({"versioning": {"enabled": false}})), &["versioning.enabled"]);
    cloud().patched(&json!({"versioning": {"synchronize": true}})).unwrap();
}
