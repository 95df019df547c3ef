//! Arguments of the commands on the cluster, its configuration, storage and logs.

use clap::{Args, Subcommand};

use super::jobs::MirrorArgs;

/// `ais config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the configuration of the cluster or of a node
    Show(ConfigShowArgs),
    /// Change the cluster's configuration: KEY=VALUE ... or JSON; without any, print it
    Cluster(ConfigSetArgs),
    /// Change the configuration of one node; without any change, print it
    Node {
        /// Node
        #[arg(value_name = "NODE")]
        node: String,
        /// Changes
        #[command(flatten)]
        args: ConfigSetArgs,
    },
    /// Restore the defaults of the cluster, or drop what one node overrides
    Reset {
        /// "cluster" or a node
        #[arg(value_name = "cluster|NODE", default_value = "cluster")]
        whose: String,
        /// Do not ask
        #[arg(long, short = 'y')]
        yes: bool,
    },
}

/// `ais config show`.
#[derive(Debug, Args)]
pub(crate) struct ConfigShowArgs {
    /// "cluster" or a node
    #[arg(value_name = "cluster|NODE", default_value = "cluster")]
    pub(crate) whose: String,
    /// Section or property, such as mirror or mirror.copies
    #[arg(value_name = "SECTION")]
    pub(crate) section: Option<String>,
}

/// `ais config cluster`, `ais config node NODE`.
#[derive(Debug, Args)]
pub(crate) struct ConfigSetArgs {
    /// KEY=VALUE pairs or one JSON object; one bare word is a section to print
    #[arg(value_name = "SECTION|KEY=VALUE|JSON")]
    pub(crate) changes: Vec<String>,
    /// Until the next restart only
    #[arg(long)]
    pub(crate) transient: bool,
}

/// `ais storage`.
#[derive(Debug, Subcommand)]
pub(crate) enum StorageCommand {
    /// Disks of the targets (storage disk)
    Show(DiskArgs),
    /// Disks of the targets
    Disk(DiskArgs),
    /// Show, attach, detach, enable and disable mountpaths
    #[command(subcommand)]
    Mountpath(MountpathCommand),
    /// Keep so many copies of each object (job start mirror)
    Mirror(MirrorArgs),
    /// How many objects there are and how much they take
    Summary(SummaryArgs),
}

/// `ais show storage`.
#[derive(Debug, Args)]
pub(crate) struct ShowStorageArgs {
    /// What to show
    #[command(subcommand)]
    pub(crate) what: Option<ShowStorageCommand>,
}

/// `ais show storage ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum ShowStorageCommand {
    /// Disks of the targets
    Disk(DiskArgs),
    /// Mountpaths of the targets
    Mountpath(DiskArgs),
    /// Objects and bytes of buckets
    Summary(SummaryArgs),
}

/// One target, or all.
#[derive(Debug, Args)]
pub(crate) struct DiskArgs {
    /// Target; all of them without one
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
}

/// `ais storage mountpath`.
#[derive(Debug, Subcommand)]
pub(crate) enum MountpathCommand {
    /// Mountpaths and their state
    Show(DiskArgs),
    /// Take a new directory into use
    Attach(MountpathArgs),
    /// Move everything off and forget the directory
    Detach(MountpathArgs),
    /// Take a disabled one into use again
    Enable(MountpathArgs),
    /// Move everything off, but remember the directory
    Disable(MountpathArgs),
    /// Bring objects to where they belong
    #[command(alias = "rescan")]
    RescanDisks(MountpathArgs),
    /// Try the directory out; the target disables it if it fails
    Fshc(MountpathArgs),
}

/// A mountpath of a target.
#[derive(Debug, Args)]
pub(crate) struct MountpathArgs {
    /// Target and directory on it, such as t[ab12cd34]=/disks/3
    #[arg(required = true, value_name = "TARGET=PATH")]
    pub(crate) paths: Vec<String>,
    /// Label of the disk (attach)
    #[arg(long, value_name = "LABEL")]
    pub(crate) label: Option<String>,
    /// Do not move objects (detach, disable, rescan-disks)
    #[arg(long)]
    pub(crate) no_resilver: bool,
}

/// `ais storage summary`, `ais bucket summary`.
#[derive(Debug, Args)]
pub(crate) struct SummaryArgs {
    /// Bucket, provider, or nothing for all buckets
    #[arg(value_name = "BUCKET[/PREFIX]|PROVIDER")]
    pub(crate) bucket: Option<String>,
    /// Only names that start so
    #[arg(long, value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,
    /// Only objects in the cluster
    #[arg(long)]
    pub(crate) cached: bool,
}

/// `ais log`.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Print a node's log
    Show(LogArgs),
    /// Save a node's log
    Get {
        /// Which log
        #[command(flatten)]
        log: LogArgs,
        /// File, or "-" for standard output
        #[arg(value_name = "FILE|-", default_value = "-")]
        output: String,
        /// All rotated logs too, as one tar.gz
        #[arg(long)]
        all: bool,
    },
}

/// A node's log.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Node
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// info, warning or error; the first letter will do
    #[arg(long, value_name = "SEVERITY", value_parser = parse_severity)]
    pub(crate) severity: Option<String>,
}

/// `ais tls`.
#[derive(Debug, Subcommand)]
pub(crate) enum TlsCommand {
    /// What the certificate of a node, or of the contacted one, says
    Show {
        /// Node
        #[arg(value_name = "NODE")]
        node: Option<String>,
    },
    /// Read certificate and key anew, on one node or on all
    LoadCertificate {
        /// Node
        #[arg(value_name = "NODE")]
        node: Option<String>,
    },
}

/// The full word of a severity.
pub(crate) fn parse_severity(text: &str) -> Result<String, String> {
    let word = match text.chars().next().map(|c| c.to_ascii_lowercase()) {
        Some('i') => "info",
        Some('w') => "warning",
        Some('e') => "error",
        _ => return Err(format!("\"{text}\" is no severity: expected info, warning or error")),
    };
    Ok(word.to_owned())
}
