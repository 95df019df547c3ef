//! GetBatch: the request that names entries, and the description of what came back.

use serde::{Deserialize, Serialize};

use crate::bucket::{Bucket, NameError, Namespace, Provider, validate_object_name};
use crate::cut::{Cut, CutError};
use crate::error::ApiError;

/// Missing entries that one request may have before it fails, unless configured otherwise.
pub const DEFAULT_MAX_SOFT_ERRORS: u32 = 8;
/// Prefix of the archive name of a missing entry.
pub const MISSING_PREFIX: &str = "__404__/";

/// A batch request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct MossReq {
    /// Entries, in the order wanted.
    #[serde(rename = "in", default)]
    pub entries: Vec<MossIn>,
    /// Output format; empty means `.tar`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    /// Continue on error.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "coer")]
    pub continue_on_error: Option<bool>,
    /// Entry names without bucket.
    #[serde(default, rename = "onob")]
    pub only_object_name: bool,
    /// Stream the archive.
    #[serde(default, rename = "strm")]
    pub streaming: bool,
    /// Placement hint; only the query parameter counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coloc: Option<i64>,
}

/// One wanted entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct MossIn {
    /// Object name.
    #[serde(rename = "objname", default)]
    pub object: String,
    /// Bucket, when not the request's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// Provider of that bucket; aliases accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Bucket uname; wins over `bucket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uname: Option<String>,
    /// File inside the shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archpath: Option<String>,
    /// Opaque base64, echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<String>,
    /// First byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<i64>,
    /// Number of bytes; -1 means to the end; 0 with start 0 means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<i64>,
    /// A part of a recording in time, instead of bytes. Ours: servers of others do not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Box<Cut>>,
}

/// What an entry asks for, after defaults and checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Bucket.
    pub bucket: Bucket,
    /// Object name.
    pub object: String,
    /// File inside the shard, without a leading `/`; empty = the object itself.
    #[serde(default)]
    pub archpath: String,
    /// First byte.
    #[serde(default)]
    pub start: u64,
    /// Number of bytes, `None` = to the end.
    #[serde(default)]
    pub length: Option<u64>,
    /// A part of the recording that these bytes are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Box<Cut>>,
}

/// Why a batch request was refused before any data moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// No entries.
    #[error("moss: empty input: list at least one entry in \"in\"")]
    Empty,
    /// No bucket for an entry.
    #[error(
        "missing bucket specification for object \"{0}\": name a bucket in the entry or in the path"
    )]
    NoBucket(String),
    /// Bad range.
    #[error(
        "invalid range for object \"{object}\": start {start}, length {length} (start must be >= 0, length >= -1, and a start needs a length)"
    )]
    Range {
        /// Object.
        object: String,
        /// Given start.
        start: i64,
        /// Given length.
        length: i64,
    },
    /// Bad name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Bad cut.
    #[error("object \"{object}\": {reason}")]
    Cut {
        /// Object.
        object: String,
        /// Why.
        reason: CutError,
    },
}

impl MossIn {
    /// Applies the default bucket and checks names and ranges.
    pub fn resolve(&self, default_bucket: Option<&Bucket>) -> Result<Wanted, BatchError> {
        let bucket = self.resolve_bucket(default_bucket)?;
        validate_object_name(&self.object)?;
        let archpath = self.archpath.as_deref().unwrap_or_default();
        let archpath = archpath.strip_prefix('/').unwrap_or(archpath);
        if !archpath.is_empty() {
            validate_object_name(archpath)?;
        }
        let (start, length) = (self.start.unwrap_or(0), self.length.unwrap_or(0));
        let bad = || BatchError::Range { object: self.object.clone(), start, length };
        let start_u = u64::try_from(start).map_err(|_| bad())?;
        let length_u = match length {
            -1 => None,
            0 if start == 0 => None,
            n if n > 0 => Some(u64::try_from(n).map_err(|_| bad())?),
            _ => return Err(bad()),
        };
        let wanted = Wanted {
            bucket,
            object: self.object.clone(),
            archpath: archpath.to_owned(),
            start: start_u,
            length: length_u,
            cut: self.cut.clone(),
        };
        wanted.check_cut()?;
        Ok(wanted)
    }

    /// Whether the entry asks for a part, so that bounds are strict.
    pub fn is_range(&self) -> bool {
        self.start.unwrap_or(0) != 0 || self.length.unwrap_or(0) != 0
    }

    fn resolve_bucket(&self, default_bucket: Option<&Bucket>) -> Result<Bucket, BatchError> {
        if let Some(uname) = self.uname.as_deref().filter(|u| !u.is_empty()) {
            let (bucket, object) = Bucket::parse_uname(uname)?;
            return if object.is_empty() {
                Ok(bucket)
            } else {
                Err(NameError::Uname(uname.to_owned()).into())
            };
        }
        if let Some(name) = self.bucket.as_deref().filter(|b| !b.is_empty()) {
            let provider = Provider::parse(self.provider.as_deref().unwrap_or_default())?;
            let bucket =
                Bucket { name: name.to_owned(), provider, namespace: Namespace::default() };
            bucket.validate()?;
            return Ok(bucket);
        }
        default_bucket.cloned().ok_or_else(|| BatchError::NoBucket(self.object.clone()))
    }
}

impl Wanted {
    /// Checks what is asked of a recording.
    pub fn check_cut(&self) -> Result<(), BatchError> {
        let Some(cut) = &self.cut else { return Ok(()) };
        let is_range = self.start != 0 || self.length.is_some();
        let checked = if is_range { Err(CutError::Range) } else { cut.check() };
        checked.map_err(|reason| BatchError::Cut { object: self.object.clone(), reason })
    }

    /// Name of the entry in the output archive.
    pub fn archive_name(&self, only_object_name: bool, missing: bool) -> String {
        let mut name = String::with_capacity(self.object.len() + self.archpath.len() + 80);
        if missing {
            name.push_str(MISSING_PREFIX);
        }
        if !only_object_name {
            name.push_str(&self.bucket.name);
            name.push('/');
        }
        name.push_str(&self.object);
        if !self.archpath.is_empty() {
            name.push('/');
            name.push_str(&self.archpath);
        }
        name
    }

    /// Turns the wanted range into bounds within `size`; `None` when it does not fit.
    ///
    /// `whole` is whether the entry asked for everything, which also fits an empty object.
    pub fn bounds(&self, size: u64) -> Option<(u64, u64)> {
        match self.length {
            None if self.start == 0 => Some((0, size)),
            None => (self.start < size).then(|| (self.start, size - self.start)),
            Some(length) => {
                let end = self.start.checked_add(length)?;
                (end <= size).then_some((self.start, length))
            }
        }
    }
}

/// One entry of a buffered response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct MossOut {
    /// Object name.
    #[serde(rename = "objname")]
    pub object: String,
    /// File inside the shard.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub archpath: String,
    /// Bucket name.
    pub bucket: String,
    /// Provider, normalized.
    pub provider: String,
    /// Echo of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<String>,
    /// Why the entry is missing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub err_msg: String,
    /// Bytes in the archive entry.
    pub size: u64,
}

/// First part of a buffered response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct MossResp {
    /// Entries, as requested.
    pub out: Vec<MossOut>,
    /// Job id.
    pub uuid: String,
}

/// Whether a failure concerns one entry and not the request, so that a batch that continues on errors
/// marks the entry: it is missing, its node or disk failed, or no such cut can be made of it. A wrong range, an archive that cannot be
/// read, or a bucket that does not exist would fail again.
pub fn is_soft_error(error: &ApiError) -> bool {
    let of_entry = matches!(error.status, 404 | 410 | 416 | 422 | 500 | 502..=599);
    of_entry && !(error.status == 404 && error.message.starts_with("bucket \""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(start: i64, length: i64) -> MossIn {
        MossIn {
            object: "o.tar".into(),
            archpath: Some("/x/y.png".into()),
            start: Some(start),
            length: Some(length),
            ..MossIn::default()
        }
    }

    #[test]
    fn default_bucket_and_leading_slash() {
        let wanted = entry(0, 0).resolve(Some(&Bucket::ais("b"))).unwrap();
        assert_eq!(wanted.archive_name(false, false), "b/o.tar/x/y.png");
        assert_eq!(wanted.archive_name(true, true), "__404__/o.tar/x/y.png");
        assert!(matches!(entry(0, 0).resolve(None), Err(BatchError::NoBucket(_))));
    }

    #[test]
    fn ranges_are_strict() {
        let bucket = Bucket::ais("b");
        for (start, length) in [(-1, 5), (0, -2), (3, 0)] {
            assert!(entry(start, length).resolve(Some(&bucket)).is_err(), "{start} {length}");
        }
        let part = entry(3, 7).resolve(Some(&bucket)).unwrap();
        assert_eq!(part.bounds(10), Some((3, 7)));
        assert_eq!(part.bounds(9), None);
        let tail = entry(3, -1).resolve(Some(&bucket)).unwrap();
        assert_eq!((tail.bounds(10), tail.bounds(3)), (Some((3, 7)), None));
        let huge = entry(i64::MAX, i64::MAX).resolve(Some(&bucket)).unwrap();
        assert_eq!(huge.bounds(100), None);
    }
}
