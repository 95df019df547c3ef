//! The copy message: what goes from one bucket to another, and under which names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bucket::NameError;
use crate::error::ApiError;

/// `value` of `copy-bck`. Keys as on the wire; unknown ones are mistakes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "one per key of the protocol")]
pub struct CopyMsg {
    /// Only objects whose names start with this.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Put before each destination name, as it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prepend: String,
    /// Other extensions for destination names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ext: Option<BTreeMap<String, String>>,
    /// Visit and count, change nothing.
    pub dry_run: bool,
    /// Ignore limited coexistence.
    pub force: bool,
    /// Check remote versions; nothing to do for native buckets.
    #[serde(rename = "latest-ver")]
    pub latest_ver: bool,
    /// Delete at the destination what the source does not have.
    pub synchronize: bool,
    /// Do not descend into virtual directories.
    #[serde(rename = "non-recurs")]
    pub non_recursive: bool,
    /// Workers per target: 0 chooses, negative is one.
    #[serde(rename = "num-workers")]
    pub workers: i64,
    /// Count errors of single objects and go on.
    #[serde(rename = "coer")]
    pub continue_on_error: bool,
    /// Old clients send an empty one.
    #[serde(rename = "TxnUUID", skip_serializing)]
    transaction: Option<Value>,
    /// Transformation; not for plain copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_timeout: Option<String>,
}

impl CopyMsg {
    /// Reads `value`; `null` copies everything.
    ///
    /// # Errors
    ///
    /// 400 for unknown keys and for options that exclude each other.
    pub fn parse(value: Value) -> Result<Self, ApiError> {
        let value = match value {
            Value::Null => return Ok(Self::default()),
            Value::Object(fields) => {
                fields.into_iter().filter(|(_, value)| !value.is_null()).collect()
            }
            other => other,
        };
        let mut msg: Self = serde_json::from_value(value)
            .map_err(|err| ApiError::bad_request(format!("malformed copy request: {err}")))?;
        if msg.synchronize && !msg.prepend.is_empty() {
            return Err(ApiError::bad_request(format!(
                "\"synchronize\" and \"prepend\" (\"{}\") exclude each other: copy without one of them",
                msg.prepend
            )));
        }
        if let Some(name) = msg.id.as_ref().filter(|name| !name.is_empty()) {
            return Err(ApiError::bad_request(format!(
                "a plain copy takes no transformation (\"{name}\")"
            )));
        }
        if msg.prefix.ends_with('*') {
            msg.prefix.pop();
        }
        let escapes = |text: &str| text.split('/').any(|part| part == "." || part == "..");
        for (what, text) in [("prefix", &msg.prefix), ("prepend", &msg.prepend)] {
            if text.contains('\0') {
                return Err(NameError::Object(text.clone()).into());
            }
            if escapes(text) || text.starts_with("~/") {
                return Err(ApiError::bad_request(format!(
                    "invalid {what} \"{text}\": no '.' or '..' path element and no leading \"~/\""
                )));
            }
        }
        (msg.id, msg.pipeline, msg.request_timeout) = (None, None, None);
        msg.transaction = None;
        Ok(msg)
    }

    /// Name of `source` at the destination.
    pub fn destination(&self, source: &str) -> String {
        let mapped = self.ext.as_ref().and_then(|map| {
            let (stem, old) = source.rsplit_once('.')?;
            // A dot in a directory's name is no extension.
            let new = map.get(old).filter(|_| !old.contains('/'))?;
            Some(format!("{stem}.{}", new.trim_start_matches('.')))
        });
        format!("{}{}", self.prepend, mapped.as_deref().unwrap_or(source))
    }

    /// Short text about the job.
    pub fn describe(&self, verb: &str, from: &str, to: &str) -> String {
        let mut text = format!("{verb} {from}=>{to}");
        let flags = [
            (self.latest_ver, "latest"),
            (self.synchronize, "sync"),
            (self.non_recursive, "non-recurs"),
            (self.dry_run, "dry-run"),
        ];
        let set: Vec<&str> = flags.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        if !set.is_empty() {
            text.push_str(", flags:");
            text.push_str(&set.join(","));
        }
        if !self.prefix.is_empty() {
            text.push_str(", prefix:");
            text.push_str(&self.prefix);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_clients_send_is_read() {
        let msg = CopyMsg::parse(json!({
            "prefix": "a/*", "prepend": "", "dry_run": false, "force": false, "latest-ver": false,
            "synchronize": true, "ext": null, "TxnUUID": "", "num-workers": -1, "coer": true
        }));
        let msg = msg.unwrap();
        assert_eq!((msg.prefix.as_str(), msg.workers, msg.synchronize), ("a/", -1, true));
        assert!(msg.continue_on_error);
        assert_eq!(CopyMsg::parse(Value::Null).unwrap(), CopyMsg::default());
        let stored = serde_json::to_value(&msg).unwrap();
        assert_eq!(CopyMsg::parse(stored).unwrap(), msg);
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |value: Value| CopyMsg::parse(value).unwrap_err().message;
        assert!(refused(json!({"colour": 1})).contains("colour"));
        assert!(refused(json!({"synchronize": true, "prepend": "x"})).contains("\"x\""));
        assert!(refused(json!({"prefix": "../x"})).contains("../x"));
        assert!(refused(json!([1])).contains("malformed"));
    }

    #[test]
    fn destination_names() {
        let msg = CopyMsg::parse(json!({"prepend": "p/", "ext": {"jpg": ".png", "tar.gz": "x"}}))
            .unwrap();
        for (from, to) in [
            ("a.jpg", "p/a.png"),
            ("a.b.jpg", "p/a.b.png"),
            ("d.jpg/a", "p/d.jpg/a"),
            ("plain", "p/plain"),
            ("a.tar.gz", "p/a.tar.gz"),
        ] {
            assert_eq!(msg.destination(from), to);
        }
    }
}
