//! Arguments of Python calls, as the native client takes them: the blocking and the asynchronous face read them
//! alike.

use std::time::Duration;

use aistore_client::{Call, GetOptions, ListOptions};
use aistore_core::bucket::{Bucket, NameError};
use aistore_core::moss::MossReq;
use bytes::Bytes;
use http::Method;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

/// Query parameters or headers.
pub(crate) type Pairs = Vec<(String, String)>;

pub(crate) fn bad_name(error: &NameError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Parses a bucket's uname, with or without its trailing slash.
pub(crate) fn parse_bucket(uname: &str) -> PyResult<Bucket> {
    let (bucket, object) = Bucket::parse_uname(uname).map_err(|error| bad_name(&error))?;
    if object.is_empty() {
        return Ok(bucket);
    }
    Err(bad_name(&NameError::Uname(uname.to_owned())))
}

pub(crate) fn duration(what: &str, seconds: Option<f64>) -> PyResult<Option<Duration>> {
    let Some(seconds) = seconds else { return Ok(None) };
    Duration::try_from_secs_f64(seconds)
        .map(Some)
        .map_err(|e| PyValueError::new_err(format!("{what} {seconds}: {e}")))
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> PyResult<T> {
    serde_json::from_str(text).map_err(|e| PyValueError::new_err(format!("{what}: {e}")))
}

pub(crate) fn make_call(
    method: &str,
    path: &str,
    params: Pairs,
    headers: Pairs,
    body: Option<PyBackedBytes>,
    base_url: Option<String>,
    timeout: Option<f64>,
) -> PyResult<Call> {
    let method = parse_method(method)?;
    let body = body.map(Bytes::from_owner).unwrap_or_default();
    let timeout = duration("timeout", timeout)?;
    Ok(Call { base: base_url, query: params, headers, body, timeout, ..Call::new(method, path) })
}

pub(crate) fn parse_method(method: &str) -> PyResult<Method> {
    method.parse().map_err(|_| PyValueError::new_err(format!("invalid HTTP method \"{method}\"")))
}

/// What to read of an object.
pub(crate) fn get_options(query: Pairs, headers: Pairs) -> GetOptions {
    GetOptions { query, headers, ..GetOptions::default() }
}

/// What to list of a bucket.
pub(crate) fn list_options(
    prefix: &str,
    props: &str,
    flags: u64,
    start_after: &str,
    page_size: u64,
) -> ListOptions {
    ListOptions {
        prefix: prefix.to_owned(),
        props: props.to_owned(),
        flags,
        start_after: start_after.to_owned(),
        page_size,
        ..ListOptions::default()
    }
}

/// A batch's default bucket and its entries.
pub(crate) fn batch_request(
    bucket_uname: Option<&str>,
    request: &str,
) -> PyResult<(Option<Bucket>, MossReq)> {
    let bucket = bucket_uname.map(parse_bucket).transpose()?;
    Ok((bucket, parse("batch request", request)?))
}
