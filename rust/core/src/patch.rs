//! Partial updates: a JSON patch over a typed value, with errors that name the dotted key.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::error::ApiError;

/// Puts `patch` over `base` at every level; null and missing keys leave `base` as it is.
pub(crate) fn merge(base: &mut Value, patch: &Value) {
    match (base, patch) {
        (_, Value::Null) => {}
        (Value::Object(base), Value::Object(patch)) => {
            for (key, change) in patch.iter().filter(|(_, change)| !change.is_null()) {
                // An absent base is null, so that nulls deep inside a new object are left out as well.
                merge(base.entry(key.as_str()).or_insert_with(|| empty_like(change)), change);
            }
        }
        (base, change) => *base = change.clone(),
    }
}

fn empty_like(change: &Value) -> Value {
    if change.is_object() { Value::Object(Map::new()) } else { Value::Null }
}

/// The JSON form of one of our own types.
pub(crate) fn to_value(what: &str, value: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(value)
        .map_err(|err| ApiError::internal(format!("cannot encode {what}: {err}")))
}

/// How serde begins to say that a text is none of the accepted ones.
const UNKNOWN_VALUE: &str = "unknown variant `";

/// Refuses a list where there is a section: serde would read it as the section's keys in order.
pub(crate) fn check_sections(base: &Value, patch: &Value) -> Result<(), ApiError> {
    check_section("", base, patch)
}

fn check_section(key: &str, base: &Value, patch: &Value) -> Result<(), ApiError> {
    let Some(base) = base.as_object() else { return Ok(()) };
    match patch {
        Value::Array(_) => Err(refused(key, patch, "a JSON object with the section's keys")),
        Value::Object(changes) => changes.iter().try_for_each(|(name, change)| {
            let dot = if key.is_empty() { "" } else { "." };
            let below = base.get(name).unwrap_or(&Value::Null);
            check_section(&format!("{key}{dot}{name}"), below, change)
        }),
        _ => Ok(()),
    }
}

/// Reads a merged value; `what` is the kind of thing for the message.
pub(crate) fn decode<T: DeserializeOwned>(what: &str, value: Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value).map_err(|err| {
        let path = err.path().to_string();
        let text = err.inner().to_string();
        let near = suggestion(&text).map(|near| format!("did you mean \"{near}\"? "));
        let near = near.unwrap_or_default();
        let text = match text.strip_prefix(UNKNOWN_VALUE).and_then(|rest| rest.split_once("`, ")) {
            Some((value, accepted)) => format!("invalid value \"{value}\": {accepted}"),
            None => text,
        };
        ApiError::bad_request(format!("invalid {what} \"{path}\": {near}{text}"))
    })
}

/// Of the names that an error about an unknown one lists, the one that was most likely meant.
fn suggestion(text: &str) -> Option<&str> {
    // Values are short: of "sha1" no other is meant.
    let (rest, similar) = match text.strip_prefix(UNKNOWN_VALUE) {
        Some(rest) => (rest, 0.75),
        None => (text.strip_prefix("unknown field `")?, 0.6),
    };
    let (unknown, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2);
    known
        .map(|name| (strsim::normalized_damerau_levenshtein(unknown, name), name))
        .filter(|(similarity, _)| *similarity >= similar)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// The value at a dotted key.
pub(crate) fn lookup<'v>(value: &'v Value, dotted: &str) -> Option<&'v Value> {
    dotted.split('.').try_fold(value, |value, key| value.get(key))
}

/// A value that a rule forbids.
pub(crate) fn refused(key: &str, value: impl std::fmt::Display, accepted: &str) -> ApiError {
    ApiError::bad_request(format!("invalid value \"{value}\" of \"{key}\": expected {accepted}"))
}

/// Fails with [`refused`] unless `good`.
pub(crate) fn require(
    good: bool,
    key: &str,
    value: impl std::fmt::Display,
    accepted: &str,
) -> Result<(), ApiError> {
    if good { Ok(()) } else { Err(refused(key, value, accepted)) }
}
