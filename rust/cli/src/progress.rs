//! Progress of transfers, on standard error.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::note;
use crate::sizes::{Units, per_second};

/// Shortest pause between two lines in a log.
const LINE_INTERVAL: Duration = Duration::from_secs(2);
/// Redraws of the bar per second are indicatif's default; this is how often it moves without news.
const TICK: Duration = Duration::from_millis(200);

/// Where progress goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Hidden,
    /// A bar that redraws itself.
    Bar,
    /// A line now and then, for logs.
    Lines,
}

/// Decides how progress shows: a bar on terminals, lines elsewhere when asked for.
fn mode(terminal: bool, forced: bool) -> Mode {
    match (terminal, forced) {
        (true, _) => Mode::Bar,
        (false, true) => Mode::Lines,
        (false, false) => Mode::Hidden,
    }
}

/// Progress of one command. Clones report to the same place.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Shared>);

struct Shared {
    mode: Mode,
    bar: ProgressBar,
    /// What moves, such as "uploaded".
    verb: &'static str,
    units: Units,
    started: Instant,
    last_line: Mutex<Instant>,
    total_bytes: u64,
    total_items: u64,
    bytes: AtomicU64,
    items: AtomicU64,
}

/// One object's share of the progress.
pub(crate) struct Part {
    progress: Progress,
    seen: AtomicU64,
}

impl Progress {
    /// Starts reporting. `forced` asks for progress also without a terminal.
    pub(crate) fn start(
        verb: &'static str,
        total_items: u64,
        total_bytes: u64,
        forced: bool,
        units: Units,
    ) -> Self {
        let mode = mode(std::io::stderr().is_terminal(), forced);
        let bar = if mode == Mode::Bar { bar(verb, total_bytes) } else { ProgressBar::hidden() };
        let now = Instant::now();
        Self(Arc::new(Shared {
            mode,
            bar,
            verb,
            units,
            started: now,
            last_line: Mutex::new(now),
            total_bytes,
            total_items,
            bytes: AtomicU64::new(0),
            items: AtomicU64::new(0),
        }))
    }

    /// Begins one object.
    pub(crate) fn part(&self) -> Part {
        Part { progress: self.clone(), seen: AtomicU64::new(0) }
    }

    /// One object is done.
    pub(crate) fn item_done(&self) {
        let items = self.0.items.fetch_add(1, Ordering::Relaxed) + 1;
        if self.0.total_items > 1 {
            self.0.bar.set_message(format!("{items}/{}", self.0.total_items));
        }
        self.line(false);
    }

    /// Removes the bar, or prints the last line.
    pub(crate) fn finish(&self) {
        self.0.bar.finish_and_clear();
        self.line(true);
    }

    /// Prints a note without tearing the bar.
    pub(crate) fn note(&self, line: &str) {
        self.0.bar.suspend(|| note(line));
    }

    fn line(&self, last: bool) {
        let shared = &*self.0;
        if shared.mode != Mode::Lines {
            return;
        }
        let now = Instant::now();
        {
            let Ok(mut printed) = shared.last_line.lock() else { return };
            if !last && now.duration_since(*printed) < LINE_INTERVAL {
                return;
            }
            *printed = now;
        }
        let items = (shared.items.load(Ordering::Relaxed), shared.total_items);
        let bytes = (shared.bytes.load(Ordering::Relaxed), shared.total_bytes);
        note(&progress_line(shared.verb, items, bytes, now - shared.started, shared.units));
    }
}

impl Part {
    /// The object's bytes so far. May go back: a retried transfer starts over.
    pub(crate) fn set(&self, so_far: u64) {
        let shared = &*self.progress.0;
        let before = self.seen.swap(so_far, Ordering::Relaxed);
        if so_far >= before {
            shared.bytes.fetch_add(so_far - before, Ordering::Relaxed);
        } else {
            shared.bytes.fetch_sub(before - so_far, Ordering::Relaxed);
        }
        shared.bar.set_position(shared.bytes.load(Ordering::Relaxed));
        self.progress.line(false);
    }

    /// More bytes of the object.
    pub(crate) fn add(&self, bytes: u64) {
        self.set(self.seen.load(Ordering::Relaxed).saturating_add(bytes));
    }
}

/// A wait for something that the cluster does.
pub(crate) struct Waiting {
    mode: Mode,
    bar: ProgressBar,
    what: String,
    last_line: Mutex<Instant>,
}

impl Waiting {
    /// Starts showing that `what` is waited for. `forced` asks for that also without a terminal.
    pub(crate) fn start(what: &str, forced: bool) -> Self {
        let mode = mode(std::io::stderr().is_terminal(), forced);
        let bar =
            if mode == Mode::Bar { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if mode == Mode::Bar {
            bar.set_message(what.to_owned());
            bar.enable_steady_tick(TICK);
        }
        Self { mode, bar, what: what.to_owned(), last_line: Mutex::new(Instant::now()) }
    }

    /// What has been done so far.
    pub(crate) fn show(&self, objects: u64, bytes: u64, units: Units) {
        let line = format!("{}: {objects} objects, {}", self.what, units.size(bytes));
        if self.mode == Mode::Lines {
            let Ok(mut printed) = self.last_line.lock() else { return };
            if printed.elapsed() >= LINE_INTERVAL {
                *printed = Instant::now();
                note(&line);
            }
        } else {
            self.bar.set_message(line);
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn bar(verb: &str, total_bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(total_bytes);
    let style = ProgressStyle::with_template(
        "{prefix} {msg} [{wide_bar}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} ETA {eta}",
    );
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(verb.to_owned());
    bar.enable_steady_tick(TICK);
    bar
}

/// One line of a log: `uploaded 3/10 objects, 1.00MiB of 4.00MiB (25%), 1.00MiB/s, ETA 3.0s`.
fn progress_line(
    verb: &str,
    (items, total_items): (u64, u64),
    (bytes, total_bytes): (u64, u64),
    elapsed: Duration,
    units: Units,
) -> String {
    let rate = per_second(bytes, elapsed);
    let percent = if total_bytes == 0 {
        100
    } else {
        u64::try_from(u128::from(bytes) * 100 / u128::from(total_bytes)).unwrap_or(100)
    };
    let left = total_bytes.saturating_sub(bytes);
    let eta = match left.checked_div(rate) {
        _ if left == 0 => units.duration(Duration::ZERO),
        Some(seconds) => units.duration(Duration::from_secs(seconds)),
        None => "unknown".to_owned(),
    };
    format!(
        "{verb} {items}/{total_items} objects, {} of {} ({percent}%), {}/s, ETA {eta}",
        units.size(bytes),
        units.size(total_bytes),
        units.size(rate),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_need_a_terminal_and_logs_get_lines_on_demand() {
        assert_eq!(mode(true, false), Mode::Bar);
        assert_eq!(mode(false, true), Mode::Lines);
        assert_eq!(mode(false, false), Mode::Hidden);
    }

    #[test]
    fn lines_hold_share_rate_and_eta() {
        let line = |bytes, total, seconds| {
            progress_line(
                "uploaded",
                (1, 4),
                (bytes, total),
                Duration::from_secs(seconds),
                Units::Iec,
            )
        };
        assert_eq!(
            line(1 << 20, 4 << 20, 1),
            "uploaded 1/4 objects, 1.00MiB of 4.00MiB (25%), 1.00MiB/s, ETA 3.0s"
        );
        assert!(line(0, 100, 1).ends_with("ETA unknown"));
        assert!(line(0, 0, 0).contains("(100%)"));
    }

    #[test]
    fn a_retried_part_counts_once() {
        let progress = Progress::start("uploaded", 1, 10, false, Units::Iec);
        let part = progress.part();
        part.set(6);
        part.set(2);
        part.add(8);
        assert_eq!(progress.0.bytes.load(Ordering::Relaxed), 10);
    }
}
