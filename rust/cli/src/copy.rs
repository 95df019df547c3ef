//! `ais bucket cp`, `ais bucket mv`: copies of buckets, of selected objects and of one object.

use aistore_client::{Call, Client};
use http::Method;
use serde_json::{Value, json};

use crate::args::{CopyArgs, MoveArgs};
use crate::failure::Failure;
use crate::names::{Target, parse_bucket, parse_object, parse_target};
use crate::output::Output;
use crate::{api, jobs};

/// What a command line asks to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Selection {
    /// One object, to this name.
    Object(String),
    /// All objects, or those whose names start so.
    Bucket(String),
    /// These names, or those that a template makes.
    Names { list: Vec<String>, template: String },
}

/// `ais cp`.
pub(crate) async fn run(client: &Client, args: &CopyArgs, out: &mut Output) -> Result<(), Failure> {
    let (from, to) = (parse_target(&args.from)?, parse_target(&args.to)?);
    match select(args, &from, &to)? {
        Selection::Object(name) => copy_object(client, args, &from, &to, &name, out).await,
        Selection::Bucket(prefix) => {
            let mut value = options(args);
            value["prefix"] = json!(prefix);
            let call =
                api::bucket_call(Method::POST, &from.bucket).query("bck_to", &to.bucket.uname());
            start(client, args, call, "copy-bck", value, out).await
        }
        Selection::Names { list, template } => {
            let mut value = options(args);
            value["objnames"] = json!(list);
            value["template"] = json!(template);
            value["tobck"] = json!(to.bucket);
            let call = api::bucket_call(Method::POST, &from.bucket);
            start(client, args, call, "copy-listrange", value, out).await
        }
    }
}

fn select(args: &CopyArgs, from: &Target, to: &Target) -> Result<Selection, Failure> {
    let several = args.list.is_some() || args.template.is_some() || args.prefix.is_some();
    let is_template = |name: &str| name.contains('{') || name.ends_with('*');
    if !from.name.is_empty() && several {
        return Err(Failure::usage(format!(
            "\"{}\": --list, --template and --prefix go with a bucket: did you mean \"{}\"?",
            args.from, from.bucket
        )));
    }
    if !from.name.is_empty() && !is_template(&from.name) {
        parse_object(&args.from)?;
        let name = match to.name.as_str() {
            "" => from.name.clone(),
            directory if directory.ends_with('/') => format!("{directory}{}", from.name),
            name => name.to_owned(),
        };
        return Ok(Selection::Object(format!(
            "{}{name}",
            args.prepend.as_deref().unwrap_or_default()
        )));
    }
    if !to.name.is_empty() {
        return Err(Failure::usage(format!(
            "\"{}\": several objects are copied to a bucket: did you mean \"{}\" and --prepend \"{}\"?",
            args.to, to.bucket, to.name
        )));
    }
    if let Some(list) = &args.list {
        let list = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        let list: Vec<String> = list.map(str::to_owned).collect();
        if list.is_empty() {
            return Err(Failure::usage("--list names no object"));
        }
        return Ok(Selection::Names { list, template: String::new() });
    }
    let template = args.template.clone().unwrap_or_else(|| from.name.clone());
    if !template.is_empty() && template.contains('{') {
        return Ok(Selection::Names { list: Vec::new(), template });
    }
    let prefix = args.prefix.clone().unwrap_or(template);
    Ok(Selection::Bucket(prefix.trim_end_matches('*').to_owned()))
}

fn options(args: &CopyArgs) -> Value {
    json!({
        "prepend": args.prepend.as_deref().unwrap_or_default(),
        "dry_run": args.dry_run,
        "force": args.force,
        "coer": args.cont_on_err,
    })
}

async fn start(
    client: &Client,
    args: &CopyArgs,
    call: Call,
    action: &str,
    value: Value,
    out: &mut Output,
) -> Result<(), Failure> {
    let id = api::act(client, call, action, "", value).await?;
    if !args.then.non_verbose {
        let preview = if args.dry_run { "[DRY RUN] " } else { "" };
        out.message(&format!("{preview}Copying {} => {}", args.from, args.to))?;
    }
    jobs::started(client, action, &id, &args.then, out).await
}

async fn copy_object(
    client: &Client,
    args: &CopyArgs,
    from: &Target,
    to: &Target,
    name: &str,
    out: &mut Output,
) -> Result<(), Failure> {
    let copied = Target { bucket: to.bucket.clone(), name: name.to_owned() };
    parse_object(&copied.cname())?;
    if args.dry_run {
        return out.text(&format!("[DRY RUN] COPY {} to {}\n", from.cname(), copied.cname()));
    }
    let query = [("object_to".to_owned(), to.bucket.object_uname(name))];
    client.object_call(Method::PUT, &from.bucket, &from.name, &query, &[]).await?;
    if out.json {
        return out.json(&json!({"from": from.cname(), "to": copied.cname()}));
    }
    out.message(&format!("COPY {} to {}", from.cname(), copied.cname()))
}

/// `ais bucket mv`.
pub(crate) async fn rename_bucket(
    client: &Client,
    args: &MoveArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let (from, to) = (parse_bucket(&args.from)?, parse_bucket(&args.to)?);
    let call = api::bucket_call(Method::POST, &from).query("bck_to", &to.uname());
    let id = api::act(client, call, "move-bck", "", Value::Null).await?;
    if !args.then.non_verbose {
        out.message(&format!("Renaming bucket {from} => {to}"))?;
    }
    jobs::started(client, "move-bck", &id, &args.then, out).await
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn plan(line: &str) -> Result<Selection, Failure> {
        let line = format!("ais cp {line}");
        let Ok(Cli { command: Command::Cp(args), .. }) = Cli::try_parse_from(line.split(' '))
        else {
            panic!("{line} is not a copy");
        };
        select(&args, &parse_target(&args.from)?, &parse_target(&args.to)?)
    }

    #[test]
    fn one_object_keeps_its_name_or_takes_the_one_given() {
        for (line, name) in [
            ("ais://a/x/y ais://b", "x/y"),
            ("ais://a/x/y ais://b/z", "z"),
            ("ais://a/x/y ais://b/d/", "d/x/y"),
            ("ais://a/x ais://b --prepend p-", "p-x"),
        ] {
            assert_eq!(plan(line).unwrap(), Selection::Object(name.to_owned()), "{line}");
        }
    }

    #[test]
    fn several_objects_are_told_by_prefix_list_or_template() {
        assert_eq!(plan("ais://a ais://b").unwrap(), Selection::Bucket(String::new()));
        for line in ["ais://a ais://b --prefix p/", "ais://a/p/* ais://b"] {
            assert_eq!(plan(line).unwrap(), Selection::Bucket("p/".to_owned()), "{line}");
        }
        let names = |list: &[&str], template: &str| Selection::Names {
            list: list.iter().map(|name| (*name).to_owned()).collect(),
            template: template.to_owned(),
        };
        assert_eq!(plan("ais://a ais://b --list x,y").unwrap(), names(&["x", "y"], ""));
        assert_eq!(plan("ais://a/s-{0..9} ais://b").unwrap(), names(&[], "s-{0..9}"));
    }

    #[test]
    fn mistakes_come_with_the_right_spelling() {
        for (line, hint) in [
            ("ais://a ais://b/p", "--prepend \"p\""),
            ("ais://a/x ais://b --prefix p", "did you mean \"ais://a\""),
            ("ais://a ais://b --list ,", "names no object"),
        ] {
            assert!(plan(line).unwrap_err().to_string().contains(hint), "{line}");
        }
    }
}
