//! `ais object mv` and `ais object set-custom`: changes that leave the content alone.

use aistore_client::{Call, Client};
use aistore_core::text::encode_object_name;
use http::Method;
use serde_json::{Map, Value, json};

use crate::api;
use crate::args::SetCustomArgs;
use crate::failure::Failure;
use crate::names::{Target, parse_object};
use crate::output::Output;

fn object_call(method: Method, target: &Target) -> Call {
    let mut call = api::bucket_call(method, &target.bucket);
    call.path = format!("/v1/objects/{}/{}", target.bucket.name, encode_object_name(&target.name));
    call
}

/// `ais object mv`.
pub(crate) async fn rename(
    client: &Client,
    from: &str,
    to: &str,
    out: &mut Output,
) -> Result<(), Failure> {
    let (old, new) = (parse_object(from)?, parse_object(to)?);
    if old.bucket != new.bucket {
        return Err(Failure::usage(format!(
            "objects are renamed inside their bucket: copy \"{from}\" to \"{to}\" with \"ais object cp\""
        )));
    }
    api::act(client, object_call(Method::POST, &old), "rename-obj", &new.name, Value::Null).await?;
    if out.json {
        return out.json(&json!({"from": old.cname(), "to": new.cname()}));
    }
    out.message(&format!("\"{}\" renamed to \"{}\"", old.cname(), new.name))
}

/// `ais object set-custom`.
pub(crate) async fn set_custom(
    client: &Client,
    args: &SetCustomArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let target = parse_object(&args.object)?;
    let pairs = parse_pairs(&args.pairs)?;
    let mut call = object_call(Method::PATCH, &target);
    if args.set_new_custom {
        call = call.query("set-new-custom", "true");
    }
    api::act(client, call, "", "", Value::Object(pairs.clone())).await?;
    if out.json {
        return out.json(&json!({"object": target.cname(), "custom": pairs}));
    }
    out.message(&format!("Custom metadata of \"{}\" updated", target.cname()))
}

/// `KEY=VALUE` words, or one JSON object whose values are texts.
fn parse_pairs(words: &[String]) -> Result<Map<String, Value>, Failure> {
    if let [one] = words
        && one.trim_start().starts_with('{')
    {
        let pairs: Map<String, Value> = serde_json::from_str(one)
            .map_err(|err| Failure::usage(format!("custom metadata is not JSON: {err}")))?;
        if let Some((key, value)) = pairs.iter().find(|(_, value)| !value.is_string()) {
            return Err(Failure::usage(format!("{key}: {value} is not a text: put it in quotes")));
        }
        return Ok(pairs);
    }
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), json!(value))),
            _ => Err(Failure::usage(format!("\"{word}\" is not KEY=VALUE, such as source=web"))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Map<String, Value>, Failure> {
        parse_pairs(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn pairs_are_words_or_json() {
        assert_eq!(json!(parse(&["a=b=c", "d="]).unwrap()), json!({"a": "b=c", "d": ""}));
        assert_eq!(json!(parse(&[r#"{"a": "b"}"#]).unwrap()), json!({"a": "b"}));
    }

    #[test]
    fn mistakes_are_named() {
        for (words, hint) in [
            (&["a"][..], "KEY=VALUE"),
            (&["=b"], "KEY=VALUE"),
            (&["{a"], "not JSON"),
            (&[r#"{"a": 1}"#], "in quotes"),
        ] {
            assert!(parse(words).unwrap_err().to_string().contains(hint), "{words:?}");
        }
    }
}
