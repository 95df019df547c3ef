//! Arguments of the commands on objects.

#![expect(clippy::struct_excessive_bools, reason = "a flag is a bool")]

use std::path::PathBuf;

use clap::Args;

/// `ais show object`.
#[derive(Debug, Args)]
pub(crate) struct ShowObjectArgs {
    /// Object
    #[arg(value_name = "BUCKET/OBJECT")]
    pub(crate) object: String,
    /// Properties, comma-separated, or "all"
    #[arg(
        long,
        value_name = "LIST",
        default_value = "name,size,checksum,atime,version,custom,location,copies"
    )]
    pub(crate) props: String,
}

/// `ais put`.
#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// Files, directories, "-" for standard input, or a template such as "s-{000..999}.tar"; then the
    /// destination, BUCKET or BUCKET/NAME (for several files BUCKET/DIRECTORY)
    #[arg(required = true, num_args = 2.., value_name = "SOURCE... BUCKET[/NAME]")]
    pub(crate) paths: Vec<String>,
    /// Descend into directories
    #[arg(long, short = 'r')]
    pub(crate) recursive: bool,
    /// Put the source directory's own name in front of the object names
    #[arg(long)]
    pub(crate) include_src_dir: bool,
    /// Upload files larger than this in parts of this size
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) chunk_size: Option<u64>,
    /// Files uploaded at the same time
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) num_workers: u16,
    /// Show progress also when standard error is not a terminal
    #[arg(long)]
    pub(crate) progress: bool,
    /// Keep going after a file fails; the exit status is 1 all the same
    #[arg(long)]
    pub(crate) cont_on_err: bool,
    /// Print what would be stored
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Accepted for compatibility: nothing is asked
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// `ais get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Object; with --prefix a bucket
    #[arg(value_name = "BUCKET[/OBJECT]")]
    pub(crate) object: String,
    /// File, directory, "-" for standard output, or /dev/null; by default the object's base name here
    #[arg(value_name = "FILE|DIR|-|/dev/null")]
    pub(crate) output: Option<String>,
    /// First byte
    #[arg(long, value_name = "SIZE", requires = "length", value_parser = parse_size)]
    pub(crate) offset: Option<u64>,
    /// Number of bytes
    #[arg(long, value_name = "SIZE", requires = "offset", value_parser = parse_size)]
    pub(crate) length: Option<u64>,
    /// Check the content against the stored checksum
    #[arg(long, conflicts_with_all = ["offset", "archpath"])]
    pub(crate) checksum: bool,
    /// File inside the object, which is an archive
    #[arg(long, value_name = "PATH", conflicts_with = "offset")]
    pub(crate) archpath: Option<String>,
    /// All objects whose names start so
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["offset", "archpath"])]
    pub(crate) prefix: Option<String>,
    /// Most objects to read with --prefix; 0 reads all
    #[arg(long, value_name = "N", default_value_t = 0, requires = "prefix")]
    pub(crate) limit: u64,
    /// Objects read at the same time with --prefix
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) num_workers: u16,
    /// Keep going after an object fails; the exit status is 1 all the same
    #[arg(long, requires = "prefix")]
    pub(crate) cont_on_err: bool,
    /// Show progress also when standard error is not a terminal
    #[arg(long)]
    pub(crate) progress: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// Several objects of a bucket, in one of three ways.
#[derive(Debug, Args)]
pub(crate) struct SelectArgs {
    /// Names, comma-separated
    #[arg(long, value_name = "NAMES", conflicts_with_all = ["template", "prefix"])]
    pub(crate) list: Option<String>,
    /// Range template
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "prefix")]
    pub(crate) template: Option<String>,
    /// All objects whose names start so
    #[arg(long, value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,
}

/// `ais rmo`.
#[derive(Debug, Args)]
pub(crate) struct RmoArgs {
    /// Objects, or templates such as ais://b/s-{000..999}.tar; with --list, --template or --prefix a bucket
    #[arg(required = true, value_name = "BUCKET[/OBJECT]")]
    pub(crate) objects: Vec<String>,
    /// Which objects of a bucket
    #[command(flatten)]
    pub(crate) selected: SelectArgs,
    /// Objects removed at the same time
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) num_workers: u16,
    /// Print what would be removed
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// `ais ml get-batch`.
#[derive(Debug, Args)]
pub(crate) struct BatchArgs {
    /// Bucket, objects or templates; then the archive to write, "-" (the default) for standard output
    #[arg(value_name = "BUCKET[/OBJECT]... [OUTPUT]")]
    pub(crate) args: Vec<String>,
    /// Batch request in JSON: {"in":[{"objname":..,"archpath":..}]}
    #[arg(long, short = 'f', value_name = "FILE", conflicts_with_all = ["list", "template", "prefix"])]
    pub(crate) spec: Option<PathBuf>,
    /// Which objects of a bucket
    #[command(flatten)]
    pub(crate) selected: SelectArgs,
    /// Leave the bucket out of the names in the archive
    #[arg(long)]
    pub(crate) omit_src_bck: bool,
    /// Missing objects become empty entries under __404__/
    #[arg(long)]
    pub(crate) cont_on_err: bool,
    /// Accepted for compatibility: the archive is always streamed
    #[arg(long)]
    pub(crate) streaming: bool,
    /// Print nothing but errors
    #[arg(long, visible_alias = "nv")]
    pub(crate) non_verbose: bool,
    /// Accepted for compatibility: nothing is asked
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// `ais ml lhotse-get-batch`.
#[derive(Debug, Args)]
pub(crate) struct LhotseArgs {
    /// Bucket of recordings that are named without one; then the archive to write: .tar, .tar.gz, .tar.lz4 or .zip
    #[arg(value_name = "[BUCKET] OUTPUT", num_args = 0..=2)]
    pub(crate) args: Vec<String>,
    /// Manifest of cuts: JSON lines, plain or compressed with gzip or LZ4
    #[arg(long, value_name = "MANIFEST")]
    pub(crate) cuts: PathBuf,
    /// Sampling rate that every recording must have; without it, what the manifest says
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(1000..=384_000))]
    pub(crate) sample_rate: Option<u32>,
    /// Cuts of one archive, in the order of the manifest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) batch_size: Option<u32>,
    /// Names of the archives, such as "b-{001..999}.tar"
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) output_template: Option<String>,
    /// Leave out cuts that cannot be had
    #[arg(long)]
    pub(crate) cont_on_err: bool,
    /// Print nothing but errors
    #[arg(long, visible_alias = "nv")]
    pub(crate) non_verbose: bool,
}

/// Parses `4096`, `64k`, `64KiB`: suffixes are binary.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || {
        format!("\"{text}\" is not a size: expected a number with an optional suffix k, m, g or t")
    };
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(digits).ok_or_else(bad)?;
    let number: u64 = number.parse().map_err(|_| bad())?;
    let shift = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(bad()),
    };
    number.checked_mul(1 << shift).ok_or_else(bad)
}

/// `ais object promote`.
#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// File or directory on the targets, absolute
    #[arg(value_name = "PATH")]
    pub(crate) path: String,
    /// Bucket, and name or prefix of what becomes of it
    #[arg(value_name = "BUCKET[/NAME]")]
    pub(crate) destination: String,
    /// Descend into directories
    #[arg(long, short = 'r')]
    pub(crate) recursive: bool,
    /// Replace objects that exist
    #[arg(long)]
    pub(crate) overwrite_dst: bool,
    /// Remove the files afterwards
    #[arg(long)]
    pub(crate) delete_src: bool,
    /// The targets see different files under that path
    #[arg(long)]
    pub(crate) not_file_share: bool,
    /// Only this target
    #[arg(long, value_name = "TARGET")]
    pub(crate) target_id: Option<String>,
    /// What to do after the start
    #[command(flatten)]
    pub(crate) then: super::ThenArgs,
}

/// `ais object set-custom`.
#[derive(Debug, Args)]
pub(crate) struct SetCustomArgs {
    /// Object
    #[arg(value_name = "BUCKET/OBJECT")]
    pub(crate) object: String,
    /// KEY=VALUE pairs, or one JSON object of texts
    #[arg(required = true, value_name = "KEY=VALUE|JSON")]
    pub(crate) pairs: Vec<String>,
    /// Remove all other keys
    #[arg(long)]
    pub(crate) set_new_custom: bool,
}
