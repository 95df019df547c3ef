//! Promotion of files on a target's disk to objects: arguments and names.

use serde::{Deserialize, Deserializer, Serialize};

use crate::bucket::NameError;
use crate::error::ApiError;
use crate::wire::ActionMsg;

/// Directory under which files may be promoted when the operator says nothing else.
pub const DEFAULT_ROOT: &str = "/var/lib/ais/promote";

/// `value` of the action `promote`. Missing and null keys are alike.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "the protocol has them")]
pub struct PromoteArgs {
    /// Only this target, empty for all.
    #[serde(deserialize_with = "nullable")]
    pub tid: String,
    /// Absolute path of a file or directory.
    #[serde(deserialize_with = "nullable")]
    pub src: String,
    /// Name of the object, or prefix of the names.
    #[serde(deserialize_with = "nullable")]
    pub obj: String,
    /// Directories in the directory too.
    #[serde(deserialize_with = "nullable")]
    pub rcr: bool,
    /// Replace objects that exist; else they are left alone.
    #[serde(deserialize_with = "nullable")]
    pub ovw: bool,
    /// Delete each file once it is an object.
    #[serde(deserialize_with = "nullable")]
    pub dls: bool,
    /// The source is not one that all targets see.
    #[serde(deserialize_with = "nullable")]
    pub notshr: bool,
}

fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl PromoteArgs {
    /// Reads an action message; its name is the source as well.
    ///
    /// # Errors
    ///
    /// 400 for malformed arguments, two different sources, or a source that is no absolute, plain path.
    pub fn parse(message: ActionMsg) -> Result<Self, ApiError> {
        let mut args: Self = if message.value.is_null() {
            Self::default()
        } else {
            serde_json::from_value(message.value).map_err(|err| {
                ApiError::bad_request(format!("malformed arguments of promote: {err}"))
            })?
        };
        if args.src.is_empty() {
            args.src = message.name;
        } else if !message.name.is_empty() && message.name != args.src {
            return Err(ApiError::bad_request(format!(
                "promote names two sources, \"{}\" and \"{}\": give one",
                message.name, args.src
            )));
        }
        while args.src.len() > 1 && args.src.ends_with('/') {
            args.src.pop();
        }
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        let absolute = args.src.strip_prefix('/');
        if !absolute.is_some_and(|rest| rest.split('/').all(plain)) || args.src.contains('\0') {
            return Err(invalid_source(
                &args.src,
                "expected an absolute path without \".\" and \"..\"",
            ));
        }
        if args.obj.contains('\0') {
            return Err(NameError::Object(args.obj).into());
        }
        Ok(args)
    }

    /// Name of the object that the source, a file, becomes.
    pub fn file_name(&self) -> String {
        if !self.obj.is_empty() && !self.obj.ends_with('/') {
            return self.obj.clone();
        }
        let base = self.src.rsplit('/').next().unwrap_or_default();
        format!("{}{base}", self.obj)
    }

    /// Name of the object that a file in the source, a directory, becomes; `path` is relative to it.
    pub fn member_name(&self, path: &str) -> String {
        format!("{}{path}", self.obj)
    }
}

/// 400: a source that may not be promoted.
pub fn invalid_source(path: &str, why: &str) -> ApiError {
    ApiError::bad_request(format!("invalid promote source \"{path}\": {why}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(name: &str, value: Value) -> Result<PromoteArgs, ApiError> {
        PromoteArgs::parse(ActionMsg { action: "promote".into(), name: name.into(), value })
    }

    #[test]
    fn the_source_is_given_once_or_twice_alike() {
        for (name, value) in [
            ("/a/b", Value::Null),
            ("/a/b", json!({"src": null, "rcr": null})),
            ("", json!({"src": "/a/b/"})),
            ("/a/b", json!({"src": "/a/b"})),
        ] {
            assert_eq!(parse(name, value).unwrap().src, "/a/b");
        }
        for (name, value) in [
            ("/a", json!({"src": "/b"})),
            ("a/b", Value::Null),
            ("", Value::Null),
            ("/", Value::Null),
            ("/a/../b", Value::Null),
            ("/a/./b", Value::Null),
            ("/a//b", Value::Null),
            ("/a", json!({"rcr": 7})),
        ] {
            assert_eq!(parse(name, value.clone()).unwrap_err().status, 400, "{name} {value}");
        }
    }

    #[test]
    fn names_are_the_plain_concatenation() {
        let args = |obj: &str| parse("/a/b.txt", json!({"obj": obj})).unwrap();
        for (obj, name) in [("", "b.txt"), ("x", "x"), ("x/", "x/b.txt")] {
            assert_eq!(args(obj).file_name(), name);
        }
        assert_eq!(args("x").member_name("d/f"), "xd/f");
        assert_eq!(args("x/").member_name("f"), "x/f");
    }
}
