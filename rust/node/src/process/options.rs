//! What the operator chose: flags over environment over configuration file over defaults.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use aistore_core::units::parse_size;
use clap::{CommandFactory, Parser, ValueEnum};
use serde::Deserialize;

use super::environment;
use crate::memory::Shares;

/// Listen address when none is given.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
/// Folder in the home directory when no data directory is given.
const DEFAULT_DATA_DIR: &str = ".aisnode";
/// Mountpath in the data directory when a target is given none.
const DEFAULT_MOUNTPATH: &str = "mp1";

/// A choice that cannot work, with the remedy in the message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OptionsError {
    /// The command line or the environment; clap formats it. Also `--help` and `--version`.
    #[error("{0}")]
    Usage(#[from] clap::Error),
    /// A combination of options, or the configuration file.
    #[error("{0}")]
    Invalid(String),
}

/// Which halves of a node this process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Routes requests and holds the cluster's metadata.
    Gateway,
    /// Stores objects.
    Target,
    /// One of each in this process.
    Both,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Storage node of an aistore cluster: a gateway, a target, or both in one process.
///
/// Every option can also stand in the configuration file, under the same name, or in the environment.
#[derive(Debug, Default, Parser, Deserialize)]
#[command(
    name = "aisnode",
    version,
    after_help = "To look at the blobs and the index of a mountpath: aisnode inspect --help"
)]
#[serde(rename_all = "kebab-case", default)]
struct Flags {
    /// What to run [default: both; with --join: target]
    #[arg(long, value_enum, env = "AISNODE_ROLE")]
    role: Option<Role>,
    /// Address to serve on; port 0 takes any free one. With role `both` the target takes the next free port [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT", env = "AISNODE_LISTEN")]
    listen: Option<String>,
    /// Directory for the node's identity and the cluster's metadata [default: ~/.aisnode]
    #[arg(long, value_name = "DIR", env = "AISNODE_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Directory for objects, best one per disk; repeat it for more [default: mp1 in the data directory]
    #[arg(long, value_name = "DIR", env = "AISNODE_MOUNTPATH", value_delimiter = ',')]
    mountpath: Vec<PathBuf>,
    /// Directory whose files may be promoted to objects; repeat it for more [default: /var/lib/ais/promote]
    #[arg(long, value_name = "DIR", env = "AISNODE_PROMOTE_ROOT", value_delimiter = ',')]
    promote_root: Vec<PathBuf>,
    /// Gateway of the cluster to join, such as http://10.0.0.1:8080
    #[arg(long, value_name = "URL", env = "AISNODE_JOIN")]
    join: Option<String>,
    /// Host or address to tell others, if not the one of --listen: the name in the certificate, mostly
    #[arg(long, value_name = "HOST", env = "AISNODE_ADVERTISE")]
    advertise: Option<String>,
    /// Certificate chain (PEM); the node then serves https. Read again when it changes, or on SIGHUP
    #[arg(long, value_name = "PATH", env = "AISNODE_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM, not encrypted)
    #[arg(long, value_name = "PATH", env = "AISNODE_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// Authority of the other nodes' certificates (PEM file or folder), besides those the system trusts
    #[arg(long, value_name = "PATH", env = "AISNODE_TLS_CA")]
    tls_ca: Option<PathBuf>,
    /// Accept any certificate of other nodes; for tests only
    #[arg(long, env = "AISNODE_TLS_SKIP_VERIFY")]
    tls_skip_verify: bool,
    /// Configuration file with any of these options
    #[arg(long, value_name = "FILE.toml", env = "AISNODE_CONFIG")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// File to write (JSON: pid and nodes) once the node serves
    #[arg(long, value_name = "PATH", env = "AISNODE_READY_FILE")]
    ready_file: Option<PathBuf>,
    /// Shut down when this process is gone
    #[arg(long, value_name = "PID", env = "AISNODE_PARENT_PID")]
    parent_pid: Option<i32>,
    /// error, warn, info, debug, trace, or a filter such as aistore_node=debug [default: info]
    #[arg(long, value_name = "LEVEL", env = "AISNODE_LOG_LEVEL")]
    log_level: Option<String>,
    /// Memory for the bytes passing through this process and for its caches, such as 4GiB; at least 64MiB and 8MiB for each
    /// further mountpath [default: half of what the control group or the machine has]
    #[arg(long, value_name = "SIZE", env = "AISNODE_MEMORY")]
    memory: Option<String>,
    /// How log lines look [default: text]
    #[arg(long, value_enum, env = "AISNODE_LOG_FORMAT")]
    log_format: Option<LogFormat>,
}

/// Names a configuration file may use.
const KEYS: [&str; 16] = [
    "role",
    "listen",
    "data-dir",
    "mountpath",
    "promote-root",
    "join",
    "advertise",
    "tls-cert",
    "tls-key",
    "tls-ca",
    "tls-skip-verify",
    "ready-file",
    "parent-pid",
    "log-level",
    "log-format",
    "memory",
];

/// Checked options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// What to run.
    pub(crate) role: Role,
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// Identity and metadata.
    pub(crate) data_dir: PathBuf,
    /// Object directories; at least one for a target.
    pub(crate) mountpaths: Vec<PathBuf>,
    /// Directories whose files may be promoted; absolute, at least one.
    pub(crate) promote_roots: Vec<PathBuf>,
    /// Base URL of a gateway, without a trailing slash.
    pub(crate) join: Option<String>,
    /// Host to tell others, in place of the one listened on.
    pub(crate) advertise: Option<String>,
    /// Certificate chain and key, when the node serves `https://`.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// Trusted besides the system's authorities.
    pub(crate) tls_ca: Option<PathBuf>,
    /// Whether any certificate of a peer will do.
    pub(crate) tls_skip_verify: bool,
    /// Where to announce readiness.
    pub(crate) ready_file: Option<PathBuf>,
    /// Process to end with.
    pub(crate) parent_pid: Option<i32>,
    /// Log filter.
    pub(crate) log_level: String,
    /// Log format.
    pub(crate) log_format: LogFormat,
    /// How the memory budget is split.
    pub(crate) memory: Shares,
}

impl Options {
    /// Reads the command line (`args[0]` is the program), the environment and the configuration file.
    ///
    /// # Errors
    ///
    /// Unknown flags, keys and `AISNODE_` variables, bad values, combinations that cannot work.
    pub(crate) fn parse(args: Vec<String>) -> Result<Self, OptionsError> {
        let flags = Flags::try_parse_from(args)?;
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        environment::check(&Flags::command(), names)?;
        let Some(path) = flags.config.clone() else { return check(flags) };
        check(over(read_file(&path)?, flags, &path))
    }
}

/// `flags` where given, else what the file says; relative paths of a file are relative to it.
fn over(file: Flags, flags: Flags, path: &Path) -> Flags {
    let folder = path.parent().unwrap_or(Path::new("."));
    let absolute = |path: PathBuf| folder.join(path);
    let mountpath = if flags.mountpath.is_empty() {
        file.mountpath.into_iter().map(absolute).collect()
    } else {
        flags.mountpath
    };
    let promote_root =
        if flags.promote_root.is_empty() { file.promote_root } else { flags.promote_root };
    Flags {
        role: flags.role.or(file.role),
        listen: flags.listen.or(file.listen),
        data_dir: flags.data_dir.or(file.data_dir.map(absolute)),
        mountpath,
        promote_root,
        join: flags.join.or(file.join),
        advertise: flags.advertise.or(file.advertise),
        tls_cert: flags.tls_cert.or(file.tls_cert.map(absolute)),
        tls_key: flags.tls_key.or(file.tls_key.map(absolute)),
        tls_ca: flags.tls_ca.or(file.tls_ca.map(absolute)),
        tls_skip_verify: flags.tls_skip_verify || file.tls_skip_verify,
        config: flags.config,
        ready_file: flags.ready_file.or(file.ready_file.map(absolute)),
        parent_pid: flags.parent_pid.or(file.parent_pid),
        log_level: flags.log_level.or(file.log_level),
        log_format: flags.log_format.or(file.log_format),
        memory: flags.memory.or(file.memory),
    }
}

fn read_file(path: &Path) -> Result<Flags, OptionsError> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|err| invalid(format!("cannot read the configuration file {name}: {err}")))?;
    let table: toml::Table =
        text.parse().map_err(|err| invalid(format!("{name} is not valid TOML: {err}")))?;
    if let Some(unknown) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(invalid(format!(
            "unknown key \"{unknown}\" in {name}: {} (known keys: {})",
            nearest(unknown).map_or_else(
                || "remove it".to_owned(),
                |known| format!("did you mean \"{known}\"?")
            ),
            KEYS.join(", ")
        )));
    }
    let flags: Result<Flags, _> = table.try_into();
    flags.map_err(|err| invalid(format!("bad value in {name}: {err}")))
}

/// The known key most like `unknown`, when one is near enough to be a typing error.
fn nearest(unknown: &str) -> Option<&'static str> {
    const SIMILAR: f64 = 0.6;
    KEYS.into_iter()
        .map(|key| (strsim::normalized_damerau_levenshtein(unknown, key), key))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| key)
}

fn check(flags: Flags) -> Result<Options, OptionsError> {
    let default_role = if flags.join.is_some() { Role::Target } else { Role::Both };
    let role = flags.role.unwrap_or(default_role);
    let join = flags.join.map(|url| check_url(&url)).transpose()?;
    if role == Role::Target && join.is_none() {
        return Err(invalid("a target needs a gateway: add --join http://HOST:PORT"));
    }
    if role != Role::Target && join.is_some() {
        return Err(invalid(
            "--join is for targets: this version has one gateway per cluster; add --role target",
        ));
    }
    if role == Role::Gateway && !flags.mountpath.is_empty() {
        return Err(invalid("--mountpath is for targets: drop it, or add --role both"));
    }
    if flags.parent_pid.is_some_and(|pid| pid <= 0) {
        return Err(invalid("--parent-pid must be a positive process id"));
    }
    let advertise = flags.advertise.map(|host| check_host(&host)).transpose()?;
    let tls = match (flags.tls_cert, flags.tls_key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            return Err(invalid("--tls-cert needs the certificate's key: add --tls-key PATH"));
        }
        (None, Some(_)) => {
            return Err(invalid("--tls-key needs the key's certificate: add --tls-cert PATH"));
        }
    };
    let listen = check_listen(flags.listen.as_deref().unwrap_or(DEFAULT_LISTEN))?;
    let data_dir = match flags.data_dir {
        Some(path) if path.as_os_str().is_empty() => {
            return Err(invalid("--data-dir is empty: name a directory"));
        }
        Some(path) => path,
        None => std::env::home_dir()
            .filter(|home| home.is_absolute())
            .ok_or_else(|| invalid("HOME is not set: add --data-dir DIR"))?
            .join(DEFAULT_DATA_DIR),
    };
    let mut mountpaths = flags.mountpath;
    if mountpaths.is_empty() && role != Role::Gateway {
        mountpaths.push(data_dir.join(DEFAULT_MOUNTPATH));
    }
    for (at, path) in mountpaths.iter().enumerate() {
        if path.as_os_str().is_empty() {
            return Err(invalid("--mountpath is empty: name a directory"));
        }
        if mountpaths.iter().take(at).any(|other| other == path) {
            return Err(invalid(format!("--mountpath {} is given twice", path.display())));
        }
    }
    let mut promote_roots = flags.promote_root;
    if let Some(path) = promote_roots.iter().find(|path| !is_plain(path)) {
        return Err(invalid(format!(
            "bad --promote-root \"{}\": expected an absolute path without \"..\", below \"/\"",
            path.display()
        )));
    }
    if promote_roots.is_empty() {
        promote_roots.push(PathBuf::from(aistore_core::promote::DEFAULT_ROOT));
    }
    let memory = flags.memory.map(|text| check_memory(&text)).transpose()?;
    let on_disk = if role == Role::Gateway { 0 } else { mountpaths.len() };
    let memory = Shares::of(memory, on_disk).map_err(invalid)?;
    let log_level = flags.log_level.unwrap_or_else(|| "info".to_owned());
    // A word that is no level would parse as the name of a module, and silence all others.
    let is_level = log_level.parse::<tracing::level_filters::LevelFilter>().is_ok();
    let is_filter =
        log_level.contains('=') && log_level.parse::<tracing_subscriber::EnvFilter>().is_ok();
    if !is_level && !is_filter {
        return Err(invalid(format!(
            "bad --log-level \"{log_level}\": use error, warn, info, debug or trace, or a filter such as info,aistore_node=debug"
        )));
    }
    Ok(Options {
        role,
        listen,
        data_dir,
        mountpaths,
        promote_roots,
        join,
        advertise,
        tls,
        tls_ca: flags.tls_ca,
        tls_skip_verify: flags.tls_skip_verify,
        ready_file: flags.ready_file,
        parent_pid: flags.parent_pid,
        log_level,
        log_format: flags.log_format.unwrap_or_default(),
        memory,
    })
}

/// Whether a path is absolute, has no `..`, and is not the root of everything.
fn is_plain(path: &Path) -> bool {
    use std::path::Component;
    let mut parts = path.components();
    parts.next() == Some(Component::RootDir)
        && path.parent().is_some()
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

fn check_memory(text: &str) -> Result<u64, OptionsError> {
    parse_size(text).map_err(|err| {
        invalid(format!("bad --memory \"{text}\": {err}; expected a size, such as 4GiB"))
    })
}

fn check_listen(text: &str) -> Result<SocketAddr, OptionsError> {
    let bad = |why: String| {
        invalid(format!(
            "bad --listen \"{text}\": {why}; expected HOST:PORT, such as {DEFAULT_LISTEN}"
        ))
    };
    let mut addresses = text.to_socket_addrs().map_err(|err| bad(err.to_string()))?;
    addresses.next().ok_or_else(|| bad("the host has no address".to_owned()))
}

fn check_url(url: &str) -> Result<String, OptionsError> {
    let bad = |why: &str| {
        invalid(format!("bad --join \"{url}\": {why}; expected http://HOST:PORT of a gateway"))
    };
    let uri: http::Uri = url.parse().map_err(|_| bad("it is not a URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(bad("only http and https are supported"));
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(bad("it has no host"));
    }
    if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
        return Err(bad("a path does not belong there"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// A host by which others find this node: no scheme, no port.
fn check_host(host: &str) -> Result<String, OptionsError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let address = bare.parse::<IpAddr>().is_ok();
    let name = !bare.is_empty()
        && bare
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if address || name {
        return Ok(bare.to_owned());
    }
    Err(invalid(format!(
        "bad --advertise \"{host}\": expected a host name or an address, without scheme and port"
    )))
}

/// Address to tell others: the bound one, or for `0.0.0.0` and `[::]` the one that faces the network.
pub(crate) fn advertised(bound: IpAddr) -> IpAddr {
    if !bound.is_unspecified() {
        return bound;
    }
    let loopback: IpAddr = std::net::Ipv4Addr::LOCALHOST.into();
    // Connecting a datagram socket sends nothing; it only asks for the route. The peer is a
    // documentation address (RFC 5737).
    let route = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    route.map_or(loopback, |address| address.ip())
}

fn invalid(message: impl Into<String>) -> OptionsError {
    OptionsError::Invalid(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, OptionsError> {
        let mut all = vec!["aisnode".to_owned()];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        Options::parse(all)
    }

    fn message(args: &[&str]) -> String {
        parse(args).unwrap_err().to_string()
    }

    #[test]
    fn defaults_are_one_node_of_both_roles_on_loopback() {
        let options = parse(&["--data-dir", "/d"]).unwrap();
        assert_eq!(options.role, Role::Both);
        assert_eq!(options.listen.to_string(), DEFAULT_LISTEN);
        assert_eq!(options.mountpaths, [PathBuf::from("/d/mp1")]);
        assert_eq!(options.promote_roots, [PathBuf::from("/var/lib/ais/promote")]);
    }

    #[test]
    fn join_implies_a_target_and_loses_its_slash() {
        let options = parse(&["--data-dir", "/d", "--join", "http://h:1/"]).unwrap();
        assert_eq!((options.role, options.join.as_deref()), (Role::Target, Some("http://h:1")));
    }

    #[test]
    fn impossible_combinations_name_the_remedy() {
        assert!(message(&["--role", "target"]).contains("--join http://"));
        assert!(message(&["--role", "both", "--join", "http://h:1"]).contains("--role target"));
        assert!(message(&["--role", "gateway", "--mountpath", "/m"]).contains("--role both"));
        assert!(message(&["--mountpath", "/m,/m"]).contains("twice"));
        assert!(message(&["--listen", "nonsense"]).contains("HOST:PORT"));
        assert!(message(&["--join", "ftp://h"]).contains("http://HOST:PORT"));
        assert!(message(&["--promote-root", "a/b"]).contains("absolute"));
        assert!(message(&["--promote-root", "/"]).contains("below"));
        assert!(message(&["--tls-cert", "c.pem"]).contains("--tls-key"));
        assert!(message(&["--tls-key", "k.pem"]).contains("--tls-cert"));
        assert!(message(&["--advertise", "http://h"]).contains("without scheme"));
        assert!(message(&["--parent-pid", "0"]).contains("positive"));
        assert!(message(&["--memory", "lots"]).contains("such as 4GiB"));
        assert!(message(&["--memory", "1MiB"]).contains("--memory 64MiB or more"));
        assert!(message(&["--no-such-flag"]).contains("--no-such-flag"));
    }

    #[test]
    fn unknown_keys_in_the_file_are_named_with_file_and_nearest_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        std::fs::write(&path, "listne = \"127.0.0.1:1\"\n").unwrap();
        let text = message(&["--config", path.to_str().unwrap()]);
        assert!(text.contains("\"listne\"") && text.contains("\"listen\"?"), "{text}");
        assert!(text.contains("node.toml"), "{text}");
        std::fs::write(&path, "role = \"boss\"\n").unwrap();
        assert!(message(&["--config", path.to_str().unwrap()]).contains("boss"));
        std::fs::write(&path, "role = \n").unwrap();
        assert!(message(&["--config", path.to_str().unwrap()]).contains("not valid TOML"));
        assert!(message(&["--config", "/no/such/file"]).contains("/no/such/file"));
    }

    #[test]
    fn flags_win_over_the_file_and_its_paths_are_relative_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        let text = "listen = \"127.0.0.1:1\"\ndata-dir = \"d\"\nmountpath = [\"a\", \"/b\"]\nlog-format = \"json\"\n";
        std::fs::write(&path, text).unwrap();
        let options =
            parse(&["--config", path.to_str().unwrap(), "--listen", "127.0.0.1:2"]).unwrap();
        assert_eq!(options.listen.port(), 2);
        assert_eq!(options.data_dir, folder.path().join("d"));
        assert_eq!(options.mountpaths, [folder.path().join("a"), PathBuf::from("/b")]);
        assert_eq!(options.log_format, LogFormat::Json);
    }

    #[test]
    fn a_certificate_and_its_key_come_together_and_from_the_file_relative_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        let text = "tls-cert = \"c.pem\"\ntls-key = \"/k.pem\"\ntls-skip-verify = true\n";
        std::fs::write(&path, text).unwrap();
        let options = parse(&["--data-dir", "/d", "--config", path.to_str().unwrap()]).unwrap();
        assert_eq!(options.tls, Some((folder.path().join("c.pem"), PathBuf::from("/k.pem"))));
        assert!(options.tls_skip_verify);
        let options = parse(&["--data-dir", "/d", "--join", "https://h", "--advertise", "[::1]"]);
        let options = options.unwrap();
        assert_eq!(options.join.as_deref(), Some("https://h"));
        assert_eq!(options.advertise.as_deref(), Some("::1"));
    }

    #[test]
    fn nobody_is_told_to_connect_to_the_unspecified_address() {
        assert!(!advertised("0.0.0.0".parse().unwrap()).is_unspecified());
        assert_eq!(advertised("127.0.0.1".parse().unwrap()).to_string(), "127.0.0.1");
    }
}
