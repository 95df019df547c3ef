//! Short answers, read on the calling thread.

use aistore_client::quick::Ask;
use aistore_client::{Client, ClientError, Reply};
use bytes::Bytes;
use pyo3::prelude::*;

use crate::crossing::{blocking, raise, wait};

/// Longest answer to a request other than GET that is read on the calling thread.
const MAX_QUICK_REPLY_BYTES: u64 = 1 << 20;

/// A short answer to a request on this thread; `None` when it takes the asynchronous client.
pub(crate) fn quick_reply(
    py: Python<'_>,
    client: &Client,
    ask: &Ask<'_>,
) -> PyResult<Option<Reply>> {
    learn_map(py, client)?;
    let outcome = blocking(py, |tick| {
        let Some(mut answer) = client.quick(ask, tick)? else { return Ok(None) };
        if answer.remaining() > MAX_QUICK_REPLY_BYTES {
            return Ok(None);
        }
        let mut body = vec![0; usize::try_from(answer.remaining()).unwrap_or_default()];
        answer.read(&mut body, tick)?;
        let (status, url) = (answer.status(), answer.url().to_owned());
        Ok(Some(Reply { status, headers: answer.take_headers(), body: Bytes::from(body), url }))
    })?;
    match outcome {
        Ok(reply) => Ok(reply),
        // The asynchronous client asks again.
        Err(ClientError::Truncated { .. }) => Ok(None),
        Err(error) => Err(raise(py, &error)),
    }
}

/// Fetches the cluster map once, so that requests find the owner on this thread.
pub(crate) fn learn_map(py: Python<'_>, client: &Client) -> PyResult<()> {
    if client.has_map() { Ok(()) } else { wait(py, client.smap(false)).map(drop) }
}
