//! Real processes on loopback: starting, joining, losing and stopping nodes, and what bad input gets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use aistore_node::intra::Intra;
use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use serde_json::{Value, json};

/// Longest wait for anything that should happen soon, on a loaded machine.
const SOON: Duration = Duration::from_mins(1);

/// A running node; killed when dropped.
struct Node {
    child: Child,
    url: String,
    id: String,
    log: PathBuf,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aisnode"));
    command.args(args).stdin(Stdio::null());
    command
}

/// Starts a node named `name` under `folder` and waits until it is ready.
fn start(folder: &Path, name: &str, args: &[&str]) -> Node {
    let (ready, log) = (folder.join(format!("{name}.json")), folder.join(format!("{name}.log")));
    let _ = std::fs::remove_file(&ready);
    let data = folder.join(name);
    let mut child = command(&["--listen", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(data)
        .arg("--ready-file")
        .arg(&ready)
        .args(args)
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !ready.exists() {
        let text = || std::fs::read_to_string(&log).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "{name} ended: {}", text());
        assert!(began.elapsed() < SOON, "{name} is not ready: {}", text());
        std::thread::sleep(Duration::from_millis(5));
    }
    let content: Value = serde_json::from_slice(&std::fs::read(&ready).unwrap()).unwrap();
    assert_eq!(content["pid"], child.id());
    let node = content["nodes"].as_array().unwrap().last().unwrap().clone();
    let text = |key: &str| node[key].as_str().unwrap().to_owned();
    Node { child, url: text("url"), id: text("id"), log }
}

/// Runs a node that is expected to fail at once.
fn refused(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command(args).stdout(Stdio::null()).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// Sends a request and returns status, headers and body.
async fn ask(method: Method, url: &str, body: Value) -> (u16, HeaderMap, Bytes) {
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() };
    let intra = Intra::new();
    let sent = intra.send(method, url, HeaderMap::new(), Bytes::from(body), SOON);
    let (parts, body) = sent.await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), parts.headers, body)
}

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

async fn create_bucket(gateway: &str, name: &str) {
    let url = format!("{gateway}/v1/buckets/{name}");
    let (status, _, body) =
        ask(Method::POST, &url, json!({"action": "create-bck", "name": "", "value": null})).await;
    assert_eq!(status, 200, "{}", text(&body));
}

/// PUTs through the gateway, following its redirect.
async fn put(gateway: &str, bucket: &str, object: &str, content: &str) -> u16 {
    let url = format!("{gateway}/v1/objects/{bucket}/{object}");
    let (status, headers, _) = ask(Method::PUT, &url, json!(content)).await;
    assert_eq!(status, 307);
    let location = headers["location"].to_str().unwrap().to_owned();
    ask(Method::PUT, &location, json!(content)).await.0
}

fn target(folder: &Path, name: &str, gateway: &Node) -> Node {
    start(folder, name, &["--role", "target", "--join", &gateway.url])
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

fn wait(child: &mut Child) -> i32 {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        assert!(began.elapsed() < SOON, "the process does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn bad_options_are_usage_errors_that_name_the_input() {
    let folder = tempfile::tempdir().unwrap();
    let (code, message) = refused(&["--no-such-flag"]);
    assert!(code == Some(2) && message.contains("--no-such-flag"), "{message}");
    let file = folder.path().join("node.toml");
    std::fs::write(&file, "mountpth = [\"/x\"]\n").unwrap();
    let (code, message) = refused(&["--config", file.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(message.contains("\"mountpth\"") && message.contains("\"mountpath\"?"), "{message}");
    assert!(message.contains("node.toml"), "{message}");
}

#[test]
fn an_unwritable_data_directory_is_named() {
    let (code, message) =
        refused(&["--role", "gateway", "--listen", "127.0.0.1:0", "--data-dir", "/proc/none"]);
    assert!(code == Some(1) && message.contains("/proc/none"), "{message}");
    assert!(message.contains("--data-dir"), "{message}");
}

#[test]
fn a_port_in_use_and_a_directory_in_use_are_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = start(folder.path(), "g", &["--role", "gateway"]);
    let address = gateway.url.strip_prefix("http://").unwrap();
    let other = folder.path().join("other");
    let other = other.to_str().unwrap();
    let (code, message) = refused(&["--role", "gateway", "--listen", address, "--data-dir", other]);
    assert!(code == Some(1) && message.contains(address), "{message}");
    assert!(message.contains("--listen"), "{message}");
    let data = folder.path().join("g");
    let data = data.to_str().unwrap();
    let (code, message) =
        refused(&["--role", "gateway", "--listen", "127.0.0.1:0", "--data-dir", data]);
    assert!(code == Some(1) && message.contains(data), "{message}");
    assert!(message.contains("in use"), "{message}");
}

#[test]
fn a_node_stops_in_order_on_sigterm_and_when_its_parent_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = start(folder.path(), "g", &["--role", "gateway"]);
    signal(&gateway.child, "TERM");
    assert_eq!(wait(&mut gateway.child), 0, "{}", std::fs::read_to_string(&gateway.log).unwrap());
    assert!(!folder.path().join("g.json").exists());
    let mut parent = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = parent.id().to_string();
    let mut both = start(folder.path(), "b", &["--parent-pid", &pid]);
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert_eq!(wait(&mut both.child), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_with_both_roles_serves_objects() {
    let folder = tempfile::tempdir().unwrap();
    let both = start(folder.path(), "both", &[]);
    let (_, _, body) =
        ask(Method::GET, &format!("{}/v1/daemon?what=smap", both.url), json!(null)).await;
    let map: Value = serde_json::from_slice(&body).unwrap();
    let gateway = map["proxy_si"]["public_net"]["direct_url"].as_str().unwrap().to_owned();
    assert!(map["tmap"].as_object().unwrap().contains_key(&both.id));
    create_bucket(&gateway, "b").await;
    assert_eq!(put(&gateway, "b", "o", "content").await, 200);
    let (status, _, body) = ask(Method::GET, &format!("{gateway}/v1/buckets/b"), json!(null)).await;
    assert_eq!(status, 200);
    assert!(text(&body).contains("\"name\":\"o\""), "{}", text(&body));
    let (status, _, body) =
        ask(Method::GET, &format!("{gateway}/v1/daemon?what=node_status"), json!(null)).await;
    let node: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, node["cluster"]["flags"].as_u64()), (200, Some(6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_target_is_named_and_comes_back_with_its_objects() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = start(folder.path(), "g", &["--role", "gateway"]);
    let survivor = target(folder.path(), "t1", &gateway);
    let mut victim = target(folder.path(), "t2", &gateway);
    create_bucket(&gateway.url, "b").await;
    for i in 0..20 {
        assert_eq!(put(&gateway.url, "b", &format!("o{i:02}"), "content").await, 200);
    }
    victim.child.kill().unwrap();
    victim.child.wait().unwrap();
    let list = format!("{}/v1/buckets/b", gateway.url);
    let (status, _, body) = ask(Method::GET, &list, json!(null)).await;
    assert_eq!(status, 500);
    assert!(text(&body).contains(&format!("t[{}]", victim.id)), "{}", text(&body));
    // A change does not wait for the dead: no client would stand that.
    let began = Instant::now();
    create_bucket(&gateway.url, "c").await;
    assert!(began.elapsed() < Duration::from_secs(30));
    let back = target(folder.path(), "t2", &gateway);
    assert_eq!(back.id, victim.id);
    let (status, _, body) = ask(Method::GET, &list, json!(null)).await;
    let page: Value = serde_json::from_slice(&body).unwrap();
    let names: Vec<&str> =
        page["entries"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    let expected: Vec<String> = (0..20).map(|i| format!("o{i:02}")).collect();
    assert_eq!((status, names), (200, expected.iter().map(String::as_str).collect()));
    drop(survivor);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_ordered_complete_and_end_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = start(folder.path(), "g", &["--role", "gateway"]);
    let _targets = ["t1", "t2"].map(|name| target(folder.path(), name, &gateway));
    create_bucket(&gateway.url, "b").await;
    for i in 0..12 {
        assert_eq!(put(&gateway.url, "b", &format!("d{}/o{i:02}", i % 2), "x").await, 200);
    }
    let list = format!("{}/v1/buckets/b", gateway.url);
    let (mut names, mut token, mut uuid, mut pages) = (Vec::new(), String::new(), String::new(), 0);
    loop {
        let value = json!({"pagesize": 4, "prefix": "d1/", "props": "name",
            "continuation_token": token, "uuid": uuid});
        let body = json!({"action": "list", "name": "", "value": value});
        let (status, _, body) = ask(Method::GET, &list, body).await;
        assert_eq!(status, 200, "{}", text(&body));
        let page: Value = serde_json::from_slice(&body).unwrap();
        let id = page["uuid"].as_str().unwrap();
        assert!(id.len() >= 9 && (uuid.is_empty() || uuid == id));
        uuid = id.to_owned();
        names.extend(page["entries"].as_array().unwrap().iter().map(|e| e["name"].to_string()));
        token = page["continuation_token"].as_str().unwrap().to_owned();
        pages += 1;
        if token.is_empty() {
            break;
        }
    }
    let expected: Vec<String> = (0..6).map(|i| format!("\"d1/o{:02}\"", 2 * i + 1)).collect();
    assert_eq!((names, pages), (expected, 2));
    let body = json!({"action": "list", "name": "", "value": {"flags": "2048"}});
    let (_, _, body) = ask(Method::GET, &list, body).await;
    let page: Value = serde_json::from_slice(&body).unwrap();
    let names: Vec<&str> =
        page["entries"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["d0/", "d1/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_a_destroyed_bucket_goes_and_a_strangers_cluster_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = start(folder.path(), "g", &["--role", "gateway"]);
    let node = target(folder.path(), "t1", &gateway);
    create_bucket(&gateway.url, "b").await;
    create_bucket(&gateway.url, "kept").await;
    assert_eq!(put(&gateway.url, "b", "o", "content").await, 200);
    assert_eq!(put(&gateway.url, "kept", "o", "content").await, 200);
    let blobs = || live_blobs(&folder.path().join("t1/mp1"));
    assert_eq!(blobs(), 2);
    let url = format!("{}/v1/buckets/b", gateway.url);
    let (status, _, _) = ask(Method::DELETE, &url, json!({"action": "destroy-bck"})).await;
    assert_eq!(status, 200);
    let began = Instant::now();
    while blobs() != 1 {
        assert!(began.elapsed() < SOON, "the bucket's data stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(node);
    // A target of one cluster that is told to join another must not lose its data to it.
    let stranger = start(folder.path(), "g2", &["--role", "gateway"]);
    let data = folder.path().join("t1");
    let (code, message) = refused(&[
        "--listen",
        "127.0.0.1:0",
        "--join",
        &stranger.url,
        "--data-dir",
        data.to_str().unwrap(),
    ]);
    assert!(code == Some(1) && message.contains("belongs to cluster"), "{message}");
    // Nor one whose data directory was lost.
    let (fresh, mountpath) = (folder.path().join("fresh"), data.join("mp1"));
    let (code, message) = refused(&[
        "--listen",
        "127.0.0.1:0",
        "--join",
        &stranger.url,
        "--data-dir",
        fresh.to_str().unwrap(),
        "--mountpath",
        mountpath.to_str().unwrap(),
    ]);
    assert!(code == Some(1) && message.contains(mountpath.to_str().unwrap()), "{message}");
    assert_eq!(blobs(), 1);
}

/// Blobs of a mountpath that are not waste.
fn live_blobs(mountpath: &Path) -> usize {
    let mut live = 0;
    aistore_store::inspect::each_blob(mountpath, |blob| live += usize::from(!blob.dead)).unwrap();
    live
}
