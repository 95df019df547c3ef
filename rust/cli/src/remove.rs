//! `ais object rm`.

use aistore_client::{Client, ListOptions};
use aistore_core::bucket::{Bucket, validate_object_name};
use aistore_core::list::{ENTRY_IS_DIR, FLAG_NAME_ONLY};
use aistore_core::template::Template;
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use crate::args::RmoArgs;
use crate::failure::Failure;
use crate::names::{Target, parse_bucket, parse_object, parse_target};
use crate::output::{Output, confirm, note};

/// Runs the command.
pub(crate) async fn run(client: &Client, args: &RmoArgs, out: &mut Output) -> Result<(), Failure> {
    let targets = match &args.selected.prefix {
        Some(prefix) => {
            let bucket = only_bucket(&args.objects, "--prefix")?;
            let found = list(client, &bucket, prefix).await?;
            if found.is_empty() {
                note(&format!("Note: no objects in {bucket} start with \"{prefix}\""));
            }
            let question = format!(
                "Delete {} objects that start with \"{prefix}\" from {bucket}?",
                found.len()
            );
            if !found.is_empty() && !args.yes && !args.dry_run && !confirm(&question)? {
                return Err(Failure::Other("not confirmed: nothing was deleted".to_owned()));
            }
            found
        }
        None => select(args)?,
    };
    if args.dry_run {
        for target in &targets {
            out.text(&format!("[DRY RUN] delete {}\n", crate::table::printable(&target.cname())))?;
        }
        return Ok(());
    }
    delete(client, targets, args, out).await
}

/// The objects that the arguments name.
fn select(args: &RmoArgs) -> Result<Vec<Target>, Failure> {
    let names: Option<Vec<String>> = match (&args.selected.list, &args.selected.template) {
        (Some(list), _) => Some(split_list(list)),
        (_, Some(template)) => Some(Template::parse(template)?.names().collect()),
        _ => None,
    };
    let mut targets = Vec::new();
    if let Some(names) = names {
        let bucket = only_bucket(&args.objects, "--list or --template")?;
        targets.extend(names.into_iter().map(|name| Target { bucket: bucket.clone(), name }));
    } else {
        for text in &args.objects {
            let target = parse_target(text)?;
            if target.name.is_empty() {
                return Err(Failure::usage(format!(
                    "\"{text}\" is a bucket: name objects, or use --prefix; \"ais bucket rm\" removes buckets"
                )));
            }
            if Template::is_template(&target.name) {
                let template = Template::parse(&target.name)?;
                let bucket = &target.bucket;
                targets
                    .extend(template.names().map(|name| Target { bucket: bucket.clone(), name }));
            } else {
                targets.push(parse_object(text)?);
            }
        }
    }
    for target in &targets {
        validate_object_name(&target.name)?;
    }
    Ok(targets)
}

/// Splits `a,b,c`; blanks around names and empty names are dropped.
pub(crate) fn split_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn only_bucket(objects: &[String], flag: &str) -> Result<Bucket, Failure> {
    match objects {
        [one] => parse_bucket(one),
        _ => Err(Failure::usage(format!("{flag} needs exactly one bucket"))),
    }
}

async fn list(client: &Client, bucket: &Bucket, prefix: &str) -> Result<Vec<Target>, Failure> {
    let options = ListOptions {
        prefix: prefix.to_owned(),
        props: "name".to_owned(),
        flags: FLAG_NAME_ONLY,
        ..ListOptions::default()
    };
    let entries = client.list_all(bucket, options).await?;
    let objects = entries.into_iter().filter(|entry| entry.flags & ENTRY_IS_DIR == 0);
    Ok(objects.map(|entry| Target { bucket: bucket.clone(), name: entry.name }).collect())
}

async fn delete(
    client: &Client,
    targets: Vec<Target>,
    args: &RmoArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let total = targets.len();
    let by_prefix = args.selected.prefix.is_some();
    let mut done = stream::iter(targets)
        .map(|target| async move { (client.delete(&target.bucket, &target.name).await, target) })
        .buffered(usize::from(args.num_workers));
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    while let Some((result, target)) = done.next().await {
        match result {
            Ok(_) => {
                let name = crate::table::printable(&target.name);
                out.message(&format!("deleted \"{name}\" from {}", target.bucket))?;
                deleted.push(target.cname());
            }
            // Listed a moment ago, gone now: what was asked for is true.
            Err(err) if by_prefix && err.status() == Some(404) => {}
            Err(err) if total == 1 => return Err(err.into()),
            Err(err) => {
                let reason = Failure::from(err).describe(&client.config().endpoint);
                note(&format!("Error: {}: {reason}", target.cname()));
                failed.push(json!({"object": target.cname(), "error": reason}));
            }
        }
    }
    if out.json {
        out.json(&json!({"deleted": deleted, "failed": failed}))?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    Err(Failure::Partial { failed: count(failed.len()), total: count(total), what: "deletions" })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn selected(line: &str) -> Result<Vec<String>, Failure> {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Rmo(args) = cli.command else { panic!("{line} is no rmo") };
        Ok(select(&args)?.iter().map(Target::cname).collect())
    }

    #[test]
    fn objects_lists_and_templates_select_alike() {
        let both = ["ais://b/x1", "ais://b/x2"];
        for line in [
            "ais rmo ais://b/x1 ais://b/x2",
            "ais rmo ais://b/x{1..2}",
            "ais rmo ais://b --list x1,x2",
            "ais rmo ais://b --template x{1..2}",
        ] {
            assert_eq!(selected(line).unwrap(), both, "{line}");
        }
    }

    #[test]
    fn a_bucket_alone_is_never_emptied_by_mistake() {
        let text = selected("ais rmo ais://b").unwrap_err().to_string();
        assert!(text.contains("--prefix") && text.contains("bucket rm"), "{text}");
        assert!(selected("ais rmo ais://b ais://c --list x").is_err());
        assert!(selected("ais rmo ais://b/o --list x").is_err());
        assert!(selected("ais rmo ais://b/a/../o").is_err());
    }
}
