//! The `ais` command line.
//!
//! Each command decides first (pure functions: names, plans, rows) and then acts; tables, JSON and
//! progress are rendered in one place each. The exit status is 0 only when everything that was asked
//! for has been done.

mod api;
mod args;
mod batch;
mod buckets;
mod cluster;
mod copy;
mod dispatch;
mod edit;
mod failure;
mod get;
mod jobs;
mod list;
mod names;
mod nodes;
mod output;
mod progress;
mod promote;
mod props;
mod put;
mod remove;
mod settings;
mod show;
mod sink;
mod sizes;
mod storage;
mod table;
mod tls;

use std::io::Write as _;
use std::time::Duration;

use aistore_client::{Client, ClientConfig};
use clap::{CommandFactory as _, Parser as _};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Cli, Command, DEFAULT_ENDPOINT, Global, ObjectCommand};
use crate::failure::{EXIT_ERROR, EXIT_INTERRUPTED, EXIT_OK, EXIT_TERMINATED, Failure};
use crate::output::{Output, note};

/// How often a command is run again while the cluster starts up.
const STARTUP_RETRIES: u32 = 8;
/// Pause before each of them.
const STARTUP_PAUSE: Duration = Duration::from_secs(1);
/// Threads for network work; disk work has its own.
const WORKER_THREADS: usize = 2;

/// Runs one command line, `args[0]` being the program's name, and returns the exit status:
/// 0 done, 1 error or wrong usage, 130 after Ctrl-C, 143 after SIGTERM.
pub fn main(args: Vec<String>) -> i32 {
    if args.len() <= 1 {
        let help = Cli::command().render_help();
        // A closed pipe is the reader's choice.
        let _ = writeln!(std::io::stdout(), "{help}");
        return EXIT_OK;
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(err) => return usage_error(&err),
    };
    let endpoint = normalize_endpoint(cli.global.endpoint.as_deref());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(err) => {
            note(&format!("Error: cannot start worker threads: {err}"));
            return EXIT_ERROR;
        }
    };
    let code = runtime.block_on(until_signal(run(cli, &endpoint)));
    // A thread may still wait in a read of standard input; the process ends without it.
    runtime.shutdown_background();
    code
}

/// Help and version succeed; everything else that clap reports is wrong usage.
fn usage_error(err: &clap::Error) -> i32 {
    if err.use_stderr() {
        let text = err.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        note(&format!("Error: {}", text.trim_end()));
        EXIT_ERROR
    } else {
        let _ = err.print();
        EXIT_OK
    }
}

/// Adds a missing scheme and drops trailing slashes; nothing or an empty text is the default.
fn normalize_endpoint(given: Option<&str>) -> String {
    let text = given.map(str::trim).filter(|text| !text.is_empty()).unwrap_or(DEFAULT_ENDPOINT);
    let text = text.trim_end_matches('/');
    if text.contains("://") {
        return text.to_owned();
    }
    let secure = tls::is_true(&std::env::var("AIS_USE_HTTPS").unwrap_or_default());
    format!("{}://{text}", if secure { "https" } else { "http" })
}

/// Runs `work`, or gives up at the first signal. Giving up drops the work, which removes temporary files.
async fn until_signal(work: impl Future<Output = i32>) -> i32 {
    let (mut interrupt, mut terminate) =
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
            (Err(err), _) | (_, Err(err)) => {
                note(&format!("Error: cannot watch for signals: {err}"));
                return EXIT_ERROR;
            }
        };
    tokio::select! {
        code = work => code,
        _ = interrupt.recv() => {
            note("Error: interrupted");
            EXIT_INTERRUPTED
        }
        _ = terminate.recv() => {
            note("Error: terminated");
            EXIT_TERMINATED
        }
    }
}

async fn run(cli: Cli, endpoint: &str) -> i32 {
    let Global { json, no_headers, no_footers, units, .. } = cli.global;
    let mut out = Output::stdout(json, !no_headers, !no_footers, units);
    let mut result = Ok(());
    for attempt in 0..=STARTUP_RETRIES {
        result = match connect(endpoint) {
            Ok(client) => dispatch::execute(&cli.command, &client, &mut out).await,
            Err(err) => Err(err),
        };
        let result_flushed = out.flush();
        result = result.and(result_flushed);
        let starting = result.as_ref().is_err_and(|err| err.status() == Some(503));
        if !starting || attempt == STARTUP_RETRIES || !repeatable(&cli.command, &out) {
            break;
        }
        note("(waiting for cluster to start ...)");
        tokio::time::sleep(STARTUP_PAUSE).await;
    }
    match result {
        Ok(()) => EXIT_OK,
        Err(err) => {
            if err.exit_code() != EXIT_OK {
                note(&format!("Error: {}", table::printable_lines(&err.describe(endpoint))));
            }
            err.exit_code()
        }
    }
}

/// Whether a command may be run from the start again: nothing printed, no input consumed.
fn repeatable(command: &Command, out: &Output) -> bool {
    let reads_stdin = matches!(
        command,
        Command::Put(put) | Command::Object(ObjectCommand::Put(put)) if put.paths.iter().any(|p| p == "-")
    );
    !reads_stdin && !out.wrote()
}

fn connect(endpoint: &str) -> Result<Client, Failure> {
    let mut config = ClientConfig::new(endpoint);
    "ais/cli".clone_into(&mut config.user_agent);
    config.token = token()?;
    config.tls = tls::from_env(|name| std::env::var(name).ok())?;
    Ok(Client::new(config)?)
}

/// The bearer token: `AIS_AUTHN_TOKEN`, else the file that `AIS_AUTHN_TOKEN_FILE` names.
fn token() -> Result<Option<String>, Failure> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(token) = set("AIS_AUTHN_TOKEN") {
        return Ok(Some(token));
    }
    let Some(path) = set("AIS_AUTHN_TOKEN_FILE") else { return Ok(None) };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(Failure::file("read", path)(err)),
    };
    parse_token(&text).map(Some).ok_or_else(|| {
        Failure::usage(format!("\"{path}\" (AIS_AUTHN_TOKEN_FILE) is not {{\"token\":\"...\"}}"))
    })
}

fn parse_token(text: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    value.get("token")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(line: &str) -> i32 {
        main(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn exit_statuses_tell_success_from_wrong_usage() {
        for good in ["ais", "ais --help", "ais --version", "ais version", "ais help bucket"] {
            assert_eq!(exit(good), 0, "{good}");
        }
        for bad in ["ais nope", "ais ls --nope", "ais bucket", "ais create b", "ais put - ais://b"]
        {
            assert_eq!(exit(bad), 1, "{bad}");
        }
    }

    #[test]
    fn an_unreachable_cluster_is_an_error() {
        // Port 1 of the loopback: nobody listens there.
        assert_eq!(exit("ais ls --endpoint http://127.0.0.1:1"), 1);
    }

    #[test]
    fn endpoints_are_forgiving() {
        for (given, url) in [
            (None, DEFAULT_ENDPOINT),
            (Some(""), DEFAULT_ENDPOINT),
            (Some("h:80"), "http://h:80"),
            (Some("https://h/"), "https://h"),
        ] {
            assert_eq!(normalize_endpoint(given), url);
        }
    }

    #[test]
    fn tokens_come_in_their_json_form() {
        assert_eq!(parse_token(r#"{"token":"t"}"#).as_deref(), Some("t"));
        for bad in ["t", "{}", r#"{"token":1}"#] {
            assert_eq!(parse_token(bad), None);
        }
    }
}
