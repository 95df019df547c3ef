//! The process: options, start, serving, stop.

pub(crate) mod claims;
mod environment;
pub(crate) mod identity;
mod inspect;
pub(crate) mod nesting;
mod options;
mod secure;
mod signals;
mod start;

use std::io::Write as _;
use std::time::Duration;

use options::{LogFormat, Options, OptionsError};
use signals::StopReasons;

pub(crate) use identity::write_atomically;

use crate::logs;

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
    if args.get(1).is_some_and(|first| first == "inspect") {
        return inspect::main(args.get(1..).unwrap_or_default());
    }
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
    logs::start(logs::own_level(&options.log_level), options.log_format == LogFormat::Json);
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(worker_threads())
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

/// Threads of each kind that do not block.
pub(crate) fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS)
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

/// Connections and blobs are descriptors; the usual soft limit of 1,024 is far below the hard one.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(err) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(error = %err, "cannot raise the limit of open files");
    }
}
