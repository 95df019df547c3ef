//! Where a recording lies: an object, or a file in a shard.

use crate::archive::Format;
use crate::bucket::{Bucket, NameError, Namespace, Provider, validate_object_name};
use crate::moss::MossIn;

/// An object, or a file in one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location {
    /// Its bucket; `None` = that of the request.
    pub bucket: Option<Bucket>,
    /// Its name.
    pub object: String,
    /// File in it; empty = the object itself.
    pub archpath: String,
}

/// Why a text names no recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// A web page, a local file.
    #[error("its recording \"{0}\" is no object: expected ais://BUCKET/OBJECT")]
    NotAnObject(String),
    /// No object in it.
    #[error("its recording \"{0}\" names no object: expected ais://BUCKET/OBJECT")]
    NoObject(String),
    /// Bad name.
    #[error("its recording: {0}")]
    Name(#[from] NameError),
}

impl Location {
    /// Reads `ais://BUCKET/OBJECT`, `ais://BUCKET/SHARD.tar/FILE`, or a name in the bucket of the request.
    pub fn parse(uri: &str) -> Result<Self, LocationError> {
        let (bucket, name) = match uri.split_once("://") {
            None if uri.starts_with('/') => {
                return Err(LocationError::NotAnObject(clip(uri)));
            }
            None => (None, uri),
            Some((scheme, rest)) => {
                if matches!(scheme, "http" | "https" | "file") {
                    return Err(LocationError::NotAnObject(clip(uri)));
                }
                let provider = Provider::parse(scheme)?;
                let (bucket, name) = rest.split_once('/').unwrap_or((rest, ""));
                let namespace = Namespace::default();
                let bucket = Bucket { name: bucket.to_owned(), provider, namespace };
                bucket.validate()?;
                (Some(bucket), name)
            }
        };
        if name.is_empty() {
            return Err(LocationError::NoObject(clip(uri)));
        }
        let (object, archpath) = split_shard(name);
        validate_object_name(object)?;
        if !archpath.is_empty() {
            validate_object_name(archpath)?;
        }
        Ok(Self { bucket, object: object.to_owned(), archpath: archpath.to_owned() })
    }

    /// The entry of a batch that it is.
    pub fn entry(&self) -> MossIn {
        MossIn {
            object: self.object.clone(),
            uname: self.bucket.as_ref().map(Bucket::uname),
            archpath: Some(self.archpath.clone()).filter(|path| !path.is_empty()),
            ..MossIn::default()
        }
    }
}

/// A name up to the first part that is called like a shard, and the rest.
fn split_shard(name: &str) -> (&str, &str) {
    let slashes = name.match_indices('/').map(|(at, _)| at);
    for at in slashes {
        let (shard, file) =
            (name.get(..at).unwrap_or_default(), name.get(at + 1..).unwrap_or_default());
        if !file.is_empty() && Format::by_name(shard).is_some() {
            return (shard, file);
        }
    }
    (name, "")
}

/// Enough of a text for a message.
fn clip(text: &str) -> String {
    text.get(..text.floor_char_boundary(200)).unwrap_or_default().to_owned()
}
