//! What a batch asks for: from the command line, or from a JSON file.

use std::path::{Path, PathBuf};

use aistore_core::bucket::Bucket;
use aistore_core::moss::{MossIn, MossReq};
use aistore_core::template::Template;

use crate::args::BatchArgs;
use crate::failure::Failure;
use crate::names::{Target, parse_target};
use crate::remove::split_list;

/// Largest request file.
const MAX_SPEC_BYTES: u64 = 256 << 20;

/// Where the archive goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    Stdout,
    File(PathBuf),
}

/// How entries are chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selection {
    Spec(PathBuf),
    Entries(Vec<MossIn>),
    Prefix(String),
}

/// A batch, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    /// For entries that name none.
    pub(super) bucket: Option<Bucket>,
    pub(super) selection: Selection,
    pub(super) output: Output,
}

impl Batch {
    pub(super) fn from_args(args: &BatchArgs) -> Result<Self, Failure> {
        let (sources, output) = split_output(&args.args)?;
        let targets =
            sources.iter().map(|text| parse_target(text)).collect::<Result<Vec<_>, _>>()?;
        let one_bucket = |flag: &str| match targets.as_slice() {
            [Target { bucket, name }] if name.is_empty() => Ok(bucket.clone()),
            _ => Err(Failure::usage(format!(
                "{flag} needs exactly one bucket, such as ais://images"
            ))),
        };
        let names = match (&args.selected.list, &args.selected.template) {
            (Some(list), _) => Some(("--list", split_list(list))),
            (_, Some(template)) => {
                Some(("--template", Template::parse(template)?.names().collect()))
            }
            _ => None,
        };
        let (bucket, selection) = if let Some(path) = &args.spec {
            let bucket = if targets.is_empty() { None } else { Some(one_bucket("--spec")?) };
            (bucket, Selection::Spec(path.clone()))
        } else if let Some((flag, names)) = names {
            let entries = names.into_iter().map(|object| MossIn { object, ..MossIn::default() });
            (Some(one_bucket(flag)?), Selection::Entries(entries.collect()))
        } else if let Some(prefix) = &args.selected.prefix {
            (Some(one_bucket("--prefix")?), Selection::Prefix(prefix.clone()))
        } else {
            (
                targets.first().map(|target| target.bucket.clone()),
                Selection::Entries(entries(&targets)?),
            )
        };
        Ok(Self { bucket, selection, output })
    }
}

/// The last argument is the output unless it is a bucket.
fn split_output(args: &[String]) -> Result<(&[String], Output), Failure> {
    match args.split_last() {
        Some((last, rest)) if last == "-" => Ok((rest, Output::Stdout)),
        Some((last, rest)) if !last.contains("://") => {
            let path = Path::new(last);
            if path.extension().is_none_or(|extension| extension != "tar")
                && !last.starts_with("/dev/")
            {
                return Err(Failure::usage(format!(
                    "output \"{last}\": this version writes TAR only, name it with .tar or use \"-\" for standard output"
                )));
            }
            Ok((rest, Output::File(path.to_owned())))
        }
        _ => Ok((args, Output::Stdout)),
    }
}

/// Objects and templates named one by one, each with its own bucket.
fn entries(targets: &[Target]) -> Result<Vec<MossIn>, Failure> {
    let mut entries = Vec::new();
    for Target { bucket, name } in targets {
        if name.is_empty() {
            return Err(Failure::usage(format!(
                "\"{bucket}\" is a bucket: name objects, or use --list, --template, --prefix or --spec"
            )));
        }
        let template = if Template::is_template(name) {
            Template::parse(name)?.names().collect()
        } else {
            vec![name.clone()]
        };
        entries.extend(template.into_iter().map(|object| MossIn {
            object,
            uname: Some(bucket.uname()),
            ..MossIn::default()
        }));
    }
    if entries.is_empty() {
        return Err(Failure::usage(
            "nothing to read: name objects (ais://BUCKET/OBJECT), or use --list, --template, --prefix or --spec",
        ));
    }
    Ok(entries)
}

/// Reads a batch request from a JSON file; `-` is not a file here, standard input stays free.
pub(super) fn read_spec(path: &Path) -> Result<MossReq, Failure> {
    let size = std::fs::metadata(path).map_err(Failure::file("read", path))?.len();
    if size > MAX_SPEC_BYTES {
        return Err(Failure::usage(format!(
            "\"{}\" has {size} bytes, a batch request has at most {MAX_SPEC_BYTES}",
            path.display()
        )));
    }
    let text = std::fs::read_to_string(path).map_err(Failure::file("read", path))?;
    parse_spec(&text).map_err(|reason| {
        Failure::usage(format!(
            "\"{}\" is not a batch request in JSON ({reason}): expected {{\"in\":[{{\"objname\":\"...\"}}]}}",
            path.display()
        ))
    })
}

fn parse_spec(text: &str) -> Result<MossReq, String> {
    let request: MossReq = serde_json::from_str(text).map_err(|err| err.to_string())?;
    match request.mime.as_deref() {
        None | Some("" | ".tar" | "tar" | "application/x-tar") => Ok(request),
        Some(other) => Err(format!("\"mime\": \"{other}\", this version writes .tar only")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command, MlCommand};

    fn batch(line: &str) -> Result<Batch, Failure> {
        let line = format!("ais ml get-batch {line}");
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Ml(MlCommand::GetBatch(args)) = cli.command else { panic!("{line}") };
        Batch::from_args(&args)
    }

    fn names(batch: &Batch) -> Vec<&str> {
        match &batch.selection {
            Selection::Entries(entries) => entries.iter().map(|e| e.object.as_str()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn entries_come_from_names_lists_and_templates() {
        let one = batch("ais://b/o out.tar").unwrap();
        assert_eq!((names(&one), &one.output), (vec!["o"], &Output::File("out.tar".into())));
        assert_eq!(names(&batch("ais://b/x{1..2} ais://c/y -").unwrap()), ["x1", "x2", "y"]);
        assert_eq!(names(&batch("ais://b --list a,b").unwrap()), ["a", "b"]);
        assert_eq!(
            names(&batch("ais://b out.tar --template s-{0..1}.tar").unwrap()),
            ["s-0.tar", "s-1.tar"]
        );
        let spec = batch("--spec f.json out.tar").unwrap();
        assert_eq!((spec.bucket, spec.selection), (None, Selection::Spec("f.json".into())));
        assert_eq!(batch("ais://b --prefix p").unwrap().output, Output::Stdout);
    }

    #[test]
    fn wrong_combinations_say_what_is_missing() {
        for (line, expected) in [
            ("", "nothing to read"),
            ("ais://b out.tar", "--prefix"),
            ("ais://b/o out.zip", "TAR only"),
            ("ais://b/o --list x", "exactly one bucket"),
            ("--list x", "exactly one bucket"),
            ("b out.tar --list x", "ais://b"),
        ] {
            let text = batch(line).unwrap_err().to_string();
            assert!(text.contains(expected), "{line}: {text}");
        }
    }

    #[test]
    fn spec_files_are_checked() {
        let good = parse_spec(
            r#"{"in":[{"objname":"s.tar","archpath":"x","start":0,"length":5}],"onob":true}"#,
        )
        .unwrap();
        assert_eq!((good.entries.len(), good.only_object_name), (1, true));
        for bad in ["", "[]x", r#"{"in": 5}"#, r#"{"in":[],"mime":".zip"}"#] {
            assert!(parse_spec(bad).is_err(), "{bad}");
        }
    }
}
