//! `ais bucket create`, `rm` and `props`.

use aistore_client::{Call, Client};
use aistore_core::bucket::Bucket;
use aistore_core::config::ClusterConfig;
use aistore_core::list::{FLAG_CACHED, FLAG_NAME_ONLY, ListMsg};
use aistore_core::props::BucketProps;
use aistore_core::wire::ActionMsg;
use http::Method;
use serde_json::{Value, json};

use crate::args::{CreateArgs, PropsCommand, PropsSetArgs, PropsShowArgs, RmbArgs};
use crate::failure::Failure;
use crate::names::parse_bucket;
use crate::output::{Output, confirm, note};
use crate::props;
use crate::table::{Align, Table};

/// `ais bucket create`.
pub(crate) async fn create(
    client: &Client,
    args: &CreateArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    // All names are checked before anything is created.
    let buckets = parse_all(&args.buckets)?;
    let patch = match &args.props {
        None => None,
        Some(text) => Some(props::parse_patch(std::slice::from_ref(text), &default_props()?)?),
    };
    let mut created = Vec::new();
    for bucket in &buckets {
        match client.create_bucket(bucket, patch.clone()).await {
            Ok(()) => {
                out.message(&format!("\"{bucket}\" created"))?;
                created.push(bucket.cname());
            }
            Err(err) if err.status() == Some(409) && args.ignore_error => {
                note(&format!("Note: bucket \"{bucket}\" already exists"));
            }
            Err(err) if err.status() == Some(409) => {
                return Err(Failure::Other(format!(
                    "Bucket \"{bucket}\" already exists (--ignore-error accepts that)"
                )));
            }
            Err(err) => return Err(err.into()),
        }
    }
    if out.json { out.json(&json!({"created": created})) } else { Ok(()) }
}

/// `ais bucket rm`.
pub(crate) async fn remove(
    client: &Client,
    args: &RmbArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let buckets = parse_all(&args.buckets)?;
    let mut destroyed = Vec::new();
    for bucket in &buckets {
        match remove_one(client, bucket, args.yes).await {
            Ok(true) => {
                out.message(&format!("\"{bucket}\" destroyed"))?;
                destroyed.push(bucket.cname());
            }
            Ok(false) => {
                return Err(Failure::Other(format!("\"{bucket}\" left alone: not confirmed")));
            }
            Err(err) if err.status() == Some(404) && args.ignore_error => {
                note(&format!("Note: bucket \"{bucket}\" does not exist"));
            }
            Err(err) => return Err(err),
        }
    }
    if out.json { out.json(&json!({"destroyed": destroyed})) } else { Ok(()) }
}

async fn remove_one(client: &Client, bucket: &Bucket, yes: bool) -> Result<bool, Failure> {
    if !yes {
        let probe =
            ListMsg { page_size: 1, flags: FLAG_NAME_ONLY | FLAG_CACHED, ..ListMsg::default() };
        let page = client.list_page(bucket, &probe).await?;
        let question =
            format!("Bucket \"{bucket}\" is not empty. Destroy it with all its objects?");
        if !page.entries.is_empty() && !confirm(&question)? {
            return Ok(false);
        }
    }
    client.destroy_bucket(bucket).await?;
    Ok(true)
}

/// `ais bucket props`.
pub(crate) async fn props(
    client: &Client,
    command: &PropsCommand,
    out: &mut Output,
) -> Result<(), Failure> {
    match command {
        PropsCommand::Show(args) => props_show(client, args, out).await,
        PropsCommand::Set(args) => props_set(client, args, out).await,
        PropsCommand::Reset { bucket } => props_reset(client, bucket, out).await,
    }
}

/// `ais bucket props show`.
pub(crate) async fn props_show(
    client: &Client,
    args: &PropsShowArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let bucket = parse_bucket(&args.bucket)?;
    let value = client.head_bucket(&bucket).await?;
    let rows = props::select(&value, args.prop.as_deref(), props::BUCKET_PROPS)?;
    if out.json {
        let part = args.prop.as_deref().and_then(|prop| value.pointer(&pointer(prop)));
        return out.json(part.unwrap_or(&value));
    }
    let mut table = Table::new([("PROPERTY", Align::Left), ("VALUE", Align::Left)]);
    for (key, text) in rows {
        table.push([key, text]);
    }
    out.table(&table)
}

fn pointer(dotted: &str) -> String {
    format!("/{}", dotted.replace('.', "/"))
}

async fn props_set(client: &Client, args: &PropsSetArgs, out: &mut Output) -> Result<(), Failure> {
    let bucket = parse_bucket(&args.bucket)?;
    let before = client.head_bucket(&bucket).await?;
    let patch = props::parse_patch(&args.props, &before)?;
    client.patch_bucket(&bucket, patch).await?;
    report_changes(client, &bucket, &before, "updated", out).await
}

async fn props_reset(client: &Client, text: &str, out: &mut Output) -> Result<(), Failure> {
    let bucket = parse_bucket(text)?;
    let before = client.head_bucket(&bucket).await?;
    let call = Call::new(Method::PATCH, format!("/v1/buckets/{}", bucket.name))
        .query("provider", bucket.provider.as_str())
        .json(&ActionMsg::new("reset-bprops", Value::Null))?;
    let call = if bucket.namespace.is_global() {
        call
    } else {
        call.query("namespace", &bucket.namespace.to_string())
    };
    client.call(call).await?;
    report_changes(client, &bucket, &before, "reset", out).await
}

async fn report_changes(
    client: &Client,
    bucket: &Bucket,
    before: &Value,
    what: &str,
    out: &mut Output,
) -> Result<(), Failure> {
    let after = client.head_bucket(bucket).await?;
    if out.json {
        return out.json(&after);
    }
    for (key, old, new) in props::changes(before, &after) {
        out.message(&format!("\"{key}\" set to: \"{new}\" (was: \"{old}\")"))?;
    }
    out.message(&format!("Bucket props successfully {what}"))
}

fn parse_all(texts: &[String]) -> Result<Vec<Bucket>, Failure> {
    texts.iter().map(|text| parse_bucket(text)).collect()
}

/// The properties of a fresh bucket: which keys there are, and of which type.
fn default_props() -> Result<Value, Failure> {
    let props = BucketProps::new(&ClusterConfig::default(), &Bucket::ais("x"), 0, 0);
    serde_json::to_value(props).map_err(|err| Failure::Other(format!("cannot print JSON: {err}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_of_a_new_bucket_are_checked_without_the_cluster() {
        let known = default_props().unwrap();
        let patch = props::parse_patch(&["versioning.enabled=true".to_owned()], &known).unwrap();
        assert_eq!(patch, json!({"versioning": {"enabled": true}}));
        assert!(props::parse_patch(&["versionning.enabled=true".to_owned()], &known).is_err());
    }

    #[test]
    fn dotted_keys_become_pointers() {
        assert_eq!(pointer("mirror.copies"), "/mirror/copies");
    }
}
