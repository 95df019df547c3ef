//! Requests that several commands make.

use aistore_client::{Call, Client};
use aistore_core::bucket::Bucket;
use aistore_core::headers::NODE_ID;
use aistore_core::smap::{NodeKind, Smap, Snode};
use aistore_core::wire::ActionMsg;
use http::Method;
use serde_json::Value;

use crate::failure::Failure;

/// A request about a bucket.
pub(crate) fn bucket_call(method: Method, bucket: &Bucket) -> Call {
    let call = Call::new(method, format!("/v1/buckets/{}", bucket.name))
        .query("provider", bucket.provider.as_str());
    if bucket.namespace.is_global() {
        return call;
    }
    call.query("namespace", &bucket.namespace.to_string())
}

/// A request that one node answers, through a gateway.
pub(crate) fn node_call(method: Method, node: &str, item: &str) -> Call {
    let path = if item.is_empty() {
        "/v1/reverse/daemon".to_owned()
    } else {
        format!("/v1/reverse/daemon/{item}")
    };
    Call::new(method, path).header(NODE_ID, node).header("accept", "application/json")
}

/// Sends an action and returns the answer's text: mostly a job's id.
pub(crate) async fn act(
    client: &Client,
    call: Call,
    action: &str,
    name: &str,
    value: Value,
) -> Result<String, Failure> {
    let message = ActionMsg { action: action.to_owned(), name: name.to_owned(), value };
    let reply = client.call(call.json(&message)?).await?;
    Ok(String::from_utf8_lossy(&reply.body).trim().trim_matches('"').to_owned())
}

/// Asks one node.
pub(crate) async fn ask_node(client: &Client, node: &str, what: &str) -> Result<Value, Failure> {
    Ok(client.call(node_call(Method::GET, node, "").query("what", what)).await?.json()?)
}

/// Asks the cluster.
pub(crate) async fn ask_cluster(client: &Client, what: &str) -> Result<Value, Failure> {
    Ok(client.call(Call::new(Method::GET, "/v1/cluster").query("what", what)).await?.json()?)
}

/// The node that `text` means: an id, or a display form such as `t[ID]`.
pub(crate) fn find_node<'m>(map: &'m Smap, text: &str) -> Result<&'m Snode, Failure> {
    let id = bare_id(text);
    map.node(id).ok_or_else(|| {
        let known: Vec<_> =
            map.pmap.values().chain(map.tmap.values()).map(Snode::display).collect();
        Failure::usage(format!("unknown node \"{text}\": expected one of {}", known.join(", ")))
    })
}

/// The target that `text` means.
pub(crate) fn find_target<'m>(map: &'m Smap, text: &str) -> Result<&'m Snode, Failure> {
    let node = find_node(map, text)?;
    if node.daemon_type == NodeKind::Target {
        return Ok(node);
    }
    Err(Failure::usage(format!("{} is a gateway: expected a target", node.display())))
}

/// One target, or all of them.
pub(crate) fn targets<'m>(map: &'m Smap, text: Option<&str>) -> Result<Vec<&'m Snode>, Failure> {
    match text {
        Some(text) => Ok(vec![find_target(map, text)?]),
        None => Ok(map.tmap.values().collect()),
    }
}

/// `t[ID]` and `p[ID]` without their frame.
pub(crate) fn bare_id(text: &str) -> &str {
    text.strip_prefix("t[")
        .or_else(|| text.strip_prefix("p["))
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_found_in_either_form_and_kinds_are_told_apart() {
        let target = Snode::for_test("t1abcdef");
        let map = Smap { tmap: [(target.daemon_id.clone(), target)].into(), ..Smap::default() };
        assert_eq!(find_target(&map, "t[t1abcdef]").unwrap().daemon_id, "t1abcdef");
        assert_eq!(targets(&map, None).unwrap().len(), 1);
        let text = find_node(&map, "x").unwrap_err().to_string();
        assert!(text.contains("\"x\"") && text.contains("t[t1abcdef]"), "{text}");
    }
}
