//! Checksums: the vectors of the specification, and independence of how the bytes arrive.

use aistore_core::checksum::{ChecksumType, Hasher, checksum};
use proptest::prelude::*;

const TYPES: [&str; 7] = ["none", "xxhash", "xxhash2", "md5", "crc32c", "sha256", "sha512"];

#[test]
fn vectors() {
    let cases = [
        ("xxhash", "", "ef46db3751d8e999"),
        ("xxhash", "abc", "44bc2cf5ad770999"),
        ("xxhash2", "123456789", "8cb841db40e6ae83"),
        ("crc32c", "abc", "364b3fb7"),
        ("crc32c", "123456789", "e3069283"),
        ("crc32c", "", "00000000"),
        ("md5", "", "d41d8cd98f00b204e9800998ecf8427e"),
        ("md5", "abc", "900150983cd24fb0d6963f7d28e17f72"),
        ("sha256", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("sha256", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "sha512",
            "abc",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        ("none", "abc", ""),
    ];
    for (name, text, expected) in cases {
        let kind = ChecksumType::parse(name).unwrap();
        assert_eq!(checksum(kind, text.as_bytes()), expected, "{name} of {text:?}");
    }
}

proptest! {
    #[test]
    fn pieces_do_not_matter(
        data in prop::collection::vec(any::<u8>(), 0..2000),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        name in prop::sample::select(&TYPES[..]),
    ) {
        let kind = ChecksumType::parse(name).unwrap();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
        at.extend([0, data.len()]);
        at.sort_unstable();
        let mut hasher = Hasher::new(kind);
        for pair in at.windows(2) {
            hasher.update(&data[pair[0]..pair[1]]);
        }
        let value = hasher.finish();
        prop_assert!(value.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        prop_assert_eq!(value, checksum(kind, &data));
    }

    #[test]
    fn a_flipped_bit_changes_the_value(
        mut data in prop::collection::vec(any::<u8>(), 1..500),
        at in any::<prop::sample::Index>(),
        bit in 0_u32..8,
        name in prop::sample::select(&TYPES[1..]),
    ) {
        let kind = ChecksumType::parse(name).unwrap();
        let before = checksum(kind, &data);
        let at = at.index(data.len());
        data[at] ^= 1 << bit;
        prop_assert_ne!(checksum(kind, &data), before);
    }

    #[test]
    fn unknown_types_are_refused_by_name(name in "[a-z0-9]{1,10}") {
        match ChecksumType::parse(&name) {
            Ok(kind) => prop_assert_eq!(kind.as_str(), name),
            Err(err) => prop_assert!(err.to_string().contains(&name)),
        }
    }
}
