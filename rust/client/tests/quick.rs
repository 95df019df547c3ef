//! Requests on the calling thread: what they do themselves, and what they leave to the rest of the client.

#![allow(
    clippy::unwrap_used,
    clippy::result_large_err,
    clippy::unnecessary_wraps,
    clippy::cast_possible_truncation,
    reason = "helpers of tests: a panic is the right answer, and handlers share one type"
)]

mod support;

use std::time::{Duration, Instant};

use aistore_client::quick::Ask;
use aistore_client::{Client, ClientConfig, ClientError};
use http::Method;

use support::{Answer, Seen, Server, answer, bucket, client, error, gateway, nothing};

async fn cluster(
    handler: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static,
) -> (Server, Client) {
    let target = Server::start(handler).await;
    let gateway = gateway(&[&target], nothing).await;
    let client = client(&gateway);
    client.smap(false).await.unwrap();
    (target, client)
}

/// Status and body of one request on a thread of its own.
async fn ask(
    client: &Client,
    method: Method,
    body: &'static [u8],
    go_on: bool,
) -> Result<Option<(u16, Vec<u8>)>, ClientError> {
    let client = client.clone();
    let work = move || {
        let bucket = bucket();
        let ask = Ask { method, bucket: &bucket, name: "o ü", query: &[], headers: &[], body };
        let Some(mut answer) = client.quick(&ask, &|| go_on)? else { return Ok(None) };
        let mut content = vec![0; usize::try_from(answer.remaining()).unwrap()];
        answer.read(&mut content, &|| go_on)?;
        Ok(Some((answer.status(), content)))
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_carry_what_the_target_needs() {
    let (target, client) = cluster(|seen, _| Some(answer(200, seen.body.clone()))).await;
    let (status, body) = ask(&client, Method::PUT, b"content", true).await.unwrap().unwrap();
    assert_eq!((status, body.as_slice()), (200, b"content".as_slice()));
    let seen = target.seen().remove(0);
    assert_eq!(
        (seen.path.as_str(), seen.query.as_str()),
        ("/v1/objects/b/o%20%C3%BC", "provider=ais")
    );
    assert_eq!(seen.header("ais-smap-version"), "1");
    assert!(!seen.header("user-agent").is_empty() && !seen.header("host").is_empty());
    let big: &'static [u8] = vec![5; 9_000_000].leak();
    let (_, body) = ask(&client, Method::PUT, big, true).await.unwrap().unwrap();
    assert!(body == big);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_objects_are_errors_at_once() {
    let (target, client) = cluster(|seen, _| {
        Some(if seen.method == "HEAD" {
            answer(404, "")
        } else {
            error(404, "ErrNotFound", "t[x]: ais://b/o does not exist")
        })
    })
    .await;
    let err = ask(&client, Method::GET, b"", true).await.unwrap_err();
    assert!(err.to_string().starts_with("t[x]: ais://b/o does not exist"), "{err}");
    assert_eq!(ask(&client, Method::HEAD, b"", true).await.unwrap_err().status(), Some(404));
    assert_eq!(target.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_takes_a_policy_is_left_to_the_client() {
    for status in [307, 421] {
        let (_, client) = cluster(move |_, _| Some(answer(status, "x"))).await;
        assert!(ask(&client, Method::GET, b"", true).await.unwrap().is_none(), "{status}");
    }
    let (_, client) = cluster(|_, _| Some(error(400, "", "expected to be redirected"))).await;
    assert!(ask(&client, Method::PUT, b"", true).await.unwrap().is_none());
    let (_, client) = cluster(|_, _| None).await;
    assert!(ask(&client, Method::GET, b"", true).await.unwrap().is_none(), "hangs up");
    let gateway = Server::start(nothing).await;
    assert!(
        ask(&support::client(&gateway), Method::GET, b"", true).await.unwrap().is_none(),
        "no map"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_nodes_are_asked_again_as_often_as_the_settings_say() {
    for (status, attempts, sent) in [(503, 1, 1), (503, 2, 2), (429, 4, 4), (500, 4, 1)] {
        let target = Server::start(move |_, _| Some(answer(status, "x"))).await;
        let gateway = gateway(&[&target], nothing).await;
        let mut config = ClientConfig::new(gateway.url.clone());
        config.answered_attempts = Some(attempts);
        config.backoff = Duration::ZERO;
        let client = Client::new(config).unwrap();
        client.smap(false).await.unwrap();
        let err = ask(&client, Method::GET, b"", true).await.unwrap_err();
        assert_eq!((err.status(), target.seen().len()), (Some(status), sent), "{attempts}");
    }
    let (target, client) =
        cluster(|_, count| Some(answer(if count < 3 { 503 } else { 200 }, "x"))).await;
    assert!(ask(&client, Method::GET, b"", true).await.unwrap().is_some());
    assert_eq!(target.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_that_the_node_closed_is_replaced() {
    let (target, client) = cluster(|_, count| (count != 2).then(|| answer(200, "x"))).await;
    assert!(ask(&client, Method::GET, b"", true).await.unwrap().is_some());
    // The second request on the kept connection is hung up on; a new connection serves it.
    assert!(ask(&client, Method::GET, b"", true).await.unwrap().is_some());
    assert_eq!(target.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_have_a_deadline_and_can_be_interrupted() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let gateway = Server::start(move |_, _| {
        Some(answer(
            200,
            serde_json::to_vec(&support::map(1, "http://127.0.0.1:1", &[&url])).unwrap(),
        ))
    })
    .await;
    let client = client(&gateway);
    client.smap(false).await.unwrap();
    let started = Instant::now();
    let err = ask(&client, Method::GET, b"", true).await.unwrap_err();
    assert!(matches!(err, ClientError::Timeout { .. }), "{err}");
    let err = ask(&client, Method::GET, b"", false).await.unwrap_err();
    assert!(matches!(err, ClientError::Interrupted { .. }), "{err}");
    assert!(started.elapsed() < Duration::from_secs(3));
}
