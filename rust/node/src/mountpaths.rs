//! Mountpaths of a running target: what administrators ask of them, and the record that survives a
//! restart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aistore_core::config::WritePolicy;
use aistore_core::error::ApiError;
use aistore_store::{Leave, Mountpaths, Store, StoreConfig, StoreError};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::context::NodeContext;
use crate::fshc;
use crate::http::{Query, Reply, Req, reply};
use crate::node::Node;
use crate::process::{claims, identity::write_atomically, nesting};
use crate::tasks::lost_task;

/// File in a target's data directory with the state of every mountpath.
const RECORD: &str = "mountpath-states.json";

/// What became of the mountpaths by requests; those given at the start come on top.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct States {
    available: BTreeSet<PathBuf>,
    /// To be forgotten when they are empty.
    detaching: BTreeSet<PathBuf>,
    /// To be disabled when they are empty.
    disabling: BTreeSet<PathBuf>,
    disabled: BTreeSet<PathBuf>,
    /// Not used although given at the start: a request took them away.
    detached: BTreeSet<PathBuf>,
    /// Names that administrators gave them.
    labels: BTreeMap<PathBuf, String>,
}

/// Held by whoever reads, changes and writes the records, so that none loses what another wrote. Few do, and
/// seldom: one for the process is enough.
static RECORDING: Mutex<()> = Mutex::new(());

/// Most bytes of a mountpath's label.
const MAX_LABEL_BYTES: usize = 64;

/// Names of mountpaths, as given when they were attached.
#[derive(Debug, Default)]
pub(crate) struct Labels(Mutex<BTreeMap<PathBuf, String>>);

impl Labels {
    /// The name of a mountpath, empty when it has none.
    pub(crate) fn of(&self, path: &Path) -> String {
        self.known().get(path).cloned().unwrap_or_default()
    }

    /// Every mountpath that has a name.
    pub(crate) fn all(&self) -> BTreeMap<PathBuf, String> {
        self.known().clone()
    }

    /// These are all.
    pub(crate) fn set_all(&self, labels: BTreeMap<PathBuf, String>) {
        *self.known() = labels;
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<PathBuf, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl States {
    /// Reads the record in `dir`; empty when there is none. Blocks.
    ///
    /// # Errors
    ///
    /// Text for the operator.
    pub(crate) fn load(dir: &Path) -> Result<Self, String> {
        let path = dir.join(RECORD);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|err| {
                format!("{} is damaged ({err}): restore it, or remove it to use the mountpaths given at the start", path.display())
            }),
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(err) => Err(format!("cannot read {}: {err}", path.display())),
        }
    }

    /// Names of the mountpaths.
    pub(crate) fn labels(&self) -> BTreeMap<PathBuf, String> {
        self.labels.clone()
    }

    /// What to open when `given` are the mountpaths of the start.
    pub(crate) fn config(&self, given: &[PathBuf]) -> StoreConfig {
        let gone = |path: &&PathBuf| {
            [&self.detaching, &self.disabling, &self.disabled, &self.detached]
                .iter()
                .any(|set| set.contains(*path))
        };
        let mut mountpaths: Vec<PathBuf> =
            given.iter().filter(|path| !gone(path)).cloned().collect();
        for path in &self.available {
            if !mountpaths.contains(path) {
                mountpaths.push(path.clone());
            }
        }
        for path in given.iter().filter(|path| self.detached.contains(*path)) {
            tracing::warn!(mountpath = %path.display(), "was detached by request: attach it to use it again");
        }
        let leaving = |set: &BTreeSet<PathBuf>, leave| {
            set.iter().map(move |path| (path.clone(), leave)).collect::<Vec<_>>()
        };
        let mut config = StoreConfig::new(mountpaths);
        // Of buckets that this node has yet to hear of.
        config.write_policy = WritePolicy::Immediate;
        config.draining = leaving(&self.detaching, Leave::Detach);
        config.draining.extend(leaving(&self.disabling, Leave::Disable));
        config.disabled = self.disabled.iter().cloned().collect();
        config
    }

    /// The record after the mountpaths became `now`.
    fn updated(&self, now: &Mountpaths, given: &[PathBuf]) -> Self {
        let leaving = |wanted: Leave| {
            let those = now.draining.iter().filter(|(_, leave)| *leave == wanted);
            those.map(|(path, _)| path.clone()).collect::<BTreeSet<_>>()
        };
        let mut next = Self {
            available: now.available.iter().cloned().collect(),
            detaching: leaving(Leave::Detach),
            disabling: leaving(Leave::Disable),
            disabled: now.disabled.iter().cloned().collect(),
            detached: BTreeSet::new(),
            labels: BTreeMap::new(),
        };
        let before =
            [&self.available, &self.detaching, &self.disabling, &self.disabled, &self.detached];
        let known = before.into_iter().flatten().chain(given).cloned();
        let current: BTreeSet<PathBuf> =
            [&next.available, &next.detaching, &next.disabling, &next.disabled]
                .into_iter()
                .flatten()
                .cloned()
                .collect();
        next.detached = known.filter(|path| !current.contains(path)).collect();
        let labels = self.labels.iter().filter(|(path, _)| current.contains(*path));
        next.labels = labels.map(|(path, label)| (path.clone(), label.clone())).collect();
        next
    }
}

/// Records the mountpaths of `store` as they are. Blocks.
///
/// # Errors
///
/// Text for the operator.
pub(crate) fn save(store: &Store, id: &str, dir: &Path, given: &[PathBuf]) -> Result<(), String> {
    let alone = recording();
    save_states(&alone, &States::load(dir)?, store, id, dir, given)
}

fn recording() -> MutexGuard<'static, ()> {
    RECORDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `alone` has been held since `before` was read.
fn save_states(
    _alone: &MutexGuard<'static, ()>,
    before: &States,
    store: &Store,
    id: &str,
    dir: &Path,
    given: &[PathBuf],
) -> Result<(), String> {
    let now = store.mountpaths();
    let states = before.updated(&now, given);
    let path = dir.join(RECORD);
    let failed = |err: &dyn std::fmt::Display| format!("cannot write {}: {err}", path.display());
    let text = serde_json::to_vec_pretty(&states).map_err(|err| failed(&err))?;
    write_atomically(&path, &text).map_err(|err| failed(&err))?;
    for gone in &states.detached {
        claims::release(gone, id);
    }
    let mut used = now.available;
    used.extend(now.draining.into_iter().map(|(path, _)| path));
    claims::record(&used, id, dir)
}

/// The protocol's lists of a target's mountpaths.
pub(crate) fn listed(store: &Store) -> Value {
    let texts = |paths: Vec<PathBuf>| -> Vec<String> {
        paths.iter().map(|path| path.display().to_string()).collect()
    };
    let now = store.mountpaths();
    let waiting = now.draining.into_iter().map(|(path, _)| path).collect();
    json!({
        "available": texts(now.available),
        "waiting_dd": texts(waiting),
        "disabled": texts(now.disabled),
    })
}

/// Carries out a change of the mountpaths of this node.
///
/// # Errors
///
/// 400 for a missing value, and for what the state of the mountpath does not allow; 404 for a mountpath
/// that is not known.
pub(crate) async fn change(node: &Node, req: &mut Req) -> Result<Reply, ApiError> {
    let display = node.ctx().display();
    let Some(parts) = node.target() else {
        return Err(ApiError::bad_request(format!("{display} has no mountpaths")));
    };
    let action = req.read_action().await?.unwrap_or_default();
    let path = match action.value.as_str().map(str::trim) {
        Some(text) if text.starts_with('/') => PathBuf::from(text),
        Some(text) if !text.is_empty() => {
            return Err(ApiError::bad_request(format!(
                "mountpath \"{text}\" is not absolute: start it with /"
            )));
        }
        _ => {
            return Err(ApiError::bad_request(format!(
                "\"{}\" needs a mountpath as its value",
                action.action
            )));
        }
    };
    // Trailing slashes and dots do not make another mountpath.
    let path: PathBuf = path.components().collect();
    if (&req.method, action.action.as_str()) == (&Method::POST, "fshc-mp") {
        fshc::order(&parts.target, &path)?;
        // Not OK: nothing changed that a resilver should follow.
        return Ok(reply::empty(StatusCode::ACCEPTED));
    }
    let order = Order::parse(&req.method, &action.action, req.query.flag("dntres"))?;
    let label = label(&req.query, order)?;
    let (store, ctx) = (Arc::clone(&parts.store), node.ctx().clone());
    let objects = Arc::clone(parts.target.objects());
    let work = tokio::task::spawn_blocking(move || {
        let changed = carry_out(&store, order, &path, &ctx)
            .map_err(|err| refusal(&err, &path, &ctx.display()))?;
        objects.readers.keep_buckets(&std::collections::HashSet::new());
        ctx.disk_health.forgive(&path);
        record(&ctx, &store, &path, label).map_err(ApiError::internal)?;
        tracing::info!(mountpath = %path.display(), ?order, changed, "mountpaths changed by request");
        Ok::<_, ApiError>(changed)
    });
    let changed = work.await.map_err(|err| lost_task(&err))??;
    Ok(reply::empty(if changed { StatusCode::OK } else { StatusCode::NO_CONTENT }))
}

/// Records the mountpaths after a change of one, and the name that it was given. Blocks.
fn record(
    ctx: &NodeContext,
    store: &Store,
    path: &Path,
    label: Option<String>,
) -> Result<(), String> {
    let (id, dir) = (&ctx.snode.daemon_id, &ctx.data_dir);
    let alone = recording();
    let mut states = States::load(dir)?;
    match label {
        Some(label) if label.is_empty() => drop(states.labels.remove(path)),
        Some(label) => drop(states.labels.insert(path.to_owned(), label)),
        None => {}
    }
    save_states(&alone, &states, store, id, dir, &[])?;
    ctx.labels.set_all(States::load(dir)?.labels);
    Ok(())
}

/// The name that an attach gives its mountpath, which may be none; `None` for other orders.
fn label(query: &Query, order: Order) -> Result<Option<String>, ApiError> {
    let label = query.text("mountpath_label").trim();
    if order != Order::Attach {
        return Ok(None);
    }
    if label.len() > MAX_LABEL_BYTES || label.chars().any(char::is_control) {
        return Err(ApiError::bad_request(format!(
            "mountpath_label {label:?} is not a name: use at most {MAX_LABEL_BYTES} bytes without control characters"
        )));
    }
    Ok(Some(label.to_owned()))
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Attach,
    Enable,
    Disable { drain: bool },
    Detach { drain: bool },
    Rescan,
}

impl Order {
    fn parse(method: &Method, action: &str, at_once: bool) -> Result<Self, ApiError> {
        Ok(match (method, action) {
            (&Method::PUT, "attach-mp") => Self::Attach,
            (&Method::POST, "enable-mp") => Self::Enable,
            (&Method::POST, "disable-mp") => Self::Disable { drain: !at_once },
            (&Method::DELETE, "detach-mp") => Self::Detach { drain: !at_once },
            (&Method::POST, "rescan-mp") => Self::Rescan,
            (method, action) => {
                return Err(ApiError::bad_request(format!(
                    "invalid action \"{action}\" of {method} on mountpaths"
                )));
            }
        })
    }
}

fn carry_out(
    store: &Store,
    order: Order,
    path: &Path,
    ctx: &NodeContext,
) -> Result<bool, StoreError> {
    // Two that nest must not come at the same time.
    static ATTACHING: Mutex<()> = Mutex::new(());
    match order {
        Order::Attach => {
            let _alone = ATTACHING.lock().unwrap_or_else(PoisonError::into_inner);
            nesting::check_one(path, &all_of(store), &ctx.data_dir).map_err(StoreError::Invalid)?;
            claims::check_one(path, &ctx.snode.daemon_id).map_err(StoreError::Invalid)?;
            if !path.is_dir() {
                return Err(StoreError::Invalid(format!(
                    "{} is not a directory: mount its disk or create it",
                    path.display()
                )));
            }
            store.attach(path).map(|()| true)
        }
        Order::Enable => store.enable(path),
        Order::Disable { drain } => store.disable(path, drain),
        Order::Detach { drain } => store.detach(path, drain).map(|()| true),
        Order::Rescan => {
            if all_of(store).iter().any(|one| one == path) {
                return Ok(true);
            }
            Err(StoreError::UnknownMountpath { path: path.to_owned() })
        }
    }
}

fn all_of(store: &Store) -> Vec<PathBuf> {
    let known = store.mountpaths();
    let draining = known.draining.into_iter().map(|(path, _)| path);
    known.available.into_iter().chain(known.disabled).chain(draining).collect()
}

fn refusal(err: &StoreError, path: &Path, node: &str) -> ApiError {
    let text = format!("{node}: mountpath {}: {err}", path.display());
    match err {
        StoreError::UnknownMountpath { .. } => ApiError::not_found(text),
        StoreError::Closed => ApiError::unavailable(text),
        _ => ApiError::bad_request(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_requests_did_outlives_the_command_line() {
        let path = |name: &str| PathBuf::from(format!("/{name}"));
        let given = [path("a"), path("b"), path("c")];
        let now = Mountpaths {
            available: vec![path("a"), path("new")],
            draining: vec![(path("b"), Leave::Disable)],
            disabled: vec![],
        };
        let states = States::default().updated(&now, &given);
        assert_eq!(states.detached, BTreeSet::from([path("c")]));
        let config = states.config(&given);
        assert_eq!(config.mountpaths, [path("a"), path("new")]);
        assert_eq!(config.draining, [(path("b"), Leave::Disable)]);
        let later = Mountpaths { available: vec![path("a"), path("c")], ..Mountpaths::default() };
        let mut states = states.updated(&later, &[]);
        states.labels = [(path("a"), "one".to_owned()), (path("gone"), "two".to_owned())].into();
        let states = states.updated(&later, &[]);
        assert_eq!(states.labels().into_keys().collect::<Vec<_>>(), [path("a")]);
        assert_eq!(states.detached, BTreeSet::from([path("b"), path("new")]));
        assert_eq!(states.config(&given).mountpaths, [path("a"), path("c")]);
    }

    #[test]
    fn orders_have_their_methods() {
        let order = |method, action| Order::parse(&method, action, false);
        assert_eq!(order(Method::DELETE, "detach-mp").unwrap(), Order::Detach { drain: true });
        assert_eq!(order(Method::PUT, "detach-mp").unwrap_err().status, 400);
    }
}
