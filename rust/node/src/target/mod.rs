//! Target side: objects, scans and batches over this node's own store.
//!
//! Split by verb. What the verbs share: `place` finds the bucket and checks that this node is the one
//! to ask, `objects` is the store behind its caches, `read` sends bytes.

mod append;
pub(crate) mod archive;
pub(crate) mod buffers;
mod byteranges;
mod capacity;
mod change;
mod conditions;
mod copy;
mod delete;
pub(crate) mod deliver;
pub(crate) mod failure;
mod frames;
mod get;
mod head;
mod headers;
pub(crate) mod hot;
mod members;
mod moss;
pub(crate) mod objects;
mod parts;
mod place;
mod policies;
pub(crate) mod promote;
pub(crate) mod put;
pub(crate) mod read;
mod readers;
mod scan;
mod select;
mod settle;
mod snapshot;
pub(crate) mod upkeep;
mod upload;
mod writing;

#[cfg(fuzzing)]
pub(crate) use append::fuzz_handle as fuzz_append_handle;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use aistore_client::Away;
use aistore_cluster::ClusterState;
use aistore_core::bucket::validate_object_name;
use aistore_core::error::ApiError;
use aistore_core::props::BucketProps;
use aistore_core::text::decode_path;
use aistore_store::{MountpathUsage, Store};
use http::Method;
use tokio::sync::{Semaphore, watch};

use crate::context::NodeContext;
use crate::http::drain::discard;
use crate::http::reply::{self, ErrorContext};
use crate::http::{Reply, Req, path};
use crate::jobs::Registry;
use crate::jobs::stripes::Stripes;
use crate::sendfile;
use objects::{ObjectRef, Objects};

/// A storage node's request handlers.
pub struct Target {
    pub(crate) ctx: Arc<NodeContext>,
    pub(crate) objects: Arc<Objects>,
    /// Objects that are being renamed, by their old names.
    renames: Stripes,
    /// Objects whose metadata is being changed, or must not change.
    patches: Stripes,
    /// Shards that are being added to.
    shards: Stripes,
    /// Shares of jobs.
    pub(crate) jobs: Registry,
    /// Admission of batches.
    batches: Arc<Semaphore>,
    /// Admission of requests for frames.
    frame_requests: Arc<Semaphore>,
    /// Turns of snapshots that are made here.
    snapshots: Arc<Semaphore>,
    /// Peers that batches do not wait for, by id.
    away: Arc<Away>,
    /// Mountpaths with the names of their disks, in the order of the configuration; filled on first use.
    disks: OnceLock<Vec<Disk>>,
}

struct Disk {
    path: PathBuf,
    /// `t[id]:mp[/path, disk]`.
    location: Arc<str>,
}

/// How often an object of a bucket is to be stored on its target.
pub(crate) fn wanted_copies(props: &BucketProps) -> usize {
    let copies = if props.mirror.enabled { props.mirror.copies } else { 1 };
    usize::try_from(copies).unwrap_or(1)
}

impl Target {
    /// Gives an object that was not written by a plain put the copies that its bucket asks for, and forgets
    /// what is cached of it. Blocks on the disk.
    ///
    /// The object is committed by now, so a failure is no error of the request. That there is room for the
    /// copies of uploads and appends was asked before.
    pub(crate) fn mirror(&self, object: &ObjectRef) {
        let copies = self.home(object.bid, &object.name).map_or(1, |home| home.copies);
        if copies > 1
            && let Err(err) =
                self.objects.store.set_copies(object.bid, &object.uname, &object.name, copies)
        {
            // The object is whole: a later make-n-copies or resilver adds what is missing.
            tracing::warn!(object = object.cname(), error = %err, "copies are missing");
        }
        self.objects.readers.invalidate(&object.uname);
    }

    /// The disks.
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.objects.store
    }

    /// The objects, with what is cached of them.
    pub(crate) fn objects(&self) -> &Arc<Objects> {
        &self.objects
    }

    /// Serves `store` as the node of `ctx`.
    pub async fn new(ctx: Arc<NodeContext>, store: Arc<Store>) -> Arc<Self> {
        // What TLS sends must be seen by it.
        let sendfile = ctx.tls.is_none() && sends_files(&store).await;
        let objects = Arc::new(Objects::within(store, ctx.memory.clone()).with_sendfile(sendfile));
        ctx.tasks.spawn_until_stop(follow_buckets(ctx.state.clone(), Arc::clone(&objects)));
        ctx.tasks.spawn_until_stop(parts::expire(Arc::clone(&objects)));
        ctx.tasks.spawn_until_stop(capacity::follow(ctx.clone(), Arc::clone(&objects.store)));
        ctx.tasks.spawn_until_stop(parts::tidy(Arc::clone(&objects)));
        ctx.tasks.spawn_until_stop(upkeep::compact(Arc::clone(&objects)));
        ctx.tasks.spawn_until_stop(upkeep::write_back(Arc::clone(&objects)));
        Arc::new(Self {
            ctx,
            objects,
            renames: Stripes::default(),
            shards: Stripes::default(),
            patches: Stripes::default(),
            jobs: Registry::default(),
            batches: Arc::new(Semaphore::new(moss::MAX_PENDING)),
            frame_requests: Arc::new(Semaphore::new(frames::MAX_PENDING)),
            snapshots: Arc::new(Semaphore::new(snapshot::MAX_AT_ONCE)),
            away: Arc::default(),
            disks: OnceLock::new(),
        })
    }

    /// Serves every path of a target but health, daemon and metrics.
    ///
    /// # Errors
    ///
    /// As the protocol has them for each verb; 400 for an unknown path.
    pub async fn handle(self: &Arc<Self>, mut req: Req) -> Result<Reply, ApiError> {
        if !matches!(req.method, Method::GET | Method::HEAD) {
            self.set_watermark();
        }
        let path = path::decode(&req.raw_path)?;
        // Leading slashes do not count; all that follows the bucket is the object's name, `//` included.
        let mut parts = path.trim_start_matches('/').splitn(4, '/');
        let mut part = || parts.next().unwrap_or_default();
        match (part(), part(), part(), part()) {
            ("v1", "objects", bucket, object) => self.object(req, bucket, object).await,
            ("v1", "scan", bucket, "") => match req.method {
                Method::POST => self.scan(req, bucket).await,
                _ => Ok(reply::method_not_allowed("POST")),
            },
            ("v1", "frames", "", "") => match req.method {
                Method::POST => self.frames(req).await,
                _ => Ok(reply::method_not_allowed("POST")),
            },
            ("v1", "jobs", "space", "") => self.job_space().await,
            ("v1", "jobs", "", "") => self.job_snaps(&mut req).await,
            ("v1", "promote", step, "") => match req.method {
                Method::POST => self.promote(&mut req, step).await,
                _ => Ok(reply::method_not_allowed("POST")),
            },
            ("v1", "jobs", "object", name) => self.receive_copy(req, name).await,
            ("v1", "jobs", "pull", name) => self.pull(&req, name).await,
            ("v1", "jobs", "summary", "") => self.summary(&mut req).await,
            ("v1", "ml", "moss", rest) => match req.method {
                Method::GET => self.moss(req, rest).await,
                _ => Ok(reply::method_not_allowed("GET")),
            },
            _ => Err(ApiError::bad_request(format!("unknown path \"{path}\" on a target"))),
        }
    }

    async fn object(
        self: &Arc<Self>,
        mut req: Req,
        bucket: &str,
        object: &str,
    ) -> Result<Reply, ApiError> {
        if bucket.is_empty() || object.is_empty() {
            return Err(ApiError::bad_request(format!(
                "path \"{}\" must name a bucket and an object: /v1/objects/BUCKET/OBJECT",
                req.raw_path
            )));
        }
        if depends_on_present(&req)
            && let Err(err) = self.pull_for(&req, bucket, object).await
        {
            discard(&self.ctx.tasks, &req.headers, req.body);
            return Err(err);
        }
        match req.method {
            Method::GET => match self.get(&req, bucket, object).await {
                Err(err) if err.status == 404 && self.pull_for(&req, bucket, object).await? => {
                    self.get(&req, bucket, object).await
                }
                done => done,
            },
            Method::HEAD => match self.head(&req, bucket, object).await {
                Err(err) if err.status == 404 && self.pull_for(&req, bucket, object).await? => {
                    self.head(&req, bucket, object).await
                }
                done => done,
            },
            Method::PUT => {
                let done = self.put(&mut req, bucket, object).await;
                if done.is_err() {
                    discard(&self.ctx.tasks, &req.headers, req.body);
                }
                done
            }
            Method::DELETE => self.delete(&mut req, bucket, object).await,
            Method::POST => self.post_object(&mut req, bucket, object).await,
            Method::PATCH => self.patch(&mut req, bucket, object).await,
            _ => Ok(reply::method_not_allowed("DELETE, GET, HEAD, PATCH, POST, PUT")),
        }
    }

    /// Actions on one object: known ones are told apart from mistakes.
    async fn post_object(
        self: &Arc<Self>,
        req: &mut Req,
        bucket: &str,
        name: &str,
    ) -> Result<Reply, ApiError> {
        validate_object_name(name)?;
        let message = req.read_action().await?.unwrap_or_default();
        let found = self.find_bucket(req, bucket).await?;
        let object = found.object(name);
        self.check_place(req, &found.state, &object, true)?;
        match message.action.as_str() {
            "check-lock" => Ok(self.check_lock(&object)),
            "rename-obj" => self.rename(req, &found, object, &message.name).await,
            aistore_snapshot::ACTION => self.make_snapshot(&found, object, message.value).await,
            "mpt-upload" => self.start_upload(req, bucket, name).await,
            "mpt-complete" => self.complete_upload(req, bucket, name, message.value).await,
            other => Err(ApiError::bad_request(format!("invalid action \"{other}\" on an object"))),
        }
    }

    /// Error replies that need more than the envelope.
    fn error_reply(&self, req: &Req, err: &ApiError) -> Reply {
        let context = ErrorContext {
            method: req.method.clone(),
            path: decode_path(&req.raw_path).unwrap_or_else(|| req.raw_path.clone()),
            remote: req.remote.to_string(),
            node: self.ctx.display(),
        };
        reply::error(err, &context)
    }

    /// Blocks on the file systems' statistics the first time.
    fn disks(&self) -> &[Disk] {
        self.disks.get_or_init(|| {
            let usage = self.objects.store.usage().into_iter();
            usage.map(|usage| self.disk(&usage)).collect()
        })
    }

    fn disk(&self, usage: &MountpathUsage) -> Disk {
        let path = usage.path.display();
        let device = usage.fs.strip_prefix("/dev/").unwrap_or(&usage.fs);
        let location = format!("{}:mp[{path}, {device}]", self.ctx.display()).into();
        Disk { path: usage.path.clone(), location }
    }

    /// The location of an object on a mountpath, if nobody has to be asked.
    fn known_location(&self, mountpath: &Path) -> Option<Arc<str>> {
        let mut disks = self.disks.get()?.iter();
        disks.find(|disk| disk.path == mountpath).map(|disk| Arc::clone(&disk.location))
    }

    /// The location of an object on a mountpath, `t[id]:mp[/path, disk]`. Blocks the first time, and
    /// for mountpaths that were attached later.
    fn location(&self, mountpath: &Path) -> Arc<str> {
        self.disks();
        self.known_location(mountpath).unwrap_or_else(|| {
            let usage = self.objects.store.usage();
            let found = usage.iter().find(|usage| usage.path == mountpath);
            let unknown = || format!("{}:mp[{}, ]", self.ctx.display(), mountpath.display()).into();
            found.map_or_else(unknown, |usage| self.disk(usage).location)
        })
    }
}

/// Whether a change depends on the object that is there: all but a plain write do.
fn depends_on_present(req: &Req) -> bool {
    match req.method {
        Method::PUT => {
            let conditional = [http::header::IF_MATCH, http::header::IF_NONE_MATCH];
            !req.query.text("object_to").is_empty()
                || !req.query.text("append_type").is_empty()
                || conditional.iter().any(|name| req.headers.contains_key(name))
        }
        Method::DELETE | Method::PATCH | Method::POST => true,
        _ => false,
    }
}

/// Keeps to the buckets that there are: lets go of the open files of destroyed ones, which would keep the space of
/// removed blobs, and tells the store the policies of the others.
async fn follow_buckets(mut state: watch::Receiver<Arc<ClusterState>>, objects: Arc<Objects>) {
    let mut seen = state.borrow().bmd.version;
    while state.changed().await.is_ok() {
        let current = Arc::clone(&state.borrow_and_update());
        if current.bmd.version != seen {
            seen = current.bmd.version;
            let bids: HashSet<u64> = current.bmd.iter().map(|(_, props)| props.bid).collect();
            objects.policies.follow(&objects.store, &current.bmd);
            objects.readers.keep_buckets(&bids);
        }
    }
}

/// Whether files of every mountpath can be sent without copying them.
async fn sends_files(store: &Store) -> bool {
    for mountpath in store.mountpaths().available {
        if let Err(reason) = sendfile::works_in(&mountpath).await {
            let mountpath = mountpath.display();
            tracing::warn!(%mountpath, reason, "objects are copied on their way out: sendfile fails");
            return false;
        }
    }
    true
}
