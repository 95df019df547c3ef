//! Reading on after the answer: a client that is still sending must see the answer, not a reset.

use std::time::Duration;

use http::HeaderMap;
use http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};

use crate::tasks::Tasks;

/// Most bytes read and thrown away; a client that sends more meets a closed connection. Generous, because
/// common clients send a whole file before they look for an answer, and reading costs no memory.
const MAX_DISCARDED_BYTES: usize = 4 << 30;
/// Longest wait for the next bytes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time spent on one body.
const TOTAL_TIMEOUT: Duration = Duration::from_mins(2);

/// Reads and discards the rest of a body in the background, within bounds.
///
/// Call it for a request that is answered before its body was read: dropping the body would close the
/// connection under a client that is still writing, and the kernel's reset would take the answer with
/// it. A client that waits for `100 Continue` sends nothing after a final answer, so it is left alone.
pub fn discard(tasks: &Tasks, headers: &HeaderMap, mut body: Incoming) {
    if body.is_end_stream() || headers.contains_key(EXPECT) {
        return;
    }
    tasks.spawn_until_stop(async move {
        let read_all = async {
            let mut discarded = 0_usize;
            while let Ok(Some(Ok(frame))) = tokio::time::timeout(IDLE_TIMEOUT, body.frame()).await {
                discarded += frame.data_ref().map_or(0, bytes::Bytes::len);
                if discarded > MAX_DISCARDED_BYTES {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(TOTAL_TIMEOUT, read_all).await;
    });
}
