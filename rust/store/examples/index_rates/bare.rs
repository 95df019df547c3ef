//! The index alone.

use std::time::{SystemTime, UNIX_EPOCH};

use aistore_core::checksum::ChecksumType;
use aistore_store::measuring::BareIndex;
use aistore_store::{BlobId, ObjectMeta};

use crate::meter::{anonymous_mib, mix, used};
use crate::{Options, name};

const BID: u64 = 1 << 63 | 1;

pub fn run(options: &Options) {
    let Options { objects, calls, meter, .. } = options;
    let (objects, calls) = (*objects, *calls);
    let dir = options.dir.join("bare");
    std::fs::create_dir_all(&dir).unwrap();
    let index = BareIndex::open(&dir, options.cache_bytes).unwrap();
    let base = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let base = u64::try_from(base).unwrap();
    let meta = |n: usize| ObjectMeta {
        size: 10_240,
        checksum_type: ChecksumType::Xxhash2,
        checksum: format!("{:016x}", mix(n)),
        atime_ns: base + n as u64 * 1_000,
        mtime_ns: base + n as u64 * 1_000,
        version: 1,
        blob: BlobId(base + n as u64 * 1_000),
        ..ObjectMeta::default()
    };
    // Coprime to any number of objects that is not a multiple of it: an order that is not that of the names.
    let shuffled = |n: usize| n * 7_368_787 % objects;
    meter.rate("bare: fill, 32 threads", objects, 32, |n| {
        index.insert(BID, &name(shuffled(n)), &meta(n)).unwrap();
    });
    meter.value("bare: anonymous memory after the fill", "MiB", anonymous_mib());
    for threads in [1, 32] {
        let from = objects + threads * calls;
        meter.rate(&format!("bare: inserts, {threads} threads"), calls, threads, |n| {
            let n = from + n;
            index.insert(BID, &name(mix(n) % 100_000_000), &meta(n)).unwrap();
        });
    }
    for threads in [1, 2] {
        meter.rate(
            &format!("bare: lookups of present names, {threads} threads"),
            calls,
            threads,
            |n| {
                // Each time others: those looked up before are at hand.
                let n = mix(n + threads * calls) % objects;
                assert!(index.get(BID, &name(n)).unwrap().is_some());
            },
        );
    }
    meter.rate("bare: lookups of absent names, 1 thread", calls, 1, |n| {
        let name = format!("train/{:08}.jpeg", mix(n) % objects);
        assert!(index.get(BID, &name).unwrap().is_none());
    });
    let scanned = index.scan(BID).unwrap();
    meter.rate("bare: entries scanned in order, decoded", usize::try_from(scanned).unwrap(), 1, {
        let once = std::sync::Once::new();
        let index = &index;
        move |_| {
            once.call_once(|| assert_eq!(index.scan(BID).unwrap(), scanned));
        }
    });
    meter.value("bare: anonymous memory after the reads", "MiB", anonymous_mib());
    index.sync().unwrap();
    meter.value("bare: bytes on disk per name", "B", used(&dir) as f64 / scanned as f64);
    drop(index);
    let index = BareIndex::open(&dir, options.large_cache_bytes).unwrap();
    meter.rate("bare: lookups of all names, large cache, first time", objects, 1, |n| {
        assert!(index.get(BID, &name(shuffled(n))).unwrap().is_some());
    });
    // In another order than that in which they came to be at hand.
    meter.rate("bare: lookups of all names, large cache, again", objects, 1, |n| {
        assert!(index.get(BID, &name(mix(n) % objects)).unwrap().is_some());
    });
    meter.value("bare: anonymous memory then", "MiB", anonymous_mib());
    drop(index);
    std::fs::remove_dir_all(&dir).unwrap();
}
