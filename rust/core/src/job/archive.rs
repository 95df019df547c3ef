//! The message of the job that puts objects into a shard.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::args::without_nulls;
use super::selection::{Names, Selection};
use crate::archive::Format;
use crate::bucket::{Bucket, validate_object_name};
use crate::error::ApiError;

/// `value` of the action `archive`. Keys as on the wire; unknown ones are mistakes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "one per key of the protocol")]
pub struct ArchiveMsg {
    /// Bucket of the shard; the objects' own without a name.
    #[serde(rename = "tobck", skip_serializing_if = "Option::is_none")]
    pub to: Option<Bucket>,
    /// Name of the shard; its ending tells the format.
    #[serde(rename = "archname")]
    pub name: String,
    /// The same ending once more, or nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mime: String,
    /// Objects by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objnames: Vec<String>,
    /// Objects by range or prefix.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub template: String,
    /// Files are named by what follows the last `/`.
    #[serde(rename = "bnonly")]
    pub base_names: bool,
    /// Files are named `BUCKET/...`.
    #[serde(rename = "isbn")]
    pub with_bucket: bool,
    /// Files are added to a shard that is there.
    #[serde(rename = "aate")]
    pub append: bool,
    /// Errors of single objects are counted, and the rest goes on.
    #[serde(rename = "coer")]
    pub continue_on_error: bool,
    /// A prefix does not descend into virtual directories.
    #[serde(rename = "non-recurs")]
    pub non_recursive: bool,
    /// Of no effect: one shard is written by one writer.
    #[serde(rename = "num-workers", skip_serializing)]
    workers: Option<i64>,
    #[serde(rename = "TxnUUID", skip_serializing)]
    transaction: Option<Value>,
}

impl ArchiveMsg {
    /// Reads and checks `value`.
    ///
    /// # Errors
    ///
    /// 400 for unknown keys, a name that is no shard's, another format than its ending says, and a selection that
    /// cannot be read.
    pub fn parse(value: Value) -> Result<Self, ApiError> {
        let mut msg: Self = serde_json::from_value(without_nulls(value))
            .map_err(|err| ApiError::bad_request(format!("malformed archive request: {err}")))?;
        msg.to = msg.to.filter(|bucket| !bucket.name.is_empty());
        validate_object_name(&msg.name)?;
        msg.format()?;
        msg.names()?;
        if let Some(bucket) = &msg.to {
            bucket.validate()?;
        }
        Ok(msg)
    }

    /// The shard's format.
    ///
    /// # Errors
    ///
    /// 400 where name and `mime` do not agree on one.
    pub fn format(&self) -> Result<Format, ApiError> {
        let (extension, format) = Format::extension(&self.name).ok_or_else(|| {
            ApiError::bad_request(format!(
                "\"{}\" is not the name of an archive: it must end in .tar, .tgz, .tar.gz, .zip or .tar.lz4",
                self.name
            ))
        })?;
        if self.mime.is_empty() || self.mime == extension {
            return Ok(format);
        }
        Err(ApiError::bad_request(format!(
            "mime \"{}\" contradicts the name \"{}\": leave it out, or say \"{extension}\"",
            self.mime, self.name
        )))
    }

    /// The objects.
    ///
    /// # Errors
    ///
    /// 400 for names and templates that cannot be.
    pub fn names(&self) -> Result<Names, ApiError> {
        Selection { objnames: self.objnames.clone(), template: self.template.clone() }.names()
    }

    /// The name that an object of `bucket` gets in the shard.
    pub fn member_name(&self, bucket: &Bucket, object: &str) -> String {
        let object =
            if self.base_names { object.rsplit('/').next().unwrap_or(object) } else { object };
        if self.with_bucket { format!("{}/{object}", bucket.name) } else { object.to_owned() }
    }

    /// Description for people.
    pub fn describe(&self, from: &Bucket, to: &Bucket) -> String {
        let how = if self.append { "append" } else { "new" };
        format!("{from}=>{}, {how}", to.object_cname(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_are_read_as_clients_send_them() {
        let msg = ArchiveMsg::parse(json!({
            "objnames": ["a/b"], "archname": "s.tar.gz", "mime": ".tar.gz", "isbn": true, "aate": false, "coer": true,
            "tobck": {"name": "dst", "provider": "ais", "namespace": null}
        }));
        let msg = msg.unwrap();
        assert_eq!(
            (msg.format().unwrap(), msg.to.clone().unwrap().name),
            (Format::TarGz, "dst".into())
        );
        assert_eq!(msg.member_name(&Bucket::ais("src"), "a/b"), "src/a/b");
        let again = ArchiveMsg::parse(serde_json::to_value(&msg).unwrap()).unwrap();
        assert_eq!(again, msg);
        let base = ArchiveMsg { base_names: true, ..ArchiveMsg::default() };
        assert_eq!(base.member_name(&Bucket::ais("src"), "a/b"), "b");
    }

    #[test]
    fn requests_that_cannot_be_done_are_refused() {
        for (value, text) in [
            (json!({"archname": "s.txt"}), "must end in"),
            (json!({"archname": ""}), ""),
            (json!({"archname": "../s.tar"}), "../s.tar"),
            (json!({"archname": "s.tgz", "mime": ".tar.gz"}), "contradicts"),
            (json!({"archname": "s.tar", "colour": 1}), "colour"),
            (json!({"archname": "s.tar", "objnames": ["../x"]}), "../x"),
            (json!({"archname": "s.tar", "template": "{1..x}"}), "{1..x}"),
            (json!(["s.tar"]), "malformed"),
        ] {
            let err = ArchiveMsg::parse(value.clone()).unwrap_err();
            assert!(err.status == 400 && err.message.contains(text), "{value}: {err}");
        }
    }
}
