//! `ais log` and `ais tls`: what one node keeps for itself.

use std::path::Path;

use aistore_client::{Call, Client, ObjectStream};
use http::Method;
use serde_json::{Value, json};

use crate::api;
use crate::args::{LogArgs, LogCommand, TlsCommand};
use crate::failure::Failure;
use crate::output::Output;
use crate::sink::{Destination, Sink};
use crate::table::{Align, Table};

/// `ais log`.
pub(crate) async fn log(
    client: &Client,
    command: &LogCommand,
    out: &mut Output,
) -> Result<(), Failure> {
    match command {
        LogCommand::Show(args) => log_show(client, args, out).await,
        LogCommand::Get { log, output, all } => log_get(client, log, output, *all, out).await,
    }
}

/// `ais log show`, `ais show log`.
pub(crate) async fn log_show(
    client: &Client,
    args: &LogArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    out.flush()?;
    let stream = open(client, args, false).await?.1;
    save(stream, &Destination::Stdout).await.map(drop)
}

async fn log_get(
    client: &Client,
    args: &LogArgs,
    output: &str,
    all: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    out.flush()?;
    let (base, stream) = open(client, args, all).await?;
    let destination = Destination::resolve(Some(output), &base, |path: &Path| path.is_dir());
    let size = save(stream, &destination).await?;
    let Destination::File(path) = destination else { return Ok(()) };
    if out.json {
        return out.json(&json!({"file": path.display().to_string(), "size": size}));
    }
    out.message(&format!("Saved {} ({})", path.display(), out.units.size(size)))
}

/// A node's log, and the name of the file it goes to in a directory.
async fn open(
    client: &Client,
    args: &LogArgs,
    all: bool,
) -> Result<(String, ObjectStream), Failure> {
    let map = client.smap(true).await?;
    let node = api::find_node(&map, &args.node)?;
    let mut call = api::node_call(Method::GET, &node.daemon_id, "").query("what", "log");
    if let Some(severity) = &args.severity {
        call = call.query("severity", severity);
    }
    let suffix = if all { ".tar.gz" } else { "" };
    if all {
        call = call.query("all", "true");
    }
    let kind = if map.tmap.contains_key(&node.daemon_id) { "aistarget" } else { "aisproxy" };
    Ok((format!("{kind}-{}{suffix}", node.daemon_id), client.open(call).await?))
}

async fn save(mut stream: ObjectStream, destination: &Destination) -> Result<u64, Failure> {
    let mut sink = Sink::open(destination, None).await?;
    let mut size = 0_u64;
    while let Some(bytes) = stream.next().await? {
        size = size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        sink.write(bytes).await?;
    }
    sink.finish(|_| Ok(())).await?;
    Ok(size)
}

/// `ais tls`.
pub(crate) async fn tls(
    client: &Client,
    command: &TlsCommand,
    out: &mut Output,
) -> Result<(), Failure> {
    match command {
        TlsCommand::Show { node } => tls_show(client, node.as_deref(), out).await,
        TlsCommand::LoadCertificate { node } => tls_load(client, node.as_deref(), out).await,
    }
}

async fn tls_show(client: &Client, node: Option<&str>, out: &mut Output) -> Result<(), Failure> {
    let value = if let Some(text) = node {
        let map = client.smap(true).await?;
        let id = api::find_node(&map, text)?.daemon_id.clone();
        api::ask_node(client, &id, "tls_certificate").await?
    } else {
        let call = Call::new(Method::GET, "/v1/daemon").query("what", "tls_certificate");
        client.call(call).await?.json()?
    };
    if out.json {
        return out.json(&value);
    }
    let mut table = Table::new([("PROPERTY", Align::Left), ("VALUE", Align::Left)]);
    for (key, fact) in value.as_object().into_iter().flatten() {
        let text = fact.as_str().map_or_else(|| Value::to_string(fact), str::to_owned);
        table.push([key.clone(), text]);
    }
    out.table(&table)
}

async fn tls_load(client: &Client, node: Option<&str>, out: &mut Output) -> Result<(), Failure> {
    let (path, whose) = match node {
        Some(text) => {
            let map = client.smap(true).await?;
            let node = api::find_node(&map, text)?;
            (format!("/v1/cluster/load-x509/{}", node.daemon_id), node.display())
        }
        None => ("/v1/cluster/load-x509".to_owned(), "all nodes".to_owned()),
    };
    client.call(Call::new(Method::PUT, path)).await?;
    if out.json {
        return out.json(&json!({"loaded": whose}));
    }
    out.message(&format!("Certificate loaded on {whose}"))
}
