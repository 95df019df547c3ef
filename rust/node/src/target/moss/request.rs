//! What a batch request says, checked before any data moves.

use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::moss::{BatchError, MossReq, Wanted};

use crate::target::archive::Format;

/// Parts of the final path, which the gateway chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BatchPath {
    /// Default bucket by name.
    pub(super) bucket: Option<String>,
    /// Job id, empty when the path has none.
    pub(super) job: String,
}

impl BatchPath {
    /// Reads what follows `/v1/ml/moss/`: `[bucket/][JOB/WORK/COUNT]`.
    pub(super) fn parse(rest: &str) -> Result<Self, ApiError> {
        let items: Vec<&str> = rest.split('/').filter(|item| !item.is_empty()).collect();
        let (bucket, job) = match *items.as_slice() {
            [] => (None, ""),
            [bucket] => (Some(bucket), ""),
            [job, _work, _targets] => (None, job),
            [bucket, job, _work, _targets] => (Some(bucket), job),
            _ => {
                return Err(ApiError::bad_request(format!(
                    "unknown path \"/v1/ml/moss/{rest}\": expected /v1/ml/moss[/BUCKET]"
                )));
            }
        };
        Ok(Self { bucket: bucket.map(str::to_owned), job: job.to_owned() })
    }
}

/// Checks names, ranges and the output format.
pub(super) fn check(
    msg: &MossReq,
    default_bucket: Option<&Bucket>,
) -> Result<(Vec<Wanted>, Format), ApiError> {
    if msg.entries.is_empty() {
        return Err(refused(&BatchError::Empty));
    }
    // The official SDK accepts any case and sends it on.
    let mime = msg.mime.as_deref().unwrap_or_default().to_ascii_lowercase();
    let format = if mime.is_empty() { Format::Tar } else { Format::parse(&mime)? };
    let wanted = msg.entries.iter().map(|entry| entry.resolve(default_bucket));
    let wanted = wanted.collect::<Result<_, _>>().map_err(|err| refused(&err))?;
    Ok((wanted, format))
}

/// The hint where to assemble; a single designated target serves all of them.
pub(super) fn check_colocation(query: Option<&str>) -> Result<(), ApiError> {
    match query {
        None | Some("" | "0" | "1" | "2") => Ok(()),
        Some(other) => {
            Err(ApiError::bad_request(format!("invalid coloc \"{other}\": expected 0, 1 or 2")))
        }
    }
}

fn refused(err: &BatchError) -> ApiError {
    ApiError::bad_request(err.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> MossReq {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn paths_with_and_without_bucket_and_job() {
        for (rest, bucket, job) in [
            ("", None, ""),
            ("b", Some("b"), ""),
            ("gbt-1/w/3", None, "gbt-1"),
            ("b/gbt-1/w/3", Some("b"), "gbt-1"),
        ] {
            let path = BatchPath::parse(rest).unwrap();
            assert_eq!((path.bucket.as_deref(), path.job.as_str()), (bucket, job), "{rest}");
        }
        assert!(BatchPath::parse("a/b").unwrap_err().message.contains("/v1/ml/moss/a/b"));
    }

    #[test]
    fn requests_are_refused_before_any_data() {
        let bucket = Bucket::ais("b");
        let refused = |json: &str, text: &str, status: u16| {
            let err = check(&parse(json), Some(&bucket)).unwrap_err();
            assert!(err.status == status && err.message.contains(text), "{json}: {err}");
        };
        refused("{}", "moss: empty input", 400);
        refused(r#"{"in":[{"objname":"o"}],"mime":"rar"}"#, "unknown mime type \"rar\"", 400);
        refused(r#"{"in":[{"objname":"o"},{"objname":"../x"}]}"#, "../x", 400);
        refused(r#"{"in":[{"objname":"o","start":3}]}"#, "start 3", 400);
        let good = parse(r#"{"in":[{"objname":"o"}],"mime":"application/x-tar"}"#);
        let (wanted, format) = check(&good, Some(&bucket)).unwrap();
        assert_eq!((wanted.len(), format), (1, Format::Tar));
        let err = check(&good, None).unwrap_err();
        assert!(err.message.contains("missing bucket specification for object \"o\""), "{err}");
    }
}
