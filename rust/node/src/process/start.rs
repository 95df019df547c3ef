//! Bringing nodes up, and taking them down in the reverse order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use aistore_cluster::{ClusterState, Consensus, RaftTransport, Replica, SubmitError};
use aistore_core::smap::{NetInfo, NodeKind, Snode};
use aistore_store::Store;
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::claims;
use super::identity::{DataDir, write_atomically};
use super::nesting;
use super::options::{Options, Role, advertised};
use super::secure::{self, Security};
use crate::clean;
use crate::clock::{self, ClusterClock};
use crate::context::{NodeContext, Upstream};
use crate::follow;
use crate::fshc;
use crate::gateway::Gateway;
use crate::intra::Intra;
use crate::jobs;
use crate::logs;
use crate::memory::Budget;
use crate::metrics::Metrics;
use crate::mountpaths::{self, Labels, States};
use crate::node::{Node, RoleHandler, TargetParts};
use crate::overrides::Overrides;
use crate::scrub;
use crate::server;
use crate::target::Target;
use crate::tasks::Tasks;

/// Time for requests under way when the node is told to stop.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// Folder of the log files in the data directory.
const LOG_DIR: &str = "log";
/// Ports tried after the gateway's for a target in the same process.
const PORTS_TRIED: u16 = 100;
/// Longest wait for one message to another gateway.
const RAFT_TIMEOUT: Duration = Duration::from_secs(10);

/// What runs in this process.
#[derive(Default)]
pub(super) struct Process {
    tasks: Tasks,
    consensus: Option<Arc<Consensus>>,
    store: Option<Arc<Store>>,
    data_dir: Option<DataDir>,
    promote_roots: Vec<PathBuf>,
    memory: Option<Budget>,
}

/// Content of the ready file.
#[derive(Serialize)]
struct Ready<'a> {
    pid: u32,
    nodes: Vec<ReadyNode<'a>>,
}

#[derive(Serialize)]
struct ReadyNode<'a> {
    id: &'a str,
    role: &'static str,
    url: &'a str,
}

impl Process {
    /// Starts everything that the options ask for; returns when all of it serves.
    ///
    /// # Errors
    ///
    /// Text for the operator. What was started by then is stopped by [`Process::stop`].
    pub(super) async fn start(&mut self, options: &Options) -> Result<(), String> {
        let started = Instant::now();
        // Listeners first: a port in use is the most likely mistake, and must not cost a start.
        let gateway_port =
            if options.role == Role::Target { None } else { Some(listen(options.listen)?) };
        let target_port = match (options.role, &gateway_port) {
            (Role::Gateway, _) => None,
            (_, Some((_, bound))) => Some(listen_after(options.listen, *bound)?),
            (_, None) => Some(listen(options.listen)?),
        };
        self.promote_roots.clone_from(&options.promote_roots);
        tracing::info!(
            bytes = options.memory.total,
            source = options.memory.source,
            "memory budget"
        );
        self.memory = Some(Budget::new(options.memory.clone()));
        let security = secure::open(options).await?;
        if let Some(tls) = &security.own {
            self.tasks.spawn_until_stop(secure::keep_current(tls.clone(), security.peers.clone()));
        }
        let data_dir = DataDir::open(&options.data_dir).map_err(|err| err.to_string())?;
        let log_dir = options.data_dir.join(LOG_DIR);
        let attached = logs::attach(&log_dir);
        attached.map_err(|err| format!("cannot write to {}: {err}", log_dir.display()))?;
        let mut nodes = Vec::new();
        let mut join_url = options.join.clone();
        if let Some((listener, bound)) = gateway_port {
            let seat =
                Seat { snode: snode(options, &data_dir, NodeKind::Gateway, bound)?, listener };
            let snode = self.start_gateway(&data_dir, seat, &security, started).await?;
            join_url = Some(snode.url().to_owned());
            nodes.push(snode);
        }
        if let Some((listener, bound)) = target_port {
            let join_url = join_url.ok_or("a target needs --join URL")?;
            let seat =
                Seat { snode: snode(options, &data_dir, NodeKind::Target, bound)?, listener };
            let upstream = (join_url, &security);
            nodes.push(self.start_target(options, &data_dir, seat, upstream, started).await?);
        }
        self.data_dir = Some(data_dir);
        if let Some(path) = &options.ready_file {
            announce(path, &nodes)?;
        }
        Ok(())
    }

    async fn start_gateway(
        &mut self,
        data_dir: &DataDir,
        Seat { snode, listener }: Seat,
        security: &Security,
        started: Instant,
    ) -> Result<Snode, String> {
        let id = snode.daemon_id.clone();
        let dir = data_dir.role_dir(NodeKind::Gateway).map_err(|err| err.to_string())?;
        let intra = Intra::with_tls(security.peers.clone());
        let transport = Arc::new(Transport { intra: intra.clone() });
        let opened = Consensus::open(&dir.join("consensus"), &id, snode.url(), transport).await;
        let consensus = Arc::new(opened.map_err(|err| err.to_string())?);
        self.consensus = Some(consensus.clone());
        let ctx = self.context(snode.clone(), consensus.watch(), None, security, &dir, started);
        let gateway = Gateway::new(ctx.clone(), consensus.clone());
        let node = Arc::new(Node::new(ctx.clone(), RoleHandler::Gateway(gateway)));
        server::serve(node, listener);
        let bootstrapped = consensus.bootstrap(snode.clone()).await;
        bootstrapped.map_err(|err: SubmitError| err.to_string())?;
        ctx.ready.store(true, Ordering::Release);
        tracing::info!(node = snode.display(), url = snode.url(), "gateway serves");
        Ok(snode)
    }

    async fn start_target(
        &mut self,
        options: &Options,
        data_dir: &DataDir,
        Seat { snode, listener }: Seat,
        (join_url, security): (String, &Security),
        started: Instant,
    ) -> Result<Snode, String> {
        let id = snode.daemon_id.clone();
        let dir = data_dir.role_dir(NodeKind::Target).map_err(|err| err.to_string())?;
        let replica_dir = dir.join("replica");
        let replica = blocking(move || Replica::open(&replica_dir)).await?;
        let replica = Arc::new(replica.map_err(|err| err.to_string())?);
        let upstream = Upstream::new(replica.clone(), join_url);
        let state = replica.watch();
        let ctx = self.context(snode.clone(), state, Some(upstream), security, &dir, started);
        let node = Arc::new(Node::new(ctx.clone(), RoleHandler::Target(OnceLock::new())));
        // Serves "starting" from now on: the gateway probes this address when the node joins.
        server::serve(node.clone(), listener);
        let (given, known) = (options.mountpaths.clone(), ctx.state());
        let (claimant, record_dir) = (id.clone(), dir.clone());
        let named = ctx.clone();
        let index_cache = options.memory.index_cache;
        let store = blocking(move || {
            let given: Vec<PathBuf> = given
                .iter()
                .map(|path| std::path::absolute(path).unwrap_or(path.clone()))
                .collect();
            let states = States::load(&record_dir)?;
            named.labels.set_all(states.labels());
            let mut config = states.config(&given);
            config.index_cache_bytes = index_cache;
            let draining = config.draining.iter().map(|(path, _)| path);
            let mountpaths: Vec<PathBuf> =
                config.mountpaths.iter().chain(draining).cloned().collect();
            let known_too: Vec<PathBuf> =
                mountpaths.iter().chain(&config.disabled).cloned().collect();
            nesting::check(&known_too, &record_dir)?;
            claims::check(&mountpaths, &claimant, &record_dir)?;
            let store = Store::open(config).map_err(|err| err.to_string())?;
            let owned = follow::check_ownership(&known, &store, &mountpaths)
                .and_then(|()| mountpaths::save(&store, &claimant, &record_dir, &given));
            match owned {
                Ok(()) => Ok(Arc::new(store)),
                Err(message) => {
                    // The refusal is what counts; the store was not touched.
                    let _ = store.close();
                    Err(message)
                }
            }
        });
        let store: Arc<Store> = store.await??;
        self.store = Some(store.clone());
        let target = Target::new(ctx.clone(), store.clone()).await;
        node.set_target(TargetParts { target: target.clone(), store: store.clone() });
        if let Some(upstream) = &ctx.upstream {
            follow::join(&ctx, upstream).await?;
        }
        self.tasks.spawn_until_stop(follow::follow(ctx.clone()));
        self.tasks.spawn_until_stop(follow::reap(ctx.clone(), store));
        self.tasks.spawn_until_stop(jobs::settle_at_start(target.clone()));
        self.tasks.spawn_until_stop(fshc::watch(target.clone()));
        self.tasks.spawn_until_stop(scrub::watch(target.clone()));
        self.tasks.spawn_until_stop(clean::watch(target.clone()));
        self.tasks.spawn_until_stop(jobs::follow(target));
        ctx.ready.store(true, Ordering::Release);
        tracing::info!(node = snode.display(), url = snode.url(), "target serves");
        Ok(snode)
    }

    fn context(
        &self,
        snode: Snode,
        state: watch::Receiver<Arc<ClusterState>>,
        upstream: Option<Upstream>,
        security: &Security,
        dir: &Path,
        started: Instant,
    ) -> Arc<NodeContext> {
        let memory = self.memory.clone().unwrap_or_default();
        let ctx = Arc::new(NodeContext {
            snode,
            state,
            started,
            metrics: Metrics::new().with_memory(&memory),
            intra: Intra::with_tls(security.peers.clone()).within(memory.clone()),
            tls: security.own.clone(),
            upstream,
            data_dir: dir.to_owned(),
            promote_roots: self.promote_roots.clone(),
            overrides: Overrides::open(dir),
            cluster_clock: ClusterClock::default(),
            disk_health: Arc::default(),
            labels: Labels::default(),
            memory,
            tasks: self.tasks.clone(),
            ready: AtomicBool::new(false),
        });
        self.tasks.spawn_until_stop(logs::follow(ctx.clone()));
        self.tasks.spawn_until_stop(logs::tell_statistics(ctx.clone()));
        self.tasks.spawn_until_stop(clock::follow(ctx.clone()));
        ctx
    }

    /// Stops accepting, lets requests under way end within a bound, then closes what holds data.
    pub(super) async fn stop(&mut self, options: &Options) {
        if let Some(path) = &options.ready_file {
            // A reader must not take a stopped node for a ready one; absent already is as good.
            let _ = std::fs::remove_file(path);
        }
        if !self.tasks.drain(DRAIN_DEADLINE).await {
            let left = self.tasks.len();
            tracing::warn!(left, "requests are cut off: they did not end in time");
        }
        if let Some(store) = self.store.take()
            && let Ok(Err(err)) = blocking(move || store.close()).await
        {
            tracing::error!(error = %err, "closing the store failed");
        }
        if let Some(consensus) = self.consensus.take() {
            consensus.shutdown().await;
        }
        // Last: the lock says that nobody else may touch the directory.
        self.data_dir = None;
    }
}

/// A node's identity and the socket that it serves on.
struct Seat {
    snode: Snode,
    listener: TcpListener,
}

fn snode(
    options: &Options,
    data_dir: &DataDir,
    kind: NodeKind,
    bound: SocketAddr,
) -> Result<Snode, String> {
    let id = data_dir.node_id(kind).map_err(|err| err.to_string())?;
    let host = options.advertise.clone().unwrap_or_else(|| advertised(bound.ip()).to_string());
    let listener = if options.tls.is_some() { NetInfo::https } else { NetInfo::http };
    Ok(Snode::new(&id, kind, listener(&host, bound.port())))
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    let listener = server::bind(address)?;
    let bound = listener.local_addr().map_err(|err| format!("listener {address}: {err}"))?;
    let listener =
        TcpListener::from_std(listener).map_err(|err| format!("listener {address}: {err}"))?;
    Ok((listener, bound))
}

/// The next free port after the gateway's; any free one if the gateway's was left to chance.
fn listen_after(
    asked: SocketAddr,
    gateway: SocketAddr,
) -> Result<(TcpListener, SocketAddr), String> {
    if asked.port() == 0 {
        return listen(SocketAddr::new(asked.ip(), 0));
    }
    let first = gateway.port().saturating_add(1);
    let mut failure = String::new();
    for port in first..=first.saturating_add(PORTS_TRIED) {
        match listen(SocketAddr::new(gateway.ip(), port)) {
            Ok(found) => return Ok(found),
            Err(message) => failure = message,
        }
    }
    Err(format!("no free port for the target after {gateway}: {failure}"))
}

fn announce(path: &Path, nodes: &[Snode]) -> Result<(), String> {
    let nodes = nodes.iter().map(|node| ReadyNode {
        id: &node.daemon_id,
        role: if node.daemon_type == NodeKind::Gateway { "gateway" } else { "target" },
        url: node.url(),
    });
    let ready = Ready { pid: std::process::id(), nodes: nodes.collect() };
    let bytes = serde_json::to_vec(&ready).map_err(|err| err.to_string())?;
    write_atomically(path, &bytes)
        .map_err(|err| format!("cannot write --ready-file {}: {err}", path.display()))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|err| format!("start-up failed: {err}"))
}

/// Carries consensus messages between gateways.
struct Transport {
    intra: Intra,
}

impl RaftTransport for Transport {
    fn send<'a>(
        &'a self,
        url: &'a str,
        kind: &'a str,
        body: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>> {
        Box::pin(async move {
            let url = format!("{url}/v1/internal/raft/{kind}");
            let body = Bytes::from(body);
            let sent =
                self.intra.bytes(Method::POST, &url, HeaderMap::new(), body, RAFT_TIMEOUT).await;
            sent.map(|(_, answer)| answer.to_vec()).map_err(|err| err.message)
        })
    }
}
