//! Batches: strict order over many targets, missing entries, limits, broken streams, other servers.

#![allow(
    clippy::unwrap_used,
    clippy::result_large_err,
    clippy::unnecessary_wraps,
    clippy::cast_possible_truncation,
    reason = "helpers of tests: a panic is the right answer, and handlers share one type"
)]

mod support;

use aistore_client::{Client, ClientError};
use aistore_core::frames::Header;
use aistore_core::moss::{MossIn, MossReq, Wanted};
use aistore_core::tar;
use bytes::Bytes;

use support::{
    Answer, Pieces, Seen, Server, answer, bucket, client, error, gateway, nothing, with,
};

fn content(name: &str) -> Vec<u8> {
    let length = name.bytes().map(usize::from).sum::<usize>() * 37 % 20_000;
    name.bytes().cycle().take(length).collect()
}

fn wanted(seen: &Seen) -> Vec<Wanted> {
    let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
    serde_json::from_value(body["entries"].clone()).unwrap()
}

fn frame(out: &mut Vec<u8>, index: usize, outcome: Result<Vec<u8>, (u16, String)>) {
    let index = u32::try_from(index).unwrap();
    let (header, payload) = match outcome {
        Ok(data) => (Header::data(index, data.len() as u64), data),
        Err((status, text)) => {
            (Header { index, status, length: text.len() as u64 }, text.into_bytes())
        }
    };
    out.extend(header.encode());
    out.extend(payload);
}

fn look_up(name: &str) -> Result<Vec<u8>, (u16, String)> {
    match name.split('-').next() {
        Some("missing") => Err((404, format!("t[x]: ais://b/{name} does not exist"))),
        Some("range") => Err((400, format!("ais://b/{name}: not satisfiable range"))),
        Some("nobucket") => Err((404, "bucket \"ais://b\" does not exist".into())),
        _ => Ok(content(name)),
    }
}

/// Answers with frames in pieces of odd sizes; after `cut` bytes the connection breaks.
fn frames(seen: &Seen, cut: Option<usize>) -> Answer {
    assert_eq!(seen.path, "/v1/frames");
    let mut out = Vec::new();
    for (index, entry) in wanted(seen).iter().enumerate() {
        frame(&mut out, index, look_up(&entry.object));
    }
    out.extend(Header::end().encode());
    out.truncate(cut.unwrap_or(usize::MAX));
    let pieces = out.chunks(4_001).map(Bytes::copy_from_slice).collect();
    let response = http::Response::new(Pieces {
        announced: None,
        left: pieces,
        cut: cut.is_some(),
        delay: 3,
        mark: None,
    });
    Some(with(response, "ais-max-soft-errs", "3"))
}

fn request(names: impl IntoIterator<Item = String>, continue_on_error: bool) -> MossReq {
    let entries = names.into_iter().map(|object| MossIn { object, ..MossIn::default() });
    MossReq {
        entries: entries.collect(),
        continue_on_error: Some(continue_on_error),
        ..MossReq::default()
    }
}

async fn run(client: &Client, request: MossReq) -> Result<Vec<Result<Bytes, String>>, ClientError> {
    let mut stream = client.batch(request, Some(bucket())).await?;
    let mut all = Vec::new();
    while let Some(item) = stream.next().await? {
        assert_eq!(item.index, all.len());
        all.push(item.data.map_err(|error| error.message));
    }
    Ok(all)
}

async fn three(handler: fn(&Seen, usize) -> Answer) -> (Vec<Server>, Client) {
    let targets = vec![
        Server::start(handler).await,
        Server::start(handler).await,
        Server::start(handler).await,
    ];
    let gateway = gateway(&targets.iter().collect::<Vec<_>>(), nothing).await;
    (targets, client(&gateway))
}

#[tokio::test]
async fn entries_come_in_request_order_from_all_targets_at_once() {
    let (targets, client) = three(|seen, _| frames(seen, None)).await;
    let mut names: Vec<String> = (0..300).map(|i| format!("o{i}")).collect();
    names.extend(names.clone().into_iter().take(20));
    let got = run(&client, request(names.clone(), false)).await.unwrap();
    assert_eq!(got.len(), names.len());
    for (got, name) in got.iter().zip(&names) {
        assert_eq!(got.as_ref().unwrap(), &content(name), "{name}");
    }
    assert!(targets.iter().all(|target| target.seen().len() == 1));
}

#[tokio::test]
async fn missing_entries_fail_or_are_handed_out_up_to_the_limit() {
    let (_, client) = three(|seen, _| frames(seen, None)).await;
    let names = |n: usize| {
        let missing = (0..n).map(|i| format!("missing-{i}"));
        missing.chain((0..30).map(|i| format!("o{i}")))
    };
    let err = run(&client, request(names(1), false)).await.unwrap_err();
    assert_eq!(err.status(), Some(404));
    assert!(err.to_string().contains("ais://b/missing-0 does not exist"), "{err}");
    let got = run(&client, request(names(3), true)).await.unwrap();
    assert_eq!(got.iter().filter(|item| item.is_err()).count(), 3);
    let err = run(&client, request(names(4), true)).await.unwrap_err().to_string();
    assert!(err.contains("exceeded soft-errors limit: 4 (max: 3)"), "{err}");
}

#[tokio::test]
async fn faults_of_the_request_fail_it_even_when_it_continues_on_errors() {
    let (_, client) = three(|seen, _| frames(seen, None)).await;
    for (name, status) in [("range-1", 400), ("nobucket-1", 404)] {
        let names = ["o1".to_owned(), name.to_owned(), "o2".to_owned()];
        let err = run(&client, request(names, true)).await.unwrap_err();
        assert_eq!(err.status(), Some(status), "{err}");
    }
    let err = run(&client, request([], true)).await.unwrap_err();
    assert!(err.to_string().contains("moss: empty input"), "{err}");
}

#[tokio::test]
async fn a_broken_stream_goes_on_where_it_stopped() {
    // Every first answer of a target breaks in the middle of an entry.
    let (targets, client) =
        three(|seen, count| frames(seen, (count == 1).then_some(100_000))).await;
    let names: Vec<String> = (0..300).map(|i| format!("o{i}")).collect();
    let got = run(&client, request(names.clone(), false)).await.unwrap();
    for (got, name) in got.iter().zip(&names) {
        assert_eq!(got.as_ref().unwrap(), &content(name), "{name}");
    }
    for target in targets {
        let seen = target.seen();
        assert_eq!(seen.len(), 2);
        assert!(wanted(&seen[1]).len() < wanted(&seen[0]).len());
    }
}

#[tokio::test]
async fn a_stream_that_always_breaks_is_an_error() {
    let (_, client) = three(|seen, _| frames(seen, Some(10))).await;
    let err = run(&client, request(["o1".to_owned()], false)).await.unwrap_err();
    assert!(matches!(err, ClientError::Truncated { .. }), "{err}");
}

#[tokio::test]
async fn a_stale_map_starts_the_batch_again() {
    let (targets, client) = three(|seen, _| {
        let stale = seen.header("ais-smap-version") == "1";
        if stale { Some(error(421, "ErrStaleMap", "stale map")) } else { frames(seen, None) }
    })
    .await;
    let names: Vec<String> = (0..30).map(|i| format!("o{i}")).collect();
    assert_eq!(run(&client, request(names, false)).await.unwrap().len(), 30);
    assert!(targets.iter().all(|target| target.seen().len() <= 2));
}

#[tokio::test]
async fn servers_without_frames_are_asked_for_an_archive() {
    for status in [400, 404, 405] {
        let target = Server::start(move |seen, _| {
            if seen.path == "/v1/frames" {
                return Some(error(status, "", "unknown path"));
            }
            assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/v1/ml/moss/b/job"));
            let request: MossReq = serde_json::from_slice(&seen.body).unwrap();
            assert!(request.streaming);
            let mut out = Vec::new();
            for entry in &request.entries {
                let found = look_up(&entry.object);
                let data = found.clone().unwrap_or_default();
                let prefix = if found.is_ok() { "" } else { "__404__/" };
                let name = format!("{prefix}b/{}", entry.object);
                out.extend(tar::encode_header(&name, data.len() as u64, 0));
                out.extend(&data);
                out.resize(out.len() + tar::padding(data.len() as u64), 0);
            }
            out.extend(tar::END);
            // One entry too few, where the test asks for that.
            if request.entries.iter().any(|entry| entry.object == "short") {
                out.truncate(1024);
            }
            Some(answer(200, out))
        })
        .await;
        let there = format!("{}/v1/ml/moss/b/job", target.url);
        let gateway =
            gateway(&[&target], move |_, _| Some(with(answer(307, ""), "location", &there))).await;
        let client = client(&gateway);
        let names = ["o1", "missing-1", "o2"].map(str::to_owned);
        let got = run(&client, request(names, true)).await.unwrap();
        assert_eq!(got[2].as_ref().unwrap(), &content("o2"));
        assert_eq!(got[1].as_ref().unwrap_err(), "ais://b/missing-1 does not exist");
        let short = ["short", "o1", "o2", "o3"].map(str::to_owned);
        let err = run(&client, request(short, true)).await.unwrap_err();
        assert!(matches!(err, ClientError::Truncated { .. }), "{err}");
    }
}

#[tokio::test]
async fn a_missing_bucket_told_by_status_is_not_taken_for_another_server() {
    let (_, client) =
        three(|_, _| Some(error(404, "ErrBckNotFound", "bucket \"ais://b\" does not exist"))).await;
    let err = run(&client, request(["o1".to_owned()], true)).await.unwrap_err();
    assert!(err.to_string().contains("bucket \"ais://b\" does not exist"), "{err}");
}

#[tokio::test]
async fn a_consumer_that_stops_ends_the_transfer() {
    let (_, client) = three(|seen, _| frames(seen, None)).await;
    let mut stream = client
        .batch(request((0..50).map(|i| format!("o{i}")), false), Some(bucket()))
        .await
        .unwrap();
    stream.next().await.unwrap();
    drop(stream);
}

#[tokio::test]
async fn a_node_that_stays_away_costs_its_entries_or_the_batch() {
    let good = |seen: &Seen, _| frames(seen, None);
    let targets =
        [Server::start(good).await, Server::start(|_, _| None).await, Server::start(good).await];
    let gateway = gateway(&targets.iter().collect::<Vec<_>>(), nothing).await;
    let client = client(&gateway);
    let names: Vec<String> = (0..9).map(|i| format!("o{i}")).collect();
    let got = run(&client, request(names.clone(), true)).await.unwrap();
    let lost = got.iter().filter(|item| item.is_err()).count();
    assert!((1..=3).contains(&lost), "{lost} of the entries were on the dead node");
    for (item, name) in got.iter().zip(&names) {
        match item {
            Ok(data) => assert_eq!(data, &content(name)),
            Err(text) => assert!(text.contains("batch read from http://"), "{text}"),
        }
    }
    assert!(run(&client, request(names, false)).await.is_err());
}

#[tokio::test]
async fn an_archive_without_its_end_mark_was_cut_short() {
    for (mark, good) in [("entries=1, missing=0, bytes=5", true), ("bytes=4", false), ("", false)] {
        let target = Server::start(move |seen, _| {
            assert_eq!(seen.header("te"), "trailers");
            let mut response = answer(200, "");
            response.body_mut().announced = None;
            response.body_mut().left = vec!["12345".into()];
            response.body_mut().mark = Some(mark);
            Some(with(response, "trailer", "Ais-Batch-End"))
        })
        .await;
        let client = client(&target);
        let call =
            aistore_client::Call::new(http::Method::GET, "/v1/ml/moss").header("te", "trailers");
        let mut stream = client.open(call).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), "12345");
        let end = stream.next().await;
        assert_eq!(matches!(end, Ok(None)), good, "{mark}: {end:?}");
    }
}
