//! What clients send: arguments of `start` and `stop`, and job queries.
//!
//! Clients disagree on the case of keys, so keys are compared without it.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::bucket::Bucket;
use crate::error::ApiError;

/// `value` of the actions `start` and `stop`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobArgs {
    /// Job to stop; ignored by `start`.
    #[serde(deserialize_with = "nullable")]
    pub id: String,
    /// Kind or display name.
    #[serde(deserialize_with = "nullable")]
    pub kind: String,
    /// Target to run on.
    #[serde(deserialize_with = "nullable")]
    pub daemonid: String,
    /// Bucket.
    pub bck: Option<Bucket>,
    /// Several buckets.
    pub buckets: Option<Vec<Bucket>>,
    /// Nanoseconds; of use to clients only.
    timeout: Option<i64>,
    /// Options by bit.
    #[serde(deserialize_with = "nullable")]
    pub flags: u32,
    /// Overrides safety checks, by kind.
    #[serde(deserialize_with = "nullable")]
    pub force: bool,
    /// Of use to clients only.
    onlyrunning: Option<bool>,
}

impl JobArgs {
    /// Reads `value`; unknown keys are mistakes.
    ///
    /// # Errors
    ///
    /// 400 naming the key.
    pub fn parse(value: Value) -> Result<Self, ApiError> {
        let args: Self = parse(value, "job arguments")?;
        let named = args.bck.clone().filter(|bucket| !bucket.name.is_empty());
        Ok(Self { bck: named, ..args })
    }

    /// The buckets that are meant, `Bck` before `Buckets`.
    pub fn all_buckets(&self) -> Vec<Bucket> {
        let several = self.buckets.iter().flatten().filter(|bucket| !bucket.name.is_empty());
        match &self.bck {
            Some(bucket) => vec![bucket.clone()],
            None => several.cloned().collect(),
        }
    }
}

/// Body of job questions. Unknown keys are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct JobQuery {
    /// One job, or several separated by commas.
    #[serde(deserialize_with = "nullable")]
    pub id: String,
    /// Kind or display name.
    #[serde(deserialize_with = "nullable")]
    pub kind: String,
    /// Bucket, `None` for any.
    pub bck: Option<Bucket>,
    /// Only jobs that run (`true`).
    pub show_active: Option<bool>,
    /// Only of this target.
    #[serde(alias = "daemonid", deserialize_with = "nullable")]
    pub node: String,
}

impl JobQuery {
    /// Reads a body; an empty one asks for everything.
    ///
    /// # Errors
    ///
    /// 400 for malformed JSON, an unknown kind, or an id that cannot be one.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let value: Value = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body).map_err(|err| {
                ApiError::bad_request(format!("malformed job query in the body: {err}"))
            })?
        };
        let mut query: Self = parse(value, "job query")?;
        query.bck = query.bck.filter(|bucket| !bucket.name.is_empty());
        query.kind = normal_kind(&query.kind)?;
        for id in query.ids() {
            check_id(id)?;
        }
        Ok(query)
    }

    /// The ids that are asked for, none for any.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.id.split(',').map(str::trim).filter(|id| !id.is_empty())
    }

    /// Whether only jobs that run are wanted.
    pub fn active_only(&self) -> bool {
        self.show_active == Some(true)
    }
}

/// The kind's wire name; empty stays empty.
pub(super) fn normal_kind(name: &str) -> Result<String, ApiError> {
    if name.is_empty() {
        return Ok(String::new());
    }
    let kind = super::find_kind(name).ok_or_else(|| {
        ApiError::bad_request(format!("invalid job kind \"{name}\": see `ais show job --help`"))
    })?;
    Ok(kind.name.to_owned())
}

pub(super) fn check_id(id: &str) -> Result<(), ApiError> {
    if super::is_valid_id(id) {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "invalid job id \"{id}\": expected 9 to 32 letters, digits, '-' or '_'"
    )))
}

fn parse<T: DeserializeOwned + Default>(value: Value, what: &str) -> Result<T, ApiError> {
    let fields = match value {
        Value::Null => return Ok(T::default()),
        Value::Object(fields) => fields,
        other => {
            return Err(ApiError::bad_request(format!(
                "malformed {what}: expected an object, got {other}"
            )));
        }
    };
    let lower: Map<String, Value> =
        fields.into_iter().map(|(key, value)| (key.to_ascii_lowercase(), lower(value))).collect();
    serde_json::from_value(Value::Object(lower))
        .map_err(|err| ApiError::bad_request(format!("malformed {what}: {err}")))
}

/// Buckets inside come with a namespace of `null` as well.
fn lower(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.to_ascii_lowercase(), value)).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(lower).collect()),
        other => other,
    }
}

/// The same without fields that are `null`, at any depth.
pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_taken_in_any_case_and_unknown_arguments_are_refused() {
        let args = JobArgs::parse(json!({
            "ID": "", "Kind": "lru", "DaemonID": "t1", "Bck": {"name": "b", "provider": "ais", "namespace": null},
            "Buckets": null, "Timeout": 5, "Force": true, "OnlyRunning": false
        }));
        let args = args.unwrap();
        assert_eq!((args.kind.as_str(), args.daemonid.as_str(), args.force), ("lru", "t1", true));
        assert_eq!(args.all_buckets(), [Bucket::ais("b")]);
        let err = JobArgs::parse(json!({"kind": "lru", "colour": 1})).unwrap_err();
        assert!(err.status == 400 && err.message.contains("colour"), "{err}");
        assert!(JobArgs::parse(json!([1])).is_err());
    }

    #[test]
    fn queries_ignore_what_they_do_not_know() {
        let body = br#"{"ID":"abcdefghi","Kind":"copy-bucket","DaemonID":"","Bck":null,"Buckets":null,"X":1}"#;
        let query = JobQuery::parse(body).unwrap();
        assert_eq!((query.kind.as_str(), query.ids().count()), ("copy-bck", 1));
        assert_eq!(JobQuery::parse(b"").unwrap(), JobQuery::default());
        for bad in [&b"{"[..], b"{\"kind\":\"nope\"}", b"{\"id\":\"short\"}"] {
            assert_eq!(JobQuery::parse(bad).unwrap_err().status, 400);
        }
    }

    #[test]
    fn a_nameless_bucket_is_no_bucket() {
        let query = JobQuery::parse(br#"{"bck":{"name":"","provider":""}}"#).unwrap();
        assert_eq!(query.bck, None);
    }
}
