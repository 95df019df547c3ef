//! Arguments of the commands on buckets, and of listing.

#![expect(clippy::struct_excessive_bools, reason = "a flag is a bool")]

use clap::Args;

/// `ais create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Buckets, such as ais://images
    #[arg(required = true, value_name = "BUCKET")]
    pub(crate) buckets: Vec<String>,
    /// Properties: "KEY=VALUE ..." or JSON
    #[arg(long, value_name = "PROPS")]
    pub(crate) props: Option<String>,
    /// Succeed when the bucket exists
    #[arg(long)]
    pub(crate) ignore_error: bool,
}

/// `ais rmb`.
#[derive(Debug, Args)]
pub(crate) struct RmbArgs {
    /// Buckets
    #[arg(required = true, value_name = "BUCKET")]
    pub(crate) buckets: Vec<String>,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    /// Succeed when the bucket does not exist
    #[arg(long)]
    pub(crate) ignore_error: bool,
}

/// `ais bucket props show`.
#[derive(Debug, Args)]
pub(crate) struct PropsShowArgs {
    /// Bucket
    #[arg(value_name = "BUCKET")]
    pub(crate) bucket: String,
    /// Property or section, such as versioning
    #[arg(value_name = "PROP")]
    pub(crate) prop: Option<String>,
}

/// `ais bucket props set`.
#[derive(Debug, Args)]
pub(crate) struct PropsSetArgs {
    /// Bucket
    #[arg(value_name = "BUCKET")]
    pub(crate) bucket: String,
    /// KEY=VALUE pairs, or one JSON object
    #[arg(required = true, value_name = "KEY=VALUE|JSON")]
    pub(crate) props: Vec<String>,
}

/// `ais ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Provider, bucket, or bucket and prefix; nothing lists all buckets
    #[arg(value_name = "PROVIDER|BUCKET[/PREFIX]")]
    pub(crate) target: Option<String>,
    /// Properties, comma-separated, or "all"
    #[arg(long, value_name = "LIST")]
    pub(crate) props: Option<String>,
    /// Only names that start so
    #[arg(long, value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,
    /// Most names to list; 0 lists all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) limit: u64,
    /// Names per request; 0 is the server's largest
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) page_size: u64,
    /// Only names after this one, byte-wise
    #[arg(long, value_name = "NAME")]
    pub(crate) start_after: Option<String>,
    /// Immediate children only: objects and virtual directories
    #[arg(long, visible_alias = "nr")]
    pub(crate) non_recursive: bool,
    /// Names only
    #[arg(long)]
    pub(crate) name_only: bool,
    /// Print how many there are
    #[arg(long)]
    pub(crate) count_only: bool,
    /// Objects and bytes of each bucket in place of names
    #[arg(long, conflicts_with_all = ["count_only", "paged", "props"])]
    pub(crate) summary: bool,
    /// Print page by page, in constant memory
    #[arg(long)]
    pub(crate) paged: bool,
}

/// `ais bucket cp`, `ais cp`.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// Bucket, object, or bucket and template
    #[arg(value_name = "SRC[/OBJECT|TEMPLATE]")]
    pub(crate) from: String,
    /// Bucket, or object
    #[arg(value_name = "DST[/OBJECT]")]
    pub(crate) to: String,
    /// Names, comma-separated
    #[arg(long, value_name = "NAMES", conflicts_with_all = ["template", "prefix"])]
    pub(crate) list: Option<String>,
    /// Range template
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "prefix")]
    pub(crate) template: Option<String>,
    /// Only names that start so
    #[arg(long, value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,
    /// Put this in front of the new names
    #[arg(long, value_name = "TEXT")]
    pub(crate) prepend: Option<String>,
    /// Count, but copy nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Start also while another job is at work on the bucket
    #[arg(long, short = 'f')]
    pub(crate) force: bool,
    /// Keep going after an object fails
    #[arg(long)]
    pub(crate) cont_on_err: bool,
    /// What to do after the start
    #[command(flatten)]
    pub(crate) then: super::ThenArgs,
}

/// `ais bucket mv`.
#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// Bucket
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// Its new name
    #[arg(value_name = "TO")]
    pub(crate) to: String,
    /// What to do after the start
    #[command(flatten)]
    pub(crate) then: super::ThenArgs,
}
