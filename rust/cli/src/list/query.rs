//! What a listing asks for, and which columns it shows.

use aistore_core::bucket::Bucket;
use aistore_core::list::{FLAG_NAME_ONLY, FLAG_NAME_SIZE, FLAG_NO_RECURSION};

use crate::args::LsArgs;
use crate::failure::Failure;
use crate::names::Target;

/// One property of a listed object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prop {
    Name,
    Size,
    Checksum,
    Atime,
    Version,
    Location,
    Custom,
    Copies,
    Cached,
    Status,
}

pub(super) const ALL_PROPS: [(&str, Prop); 10] = [
    ("name", Prop::Name),
    ("size", Prop::Size),
    ("checksum", Prop::Checksum),
    ("atime", Prop::Atime),
    ("version", Prop::Version),
    ("location", Prop::Location),
    ("custom", Prop::Custom),
    ("copies", Prop::Copies),
    ("cached", Prop::Cached),
    ("status", Prop::Status),
];

/// A listing request, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) prefix: String,
    props: Vec<Prop>,
    pub(super) flags: u64,
    pub(super) start_after: String,
    pub(super) page_size: u64,
    pub(super) limit: u64,
    /// Columns were asked for by name.
    explicit: bool,
}

impl Query {
    pub(super) fn from_args(args: &LsArgs, target: &Target) -> Result<Self, Failure> {
        let prefix = match (&args.prefix, target.name.is_empty()) {
            (None, _) => target.name.clone(),
            (Some(prefix), true) => prefix.clone(),
            (Some(prefix), false) => {
                return Err(Failure::usage(format!(
                    "prefix given twice: \"{}\" and --prefix \"{prefix}\"",
                    target.name
                )));
            }
        };
        let names_only = args.name_only || args.count_only;
        let props = if names_only { vec![Prop::Name] } else { parse_props(args.props.as_deref())? };
        let mut flags = match props.as_slice() {
            [Prop::Name] => FLAG_NAME_ONLY,
            [Prop::Name, Prop::Size] => FLAG_NAME_SIZE,
            // Objects of native buckets are always in the cluster: nothing more to look up.
            [Prop::Name, Prop::Size, Prop::Cached] if !target.bucket.is_remote() => FLAG_NAME_SIZE,
            _ => 0,
        };
        if args.non_recursive {
            flags |= FLAG_NO_RECURSION;
        }
        Ok(Self {
            prefix,
            props,
            flags,
            start_after: args.start_after.clone().unwrap_or_default(),
            page_size: args.page_size,
            limit: args.limit,
            explicit: args.props.is_some(),
        })
    }

    /// The `props` of the request.
    pub(super) fn wire_props(&self) -> String {
        match self.flags & (FLAG_NAME_ONLY | FLAG_NAME_SIZE) {
            FLAG_NAME_ONLY => "name".to_owned(),
            FLAG_NAME_SIZE => "name,size".to_owned(),
            _ => self.props.iter().map(|prop| prop.name()).collect::<Vec<_>>().join(","),
        }
    }

    /// The columns to show: CACHED says nothing about native buckets unless asked for.
    pub(super) fn columns(&self, bucket: &Bucket) -> Vec<Prop> {
        let dull = |prop: Prop| prop == Prop::Cached && !self.explicit && !bucket.is_remote();
        self.props.iter().copied().filter(|&prop| !dull(prop)).collect()
    }
}

impl Prop {
    pub(super) fn name(self) -> &'static str {
        ALL_PROPS.iter().find(|(_, prop)| *prop == self).map_or("", |(name, _)| name)
    }
}

/// Parses `name,size,…` or `all`; the name always comes first, CACHED and STATUS last.
fn parse_props(text: Option<&str>) -> Result<Vec<Prop>, Failure> {
    let text = text.unwrap_or("name,size,cached");
    if text == "all" {
        return Ok(ALL_PROPS.iter().map(|(_, prop)| *prop).collect());
    }
    let mut props = vec![Prop::Name];
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let known = ALL_PROPS.iter().find(|(name, _)| *name == part);
        let (_, prop) = known.ok_or_else(|| {
            let names: Vec<_> = ALL_PROPS.iter().map(|(name, _)| *name).collect();
            Failure::usage(format!(
                "unknown property \"{part}\" in --props: use {} or all",
                names.join(", ")
            ))
        })?;
        if !props.contains(prop) {
            props.push(*prop);
        }
    }
    // A stable sort by one bit keeps the order as typed.
    props.sort_by_key(|prop| matches!(prop, Prop::Cached | Prop::Status));
    Ok(props)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};
    use crate::names::parse_target;

    fn query(line: &str) -> Result<Query, Failure> {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Ls(args) = cli.command else { panic!("{line} is no ls") };
        let target = parse_target(args.target.as_deref().unwrap()).unwrap();
        Query::from_args(&args, &target)
    }

    #[test]
    fn flags_ask_for_no_more_than_is_shown() {
        for (line, flags, props) in [
            ("ais ls ais://b", FLAG_NAME_SIZE, "name,size"),
            ("ais ls s3://b", 0, "name,size,cached"),
            ("ais ls ais://b --name-only", FLAG_NAME_ONLY, "name"),
            ("ais ls ais://b --count-only", FLAG_NAME_ONLY, "name"),
            ("ais ls ais://b --props version", 0, "name,version"),
            ("ais ls ais://b --nr", FLAG_NAME_SIZE | FLAG_NO_RECURSION, "name,size"),
        ] {
            let query = query(line).unwrap();
            assert_eq!((query.flags, query.wire_props().as_str()), (flags, props), "{line}");
        }
    }

    #[test]
    fn the_prefix_has_two_spellings_but_one_value() {
        assert_eq!(query("ais ls ais://b/p/").unwrap().prefix, "p/");
        assert_eq!(query("ais ls ais://b --prefix q").unwrap().prefix, "q");
        assert!(query("ais ls ais://b/p --prefix q").is_err());
    }

    #[test]
    fn unknown_properties_are_named_with_the_known_ones() {
        let text = query("ais ls ais://b --props size,colour").unwrap_err().to_string();
        assert!(text.contains("colour") && text.contains("checksum"), "{text}");
        let props = parse_props(Some("status,cached,size,size")).unwrap();
        assert_eq!(props, [Prop::Name, Prop::Size, Prop::Status, Prop::Cached]);
    }
}
