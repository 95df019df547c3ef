//! Large objects in parts: all bytes are of one version, whatever happens meanwhile.

#![allow(
    clippy::unwrap_used,
    clippy::result_large_err,
    clippy::unnecessary_wraps,
    clippy::cast_possible_truncation,
    reason = "helpers of tests: a panic is the right answer, and handlers share one type"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aistore_client::quick::{Received, Span};
use aistore_client::{Client, ClientError, PART_BYTES};
use bytes::Bytes;

use support::{
    Answer, Seen, Server, answer, broken, bucket, client, error, gateway, nothing, with,
};

const SIZE: usize = 3 * (PART_BYTES as usize) + 12_345;

/// Serves a range of `content` as version `version`.
fn serve(seen: &Seen, content: &Bytes, version: usize) -> Answer {
    let size = content.len() as u64;
    let Some((first, last)) = seen.range() else {
        return Some(with(answer(200, content.clone()), "ais-version", &version.to_string()));
    };
    if first >= size {
        return Some(error(416, "ErrRange", "range out of bounds"));
    }
    let last = last.min(size - 1);
    let part = content.slice(first as usize..=last as usize);
    let response = with(answer(206, part), "ais-version", &version.to_string());
    Some(with(response, "content-range", &format!("bytes {first}-{last}/{size}")))
}

async fn cluster(
    handler: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static,
) -> (Server, Client) {
    let target = Server::start(handler).await;
    let gateway = gateway(&[&target], nothing).await;
    let client = client(&gateway);
    client.smap(false).await.unwrap();
    (target, client)
}

/// Reads on a thread of its own, as Python would.
async fn quick(client: &Client, span: Span) -> Result<Option<Vec<u8>>, ClientError> {
    let client = client.clone();
    let work = move || {
        for times in 0..5 {
            let tick = || true;
            let Some(download) = client.quick_download(&bucket(), "o", span, times, &tick)? else {
                return Ok(None);
            };
            let mut out = vec![0; usize::try_from(download.size()).unwrap()];
            if client.quick_receive(download, &bucket(), "o", &mut out, &tick)? == Received::All {
                return Ok(Some(out));
            }
        }
        Ok(None)
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn pattern(size: usize) -> Bytes {
    (0..size).map(|i| (i % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_come_together_in_place() {
    let content = pattern(SIZE);
    let served = content.clone();
    let (target, client) = cluster(move |seen, _| serve(seen, &served, 1)).await;
    let mut all = vec![0; SIZE + 10];
    assert_eq!(client.get_into(&bucket(), "o", 0, &mut all).await.unwrap(), SIZE);
    assert!(all[..SIZE] == content[..]);
    assert_eq!(target.seen().len(), 4);
    assert!(quick(&client, Span::ALL).await.unwrap().unwrap() == content[..]);
    assert_eq!(target.seen().len(), 8);
    let tail = Span { offset: 1_000, length: Some(2 * PART_BYTES) };
    let got = quick(&client, tail).await.unwrap().unwrap();
    assert!(got[..] == content[1_000..1_000 + 2 * PART_BYTES as usize]);
    let mut end = vec![0; 100];
    assert_eq!(client.get_into(&bucket(), "o", SIZE as u64 - 7, &mut end).await.unwrap(), 7);
    assert_eq!(client.get_into(&bucket(), "o", SIZE as u64, &mut end).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_overwritten_meanwhile_never_gives_mixed_bytes() {
    // A new version with every answer, for a while: versions differ in every byte.
    for changes in [1, 2, 5, 1_000] {
        let served = Arc::new(AtomicUsize::new(0));
        let (_, client) = cluster(move |seen, _| {
            let version = served.fetch_add(1, Ordering::Relaxed).min(changes);
            let content = Bytes::from(vec![u8::try_from(version % 250).unwrap(); SIZE]);
            serve(seen, &content, version)
        })
        .await;
        let mut all = vec![0; SIZE];
        assert_eq!(client.get_into(&bucket(), "o", 0, &mut all).await.unwrap(), SIZE);
        assert!(all.iter().all(|byte| *byte == all[0]), "{changes} changes");
        let got = quick(&client, Span::ALL).await.unwrap().unwrap();
        assert!(got.iter().all(|byte| *byte == got[0]), "{changes} changes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_marks_of_a_version_there_is_one_answer() {
    let content = pattern(SIZE);
    let served = content.clone();
    let (target, client) = cluster(move |seen, _| {
        let mut response = serve(seen, &served, 1)?;
        response.headers_mut().remove("ais-version");
        Some(response)
    })
    .await;
    let mut all = vec![0; SIZE];
    client.get_into(&bucket(), "o", 0, &mut all).await.unwrap();
    assert!(all == content[..]);
    assert!(quick(&client, Span::ALL).await.unwrap().unwrap() == content[..]);
    assert_eq!(target.seen().len(), 4, "a part and the whole, twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_objects_and_servers_without_ranges_work_too() {
    let (_, client) = cluster(|seen, _| serve(seen, &Bytes::new(), 1)).await;
    assert_eq!(quick(&client, Span::ALL).await.unwrap().unwrap(), b"");
    let (_, client) = cluster(|_, _| Some(answer(200, "whole"))).await;
    assert_eq!(quick(&client, Span::ALL).await.unwrap().unwrap(), b"whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_cut_short_is_an_error() {
    let content = pattern(SIZE);
    let (_, client) = cluster(move |seen, _| {
        let response = serve(seen, &content, 1)?;
        let (head, _) = response.into_parts();
        let mut cut = broken(PART_BYTES, "x");
        *cut.headers_mut() = head.headers;
        *cut.status_mut() = head.status;
        Some(cut)
    })
    .await;
    let mut all = vec![0; SIZE];
    let err = client.get_into(&bucket(), "o", 0, &mut all).await.unwrap_err();
    assert!(matches!(err, ClientError::Truncated { .. }), "{err}");
    let err = quick(&client, Span::ALL).await.unwrap_err();
    assert!(matches!(err, ClientError::Truncated { .. }), "{err}");
}
