//! Whole objects into `bytes`: on the calling thread where possible, else by the asynchronous client.

use aistore_client::quick::{Ask, Received, Span};
use aistore_client::{Client, ClientError, GetOptions};
use aistore_core::bucket::Bucket;
use http::{HeaderMap, Method};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::arguments::Pairs;
use crate::crossing::{blocking, raise, wait};
use crate::memory::{receive_answer, receive_download};
use crate::quick::learn_map;
use crate::stream::read_all;

/// Tries on the calling thread: some by parts, a last one by a single request.
const QUICK_TRIES: u32 = 4;
/// Query parameters with which the answer is still the object as it is.
const HARMLESS: [&str; 3] = ["provider", "namespace", "sln"];

type Whole<'py> = (u16, HeaderMap, Bound<'py, PyBytes>);

/// Reads an object, or what query and headers select of it.
pub(crate) fn get<'py>(
    py: Python<'py>,
    client: &Client,
    bucket: &Bucket,
    name: &str,
    query: Pairs,
    headers: Pairs,
) -> PyResult<Whole<'py>> {
    learn_map(py, client)?;
    let plain = headers.is_empty()
        && query.iter().all(|(k, v)| v.is_empty() || HARMLESS.contains(&k.as_str()));
    // Many-file extraction and transformations have no length, the latter no fixed owner either.
    let selects = query.iter().any(|(k, _)| k == "archmode" || k == "etl_name");
    let quick = if plain {
        quick_whole(py, client, bucket, name)?
    } else if selects {
        None
    } else {
        quick_part(py, client, bucket, name, &query, &headers)?
    };
    if let Some(whole) = quick {
        return Ok(whole);
    }
    let options = GetOptions { query, headers, ..GetOptions::default() };
    let stream = wait(py, client.get(bucket, name, options))?;
    let (status, headers) = (stream.status(), stream.headers().clone());
    Ok((status, headers, read_all(py, stream)?))
}

fn quick_whole<'py>(
    py: Python<'py>,
    client: &Client,
    bucket: &Bucket,
    name: &str,
) -> PyResult<Option<Whole<'py>>> {
    for times in 0..QUICK_TRIES {
        let opened =
            blocking(py, |tick| client.quick_download(bucket, name, Span::ALL, times, tick))?;
        let Some(mut download) = opened.map_err(|error| raise(py, &error))? else { break };
        let headers = download.take_headers();
        match receive_download(py, client, download, bucket, name)? {
            Ok(Some(body)) => return Ok(Some((200, headers, body))),
            Ok(None) | Err(ClientError::Truncated { .. }) => {}
            Err(error) => return Err(raise(py, &error)),
        }
    }
    Ok(None)
}

fn quick_part<'py>(
    py: Python<'py>,
    client: &Client,
    bucket: &Bucket,
    name: &str,
    query: &Pairs,
    headers: &Pairs,
) -> PyResult<Option<Whole<'py>>> {
    let ask = Ask { method: Method::GET, bucket, name, query, headers, body: &[] };
    let opened = blocking(py, |tick| client.quick(&ask, tick))?;
    let Some(mut answer) = opened.map_err(|error| raise(py, &error))? else { return Ok(None) };
    let (status, headers) = (answer.status(), answer.take_headers());
    match receive_answer(py, answer)? {
        Ok(body) => Ok(body.map(|body| (status, headers, body))),
        Err(ClientError::Truncated { .. }) => Ok(None),
        Err(error) => Err(raise(py, &error)),
    }
}

/// How a try on the calling thread ended.
enum Step {
    /// With this many bytes.
    Done(usize),
    /// To be started again.
    Again,
    /// To be left to the asynchronous client.
    Leave,
}

/// Reads bytes from `offset` on into `target`, large content by `parallel` ranges at once (0 = as many as
/// usual); returns how many there were.
pub(crate) fn get_into(
    py: Python<'_>,
    client: &Client,
    bucket: &Bucket,
    name: &str,
    target: &mut [u8],
    (offset, parallel): (u64, usize),
) -> PyResult<usize> {
    learn_map(py, client)?;
    let span = Span { offset, length: Some(target.len() as u64) };
    for times in 0..QUICK_TRIES {
        let outcome = blocking(py, |tick| {
            let opened = match client.quick_download(bucket, name, span, times, tick) {
                // Nothing from there on.
                Err(ClientError::Api { error, .. }) if error.status == 416 => {
                    return Ok(Step::Done(0));
                }
                opened => opened?,
            };
            let Some(mut download) = opened else { return Ok(Step::Leave) };
            if parallel > 0 {
                download.set_parallel(parallel);
            }
            let size = usize::try_from(download.size()).unwrap_or(usize::MAX);
            let Some(memory) = target.get_mut(..size) else { return Ok(Step::Leave) };
            Ok(match client.quick_receive(download, bucket, name, memory, tick)? {
                Received::All => Step::Done(size),
                Received::Again => Step::Again,
            })
        })?;
        match outcome {
            Ok(Step::Again) | Err(ClientError::Truncated { .. }) => {}
            Ok(Step::Done(size)) => return Ok(size),
            Ok(Step::Leave) => break,
            Err(error) => return Err(raise(py, &error)),
        }
    }
    wait(py, client.get_into(bucket, name, offset, target))
}
