use super::*;
use proptest::prelude::*;

fn any_place() -> impl Strategy<Value = Place> {
    any::<(u64, u64)>().prop_map(|(mountpath, blob)| Place { mountpath, blob: BlobId(blob) })
}

fn any_part() -> impl Strategy<Value = Part> {
    let places = proptest::collection::vec(any_place(), 0..4);
    (any::<(u64, u32)>(), places).prop_map(|((size, crc32c), places)| Part { size, crc32c, places })
}

fn any_role() -> impl Strategy<Value = Role> {
    prop_oneof![
        Just(Role::Object),
        any_place().prop_map(|main| Role::Copy { main }),
        any::<(u64, u32)>().prop_map(|(upload, number)| Role::Part { upload, number }),
    ]
}

fn any_meta() -> impl Strategy<Value = ObjectMeta> {
    let custom = proptest::collection::btree_map(".{0,9}", ".{0,20}", 0..4);
    let elsewhere = (
        proptest::collection::vec(any_part(), 0..4),
        any::<bool>(),
        proptest::collection::vec(any_place(), 0..3),
    );
    (any::<[u64; 5]>(), 0_u8..7, any::<Vec<u8>>(), custom, elsewhere).prop_map(
        |([size, atime_ns, mtime_ns, version, blob], code, sum, custom, elsewhere)| {
            let (parts, chunked, copies) = elsewhere;
            ObjectMeta {
                size,
                checksum_type: checksum_of_code(code).unwrap(),
                checksum: hex(&sum),
                atime_ns,
                mtime_ns,
                version,
                custom,
                blob: BlobId(blob),
                parts,
                chunked,
                copies,
            }
        },
    )
}

/// What the first version of the format wrote.
fn encode_v1(meta: &ObjectMeta) -> Vec<u8> {
    let mut out = vec![V1];
    encode_meta(&mut out, V1, meta);
    out
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(role in any_role(), meta in any_meta()) {
        let value = encode_entry(role, &meta);
        prop_assert_eq!(decode_place(&value), Some((meta.blob, meta.size)));
        prop_assert_eq!(decode_entry(&value), Some((role, meta)));
    }

    #[test]
    fn the_first_version_is_still_read(meta in any_meta()) {
        let plain = ObjectMeta { parts: Vec::new(), chunked: false, copies: Vec::new(), ..meta };
        let value = encode_v1(&plain);
        prop_assert_eq!(encode_value(&plain), value.clone());
        prop_assert_eq!(decode_entry(&value), Some((Role::Object, plain)));
    }

    #[test]
    fn a_shortened_value_is_refused(role in any_role(), meta in any_meta(), cut in 1_usize..200) {
        let value = encode_entry(role, &meta);
        let keep = value.len().saturating_sub(cut);
        prop_assert_eq!(decode_entry(&value[..keep]), None);
    }

    #[test]
    fn garbage_never_panics(bytes in any::<Vec<u8>>(), version in 0_u8..4) {
        let value = [&[version], bytes.as_slice()].concat();
        let _ = (decode_entry(&value), decode_place(&value), split_key(&bytes));
    }
}

#[test]
fn keys_sort_by_bucket_then_name() {
    assert!(key(1, "z") < key(2, "a"));
    assert!(key(2, "a") < key(2, "a/"));
    assert_eq!(split_key(&key(7, "ä/b")), Some((7, "ä/b")));
    assert_eq!(split_key(b"short"), None);
}

#[test]
fn the_stored_form_stays_as_it_is() {
    let meta = ObjectMeta {
        size: 300,
        checksum_type: ChecksumType::Crc32c,
        checksum: "364b3fb7".into(),
        version: 2,
        mtime_ns: 1,
        blob: BlobId(5),
        custom: BTreeMap::from([("k".into(), "v".into())]),
        ..ObjectMeta::default()
    };
    let expected = [
        1, 0, 0, 0, 0, 0, 0, 0, 5, 0xac, 2, 2, 1, 0, 4, 4, 0x36, 0x4b, 0x3f, 0xb7, 1, 1, b'k', 1,
        b'v',
    ];
    assert_eq!(encode_value(&meta), expected);
}

#[test]
fn the_stored_form_of_parts_and_copies_stays_as_it_is() {
    let place = |mountpath, blob| Place { mountpath, blob: BlobId(blob) };
    let meta = ObjectMeta {
        size: 3,
        blob: BlobId(5),
        parts: vec![Part { size: 3, crc32c: 0x0102_0304, places: vec![place(7, 8)] }],
        chunked: true,
        copies: vec![place(9, 10)],
        ..ObjectMeta::default()
    };
    let id = |low| [0, 0, 0, 0, 0, 0, 0, low];
    let role = [&[2, 1][..], &id(1), &id(2)].concat();
    let fields = [&id(5)[..], &[3, 0, 0, 0, 0, 0, 0]].concat();
    let parts = [&[1, 3, 1, 2, 3, 4, 1][..], &id(7), &id(8), &[1]].concat();
    let copies = [&[1][..], &id(9), &id(10)].concat();
    let expected = [role, fields, parts, copies].concat();
    assert_eq!(encode_entry(Role::Copy { main: place(1, 2) }, &meta), expected);
    let part = encode_entry(Role::Part { upload: 6, number: 300 }, &ObjectMeta::default());
    assert_eq!(part[..12], [&[2, 2][..], &id(6), &[0xac, 2]].concat());
}
