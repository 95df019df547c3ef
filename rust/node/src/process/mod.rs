//! The process: options, start, serving, stop.

mod claims;
mod environment;
mod identity;
mod options;
mod signals;
mod start;

use std::io::Write as _;
use std::time::Duration;

use options::{LogFormat, Options, OptionsError};
use signals::StopReasons;

/// Most async workers: they route and copy, disks and the kernel do the work.
const MAX_WORKERS: usize = 4;
/// Most threads for blocking calls: enough to keep many disks busy.
const MAX_BLOCKING_THREADS: usize = 64;
/// Blocking threads that have nothing to do end after this time, and give their memory back.
const BLOCKING_KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Time for what is left after the drain.
const RUNTIME_STOP: Duration = Duration::from_secs(1);

/// Exit status of a failure while running or starting.
const FAILURE: i32 = 1;
/// Exit status of bad usage.
const USAGE: i32 = 2;

/// Runs a storage node until it is told to stop; `args[0]` is the program's name.
///
/// Returns the exit status: 0 after an orderly stop, 1 for a failure, 2 for bad options. Messages go to
/// standard error.
pub fn main(args: Vec<String>) -> i32 {
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(OptionsError::Usage(err)) => {
            // Nothing can be done about a closed terminal.
            let _ = err.print();
            return err.exit_code();
        }
        Err(OptionsError::Invalid(message)) => {
            complain(&message);
            return USAGE;
        }
    };
    start_log(&options);
    raise_descriptor_limit();
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_KEEP_ALIVE)
        .thread_name("aisnode")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(err) => {
            complain(&format!("cannot start the runtime: {err}"));
            return FAILURE;
        }
    };
    let outcome = runtime.block_on(run(options));
    runtime.shutdown_timeout(RUNTIME_STOP);
    match outcome {
        Ok(()) => 0,
        Err(message) => {
            complain(&message);
            FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), String> {
    let mut reasons = StopReasons::watch(options.parent_pid)
        .map_err(|err| format!("cannot watch for signals: {err}"))?;
    let mut process = start::Process::default();
    let started = tokio::select! {
        started = process.start(&options) => started,
        reason = reasons.next() => {
            tracing::info!(reason, "told to stop while starting");
            process.stop(&options).await;
            return Ok(());
        }
    };
    if let Err(message) = started {
        process.stop(&options).await;
        return Err(message);
    }
    let reason = reasons.next().await;
    tracing::info!(reason, "stopping");
    process.stop(&options).await;
    tracing::info!("stopped");
    Ok(())
}

fn complain(message: &str) {
    // Nothing can be done about a closed terminal.
    let _ = writeln!(std::io::stderr(), "aisnode: {message}");
}

fn start_log(options: &Options) {
    let filter = tracing_subscriber::EnvFilter::new(log_filter(&options.log_level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process keeps the first log.
    let _ = match options.log_format {
        LogFormat::Text => log.with_ansi(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}

/// A bare level is meant for this program; what its libraries have to say is kept to warnings.
fn log_filter(level: &str) -> String {
    const OWN: [&str; 4] = ["aistore_node", "aistore_store", "aistore_cluster", "aistore_core"];
    match level.parse::<tracing::level_filters::LevelFilter>() {
        Ok(bare) => {
            let others = bare.min(tracing::level_filters::LevelFilter::WARN);
            let own = OWN.map(|krate| format!("{krate}={bare}"));
            format!("{others},{}", own.join(","))
        }
        Err(_) => level.to_owned(),
    }
}

/// Connections and blobs are descriptors; the usual soft limit of 1,024 is far below the hard one.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(err) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(error = %err, "cannot raise the limit of open files");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_level_quiets_the_libraries_and_a_filter_is_kept() {
        assert!(log_filter("debug").starts_with("warn,aistore_node=debug,"));
        assert!(log_filter("error").starts_with("error,aistore_node=error,"));
        assert_eq!(log_filter("info,hyper=trace"), "info,hyper=trace");
    }
}
