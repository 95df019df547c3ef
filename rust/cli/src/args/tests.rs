use clap::CommandFactory;
use clap::error::ErrorKind;

use super::objects::parse_size;
use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn what_scripts_type_is_understood() {
    for line in [
        "ais show cluster",
        "ais show cluster target --json",
        "ais cluster show proxy -H",
        "ais bucket create ais://a ais://b --ignore-error",
        "ais create ais://a",
        "ais bucket props set ais://a versioning.enabled=true mirror.copies=2",
        "ais bucket props show ais://a versioning",
        "ais bucket props reset ais://a",
        "ais ls",
        "ais ls s3:",
        "ais ls ais://b/p --props name,size --limit 5 --start-after x --nr",
        "ais ls ais://b --count-only -H",
        "ais put - ais://b/o",
        "ais put d ais://b/p -r --progress --num-workers 4",
        "ais put a b c ais://b",
        "ais get ais://b/o -",
        "ais get ais://b/o /dev/null --units si",
        "ais get ais://b/o f --offset 0 --length 1KiB",
        "ais get ais://b dir --prefix p/ -y",
        "ais rmo ais://b/o ais://b/p",
        "ais object rm ais://b --prefix x --yes",
        "ais ml get-batch ais://b out.tar --list a,b --cont-on-err --omit-src-bck",
        "ais ml get-batch --spec f.json -",
        "ais --endpoint http://h:1 version",
        "ais version --json --endpoint http://h:1",
    ] {
        if let Err(err) = parse(line) {
            panic!("{line}: {err}");
        }
    }
}

#[test]
fn wrong_usage_is_refused() {
    for (line, kind) in [
        ("ais lss", ErrorKind::InvalidSubcommand),
        ("ais ls --limt 5", ErrorKind::UnknownArgument),
        ("ais ls --limit x", ErrorKind::ValueValidation),
        ("ais put f ais://b --num-workers 0", ErrorKind::ValueValidation),
        ("ais put f", ErrorKind::TooFewValues),
        ("ais get ais://b/o --offset 5", ErrorKind::MissingRequiredArgument),
        ("ais get ais://b/o --archpath x --checksum", ErrorKind::ArgumentConflict),
        ("ais rmo ais://b --list a --prefix b", ErrorKind::ArgumentConflict),
        ("ais create", ErrorKind::MissingRequiredArgument),
        ("ais ls --units feet", ErrorKind::InvalidValue),
    ] {
        assert_eq!(parse(line).unwrap_err().kind(), kind, "{line}");
    }
}

#[test]
fn a_slip_gets_a_suggestion() {
    for (line, hint) in [
        ("ais buckt ls", "bucket"),
        ("ais ls --limt 5", "--limit"),
        ("ais bucket creat ais://b", "create"),
    ] {
        let text = parse(line).unwrap_err().render().to_string();
        assert!(text.contains("similar") && text.contains(hint), "{text}");
    }
}

#[test]
fn sizes_are_binary_and_bounded() {
    for (text, bytes) in
        [("0", 0), ("4096", 4096), ("64k", 65_536), ("1MiB", 1 << 20), ("2GB", 2 << 30)]
    {
        assert_eq!(parse_size(text), Ok(bytes));
    }
    for bad in ["", "k", "-1", "1x", "99999999999999999999", "99999999999t", "1 k", "é"] {
        assert!(parse_size(bad).unwrap_err().contains(bad), "{bad}");
    }
}
