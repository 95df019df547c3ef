//! Listings: merged over targets, complete, or an error.

#![allow(
    clippy::unwrap_used,
    clippy::result_large_err,
    clippy::unnecessary_wraps,
    clippy::cast_possible_truncation,
    reason = "helpers of tests: a panic is the right answer, and handlers share one type"
)]

mod support;

use aistore_client::{ClientError, ListOptions};
use aistore_core::list::{ListEntry, ListMsg, ListPage};

use support::{
    Answer, Seen, Server, answer, broken, bucket, client, error, gateway, nothing, with,
};

fn page(names: &[String], token: &str) -> ListPage {
    let entries = names.iter().map(|name| ListEntry { name: name.clone(), ..ListEntry::default() });
    ListPage {
        uuid: "u".into(),
        continuation_token: token.into(),
        entries: entries.collect(),
        flags: 0,
    }
}

/// Pages through `names` as a target does.
fn scan(names: &[String], seen: &Seen) -> Answer {
    let msg: ListMsg = serde_json::from_slice(&seen.body).unwrap();
    let after: Vec<_> = names
        .iter()
        .filter(|n| **n > msg.continuation_token && n.starts_with(&msg.prefix))
        .take(msg.page_size as usize)
        .cloned()
        .collect();
    let full = after.len() as u64 == msg.page_size;
    let token = if full { after.last().cloned().unwrap() } else { String::new() };
    Some(with(
        answer(200, page(&after, &token).to_msgpack()),
        "content-type",
        "application/msgpack",
    ))
}

fn options(page_size: u64) -> ListOptions {
    ListOptions { page_size, ..ListOptions::default() }
}

#[tokio::test]
async fn targets_are_merged_in_byte_order_without_doubles() {
    let shares: Vec<Vec<String>> = (0..3)
        .map(|t| {
            (0..500).filter(|i| i % 3 == t || i % 50 == 0).map(|i| format!("o{i:04}")).collect()
        })
        .collect();
    let mut targets = Vec::new();
    for share in shares {
        targets.push(Server::start(move |seen, _| scan(&share, seen)).await);
    }
    let gateway = gateway(&targets.iter().collect::<Vec<_>>(), nothing).await;
    let client = client(&gateway);
    let all = client.list_all(&bucket(), options(7)).await.unwrap();
    let names: Vec<_> = all.iter().map(|e| e.name.clone()).collect();
    assert_eq!(names, (0..500).map(|i| format!("o{i:04}")).collect::<Vec<_>>());
    let some =
        ListOptions { prefix: "o00".into(), start_after: "o0010".into(), limit: 5, ..options(7) };
    let some = client.list_all(&bucket(), some).await.unwrap();
    assert_eq!(
        some.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(),
        ["o0011", "o0012", "o0013", "o0014", "o0015"]
    );
}

#[tokio::test]
async fn servers_without_direct_scans_are_paged_through_the_gateway() {
    for status in [404, 400] {
        let target = Server::start(move |_, _| Some(error(status, "", "unknown path"))).await;
        let names: Vec<String> = (0..25).map(|i| format!("o{i:04}")).collect();
        let gateway = gateway(&[&target], move |seen, _| {
            assert_eq!(seen.path, "/v1/buckets/b");
            let action: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
            let inner = Seen { body: action["value"].to_string().into(), ..seen.clone() };
            scan(&names, &inner)
        })
        .await;
        let all = client(&gateway).list_all(&bucket(), options(10)).await.unwrap();
        assert_eq!(all.len(), 25);
    }
}

#[tokio::test]
async fn a_target_that_fails_fails_the_listing() {
    let good = Server::start(|seen, _| scan(&["a".into(), "b".into()], seen)).await;
    let names: Vec<String> = (0..30).map(|i| format!("o{i:04}")).collect();
    let bad = Server::start(
        move |seen, count| {
            if count < 3 { scan(&names, seen) } else { Some(broken(1000, "x")) }
        },
    )
    .await;
    let gateway = gateway(&[&good, &bad], nothing).await;
    let err = client(&gateway).list_all(&bucket(), options(10)).await.unwrap_err();
    assert!(matches!(err, ClientError::Truncated { .. }), "{err}");
}

#[tokio::test]
async fn a_listing_that_does_not_move_on_ends() {
    let stuck = Server::start(|_, _| {
        let body = page(&["a".into()], "a").to_msgpack();
        Some(with(answer(200, body), "content-type", "application/msgpack"))
    })
    .await;
    let gateway = gateway(&[&stuck], nothing).await;
    let err = client(&gateway).list_all(&bucket(), options(1)).await.unwrap_err();
    assert!(matches!(err, ClientError::Protocol { .. }), "{err}");
}
