//! Arguments of the commands on jobs.

use std::time::Duration;

use clap::{Args, Subcommand};

/// `ais job`.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Start a job
    #[command(subcommand)]
    Start(JobStartCommand),
    /// Jobs and how far they are (show job)
    Show(JobShowArgs),
    /// Wait until jobs end (wait)
    Wait(JobWaitArgs),
    /// Stop jobs (stop)
    Stop(JobStopArgs),
}

/// `ais job start`.
#[derive(Debug, Subcommand)]
pub(crate) enum JobStartCommand {
    /// Keep so many copies of each object, on different mountpaths
    Mirror(MirrorArgs),
    /// Move objects of a target to where they belong among its mountpaths
    Resilver {
        /// Target
        #[arg(value_name = "TARGET")]
        target: String,
        /// What to do after the start
        #[command(flatten)]
        then: ThenArgs,
    },
    /// Copy a bucket (bucket cp)
    #[command(visible_alias = "copy-bck")]
    Copy(super::CopyArgs),
    /// Rename a bucket (bucket mv)
    #[command(visible_alias = "move-bck")]
    Rename(super::MoveArgs),
    /// Any other kind, such as cleanup, lru or rechunk
    #[command(external_subcommand)]
    Other(Vec<String>),
}

/// `ais storage mirror`, `ais start mirror`.
#[derive(Debug, Args)]
pub(crate) struct MirrorArgs {
    /// Bucket
    #[arg(value_name = "BUCKET")]
    pub(crate) bucket: String,
    /// Copies in all; 1 removes the extra ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) copies: u8,
    /// What to do after the start
    #[command(flatten)]
    pub(crate) then: ThenArgs,
}

/// What to do once a job has started.
#[derive(Debug, Args, Clone)]
pub(crate) struct ThenArgs {
    /// Wait until it ends
    #[arg(long)]
    pub(crate) wait: bool,
    /// Longest wait, such as 90s or 5m; implies --wait
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Show progress while waiting, also when standard error is not a terminal
    #[arg(long)]
    pub(crate) progress: bool,
    /// Print the job's id and nothing else
    #[arg(long, visible_alias = "nv")]
    pub(crate) non_verbose: bool,
}

impl ThenArgs {
    /// Whether to wait at all.
    pub(crate) fn waits(&self) -> bool {
        self.wait || self.progress || self.timeout.is_some()
    }
}

/// `ais show job`.
#[derive(Debug, Args)]
pub(crate) struct JobShowArgs {
    /// Kind, id, target or bucket, in any order
    #[arg(value_name = "KIND|ID|TARGET|BUCKET")]
    pub(crate) what: Vec<String>,
    /// Finished ones too
    #[arg(long)]
    pub(crate) all: bool,
    /// Newest N
    #[arg(long, value_name = "N")]
    pub(crate) top: Option<usize>,
    /// All properties
    #[arg(long, short = 'v')]
    pub(crate) verbose: bool,
}

/// `ais wait`.
#[derive(Debug, Args)]
pub(crate) struct JobWaitArgs {
    /// Kind, id or bucket, in any order
    #[arg(required = true, value_name = "KIND|ID|BUCKET")]
    pub(crate) what: Vec<String>,
    /// Longest wait, such as 90s or 5m [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Show progress also when standard error is not a terminal
    #[arg(long)]
    pub(crate) progress: bool,
}

/// `ais stop`.
#[derive(Debug, Args)]
pub(crate) struct JobStopArgs {
    /// Kind, id or bucket, in any order
    #[arg(value_name = "KIND|ID|BUCKET", required_unless_present = "all")]
    pub(crate) what: Vec<String>,
    /// All jobs that run
    #[arg(long)]
    pub(crate) all: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// Parses `90s`, `5m`, `1h30m`, `500ms`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("\"{text}\" is not a duration: expected such as 90s, 5m or 1h30m");
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(bad)?;
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(letters).ok_or_else(bad)?;
        let number: u64 = number.parse().map_err(|_| bad())?;
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        let part = Duration::from_millis(number.checked_mul(millis).ok_or_else(bad)?);
        total = total.checked_add(part).ok_or_else(bad)?;
        rest = tail;
    }
    if text.is_empty() { Err(bad()) } else { Ok(total) }
}
