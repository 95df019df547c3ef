//! Wall clock, processor time and memory.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long nothing happens before the engine counts as at rest, and how often that is waited for.
const REST: Duration = Duration::from_millis(300);
const MOST_RESTS: usize = 400;

/// One figure.
pub struct Figure {
    pub name: String,
    pub unit: &'static str,
    pub value: f64,
    /// The same per second of processor time of the threads that called.
    pub per_core: Option<f64>,
    /// The same per second of processor time of the whole process: of the engine's own threads too, until they
    /// rest again.
    pub per_core_with_engine: Option<f64>,
}

#[derive(Default)]
pub struct Meter {
    pub json: bool,
    pub goals: bool,
}

impl Meter {
    /// Runs `work` on so many threads, each with its number, and prints how often per second.
    pub fn rate(
        &self,
        name: &str,
        count: usize,
        threads: usize,
        work: impl Fn(usize) + Sync,
    ) -> f64 {
        let own = Mutex::new(0.0);
        let (start, process) = (Instant::now(), process_seconds());
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (work, own) = (&work, &own);
                scope.spawn(move || {
                    let before = thread_seconds();
                    (thread..count).step_by(threads).for_each(work);
                    *own.lock().unwrap() += thread_seconds() - before;
                });
            }
        });
        let wall = start.elapsed().as_secs_f64();
        let own = *own.lock().unwrap();
        rest();
        let process = process_seconds() - process;
        let count = count as f64;
        self.show(&Figure {
            name: name.to_owned(),
            unit: "/s",
            value: count / wall,
            per_core: Some(count / own),
            per_core_with_engine: Some(count / process.max(own)),
        });
        count / own
    }

    pub fn value(&self, name: &str, unit: &'static str, value: f64) {
        let name = name.to_owned();
        self.show(&Figure { name, unit, value, per_core: None, per_core_with_engine: None });
    }

    pub fn show(&self, figure: &Figure) {
        let Figure { name, unit, value, per_core, per_core_with_engine } = figure;
        if self.json {
            println!(
                "{}",
                serde_json::json!({"name": name, "unit": unit, "value": value,
                    "per_core": per_core, "per_core_with_engine": per_core_with_engine})
            );
            return;
        }
        let digits = if *value < 100.0 { 3 } else { 0 };
        let optional = |rate: &Option<f64>| rate.map_or(String::new(), |rate| format!("{rate:.0}"));
        println!(
            "{name:58} {value:>12.digits$} {unit:<5} {:>12} {:>12}",
            optional(per_core),
            optional(per_core_with_engine)
        );
    }
}

/// Waits until the engine's threads have done what the calls left to them.
fn rest() {
    let mut before = process_seconds();
    for _ in 0..MOST_RESTS {
        std::thread::sleep(REST);
        let now = process_seconds();
        if now - before < 0.02 {
            break;
        }
        before = now;
    }
}

/// Processor time of this thread.
fn thread_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Processor time of this process, in user and system mode, ended threads included.
pub fn process_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = text.rsplit(')').next().unwrap_or_default();
    let fields = after.split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Memory that is not of files, and its peak, in MiB.
pub fn anonymous_mib() -> f64 {
    status("RssAnon:")
}

fn status(field: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
}

/// Bytes that a directory takes on the disk.
pub fn used(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(meta) = std::fs::symlink_metadata(path) else { return 0 };
    let below = if meta.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| used(&entry.path())).sum()
    } else {
        0
    };
    meta.blocks() * 512 + below
}

/// A number that follows from `n` and looks random.
pub fn mix(n: usize) -> usize {
    let mut z = (n as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from(z ^ (z >> 31)).unwrap_or(0)
}
