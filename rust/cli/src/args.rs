//! The command line: what can be typed. Pure data; nothing here acts.

mod buckets;
mod cluster;
mod jobs;
mod objects;

use clap::{Args, Parser, Subcommand};

use crate::sizes::Units;

pub(crate) use buckets::{
    CopyArgs, CreateArgs, LsArgs, MoveArgs, PropsSetArgs, PropsShowArgs, RmbArgs,
};
pub(crate) use cluster::{
    ConfigCommand, ConfigSetArgs, ConfigShowArgs, DiskArgs, LogArgs, LogCommand, MountpathArgs,
    MountpathCommand, ShowStorageArgs, ShowStorageCommand, StorageCommand, SummaryArgs, TlsCommand,
};
pub(crate) use jobs::{
    JobCommand, JobShowArgs, JobStartCommand, JobStopArgs, JobWaitArgs, MirrorArgs, ThenArgs,
};
pub(crate) use objects::{
    BatchArgs, GetArgs, LhotseArgs, PromoteArgs, PutArgs, RmoArgs, SetCustomArgs, ShowObjectArgs,
};

/// Gateway when none is named.
pub(crate) const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:8080";

const ALIASES: &str = "\
Aliases:
  ls      bucket ls        create  bucket create    rmb     bucket rm
  put     object put       get     object get       rmo     object rm
  cp      bucket cp        start   job start        wait    job wait
  stop    job stop

The cluster is found through AIS_ENDPOINT (default http://127.0.0.1:8080).";

/// Command line of an aistore cluster: buckets, objects, batches.
#[derive(Debug, Parser)]
#[command(name = "ais", bin_name = "ais", version, about, after_help = ALIASES)]
pub(crate) struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// URL of a gateway
    #[arg(long, global = true, env = "AIS_ENDPOINT", hide_env_values = true, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Print JSON
    #[arg(long, short = 'j', global = true)]
    pub(crate) json: bool,
    /// Leave out the heading line of tables
    #[arg(long, short = 'H', global = true)]
    pub(crate) no_headers: bool,
    /// Leave out totals
    #[arg(long, short = 'F', global = true)]
    pub(crate) no_footers: bool,
    /// Sizes as KiB/MiB, KB/MB or plain bytes
    #[arg(long, global = true, value_enum, default_value = "iec")]
    pub(crate) units: Units,
}

/// Top-level commands; the aliases of the original tool among them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the cluster, a bucket or an object
    #[command(subcommand)]
    Show(ShowCommand),
    /// Cluster-wide commands
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Create, list, remove and configure buckets
    #[command(subcommand)]
    Bucket(BucketCommand),
    /// Store, read and remove objects
    #[command(subcommand)]
    Object(ObjectCommand),
    /// Machine learning: read many samples at once
    #[command(subcommand)]
    Ml(MlCommand),
    /// List buckets or objects (bucket ls)
    Ls(LsArgs),
    /// Create buckets (bucket create)
    Create(CreateArgs),
    /// Remove buckets (bucket rm)
    Rmb(RmbArgs),
    /// Store files (object put)
    Put(PutArgs),
    /// Read objects (object get)
    Get(GetArgs),
    /// Remove objects (object rm)
    Rmo(RmoArgs),
    /// Copy buckets and objects (bucket cp)
    Cp(CopyArgs),
    /// Start, show, wait for and stop jobs
    #[command(subcommand)]
    Job(JobCommand),
    /// Start a job (job start)
    #[command(subcommand)]
    Start(JobStartCommand),
    /// Wait until jobs end (job wait)
    Wait(JobWaitArgs),
    /// Stop jobs (job stop)
    Stop(JobStopArgs),
    /// Disks, mountpaths, copies and summaries
    #[command(subcommand)]
    Storage(StorageCommand),
    /// Show and change the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Logs of the nodes
    #[command(subcommand)]
    Log(LogCommand),
    /// Certificates
    #[command(subcommand)]
    Tls(TlsCommand),
    /// Print the version
    Version,
}

/// `ais show`.
#[derive(Debug, Subcommand)]
pub(crate) enum ShowCommand {
    /// Nodes and their state
    Cluster(ShowClusterArgs),
    /// Properties of a bucket (bucket props show)
    Bucket(PropsShowArgs),
    /// Properties of an object
    Object(ShowObjectArgs),
    /// Jobs and how far they are
    Job(JobShowArgs),
    /// Disks, mountpaths and summaries
    Storage(ShowStorageArgs),
    /// Configuration of the cluster or of a node
    Config(ConfigShowArgs),
    /// A node's log
    Log(LogArgs),
}

/// `ais cluster`.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Nodes and their state
    Show(ShowClusterArgs),
}

/// `ais bucket`.
#[derive(Debug, Subcommand)]
pub(crate) enum BucketCommand {
    /// Create buckets
    Create(CreateArgs),
    /// List buckets or objects
    Ls(LsArgs),
    /// Remove buckets with all their objects
    Rm(RmbArgs),
    /// Copy buckets and objects
    Cp(CopyArgs),
    /// Rename a bucket
    Mv(MoveArgs),
    /// How many objects there are and how much they take
    Summary(SummaryArgs),
    /// Show, set and reset properties
    #[command(subcommand)]
    Props(PropsCommand),
}

/// `ais bucket props`.
#[derive(Debug, Subcommand)]
pub(crate) enum PropsCommand {
    /// Print properties
    Show(PropsShowArgs),
    /// Change properties
    Set(PropsSetArgs),
    /// Restore the cluster's defaults
    Reset {
        /// Bucket
        #[arg(value_name = "BUCKET")]
        bucket: String,
    },
}

/// `ais object`.
#[derive(Debug, Subcommand)]
pub(crate) enum ObjectCommand {
    /// Store files
    Put(PutArgs),
    /// Read objects
    Get(GetArgs),
    /// Print an object on standard output
    Cat {
        /// Object
        #[arg(value_name = "BUCKET/OBJECT")]
        object: String,
    },
    /// Remove objects
    Rm(RmoArgs),
    /// Properties of an object
    Show(ShowObjectArgs),
    /// Rename an object in its bucket
    #[command(visible_alias = "rename")]
    Mv {
        /// Object
        #[arg(value_name = "BUCKET/OLD")]
        from: String,
        /// Its new name, in the same bucket
        #[arg(value_name = "BUCKET/NEW")]
        to: String,
    },
    /// Copy an object
    Cp(CopyArgs),
    /// Make objects of files that lie on the targets
    Promote(PromoteArgs),
    /// Change custom metadata
    SetCustom(SetCustomArgs),
}

/// `ais ml`.
#[derive(Debug, Subcommand)]
pub(crate) enum MlCommand {
    /// Read many objects, or files in shards, into one archive
    GetBatch(BatchArgs),
    /// Read the cuts of a Lhotse manifest, cut to exact frames, into archives of WAV files
    LhotseGetBatch(LhotseArgs),
}

/// `ais show cluster`.
#[derive(Debug, Args)]
pub(crate) struct ShowClusterArgs {
    /// Node id, t[ID] or p[ID], or one of the words proxy, target, smap, bmd, config, stats
    #[arg(value_name = "NODE|proxy|target|smap|bmd|config|stats")]
    pub(crate) node: Option<String>,
    /// Section, with config
    #[arg(value_name = "SECTION")]
    pub(crate) section: Option<String>,
    /// Load averages too
    #[arg(long, short = 'v')]
    pub(crate) verbose: bool,
}

#[cfg(test)]
mod tests;
