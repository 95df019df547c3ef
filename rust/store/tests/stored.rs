//! What the store says is stored is what lies on the disks, to the byte.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in helpers of tests a panic is the report")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use aistore_core::checksum::ChecksumType;
use aistore_store::inspect::each_blob;
use aistore_store::{
    Amount, BucketUsage, Chunks, MountpathStored, PartOptions, PutOptions, Standing, Store,
    StoreConfig,
};
use support::{BID, Fixture, put_in, query, uname, walk};

const OTHER: u64 = 1 << 63 | 6;
const SEGMENT_BYTES: u64 = 256 << 10;

fn amount(files: &[PathBuf]) -> Amount {
    let bytes = files.iter().map(|file| std::fs::metadata(file).unwrap().len()).sum();
    Amount { count: files.len() as u64, bytes }
}

/// What a walk over a mountpath finds; buckets aside, which span mountpaths.
fn walked(path: &Path) -> MountpathStored {
    let mut found = MountpathStored { path: path.to_owned(), counted: true, ..Default::default() };
    let of = |name: &str| {
        let mut files = Vec::new();
        walk(&path.join("ais").join(name), &mut files);
        files
    };
    found.files = amount(&of("blobs"));
    let mut segments = of("segments");
    segments.retain(|file| file.extension().is_some_and(|kind| kind == "segment"));
    found.segments = amount(&segments);
    (found.quarantine, found.tmp) = (amount(&of("quarantine")), amount(&of("tmp")));
    found.appends = amount(&of("appends"));
    each_blob(path, |blob| {
        if blob.offset > 0 {
            let bytes = (32 + blob.length).next_multiple_of(8);
            if blob.dead {
                found.dead_bytes += bytes;
            } else {
                found.records.count += 1;
                found.records.bytes += bytes;
            }
        }
    })
    .unwrap();
    found
}

/// What listings say of a bucket.
fn listed(store: &Store, bid: u64) -> BucketUsage {
    let query = aistore_store::ListQuery { copies: true, ..query("", "", 100_000, false) };
    let mut found = BucketUsage::default();
    for entry in store.list(bid, &query).unwrap().entries {
        let (count, bytes) = match entry.standing {
            Standing::Main => (&mut found.objects, &mut found.bytes),
            _ => (&mut found.copies, &mut found.copy_bytes),
        };
        *count += 1;
        *bytes += entry.meta.size;
    }
    found
}

/// Sums over the mountpaths.
fn buckets(stored: &[MountpathStored]) -> BTreeMap<u64, BucketUsage> {
    let mut sums: BTreeMap<u64, BucketUsage> = BTreeMap::new();
    for (bid, usage) in stored.iter().flat_map(|one| &one.buckets) {
        let sum = sums.entry(*bid).or_default();
        sum.objects += usage.objects;
        sum.bytes += usage.bytes;
        sum.copies += usage.copies;
        sum.copy_bytes += usage.copy_bytes;
    }
    sums
}

/// The first difference between what is counted and what is there.
fn difference(store: &Store) -> Option<String> {
    let stored = store.stored();
    for one in &stored {
        let mut is = one.clone();
        (is.buckets, is.upload_parts) = (BTreeMap::new(), Amount::default());
        let should = walked(&one.path);
        if is != should {
            return Some(format!("counted {is:#?}, walked {should:#?}"));
        }
    }
    let counted = buckets(&stored);
    for bid in [BID, OTHER] {
        let (is, should) = (counted.get(&bid).copied().unwrap_or_default(), listed(store, bid));
        if is != should {
            return Some(format!("bucket {bid}: counted {is:?}, listed {should:?}"));
        }
    }
    let parts = stored.iter().map(|one| one.upload_parts.count).sum::<u64>();
    let uploads = [BID, OTHER].iter().flat_map(|bid| store.uploads(*bid).unwrap());
    let should = uploads.map(|upload| upload.parts as u64).sum::<u64>();
    (parts != should).then(|| format!("counted {parts} parts of uploads, there are {should}"))
}

fn check(store: &Store, when: &str) {
    // What is counted after a crash, and swept, takes a moment.
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Some(difference) = difference(store) {
        assert!(Instant::now() < deadline, "{when}: {difference}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn size(&mut self) -> usize {
        let size = match self.below(8) {
            0 => 0,
            1 => 60_000 + self.below(10_000),
            2 => 66_000 + self.below(100_000),
            _ => self.below(9000),
        };
        usize::try_from(size).unwrap()
    }
}

fn one_operation(store: &Store, random: &mut Random) {
    let bid = if random.below(4) == 0 { OTHER } else { BID };
    let name = format!("o{}", random.below(40));
    let object = uname(bid, &name);
    let bytes = vec![7; random.size()];
    match random.below(15) {
        0..=4 => {
            let copies = usize::try_from(1 + random.below(2)).unwrap();
            let chunks = (random.below(4) == 0).then_some(Chunks { from: 1, size: 30_000 });
            let checksum = ChecksumType::Xxhash2;
            let options = PutOptions { copies, chunks, checksum, ..support::options() };
            put_in(store, bid, &name, &bytes, options).unwrap();
        }
        5 | 6 => drop(store.delete(bid, &object, &name).unwrap()),
        7 => {
            let to = format!("o{}", random.below(40));
            if to != name {
                let to = (uname(bid, &to), to);
                store.rename(bid, (&object, &name), (&to.0, &to.1)).unwrap();
            }
        }
        8 => {
            let value = "v".repeat(usize::try_from(random.below(300)).unwrap());
            let change =
                |custom: &mut BTreeMap<String, String>| drop(custom.insert("k".into(), value));
            store.patch_custom(bid, &object, &name, change).unwrap();
        }
        9 => upload(store, (bid, &object, &name), random),
        10 => {
            let kind = ChecksumType::Xxhash2;
            let mut writer = store.begin_append((bid, &object, &name), kind).unwrap();
            writer.write(&bytes).unwrap();
            let mut state = writer.finish().unwrap();
            for _ in 0..random.below(3) {
                let mut writer = store.continue_append((bid, &object), state).unwrap();
                writer.write(&bytes).unwrap();
                state = writer.finish().unwrap();
            }
            if random.below(3) > 0 {
                store.flush_append((bid, &object, &name), state, &support::options()).unwrap();
            }
        }
        11 => {
            let copies = usize::try_from(1 + random.below(2)).unwrap();
            let _ = store.set_copies(bid, &object, &name, copies).unwrap();
        }
        12 => {
            let to = uname(OTHER, &name);
            let choose = |_: &_, _: Option<&_>| aistore_store::Choice::Move;
            store
                .move_to_bucket((BID, &uname(BID, &name), &name), (OTHER, &to, &name), choose)
                .unwrap();
        }
        13 if random.below(10) == 0 => drop(store.destroy_bucket(OTHER).unwrap()),
        // A put that is given up.
        13 => {
            let mut writer = store.begin_put(bid, &object, &name, support::options()).unwrap();
            writer.write(&bytes).unwrap();
        }
        _ => drop(store.compact(&AtomicBool::new(false))),
    }
}

fn upload(store: &Store, (bid, object, name): (u64, &str, &str), random: &mut Random) {
    let id =
        store.start_upload((bid, object, name), BTreeMap::new(), ChecksumType::None, 1).unwrap();
    let parts: Vec<u32> = (1..=u32::try_from(1 + random.below(3)).unwrap()).collect();
    for number in &parts {
        let options = PartOptions { now_ns: 1, ..PartOptions::default() };
        let mut part = store.begin_part((bid, name), id, *number, options).unwrap();
        part.write(&vec![3; random.size()]).unwrap();
        part.finish().unwrap();
    }
    match random.below(3) {
        0 => {}
        1 => store.abort_upload(bid, name, id).unwrap(),
        _ => {
            store.complete_upload((bid, object, name), id, &parts, &support::options()).unwrap();
        }
    }
}

fn copy_tree(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

#[test]
fn counts_are_what_lies_on_the_disks_after_any_operations_restarts_and_crashes() {
    for seed in 1..=3 {
        let mut random = Random(seed);
        let fixture = Fixture::new(2);
        let config = || StoreConfig { segment_bytes: SEGMENT_BYTES, ..fixture.config() };
        let mut store = Store::open(config()).unwrap();
        check(&store, "new");
        for step in 0..120 {
            one_operation(&store, &mut random);
            if step % 8 == 0 {
                assert_eq!(difference(&store), None, "seed {seed}, step {step}");
            }
            if step % 40 == 20 {
                drop(store);
                store = Store::open(config()).unwrap();
                assert_eq!(difference(&store), None, "seed {seed}, restart at {step}");
            }
            if step % 40 == 35 {
                // What a crash would leave is what lies there now.
                let dir = tempfile::tempdir().unwrap();
                let paths = fixture.paths.iter().enumerate().map(|(at, path)| {
                    let to = dir.path().join(format!("mp{at}"));
                    copy_tree(path, &to);
                    to
                });
                let paths = paths.collect();
                let crashed = Store::open(StoreConfig {
                    segment_bytes: SEGMENT_BYTES,
                    ..StoreConfig::new(paths)
                });
                let crashed = crashed.unwrap();
                (0..10).for_each(|_| one_operation(&crashed, &mut random));
                check(&crashed, &format!("seed {seed}, crash at {step}"));
            }
        }
    }
}

#[test]
fn counts_are_exact_while_they_are_made_beside_changes() {
    let fixture = Fixture::of_files(1);
    let store = fixture.open();
    for i in 0..1500 {
        put_in(&store, BID, &format!("o{i:04}"), &vec![1; i], support::options()).unwrap();
    }
    drop(store);
    let run = fixture.paths[0].join("ais/run.json");
    let text = std::fs::read_to_string(&run).unwrap();
    assert!(text.contains("\"stored\""), "{text}");
    std::fs::write(&run, text.replace("\"clean\":true", "\"clean\":false")).unwrap();
    let store = fixture.open();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let store = &store;
            scope.spawn(move || {
                for i in (thread..1500).step_by(3) {
                    let name = format!("o{i:04}");
                    match i % 4 {
                        0 => drop(store.delete(BID, &uname(BID, &name), &name).unwrap()),
                        1 => drop(put_in(store, BID, &name, &[2; 77], support::options()).unwrap()),
                        _ => {}
                    }
                }
            });
        }
    });
    check(&store, "counted beside changes");
}
