//! Storing bytes that are here as an object that may belong to another target.

use std::collections::BTreeMap;
use std::sync::Arc;

use aistore_cluster::ClusterState;
use aistore_core::checksum::ChecksumType;
use aistore_core::error::ApiError;
use aistore_core::headers::{CHECKSUM_TYPE, CHECKSUM_VALUE, SMAP_VERSION, VERSION};
use aistore_core::placement::owner;
use aistore_core::props::{ACCESS_MOVE_OBJECT, ACCESS_PROMOTE, ACCESS_PUT};
use aistore_core::smap::Snode;
use aistore_core::text::{encode_object_name, encode_query};
use aistore_store::{Condition, ObjectMeta};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, IF_NONE_MATCH};
use http::{HeaderName, Method};

use super::Target;
use super::headers::add;
use super::objects::ObjectRef;
use super::put::{Given, put_options};
use super::upload::receive;
use crate::http::{Body, reply};
use crate::intra::peer_error;

/// Query key that tells the receiving target which operation the bytes come from.
pub(super) const OPERATION: &str = "iop";
/// Custom metadata as one line of JSON: there may be more of it than a request has lines for.
pub(crate) const CUSTOM_JSON: &str = "ais-custom-md-json";
/// Modification time to keep, in nanoseconds since the epoch.
pub(crate) const MTIME_NS: &str = "ais-mtime-ns";

/// On whose behalf an object is stored; decides which access it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    Copy,
    Rename,
    Promote,
    /// A job from bucket to bucket, by its id. Its start was allowed, or not.
    Job(String),
}

/// What to do about an object that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Present {
    /// Replace it, unless it is the same.
    Replace,
    /// Leave it.
    Keep,
    /// Replace one that is older, leave any other.
    KeepNewer,
}

impl Present {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::KeepNewer => "keep-newer",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Replace, Self::Keep, Self::KeepNewer].into_iter().find(|one| one.as_str() == text)
    }
}

impl Operation {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Rename => "rename",
            Self::Promote => "promote",
            Self::Job(_) => "job",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Copy, Self::Rename, Self::Promote].into_iter().find(|one| one.as_str() == text)
    }

    /// The access bits, and what they are for.
    pub(super) fn access(&self) -> (u64, &'static str) {
        match self {
            Self::Copy => (ACCESS_PUT, "PUT"),
            Self::Rename => (ACCESS_MOVE_OBJECT, "MOVE"),
            Self::Promote => (ACCESS_PROMOTE, "PROMOTE"),
            Self::Job(_) => (0, "JOB"),
        }
    }
}

/// What is stored, but for the bytes.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) operation: Operation,
    /// The object to be.
    pub(crate) object: ObjectRef,
    /// Bytes of the body.
    pub(crate) length: u64,
    /// Checksum that the bytes must have.
    pub(crate) checksum: Option<(ChecksumType, String)>,
    pub(crate) custom: BTreeMap<String, String>,
    /// Version to keep; `None` to count as the bucket does.
    pub(crate) version: Option<u64>,
    /// Modification time to keep; `None` for now.
    pub(crate) mtime_ns: Option<u64>,
    /// An object that is to be kept is the error 412, but for a job, which is content with it.
    pub(crate) present: Present,
}

impl Delivery {
    /// A copy of a stored version under another name.
    pub(crate) fn of(operation: Operation, object: ObjectRef, meta: &ObjectMeta) -> Self {
        let checksum = (meta.checksum_type != ChecksumType::None)
            .then(|| (meta.checksum_type, meta.checksum.clone()));
        Self {
            operation,
            object,
            length: meta.size,
            checksum,
            custom: meta.custom.clone(),
            version: Some(meta.version).filter(|version| *version != 0),
            mtime_ns: None,
            present: Present::Replace,
        }
    }

    /// Whether there is nothing to store where `present` is.
    fn is_done_by(&self, present: &ObjectMeta) -> bool {
        let for_job = matches!(self.operation, Operation::Job(_));
        match self.present {
            Present::Keep => for_job,
            Present::KeepNewer => self.mtime_ns.is_none_or(|mtime| mtime <= present.mtime_ns),
            Present::Replace => self.is_same(present),
        }
    }

    fn is_same(&self, present: &ObjectMeta) -> bool {
        self.checksum.as_ref().is_some_and(|(kind, value)| {
            (present.checksum_type, &present.checksum) == (*kind, value)
        }) && present.size == self.length
            && self.version.is_none_or(|version| version == present.version)
            && present.custom == self.custom
    }

    fn headers(&self, smap_version: u64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(SMAP_VERSION), HeaderValue::from(smap_version));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(self.length));
        if let Some((kind, value)) = &self.checksum {
            add(&mut headers, CHECKSUM_TYPE, kind.as_str());
            add(&mut headers, CHECKSUM_VALUE, value);
        }
        if let Some(version) = self.version {
            headers.insert(HeaderName::from_static(VERSION), HeaderValue::from(version));
        }
        if let Some(mtime) = self.mtime_ns {
            headers.insert(HeaderName::from_static(MTIME_NS), HeaderValue::from(mtime));
        }
        if self.present == Present::Keep {
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        let custom = serde_json::to_string(&self.custom).unwrap_or_default();
        add(&mut headers, CUSTOM_JSON, &reply::ascii(&custom));
        headers
    }

    /// Where the owner takes it.
    fn url(&self, holder: &Snode, state_version: u64) -> String {
        let (holder, bucket, name) = (holder.url(), &self.object.bucket, &self.object.name);
        if let Operation::Job(id) = &self.operation {
            return format!(
                "{holder}/v1/jobs/object/{}?job={id}&bucket={}&present={}&sv={state_version}",
                encode_query(name),
                encode_query(&bucket.uname()),
                self.present.as_str()
            );
        }
        format!(
            "{holder}/v1/objects/{}/{}?provider={}&namespace={}&{OPERATION}={}&sv={state_version}",
            bucket.name,
            encode_object_name(name),
            bucket.provider,
            encode_query(&bucket.namespace.to_string()),
            self.operation.as_str(),
        )
    }

    /// What must hold for what is stored, given what is there.
    fn conditions(&self, present: Option<&ObjectMeta>) -> (bool, Option<Condition>) {
        match (self.present, present, self.mtime_ns) {
            (Present::Replace, ..) => (false, None),
            (Present::KeepNewer, Some(_), Some(mtime)) => {
                (false, Some(Condition::new(move |present| present.mtime_ns < mtime)))
            }
            _ => (true, None),
        }
    }
}

impl Target {
    /// Stores `body` as an object, here or on the target that owns its name; whether that was another.
    ///
    /// # Errors
    ///
    /// 412 when the object exists and must not be replaced, else as for a PUT. 500 when the owner cannot
    /// be reached. On an error the object of that name is what it was, unless the answer was lost.
    pub(crate) async fn deliver(
        self: &Arc<Self>,
        state: &ClusterState,
        delivery: Delivery,
        mut body: Body,
    ) -> Result<bool, ApiError> {
        let object = &delivery.object;
        let cname = object.cname();
        let Some(holder) = owner(&state.smap, &object.uname) else {
            return Err(ApiError::unavailable(format!("no target accepts data for {cname}")));
        };
        if holder.daemon_id == self.ctx.snode.daemon_id {
            self.store_delivery(state, delivery, &mut body).await?;
            return Ok(false);
        }
        let url = delivery.url(holder, state.version);
        let headers = delivery.headers(state.smap.version);
        let timeout = self.ctx.times().delivery(delivery.length);
        let sent = self.ctx.intra.send_body(Method::PUT, &url, headers, body, timeout);
        let mut answer = sent.await?;
        if answer.status().is_success() {
            return Ok(true);
        }
        Err(peer_error(&url, &mut answer).await)
    }

    /// Stores a delivery whose object belongs to this target. `None` when it is there already, or what is
    /// there is to be kept; then the body was not read.
    pub(crate) async fn store_delivery<B>(
        self: &Arc<Self>,
        state: &ClusterState,
        mut delivery: Delivery,
        body: &mut B,
    ) -> Result<Option<ObjectMeta>, ApiError>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let object = delivery.object.clone();
        let props = state.bmd.get(&object.bucket);
        let props = props.ok_or_else(|| ApiError::bucket_not_found(&object.bucket))?;
        let (access, what) = delivery.operation.access();
        if access != 0 && !props.allows(access) {
            return Err(ApiError::access_denied(&object.bucket, what));
        }
        let for_job = matches!(delivery.operation, Operation::Job(_));
        delivery.version = delivery.version.filter(|_| props.versioning.enabled);
        let present = self.current(&object).await?;
        if present.as_ref().is_some_and(|present| delivery.is_done_by(present)) {
            return Ok(None);
        }
        let (if_absent, if_match) = delivery.conditions(present.as_ref());
        let given = Given {
            checksum: delivery.checksum,
            custom: delivery.custom,
            version: delivery.version,
            length: Some(delivery.length),
            if_absent,
            if_match,
        };
        let mut options = put_options(props, given);
        options.now_ns = delivery.mtime_ns.unwrap_or(options.now_ns);
        let _writer = self.objects.writing.begin(&object.uname);
        let objects = Arc::clone(&self.objects);
        let length = Some(delivery.length);
        match receive(objects, object.clone(), options, body, length).await {
            Ok(meta) => self.confirm(&object).await.map(|()| Some(meta)),
            Err(err) if for_job && delivery.present == Present::Keep && err.status == 412 => {
                Ok(None)
            }
            Err(err) => Err(err),
        }
    }
}
