//! Memory, processor and load of this machine and process, from `/proc`.
//!
//! Best effort: what cannot be read is zero, because a status answer with gaps helps more than none.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::memory;

/// Clock ticks per second in `/proc`; fixed by the kernel's user interface.
const TICKS_PER_S: u64 = 100;
/// Bytes per page, as `/proc/self/statm` counts.
const PAGE_BYTES: u64 = 4096;

/// Busy and total ticks at the last question, to tell a rate.
static LAST: Mutex<Sample> = Mutex::new(Sample { busy: 0, total: 0, own: 0 });

#[derive(Debug, Clone, Copy)]
struct Sample {
    busy: u64,
    total: u64,
    own: u64,
}

/// The protocol's memory and processor record. Reads a few small files that never block on a disk.
pub(crate) fn read() -> Value {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let mem = |key: &str| field_kib(&meminfo, key);
    let [size, resident, share] = own_memory();
    let (machine, available) = (mem("MemTotal"), mem("MemAvailable"));
    // In a control group with a limit there is no more than that, whatever the machine has.
    let total = memory::own_limit().map_or(machine, |limit| limit.bytes.min(machine));
    let available = available.min(total.saturating_sub(resident));
    let free = mem("MemFree").min(total.saturating_sub(resident));
    let cache = mem("Buffers") + mem("Cached");
    let used = total.saturating_sub(available);
    let (user_ticks, kernel_ticks) = own_ticks();
    let (busy_percent, own_percent) = rates(user_ticks + kernel_ticks);
    let load = load_average();
    let epoch_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let ms = |ticks: u64| ticks * 1000 / TICKS_PER_S;
    #[expect(clippy::cast_possible_truncation, reason = "a percentage")]
    let cpu_util = busy_percent.round() as i64;
    json!({
        "mem_used": resident,
        "mem_avail": available,
        "pct_mem_used": percent(resident, total),
        "pct_cpu_used": own_percent,
        "load_avg": {"One": load[0], "Five": load[1], "Fifteen": load[2]},
        "cpu_util": cpu_util,
        "mem": {
            "Total": total, "Used": total.saturating_sub(free), "Free": free, "BuffCache": cache,
            "ActualFree": available, "ActualUsed": used,
            "SwapTotal": mem("SwapTotal"), "SwapFree": mem("SwapFree"),
            "SwapUsed": mem("SwapTotal").saturating_sub(mem("SwapFree")),
        },
        "proc": {
            "CPU": {
                "User": ms(user_ticks), "System": ms(kernel_ticks),
                "Total": ms(user_ticks + kernel_ticks),
                "LastTime": u64::try_from(epoch_ms).unwrap_or(0), "Percent": own_percent,
            },
            "Mem": {"Size": size, "Resident": resident, "Share": share},
        },
    })
}

/// `part` of `whole` in percent; 0 when there is no whole.
#[expect(clippy::cast_precision_loss, reason = "a percentage")]
pub(crate) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

fn field_kib(meminfo: &str, key: &str) -> u64 {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix(key).and_then(|rest| rest.strip_prefix(':')));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn load_average() -> [f64; 3] {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap_or(0.0));
    [(); 3].map(|()| numbers.next().unwrap_or(0.0))
}

/// Size, resident set and shared part of this process in bytes.
fn own_memory() -> [u64; 3] {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = text.split_whitespace().map(|word| word.parse::<u64>().unwrap_or(0));
    [(); 3].map(|()| pages.next().unwrap_or(0) * PAGE_BYTES)
}

/// User and system ticks of this process.
fn own_ticks() -> (u64, u64) {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name, in parentheses, may hold spaces; numbers start after it.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut words = rest.split_whitespace().skip(11).map(|word| word.parse().unwrap_or(0));
    (words.next().unwrap_or(0), words.next().unwrap_or(0))
}

/// Percent of all processors in use by anyone, and of one processor by this process, since the last
/// question (since boot, at the first).
fn rates(own: u64) -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .map(|word| word.parse().unwrap_or(0))
        .collect();
    let total: u64 = ticks.iter().take(8).sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    let now = Sample { busy: total.saturating_sub(idle), total, own };
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let passed = now.total.saturating_sub(last.total);
    let busy = percent(now.busy.saturating_sub(last.busy), passed);
    let mine = percent(now.own.saturating_sub(last.own) * processors, passed);
    *last = now;
    (busy, mine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_memory_and_this_process_uses_some() {
        let record = read();
        assert!(record["mem"]["Total"].as_u64().unwrap() > 0);
        assert!(record["proc"]["Mem"]["Resident"].as_u64().unwrap() > 0);
        assert!(record["cpu_util"].is_i64() || record["cpu_util"].is_u64());
    }

    #[test]
    fn meminfo_lines_are_found_by_their_whole_key() {
        let text = "MemTotal:  10 kB\nCached:  3 kB\nSwapCached: 7 kB\n";
        assert_eq!(field_kib(text, "Cached"), 3 * 1024);
        assert_eq!(field_kib(text, "Mem"), 0);
    }
}
