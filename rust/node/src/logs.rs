//! The node's log files: bounded, rotated, and served to clients. Standard error gets the same lines.
//!
//! One process has one log, whatever roles it runs.

mod files;
mod serve;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use aistore_core::config::LogConf;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};

pub(crate) use self::serve::answer;
use crate::context::NodeContext;
use files::LogFile;

/// What an operator asks for when they ask for nothing.
const DEFAULT_LEVEL: &str = "3";

static FILES: OnceLock<Files> = OnceLock::new();
static FILTER: OnceLock<Filter> = OnceLock::new();

/// The two files: everything, and warnings and errors alone.
#[derive(Debug)]
struct Files {
    dir: PathBuf,
    all: LogFile,
    errors: LogFile,
}

struct Filter {
    handle: reload::Handle<EnvFilter, Registry>,
    /// The filter that the process was started with.
    started_with: String,
}

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    All,
    Errors,
}

impl Severity {
    fn file(self) -> Option<&'static LogFile> {
        let files = FILES.get()?;
        Some(if self == Self::All { &files.all } else { &files.errors })
    }
}

/// Starts logging to standard error; files come with [`attach`]. A second start in one process keeps the
/// first log.
pub(crate) fn start(filter: String, json: bool) {
    let (layer, handle) = reload::Layer::new(EnvFilter::new(&filter));
    let lines = |writer| fmt::layer().with_ansi(false).with_writer(writer);
    let errors = lines(Sink(Severity::Errors)).with_filter(LevelFilter::WARN);
    let registry = tracing_subscriber::registry().with(layer);
    let files = lines(Sink(Severity::All)).and_then(errors);
    let stderr = fmt::layer().with_ansi(false).with_writer(io::stderr);
    let started = if json {
        registry.with(files).with(stderr.json().flatten_event(true)).try_init()
    } else {
        registry.with(files).with(stderr).try_init()
    };
    if started.is_ok() {
        let _ = FILTER.set(Filter { handle, started_with: filter });
    }
}

/// Writes the log to files in `dir` too. Only the process that owns `dir` may call this.
///
/// # Errors
///
/// Those of creating directory and files.
pub(crate) fn attach(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let all = LogFile::open(dir, "aisnode.INFO")?;
    let errors = LogFile::open(dir, "aisnode.ERROR")?;
    // A second node in one process keeps the first log.
    let _ = FILES.set(Files { dir: dir.to_owned(), all, errors });
    Ok(())
}

/// Where the files are; empty before [`attach`].
pub(crate) fn dir() -> PathBuf {
    FILES.get().map(|files| files.dir.clone()).unwrap_or_default()
}

/// Closes the current files and begins new ones.
pub(crate) fn rotate() {
    for severity in [Severity::All, Severity::Errors] {
        if let Some(file) = severity.file() {
            file.rotate();
        }
    }
}

/// Goes by the node's configuration from now on.
pub(crate) async fn follow(ctx: Arc<NodeContext>) {
    let mut changes = ctx.config_changes();
    let mut before = LogConf::default();
    loop {
        let now = ctx.config();
        if now.log != before {
            apply(&now.log);
            before.clone_from(&now.log);
        }
        if !changes.next().await {
            return;
        }
    }
}

/// Writes a line of statistics every so often (`log.stats_time`).
pub(crate) async fn tell_statistics(ctx: Arc<NodeContext>) {
    let (mut changes, mut told) = (ctx.config_changes(), Instant::now());
    loop {
        let period = ctx.config().log.stats_time.0;
        let due = async {
            if period.is_zero() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(period.saturating_sub(told.elapsed())).await;
        };
        tokio::select! {
            () = due => {
                told = Instant::now();
                let mut numbers = ctx.metrics.tracker(ctx.started.elapsed());
                numbers.retain(|_, number| *number > 0);
                tracing::info!(node = ctx.display(), ?numbers, "statistics");
            }
            more = changes.next() => if !more { return },
        }
    }
}

fn apply(conf: &LogConf) {
    if let Some(files) = FILES.get() {
        files.all.limit(conf.max_size.0, conf.max_total.0);
        files.errors.limit(conf.max_size.0, conf.max_total.0);
    }
    if let Some(filter) = FILTER.get() {
        let text = filter_of(&conf.level, &filter.started_with);
        if let Err(err) = filter.handle.reload(EnvFilter::new(text)) {
            tracing::warn!(error = %err, "cannot change the log level");
        }
    }
}

/// The filter for a configured verbosity; the default leaves it to how the process was started.
fn filter_of(level: &str, started_with: &str) -> String {
    let verbosity = level.parse::<u32>().map_or(3, |level| level & 7);
    match verbosity {
        _ if level == DEFAULT_LEVEL => started_with.to_owned(),
        0 | 1 => own_level("error"),
        2 => own_level("warn"),
        3 => own_level("info"),
        4 => own_level("debug"),
        _ => own_level("trace"),
    }
}

/// A bare level is meant for this program; what its libraries have to say is kept to warnings.
pub(crate) fn own_level(level: &str) -> String {
    const OWN: [&str; 4] = ["aistore_node", "aistore_store", "aistore_cluster", "aistore_core"];
    match level.parse::<LevelFilter>() {
        Ok(bare) => {
            let others = bare.min(LevelFilter::WARN);
            let own = OWN.map(|krate| format!("{krate}={bare}"));
            format!("{others},{}", own.join(","))
        }
        Err(_) => level.to_owned(),
    }
}

/// Writes lines to a file once there is one.
struct Sink(Severity);

impl<'w> MakeWriter<'w> for Sink {
    type Writer = SinkWriter;

    fn make_writer(&'w self) -> SinkWriter {
        SinkWriter(self.0)
    }
}

struct SinkWriter(Severity);

impl io::Write for SinkWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(file) = self.0.file() {
            file.append(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_level_quiets_the_libraries_and_a_filter_is_kept() {
        assert!(own_level("debug").starts_with("warn,aistore_node=debug,"));
        assert!(own_level("error").starts_with("error,aistore_node=error,"));
        assert_eq!(own_level("info,hyper=trace"), "info,hyper=trace");
    }

    #[test]
    fn the_default_verbosity_keeps_what_the_process_was_started_with() {
        assert_eq!(filter_of("3", "trace"), "trace");
        assert!(filter_of("4", "info").contains("aistore_node=debug"));
        assert!(filter_of("12", "info").contains("aistore_node=debug"), "module bits do not count");
        assert!(filter_of("1", "info").contains("aistore_node=error"));
    }
}
