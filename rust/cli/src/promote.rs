//! `ais object promote`: files that lie on the targets become objects.

use aistore_client::{Call, Client};
use http::Method;
use serde_json::json;

use crate::args::PromoteArgs;
use crate::failure::Failure;
use crate::names::parse_target;
use crate::output::Output;
use crate::{api, jobs};

/// Runs the command.
pub(crate) async fn run(
    client: &Client,
    args: &PromoteArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    if !args.path.starts_with('/') {
        return Err(Failure::usage(format!(
            "\"{}\" is a path on the targets: it must be absolute",
            args.path
        )));
    }
    let target = parse_target(&args.destination)?;
    let node = match &args.target_id {
        None => String::new(),
        Some(text) => {
            let map = client.smap(true).await?;
            api::find_target(&map, text)?.daemon_id.clone()
        }
    };
    let value = json!({
        "tid": node,
        "src": args.path,
        "obj": target.name,
        "rcr": args.recursive,
        "ovw": args.overwrite_dst,
        "dls": args.delete_src,
        "notshr": args.not_file_share,
    });
    let mut call: Call = api::bucket_call(Method::POST, &target.bucket);
    call.path = format!("/v1/objects/{}", target.bucket.name);
    let id = api::act(client, call, "promote", &args.path, value).await?;
    if id.is_empty() {
        // A few files are done before the answer comes.
        if out.json {
            return out.json(&json!({"id": "", "kind": "promote"}));
        }
        return out.message(&format!("PROMOTE {} to {}", args.path, target.cname()));
    }
    jobs::started(client, "promote", &id, &args.then, out).await
}
