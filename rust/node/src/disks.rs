//! Throughput of the disks under a target's mountpaths, from `/proc/diskstats`.
//!
//! Best effort: file systems without a block device of their own (overlay, network) read zero.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use aistore_store::MountpathUsage;
use serde_json::{Map, Value, json};

use crate::mountpaths::Labels;
use crate::status::disk_name;

/// Bytes per sector as the kernel counts them, whatever the disk has.
const SECTOR_BYTES: u64 = 512;

/// Counters since boot.
#[derive(Debug, Clone, Copy, Default)]
struct Counters {
    reads: u64,
    read_bytes: u64,
    writes: u64,
    written_bytes: u64,
    busy_ms: u64,
}

static LAST: Mutex<Option<(Instant, BTreeMap<String, Counters>)>> = Mutex::new(None);

/// The protocol's disk record: rates since the last question, capacity beside it.
pub(crate) fn read(usage: &[MountpathUsage], labels: &Labels) -> Value {
    let now = Instant::now();
    let current = parse(&fs::read_to_string("/proc/diskstats").unwrap_or_default());
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let (before, seconds) = match last.as_ref() {
        Some((at, counters)) => (counters.clone(), now.duration_since(*at).as_secs().max(1)),
        None => (current.clone(), 1),
    };
    let mut disks = Map::new();
    for entry in usage {
        let name = disk_name(&entry.fs);
        let a = before.get(name).copied().unwrap_or_default();
        let b = current.get(name).copied().unwrap_or_default();
        disks.insert(name.to_owned(), rates(a, b, seconds));
    }
    *last = Some((now, current));
    drop(last);
    let mut record = crate::status::capacity_of(Some(usage), labels);
    if let Some(fields) = record.as_object_mut() {
        fields.insert("AllDiskStats".into(), disks.into());
    }
    record
}

fn rates(a: Counters, b: Counters, seconds: u64) -> Value {
    let average = |bytes: u64, calls: u64| bytes.checked_div(calls).unwrap_or(0);
    let (reads, writes) = (b.reads.saturating_sub(a.reads), b.writes.saturating_sub(a.writes));
    let read = b.read_bytes.saturating_sub(a.read_bytes);
    let written = b.written_bytes.saturating_sub(a.written_bytes);
    let busy = b.busy_ms.saturating_sub(a.busy_ms) / (10 * seconds);
    json!({
        "RBps": read / seconds,
        "Ravg": average(read, reads),
        "WBps": written / seconds,
        "Wavg": average(written, writes),
        "Util": busy.min(100),
    })
}

fn parse(diskstats: &str) -> BTreeMap<String, Counters> {
    let line = |line: &str| {
        let mut words = line.split_whitespace().skip(2);
        let name = words.next()?.to_owned();
        let n: Vec<u64> = words.map(|word| word.parse().unwrap_or(0)).collect();
        let at = |index: usize| n.get(index).copied().unwrap_or(0);
        let counters = Counters {
            reads: at(0),
            read_bytes: at(2) * SECTOR_BYTES,
            writes: at(4),
            written_bytes: at(6) * SECTOR_BYTES,
            busy_ms: at(9),
        };
        Some((name, counters))
    };
    diskstats.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_lines_become_rates() {
        let before = parse("8 0 sda 10 0 100 0 5 0 50 0 0 1000 0");
        let after = parse("8 0 sda 20 0 300 0 5 0 50 0 0 2000 0\nshort\n");
        let record = rates(before["sda"], after["sda"], 2);
        assert_eq!(record["RBps"], 200 * 512 / 2);
        assert_eq!(record["Ravg"], 200 * 512 / 10);
        assert_eq!(record["WBps"], 0);
        assert_eq!(record["Util"], 50);
    }
}
