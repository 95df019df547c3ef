//! `section.key=value` pairs as a JSON patch.

use serde_json::{Map, Value};

use super::{
    AuthConf, ClaimsConf, ClusterConfig, IntraClusterConf, OidcConf, PublicTlsConf, READ_ONLY,
    SignatureConf, TracingConf, WHAT, expand, read_only,
};
use crate::error::ApiError;
use crate::patch;

/// Most pairs in one change.
const MAX_PAIRS: usize = 1024;

/// Turns pairs into a patch, by the types of the keys.
pub(super) fn to_patch(pairs: &[(String, String)]) -> Result<Value, ApiError> {
    if pairs.is_empty() {
        return Err(ApiError::bad_request(
            "no configuration key given: expected KEY=VALUE pairs, such as lru.enabled=true",
        ));
    }
    if pairs.len() > MAX_PAIRS {
        let count = pairs.len();
        return Err(ApiError::bad_request(format!(
            "{count} configuration keys at once: at most {MAX_PAIRS}"
        )));
    }
    let complete = specimen()?;
    let mut patch = Value::Object(Map::new());
    for (name, text) in pairs {
        let (key, kind) = find(&complete, name)?;
        if READ_ONLY.iter().any(|pattern| expand(pattern).contains(&key)) {
            return Err(read_only(&key));
        }
        let value = convert(&key, kind, text)?;
        if patch::lookup(&patch, &key).is_some() {
            return Err(ApiError::bad_request(format!(
                "configuration key \"{key}\" is given twice: name each once"
            )));
        }
        let nested = key
            .rsplit('.')
            .fold(value, |inner, part| Value::Object(Map::from_iter([(part.to_owned(), inner)])));
        patch::merge(&mut patch, &nested);
    }
    Ok(patch)
}

/// A configuration in which no key is left out, to look names and types up in.
pub(super) fn specimen() -> Result<Value, ApiError> {
    let mut config = ClusterConfig {
        auth: AuthConf {
            signature: Some(SignatureConf::default()),
            required_claims: Some(ClaimsConf::default()),
            oidc: Some(OidcConf::default()),
            intra_cluster: Some(IntraClusterConf::default()),
            ..AuthConf::default()
        },
        tracing: Some(TracingConf::default()),
        ..ClusterConfig::default()
    };
    config.net.http.public = Some(PublicTlsConf::default());
    config.chunks.checkpoint_every = 1;
    config.chunks.flags = 1;
    "set".clone_into(&mut config.rate_limit.backend.per_op_max_tokens);
    "set".clone_into(&mut config.rate_limit.frontend.per_op_max_tokens);
    patch::to_value("configuration", &config)
}

/// The key's own spelling and a value of its type.
fn find<'v>(complete: &'v Value, name: &str) -> Result<(String, &'v Value), ApiError> {
    let mut value = complete;
    let mut key = String::new();
    for part in name.split('.') {
        let keys = value.as_object();
        let hit =
            keys.and_then(|keys| keys.iter().find(|(have, _)| have.eq_ignore_ascii_case(part)));
        let Some((have, next)) = hit else {
            let here =
                keys.map(|keys| keys.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
            let place =
                if key.is_empty() { "the configuration".to_owned() } else { format!("\"{key}\"") };
            return Err(ApiError::bad_request(match here {
                Some(here) => format!("unknown {WHAT} \"{name}\": {place} has {here}"),
                None => format!("unknown {WHAT} \"{name}\": {place} has no keys of its own"),
            }));
        };
        if !key.is_empty() {
            key.push('.');
        }
        key.push_str(have);
        value = next;
    }
    Ok((key, value))
}

/// Reads text as a value of the same type as `kind`.
fn convert(key: &str, kind: &Value, text: &str) -> Result<Value, ApiError> {
    match kind {
        Value::Bool(_) => strict_bool(text).map(Value::Bool).ok_or_else(|| {
            patch::refused(key, text, "true or false (also 1, 0, t, f, y, n, yes, no, on, off)")
        }),
        Value::Number(_) => text
            .trim()
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_| patch::refused(key, text, "an integer")),
        Value::Array(_) => list(text)
            .map(Value::from)
            .ok_or_else(|| patch::refused(key, text, "a list such as [a b c], or none")),
        Value::Object(keys) => {
            let keys = keys.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            Err(ApiError::bad_request(if keys.is_empty() {
                format!("{WHAT} \"{key}\" has no text form: set it with a JSON change")
            } else {
                format!("{WHAT} \"{key}\" is a section: name one of its keys ({keys})")
            }))
        }
        Value::String(_) | Value::Null => Ok(Value::from(text)),
    }
}

/// Reads a boolean; `None` for anything but the known spellings.
fn strict_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "y" | "yes" | "on" => Some(true),
        "0" | "f" | "false" | "n" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Reads `[a b c]` or `none`; commas separate as well.
fn list(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("none") {
        return Some(Vec::new());
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let parts = inner.split([' ', ',']).filter(|part| !part.is_empty());
    Some(parts.map(str::to_owned).collect())
}
