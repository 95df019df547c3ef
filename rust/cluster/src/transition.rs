//! The state machine itself: a pure function from state and command to the next state.
//!
//! Invariant: the outcome depends on the arguments alone, so replaying a log anywhere gives the same
//! state. A refused command and a command without effect leave every version as it was.

use aistore_core::bucket::{Bucket, Provider};
use aistore_core::config::ClusterConfig;
use aistore_core::error::ApiError;
use aistore_core::placement::digest;
use aistore_core::props::BucketProps;
use aistore_core::smap::{NetInfo, NodeKind, Smap, Snode};
use serde_json::Value;

use crate::command::{Command, ConfigChange};
use crate::state::{Bmd, ClusterState};
use crate::transition_jobs as jobs;

/// Marks ids of buckets whose home is the cluster.
const NATIVE_BUCKET_BIT: u64 = 1 << 63;
/// Longest node id in bytes.
const MAX_NODE_ID_BYTES: usize = 64;

/// The state after `command` at log position `index`, `None` when nothing changes.
pub(crate) fn transition(
    state: &ClusterState,
    command: &Command,
    index: u64,
) -> Result<Option<ClusterState>, ApiError> {
    if let Command::Bootstrap { primary, uuid, creation_time } = command {
        if state.is_bootstrapped() {
            return Ok(None);
        }
        return bootstrap(state, primary, uuid, creation_time, index).map(Some);
    }
    if !state.is_bootstrapped() {
        return Err(ApiError::unavailable(
            "the cluster is not bootstrapped yet: start its first gateway, then try again",
        ));
    }
    let mut next = state.clone();
    let (smap, bmd, config) = (&mut next.smap, &mut next.bmd, &mut next.config);
    let changed = match command {
        Command::Bootstrap { .. } => false,
        Command::RegisterNode { node } => register(smap, node)?,
        Command::RemoveNode { id } => remove(smap, id)?,
        Command::SetPrimary { id } => set_primary(smap, id)?,
        Command::CreateBucket { bucket, patch, created_ns } => {
            let bid = bucket_id(bucket, index);
            let props = BucketProps::new(config, bucket, bid, *created_ns);
            create(bmd, smap, bucket, props, patch.as_ref())?
        }
        Command::DestroyBucket { bucket } => destroy(bmd, bucket)?,
        Command::PatchProps { bucket, patch } => change_props(bmd, bucket, |props| {
            let new = props.patched(patch)?;
            if new.needs_encoding(props) {
                check_targets(smap, bucket, &new, patch)?;
            }
            Ok(new)
        })?,
        Command::ResetProps { bucket } => change_props(bmd, bucket, |props| {
            if let Some(backend) = props.backend_bck.bucket()? {
                return Err(ApiError::bad_request(format!(
                    "cannot reset the properties of bucket \"{bucket}\" while \"{backend}\" is attached to it: detach it first"
                )));
            }
            Ok(props.reset(config))
        })?,
        Command::ChangeConfig { change, updated } => {
            change_config(config, updated, |old| match change {
                ConfigChange::Patch(patch) => old.patched(patch),
                ConfigChange::Pairs(pairs) => old.with_pairs(pairs),
                ConfigChange::Reset => Ok(old.reset()),
            })?
        }
        Command::SetConfig { patch } => change_config(config, "", |old| old.patched(patch))?,
        Command::SetConfigPairs { pairs } => {
            change_config(config, "", |old| old.with_pairs(pairs))?
        }
        Command::ResetConfig => change_config(config, "", |old| Ok(old.reset()))?,
        Command::StartJob { job, ignore_conflicts } => {
            jobs::start(&mut next, job, *ignore_conflicts, index)?
        }
        Command::FinishJobOnTarget { id, target, outcome } => {
            jobs::finish(&mut next, id, target, outcome)
        }
        Command::AbortJob { id, reason, now_ns } => jobs::abort(&mut next, id, reason, *now_ns),
    };
    if !changed {
        return Ok(None);
    }
    next.version = index;
    Ok(Some(next))
}

fn bootstrap(
    state: &ClusterState,
    primary: &Snode,
    uuid: &str,
    creation_time: &str,
    index: u64,
) -> Result<ClusterState, ApiError> {
    if uuid.is_empty() {
        return Err(ApiError::bad_request("a cluster's uuid must not be empty"));
    }
    if primary.daemon_type != NodeKind::Gateway {
        return Err(ApiError::bad_request(format!(
            "{} cannot be primary: only gateways can",
            primary.display()
        )));
    }
    let primary = normalised(primary)?;
    let mut next = state.clone();
    next.smap = Smap {
        pmap: [(primary.daemon_id.clone(), primary.clone())].into(),
        proxy_si: primary,
        uuid: uuid.to_owned(),
        creation_time: creation_time.to_owned(),
        version: 1,
        ..Smap::default()
    };
    uuid.clone_into(&mut next.bmd.uuid);
    next.bmd.version = 1;
    uuid.clone_into(&mut next.config.uuid);
    next.config.config_version = 1;
    next.version = index;
    Ok(next)
}

/// Checks a node's identity and fills what follows from the rest.
fn normalised(node: &Snode) -> Result<Snode, ApiError> {
    let id = node.daemon_id.as_str();
    let alphabet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > MAX_NODE_ID_BYTES || !id.bytes().all(alphabet) {
        return Err(ApiError::bad_request(format!(
            "invalid node id \"{id}\": use 1 to {MAX_NODE_ID_BYTES} letters, digits, '-', '_' or '.'"
        )));
    }
    if node.url().is_empty() {
        return Err(ApiError::bad_request(format!(
            "{} has no URL: a node needs a public address to be registered",
            node.display()
        )));
    }
    let mut node = node.clone();
    node.id_digest = digest(&node.daemon_id);
    for net in [&mut node.intra_control_net, &mut node.intra_data_net] {
        if *net == NetInfo::default() {
            *net = node.public_net.clone();
        }
    }
    Ok(node)
}

fn register(smap: &mut Smap, node: &Snode) -> Result<bool, ApiError> {
    let mut node = normalised(node)?;
    if let Some(known) = smap.node(&node.daemon_id) {
        if known.daemon_type != node.daemon_type {
            return Err(ApiError::new(
                409,
                "",
                format!(
                    "cannot register {}: the id is taken by {} at {}; give the node another id, or remove {} from the cluster first",
                    node.display(),
                    known.display(),
                    known.url(),
                    known.display()
                ),
            ));
        }
        node.flags = known.flags;
        if *known == node {
            return Ok(false);
        }
    }
    if node.daemon_type == NodeKind::Target {
        refuse_shared_url(smap, &node)?;
    }
    if smap.proxy_si.daemon_id == node.daemon_id {
        smap.proxy_si = node.clone();
    }
    let map = match node.daemon_type {
        NodeKind::Gateway => &mut smap.pmap,
        NodeKind::Target => &mut smap.tmap,
    };
    map.insert(node.daemon_id.clone(), node);
    smap.version += 1;
    Ok(true)
}

/// Two ids behind one address would make placement send half of the objects to the wrong disks.
fn refuse_shared_url(smap: &Smap, node: &Snode) -> Result<(), ApiError> {
    let mut others = smap.pmap.values().chain(smap.tmap.values());
    let holder =
        others.find(|other| other.daemon_id != node.daemon_id && other.url() == node.url());
    holder.map_or(Ok(()), |holder| {
        Err(ApiError::new(
            409,
            "",
            format!(
                "cannot register {}: its URL {} belongs to {}; listen on another port, or remove {} from the cluster first",
                node.display(),
                node.url(),
                holder.display(),
                holder.display()
            ),
        ))
    })
}

fn remove(smap: &mut Smap, id: &str) -> Result<bool, ApiError> {
    if smap.proxy_si.daemon_id == id {
        return Err(ApiError::bad_request(format!(
            "cannot remove {}: it is the primary gateway; stop it so that another one takes over, then remove it",
            smap.proxy_si.display()
        )));
    }
    if smap.tmap.remove(id).is_none() && smap.pmap.remove(id).is_none() {
        return Err(unknown_node(id));
    }
    smap.version += 1;
    Ok(true)
}

fn set_primary(smap: &mut Smap, id: &str) -> Result<bool, ApiError> {
    let node = smap.pmap.get(id).ok_or_else(|| unknown_node(id))?;
    if smap.proxy_si == *node {
        return Ok(false);
    }
    smap.proxy_si = node.clone();
    smap.version += 1;
    Ok(true)
}

fn unknown_node(id: &str) -> ApiError {
    ApiError::not_found(format!("node \"{id}\" does not exist in the cluster map"))
}

/// The log position is unique for ever, so a bucket made anew under an old name has another id and
/// leftovers of the old one can never be taken for its objects.
pub(crate) fn bucket_id(bucket: &Bucket, index: u64) -> u64 {
    if bucket.provider == Provider::Ais { NATIVE_BUCKET_BIT | index } else { index }
}

fn create(
    bmd: &mut Bmd,
    smap: &Smap,
    bucket: &Bucket,
    defaults: BucketProps,
    patch: Option<&Value>,
) -> Result<bool, ApiError> {
    bucket.validate()?;
    if bmd.contains(bucket) {
        return Err(ApiError::bucket_exists(bucket));
    }
    let patch = patch.unwrap_or(&Value::Null);
    let props = if patch.is_null() { defaults } else { defaults.patched(patch)? };
    check_targets(smap, bucket, &props, patch)?;
    bmd.put(bucket.clone(), props);
    bmd.version += 1;
    Ok(true)
}

/// Refuses erasure coding over more targets than there are; `"force": true` in the patch allows it.
fn check_targets(
    smap: &Smap,
    bucket: &Bucket,
    props: &BucketProps,
    patch: &Value,
) -> Result<(), ApiError> {
    let need = props.targets_needed();
    let have = smap.tmap.values().filter(|target| target.accepts_data()).count();
    let forced = patch.get("force") == Some(&Value::Bool(true));
    // A bucket without erasure coding needs none: its cluster may get its first target later.
    if !props.ec.enabled || forced || u64::try_from(have).is_ok_and(|have| have >= need) {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "bucket \"{bucket}\": erasure coding with {} data and {} parity slices needs {need} active targets, the cluster has {have}; add targets, use fewer slices, or set \"force\"",
        props.ec.data_slices, props.ec.parity_slices
    )))
}

fn destroy(bmd: &mut Bmd, bucket: &Bucket) -> Result<bool, ApiError> {
    if bucket.provider != Provider::Ais {
        return Err(ApiError::new(
            405,
            "ErrUnsupp",
            format!("cannot destroy cloud bucket \"{bucket}\": evict it instead"),
        ));
    }
    if !bmd.remove(bucket) {
        return Err(ApiError::bucket_not_found(bucket));
    }
    bmd.version += 1;
    Ok(true)
}

fn change_props(
    bmd: &mut Bmd,
    bucket: &Bucket,
    change: impl FnOnce(&BucketProps) -> Result<BucketProps, ApiError>,
) -> Result<bool, ApiError> {
    let old = bmd.get(bucket).ok_or_else(|| ApiError::bucket_not_found(bucket))?;
    let new = change(old)?;
    if new == *old {
        return Ok(false);
    }
    bmd.put(bucket.clone(), new);
    bmd.version += 1;
    Ok(true)
}

fn change_config(
    config: &mut ClusterConfig,
    updated: &str,
    change: impl FnOnce(&ClusterConfig) -> Result<ClusterConfig, ApiError>,
) -> Result<bool, ApiError> {
    let mut new = change(config)?;
    // Identity and version are the state machine's, whatever the change says.
    config.uuid.clone_into(&mut new.uuid);
    new.config_version = config.config_version;
    if new == *config {
        return Ok(false);
    }
    updated.clone_into(&mut new.lastupdate_time);
    new.config_version += 1;
    *config = new;
    Ok(true)
}
