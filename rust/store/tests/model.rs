//! Random sequences of operations against an ordered map.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "in helpers of tests a panic is the report"
)]

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use support::{BID, Fixture, delete, expected_list, get, list, put, uname};

#[derive(Debug, Clone)]
enum Step {
    Put(String, usize),
    Abort(String),
    Delete(String),
    List { prefix: String, delimiter: bool, page: usize },
    Reopen,
    Rebuild,
}

/// Few letters, so that names share prefixes and collide.
fn name() -> impl Strategy<Value = String> {
    "[ab/\u{e4}]{1,5}"
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (name(), prop_oneof![0_usize..300, 65_500_usize..65_600, 100_000_usize..150_000])
            .prop_map(|(name, size)| Step::Put(name, size)),
        1 => name().prop_map(Step::Abort),
        4 => name().prop_map(Step::Delete),
        6 => ("[ab/]{0,2}", any::<bool>(), 1_usize..9)
            .prop_map(|(prefix, delimiter, page)| Step::List { prefix, delimiter, page }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Rebuild),
    ]
}

fn content(seed: usize, size: usize) -> Vec<u8> {
    (0..size).map(|i| u8::try_from((i + seed) % 253).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_store_behaves_like_an_ordered_map(
        mountpaths in 1_usize..4,
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let fixture = Fixture::new(mountpaths);
        let mut store = Some(fixture.open());
        let mut model: BTreeMap<String, (Vec<u8>, u64)> = BTreeMap::new();
        for (i, step) in steps.into_iter().enumerate() {
            let open = store.as_ref().unwrap();
            match step {
                Step::Put(name, size) => {
                    let version = model.get(&name).map_or(1, |(_, version)| version + 1);
                    let meta = put(open, &name, &content(i, size)).unwrap();
                    prop_assert_eq!(meta.version, version);
                    model.insert(name, (content(i, size), version));
                }
                Step::Abort(name) => {
                    let mut writer =
                        open.begin_put(BID, &uname(BID, &name), &name, support::options()).unwrap();
                    writer.write(&content(i, 100_000)).unwrap();
                }
                Step::Delete(name) => {
                    prop_assert_eq!(delete(open, &name), model.remove(&name).is_some());
                }
                Step::List { prefix, delimiter, page } => {
                    let expected = expected_list(&model, &prefix, delimiter);
                    prop_assert_eq!(list(open, &prefix, delimiter, page), expected);
                }
                Step::Reopen => {
                    store = None;
                    store = store.or_else(|| Some(fixture.open()));
                }
                Step::Rebuild => {
                    store = None;
                    for path in &fixture.paths {
                        std::fs::remove_dir_all(path.join("ais/index")).unwrap();
                    }
                    store = store.or_else(|| Some(fixture.open()));
                }
            }
        }
        let open = store.as_ref().unwrap();
        for (name, (bytes, _)) in &model {
            let read = get(open, name);
            prop_assert_eq!(read.as_ref(), Some(bytes));
        }
        prop_assert_eq!(list(open, "", false, 1000), expected_list(&model, "", false));
        prop_assert_eq!(fixture.blobs().len(), model.len());
        prop_assert!(fixture.files("tmp").is_empty());
    }

    #[test]
    fn a_listing_after_any_name_continues_strictly_after_it(
        names in proptest::collection::btree_set("[ab/]{1,4}", 0..40),
        prefix in "[ab/]{0,2}",
        after in "[ab/]{0,4}",
        delimiter: bool,
    ) {
        let fixture = Fixture::new(2);
        let store = fixture.open();
        let model: BTreeMap<String, u8> = names.into_iter().map(|name| (name, 0)).collect();
        for name in model.keys() {
            put(&store, name, b"").unwrap();
        }
        let mut expected = expected_list(&model, &prefix, delimiter);
        expected.retain(|name| *name > after);
        let chunk = store.list(BID, &support::query(&prefix, &after, 1000, delimiter)).unwrap();
        let listed: Vec<String> = chunk.entries.into_iter().map(|entry| entry.name).collect();
        prop_assert_eq!(listed, expected);
        prop_assert!(!chunk.more);
    }
}
