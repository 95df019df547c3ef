//! Consensus messages between gateways, as JSON over whatever carries bytes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{
    Fatal, RPCError, RaftError, RemoteError, ReplicationClosed, StreamingError, Timeout,
    Unreachable,
};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, OptionalSend, RPCTypes, RaftNetwork, RaftNetworkFactory};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::ClusterError;
use crate::raft_types::{Gateway, GatewayKey, Raft, Snapshot, SnapshotMeta, TypeConfig, Vote};
use crate::state::ClusterState;

/// Largest message in bytes, either way; the whole state travels in one. At some 2 KiB of JSON a
/// bucket this carries 100,000 buckets.
pub const MAX_RPC_BYTES: usize = 256 << 20;

/// Kinds of messages; part of the path under which a gateway takes them.
const APPEND: &str = "append";
const VOTE: &str = "vote";
const SNAPSHOT: &str = "snapshot";

/// Pause before an unreachable gateway is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Format of the messages.
const FORMAT: u32 = 1;

/// Carries consensus messages to other gateways.
pub trait RaftTransport: Send + Sync {
    /// Delivers `body` to [`Consensus::handle_rpc`](crate::Consensus::handle_rpc) with `kind` at the
    /// gateway with base URL `url`, and returns its answer. The error is any text that tells why no
    /// answer came, such as a refused connection or a status other than success.
    ///
    /// Dropping the future must be safe: callers put their own deadlines on it.
    fn send<'a>(
        &'a self,
        url: &'a str,
        kind: &'a str,
        body: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>>;
}

/// A message with its addressee: an address may have passed to another gateway, which must not take
/// part in a stranger's consensus.
#[derive(Serialize, Deserialize)]
struct Message<T> {
    format: u32,
    to: GatewayKey,
    rpc: T,
}

/// A whole snapshot.
#[derive(Serialize, Deserialize)]
struct InstallSnapshot {
    vote: Vote,
    meta: SnapshotMeta,
    state: ClusterState,
}

/// Makes connections for openraft.
pub(crate) struct Network {
    pub(crate) transport: Arc<dyn RaftTransport>,
}

/// The way to one gateway.
pub(crate) struct Peer {
    transport: Arc<dyn RaftTransport>,
    key: GatewayKey,
    gateway: Gateway,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: GatewayKey, node: &Gateway) -> Peer {
        Peer { transport: Arc::clone(&self.transport), key: target, gateway: node.clone() }
    }
}

impl Peer {
    async fn call<T: Serialize, R: DeserializeOwned>(
        &self,
        kind: &str,
        rpc: T,
    ) -> Result<R, AnyError> {
        let describe = |detail: String| {
            AnyError::error(format!("{} at {}: {detail}", self.gateway.id, self.gateway.url))
        };
        let message = Message { format: FORMAT, to: self.key, rpc };
        let body = serde_json::to_vec(&message).map_err(|err| describe(err.to_string()))?;
        if body.len() > MAX_RPC_BYTES {
            let length = body.len();
            return Err(describe(format!("{kind} of {length} bytes exceeds {MAX_RPC_BYTES}")));
        }
        let reply = self.transport.send(&self.gateway.url, kind, body).await.map_err(describe)?;
        serde_json::from_slice(&reply).map_err(|err| describe(format!("bad {kind} reply: {err}")))
    }

    /// One call with a deadline. Every failure counts as unreachable: that makes openraft pause
    /// before the next try, where a network error would be tried again at once, for ever.
    async fn rpc<T: Serialize, R: DeserializeOwned>(
        &self,
        kind: &str,
        action: RPCTypes,
        rpc: T,
        limit: Duration,
    ) -> Result<R, RPCError<GatewayKey, Gateway, RaftError<GatewayKey>>> {
        let call = self.call::<T, Result<R, RaftError<GatewayKey>>>(kind, rpc);
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(Ok(reply))) => Ok(reply),
            Ok(Ok(Err(remote))) => Err(RPCError::RemoteError(RemoteError::new_with_node(
                self.key,
                self.gateway.clone(),
                remote,
            ))),
            Ok(Err(err)) => Err(RPCError::Unreachable(Unreachable::new(&err))),
            Err(_) => Err(RPCError::Timeout(self.timeout(action, limit))),
        }
    }

    fn timeout(&self, action: RPCTypes, timeout: Duration) -> Timeout<GatewayKey> {
        // openraft asks for the sender too, which only feeds its message.
        Timeout { action, id: self.key, target: self.key, timeout }
    }
}

impl RaftNetwork<TypeConfig> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<
        AppendEntriesResponse<GatewayKey>,
        RPCError<GatewayKey, Gateway, RaftError<GatewayKey>>,
    > {
        self.rpc(APPEND, RPCTypes::AppendEntries, rpc, option.hard_ttl()).await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<GatewayKey>,
        option: RPCOption,
    ) -> Result<VoteResponse<GatewayKey>, RPCError<GatewayKey, Gateway, RaftError<GatewayKey>>>
    {
        self.rpc(VOTE, RPCTypes::Vote, rpc, option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<GatewayKey>, StreamingError<TypeConfig, Fatal<GatewayKey>>> {
        let message = InstallSnapshot { vote, meta: snapshot.meta, state: *snapshot.snapshot };
        let limit = option.hard_ttl();
        let call = self
            .call::<_, Result<SnapshotResponse<GatewayKey>, Fatal<GatewayKey>>>(SNAPSHOT, message);
        tokio::select! {
            closed = cancel => Err(closed.into()),
            reply = tokio::time::timeout(limit, call) => match reply {
                Ok(Ok(Ok(reply))) => Ok(reply),
                Ok(Ok(Err(remote))) => Err(StreamingError::RemoteError(
                    RemoteError::new_with_node(self.key, self.gateway.clone(), remote),
                )),
                Ok(Err(err)) => Err(Unreachable::new(&err).into()),
                Err(_) => Err(self.timeout(RPCTypes::InstallSnapshot, limit).into()),
            },
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(RETRY_PAUSE))
    }
}

/// Answers a peer's message.
pub(crate) async fn handle(
    raft: &Raft,
    own_key: GatewayKey,
    kind: &str,
    body: &[u8],
) -> Result<Vec<u8>, ClusterError> {
    let bad = |detail: String| ClusterError::Message { kind: kind.to_owned(), detail };
    if body.len() > MAX_RPC_BYTES {
        return Err(bad(format!("{} bytes exceed {MAX_RPC_BYTES}", body.len())));
    }
    let reply = match kind {
        APPEND => serde_json::to_vec(&raft.append_entries(open(own_key, kind, body)?).await),
        VOTE => serde_json::to_vec(&raft.vote(open(own_key, kind, body)?).await),
        SNAPSHOT => {
            let InstallSnapshot { vote, meta, state } = open(own_key, kind, body)?;
            let snapshot = Snapshot { meta, snapshot: Box::new(state) };
            serde_json::to_vec(&raft.install_full_snapshot(vote, snapshot).await)
        }
        _ => return Err(bad(format!("expected {APPEND}, {VOTE} or {SNAPSHOT}"))),
    };
    reply.map_err(|err| bad(err.to_string()))
}

fn open<T: DeserializeOwned>(
    own_key: GatewayKey,
    kind: &str,
    body: &[u8],
) -> Result<T, ClusterError> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
        to: GatewayKey,
    }
    let bad = |detail: String| ClusterError::Message { kind: kind.to_owned(), detail };
    let head: Head = serde_json::from_slice(body).map_err(|err| bad(err.to_string()))?;
    if head.format != FORMAT {
        return Err(bad(format!("format {}, this build speaks {FORMAT}", head.format)));
    }
    if head.to != own_key {
        return Err(bad("it is meant for another gateway, which used this address before".into()));
    }
    let message: Message<T> = serde_json::from_slice(body).map_err(|err| bad(err.to_string()))?;
    Ok(message.rpc)
}
