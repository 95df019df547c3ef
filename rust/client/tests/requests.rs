//! Redirects, retries, deadlines and errors of single requests.

#![allow(
    clippy::unwrap_used,
    clippy::result_large_err,
    clippy::unnecessary_wraps,
    clippy::cast_possible_truncation,
    reason = "helpers of tests: a panic is the right answer, and handlers share one type"
)]

mod support;

use std::io::Write as _;
use std::time::{Duration, Instant};

use aistore_client::{Call, Client, ClientConfig, ClientError, GetOptions};
use bytes::Bytes;
use http::Method;

use support::{Server, answer, broken, bucket, client, error, gateway, nothing, with};

async fn read(client: &Client, name: &str) -> Result<Vec<u8>, ClientError> {
    let mut stream = client.get(&bucket(), name, GetOptions::default()).await?;
    let mut whole = Vec::new();
    while let Some(piece) = stream.next().await? {
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

#[tokio::test]
async fn redirects_keep_method_and_body_and_drop_the_token_for_others() {
    for status in [301, 307, 308] {
        let target = Server::start(|seen, _| Some(answer(200, seen.body.clone()))).await;
        let there = format!("{}/v1/elsewhere?pid=x", target.url);
        let first =
            Server::start(move |_, _| Some(with(answer(status, ""), "location", &there))).await;
        let mut config = ClientConfig::new(first.url.clone());
        config.token = Some("secret".into());
        let mut call = Call::new(Method::PUT, "/v1/objects/b/o");
        call.body = Bytes::from_static(b"content");
        let reply = Client::new(config).unwrap().call(call).await.unwrap();
        assert_eq!(reply.body, "content");
        let seen = target.seen();
        assert_eq!((seen[0].method.as_str(), seen[0].query.as_str()), ("PUT", "pid=x"));
        assert_eq!(first.seen()[0].header("authorization"), "Bearer secret");
        assert_eq!(seen[0].header("authorization"), "");
    }
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let here = Server::start(|_, _| Some(with(answer(307, ""), "location", "/v1/again"))).await;
    let err = client(&here).call(Call::new(Method::GET, "/v1/x")).await.unwrap_err();
    assert!(matches!(err, ClientError::Protocol { .. }), "{err}");
}

#[tokio::test]
async fn a_broken_connection_is_tried_again_unless_the_request_may_have_been_done() {
    let flaky = Server::start(|_, count| (count > 2).then(|| answer(200, "done"))).await;
    let reply = client(&flaky).call(Call::new(Method::GET, "/v1/x")).await.unwrap();
    assert_eq!((reply.body.as_ref(), flaky.seen().len()), (b"done".as_ref(), 3));
    let flaky = Server::start(|_, count| (count > 1).then(|| answer(200, "done"))).await;
    let err = client(&flaky).call(Call::new(Method::POST, "/v1/x")).await.unwrap_err();
    assert!(matches!(err, ClientError::Connect { .. }), "{err}");
    assert_eq!(flaky.seen().len(), 1);
}

#[tokio::test]
async fn deterministic_errors_are_not_repeated_and_busy_nodes_are_asked_again() {
    let target = Server::start(|seen, count| match seen.path.as_str() {
        "/v1/objects/b/busy" if count < 3 => Some(error(503, "", "starting")),
        "/v1/objects/b/bad" => Some(error(500, "ErrBadCksum", "BAD DATA CHECKSUM")),
        _ => Some(answer(200, "fine")),
    })
    .await;
    let gateway = gateway(&[&target], nothing).await;
    let client = client(&gateway);
    assert_eq!(read(&client, "busy").await.unwrap(), b"fine");
    assert_eq!(target.seen().len(), 3);
    let err = read(&client, "bad").await.unwrap_err();
    assert_eq!(err.status(), Some(500));
    assert_eq!(target.seen().len(), 4);
}

#[tokio::test]
async fn a_short_body_is_an_error() {
    let target = Server::start(|_, _| Some(broken(100, "only this"))).await;
    let gateway = gateway(&[&target], nothing).await;
    let err = read(&client(&gateway), "o").await.unwrap_err();
    let ClientError::Truncated { expected, got, url } = &err else { panic!("{err}") };
    assert_eq!((*expected, *got), (Some(100), 9));
    assert!(url.starts_with(&target.url), "{url}");
}

#[tokio::test]
async fn a_silent_node_is_a_timeout_that_names_it() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut config = ClientConfig::new(url.clone());
    config.read_timeout = Some(Duration::from_millis(150));
    let started = Instant::now();
    let client = Client::new(config).unwrap();
    let err = client.call(Call::new(Method::GET, "/v1/health")).await.unwrap_err();
    assert!(matches!(err, ClientError::Timeout { .. }) && err.to_string().contains(&url), "{err}");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn nobody_there_is_an_error_that_names_the_endpoint_and_the_remedy() {
    let url = {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", free.local_addr().unwrap())
    };
    let client = Client::new(ClientConfig::new(url.clone())).unwrap();
    let err = client.smap(false).await.unwrap_err();
    assert!(matches!(err, ClientError::Connect { .. }), "{err:?}");
    let text = err.to_string();
    assert!(text.contains(&url) && text.contains("check that the node is running"), "{text}");
}

#[tokio::test]
async fn endpoints_that_cannot_work_are_refused_before_anything_is_sent() {
    for (endpoint, why) in [
        ("ftp://h:1", "must start with http://"),
        ("h:1", "must start with http://"),
        ("http://", "invalid endpoint"),
        ("", "invalid endpoint"),
    ] {
        let err = Client::new(ClientConfig::new(endpoint)).unwrap_err().to_string();
        assert!(err.contains(why) && err.contains(endpoint), "{err}");
    }
}

#[tokio::test]
async fn a_stale_map_is_fetched_anew_and_the_request_repeated_a_bounded_number_of_times() {
    let target = Server::start(|seen, _| {
        let version: u64 = seen.header("ais-smap-version").parse().unwrap();
        let never = seen.path.ends_with("never");
        let good = version >= 2 && !never;
        Some(if good { answer(200, "fine") } else { error(421, "ErrStaleMap", "stale map") })
    })
    .await;
    let gateway = gateway(&[&target], nothing).await;
    let client = client(&gateway);
    assert_eq!(read(&client, "o").await.unwrap(), b"fine");
    assert_eq!((target.seen().len(), gateway.seen().len()), (2, 2));
    let err = read(&client, "never").await.unwrap_err();
    assert_eq!(err.status(), Some(421));
    assert_eq!(target.seen().len(), 5, "once and two retries");
}

#[tokio::test]
async fn an_unreachable_owner_is_looked_up_again() {
    let target = Server::start(|_, _| Some(answer(200, "moved here"))).await;
    let dead = {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", free.local_addr().unwrap())
    };
    let (old, new) = (dead.clone(), target.url.clone());
    let gateway = Server::start(move |_, count| {
        let url = if count == 1 { &old } else { &new };
        let map = support::map(count as u64, "http://127.0.0.1:1", &[url]);
        Some(answer(200, serde_json::to_vec(&map).unwrap()))
    })
    .await;
    assert_eq!(read(&client(&gateway), "o").await.unwrap(), b"moved here");
}

#[tokio::test]
async fn a_cluster_without_targets_says_what_to_do() {
    let gateway = gateway(&[], nothing).await;
    let err = read(&client(&gateway), "o").await.unwrap_err();
    assert!(err.to_string().contains("no target that accepts data"), "{err}");
}

#[tokio::test]
async fn changes_go_through_the_gateway_where_targets_want_that() {
    let target = Server::start(|seen, _| {
        Some(if seen.query.contains("pid=") {
            answer(200, "")
        } else {
            error(400, "", "t[x]: PUT is expected to be redirected")
        })
    })
    .await;
    let there = format!("{}/v1/objects/b/o?pid=g", target.url);
    let gateway =
        gateway(&[&target], move |_, _| Some(with(answer(307, ""), "location", &there))).await;
    let client = client(&gateway);
    client.put(&bucket(), "o", Bytes::from_static(b"x")).await.unwrap();
    client.put(&bucket(), "o", Bytes::from_static(b"y")).await.unwrap();
    let direct = target.seen().iter().filter(|seen| !seen.query.contains("pid=")).count();
    assert_eq!((direct, target.seen().len()), (1, 3));
}

#[tokio::test]
async fn files_are_streamed_and_read_again_for_a_retry() {
    let target = Server::start(|seen, count| {
        (count > 1).then(|| with(answer(200, ""), "x-length", &seen.body.len().to_string()))
    })
    .await;
    let gateway = gateway(&[&target], nothing).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![7; 3_000_000]).unwrap();
    let (sender, sent) = std::sync::mpsc::channel();
    let progress = Box::new(move |bytes| sender.send(bytes).unwrap());
    let reply =
        client(&gateway).put_file(&bucket(), "o", file.path(), Some(progress)).await.unwrap();
    assert_eq!(reply.header("x-length"), Some("3000000"));
    assert_eq!(sent.iter().last(), Some(3_000_000));
    assert_eq!(target.seen().last().unwrap().header("content-length"), "3000000");
    let gone = std::path::Path::new("/no/such/file");
    let err = client(&gateway).put_file(&bucket(), "o", gone, None).await.unwrap_err();
    assert!(err.to_string().contains("/no/such/file"), "{err}");
}

#[tokio::test]
async fn bad_names_are_refused_before_anything_is_sent() {
    let gateway = Server::start(nothing).await;
    let client = client(&gateway);
    for name in ["", "a/", "a/../b"] {
        let err = client.delete(&bucket(), name).await.unwrap_err();
        assert!(matches!(err, ClientError::Invalid(_)), "{name:?}: {err}");
    }
    assert!(gateway.seen().is_empty());
}

#[tokio::test]
async fn a_completed_upload_whose_answer_was_lost_is_a_success() {
    use aistore_client::{Content, PartOptions};
    // The size that the object has in the end: only the uploaded one means that it was ours.
    for (size, good) in [("7", true), ("8", false)] {
        let target = Server::start(move |seen, _| {
            let body = String::from_utf8_lossy(&seen.body).into_owned();
            match seen.method.as_str() {
                "POST" if body.contains("mpt-upload") => Some(answer(200, "id")),
                // Done, but the answer does not get out; then there is no such upload.
                "POST" if seen.query.contains("uploadId") => {
                    static LOST: std::sync::Mutex<Vec<u64>> = std::sync::Mutex::new(Vec::new());
                    let mut lost = LOST.lock().unwrap();
                    let key = u64::from(good);
                    if lost.contains(&key) {
                        return Some(error(404, "", "no such upload \"id\""));
                    }
                    lost.push(key);
                    None
                }
                "HEAD" => Some(with(answer(200, ""), "content-length", size)),
                _ => Some(answer(200, "")),
            }
        })
        .await;
        let gateway = gateway(&[&target], nothing).await;
        let options = PartOptions { part_bytes: 4, parallel: 2 };
        let content = Content::Bytes(Bytes::from_static(b"content"));
        let client = client(&gateway);
        let done = client.put_multipart(&bucket(), "o", content, options, &[], None).await;
        assert_eq!(done.is_ok(), good, "{done:?}");
    }
}
