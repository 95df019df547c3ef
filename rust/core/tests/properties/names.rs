//! Names come back the same through every form in which they travel.

use aistore_core::bucket::{Bucket, Namespace, Provider, validate_object_name};
use aistore_core::text::{decode_path, encode_object_name, encode_query};
use proptest::prelude::*;

/// Object names that the rules allow, with what is awkward in URLs well represented.
fn object_name() -> impl Strategy<Value = String> {
    let piece =
        prop_oneof!["[a-z]{1,4}", "[ %?#&=+/\"'<>:;,~@\\\\]{1,3}", "\\PC{1,3}", Just("//".into())];
    prop::collection::vec(piece, 1..8)
        .prop_map(|pieces: Vec<String>| pieces.concat())
        .prop_filter("allowed names", |name| validate_object_name(name).is_ok())
}

fn bucket() -> impl Strategy<Value = Bucket> {
    let provider = prop::sample::select(vec!["ais", "aws", "gcp", "azure", "oci"]);
    let name = "[A-Za-z0-9_-][A-Za-z0-9_.-]{0,20}".prop_filter("no ..", |n| !n.contains(".."));
    ("[A-Za-z0-9]{0,9}", "[A-Za-z0-9_-]{0,9}", provider, name).prop_map(
        |(uuid, space, provider, name)| Bucket {
            name,
            provider: Provider::parse(provider).unwrap_or_default(),
            namespace: Namespace { uuid, name: space },
        },
    )
}

proptest! {
    #[test]
    fn through_a_url_path(name in object_name()) {
        let encoded = encode_object_name(&name);
        prop_assert!(encoded.is_ascii() && !encoded.contains([' ', '?', '#']));
        prop_assert_eq!(decode_path(&encoded), Some(name));
    }

    #[test]
    fn through_a_query_value(name in object_name()) {
        let encoded = encode_query(&name);
        prop_assert!(encoded.is_ascii() && !encoded.contains(['&', '=', '+', '/', ' ', '#']));
        prop_assert_eq!(decode_path(&encoded), Some(name));
    }

    #[test]
    fn through_uname_cname_and_namespace(bucket in bucket(), name in object_name()) {
        bucket.validate().unwrap();
        let whole = (bucket.clone(), name.clone());
        prop_assert_eq!(Bucket::parse_uname(&bucket.object_uname(&name)).unwrap(), whole.clone());
        prop_assert_eq!(Bucket::parse_url(&bucket.object_cname(&name)).unwrap(), whole);
        prop_assert_eq!(Namespace::parse(&bucket.namespace.to_string()).unwrap(), bucket.namespace.clone());
        let json = serde_json::to_string(&bucket).unwrap();
        prop_assert_eq!(serde_json::from_str::<Bucket>(&json).unwrap(), bucket);
    }

    #[test]
    fn different_objects_have_different_keys(a in (bucket(), object_name()), b in (bucket(), object_name())) {
        let key = |(bucket, name): &(Bucket, String)| bucket.object_uname(name);
        prop_assert_eq!(key(&a) == key(&b), a == b);
    }

    #[test]
    fn any_text_is_a_name_or_an_error(text in "\\PC{0,80}") {
        let _ = (Bucket::parse_url(&text), Bucket::parse_uname(&text), Namespace::parse(&text));
        let _ = (Bucket::from_parts(&text, &text, &text), validate_object_name(&text), decode_path(&text));
    }
}
