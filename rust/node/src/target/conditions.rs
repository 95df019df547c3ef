//! Conditional requests against stored objects.

use aistore_core::conditional::{Conditions, Validators, Verdict};
use aistore_core::error::ApiError;
use aistore_store::ObjectMeta;
use http::header::{HeaderMap, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};

use super::headers::{bare_etag_of, modified_s};

/// The conditions that `headers` set.
///
/// # Errors
///
/// 400 when one cannot be read.
pub(super) fn of(headers: &HeaderMap) -> Result<Conditions, ApiError> {
    let joined = [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE].map(|name| {
        let mut lines = headers.get_all(&name).iter().peekable();
        lines.peek()?;
        let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        Some((name, lines.join(", ")))
    });
    if joined.iter().all(Option::is_none) {
        return Ok(Conditions::default());
    }
    let find = |wanted: &str| {
        let found = joined.iter().flatten().find(|(name, _)| name.as_str() == wanted);
        found.map(|(_, text)| text.as_str())
    };
    Conditions::parse(find).map_err(|err| ApiError::bad_request(err.to_string()))
}

/// Decides for a GET or HEAD of an object.
pub(super) fn for_read(conditions: &Conditions, meta: &ObjectMeta) -> Verdict {
    if conditions.is_empty() {
        return Verdict::Proceed;
    }
    with_validators(meta, |current| conditions.for_read(Some(current)))
}

/// Whether a change of an object, or of a name without one, may go on.
pub(super) fn allow_change(conditions: &Conditions, meta: Option<&ObjectMeta>) -> bool {
    if conditions.is_empty() {
        return true;
    }
    let verdict = match meta {
        Some(meta) => with_validators(meta, |current| conditions.for_change(Some(current))),
        None => conditions.for_change(None),
    };
    verdict == Verdict::Proceed
}

/// Hands the validators of a version to `decide`.
pub(super) fn with_validators<T>(meta: &ObjectMeta, decide: impl FnOnce(Validators<'_>) -> T) -> T {
    let etag = bare_etag_of(meta);
    decide(Validators { etag: &etag, modified_s: modified_s(meta) })
}
