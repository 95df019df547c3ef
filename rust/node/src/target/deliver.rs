//! Storing bytes that are here as an object that may belong to another target.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aistore_cluster::ClusterState;
use aistore_core::checksum::ChecksumType;
use aistore_core::error::ApiError;
use aistore_core::headers::{CHECKSUM_TYPE, CHECKSUM_VALUE, SMAP_VERSION, VERSION};
use aistore_core::placement::owner;
use aistore_core::props::{ACCESS_MOVE_OBJECT, ACCESS_PROMOTE, ACCESS_PUT};
use aistore_core::text::{encode_object_name, encode_query};
use aistore_store::{Condition, ObjectMeta};
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, IF_NONE_MATCH};
use http::{HeaderName, Method};

use super::Target;
use super::headers::add;
use super::objects::ObjectRef;
use super::put::{Given, put_options};
use super::upload::receive;
use crate::http::{Body, reply};
use crate::intra::peer_error;

/// Time that a delivery may take whatever its size.
const BASE_TIMEOUT: Duration = Duration::from_mins(1);
/// A delivery that is slower than this is given up.
const SLOWEST_BYTES_PER_S: u64 = 1 << 20;
/// Query key that tells the receiving target which operation the bytes come from.
pub(super) const OPERATION: &str = "iop";
/// Custom metadata as one line of JSON: there may be more of it than a request has lines for.
pub(crate) const CUSTOM_JSON: &str = "ais-custom-md-json";

/// On whose behalf an object is stored; decides which access it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Copy,
    Rename,
    Promote,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Rename => "rename",
            Self::Promote => "promote",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Copy, Self::Rename, Self::Promote].into_iter().find(|one| one.as_str() == text)
    }

    /// The access bit, and its name.
    pub(super) fn access(self) -> (u64, &'static str) {
        match self {
            Self::Copy => (ACCESS_PUT, "PUT"),
            Self::Rename => (ACCESS_MOVE_OBJECT, "MOVE"),
            Self::Promote => (ACCESS_PROMOTE, "PROMOTE"),
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
    /// Refuse, with 412, to replace an object.
    pub(crate) if_absent: bool,
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
            version: Some(meta.version),
            if_absent: false,
        }
    }

    /// Whether `present` is what this delivery would store.
    pub(crate) fn is_done_by(&self, present: &ObjectMeta) -> bool {
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
        if self.if_absent {
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        let custom = serde_json::to_string(&self.custom).unwrap_or_default();
        add(&mut headers, CUSTOM_JSON, &reply::ascii(&custom));
        headers
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
        let bucket = &object.bucket;
        let url = format!(
            "{}/v1/objects/{}/{}?provider={}&namespace={}&{OPERATION}={}&sv={}",
            holder.url(),
            bucket.name,
            encode_object_name(&object.name),
            bucket.provider,
            encode_query(&bucket.namespace.to_string()),
            delivery.operation.as_str(),
            state.version,
        );
        let headers = delivery.headers(state.smap.version);
        let timeout = BASE_TIMEOUT + Duration::from_secs(delivery.length / SLOWEST_BYTES_PER_S);
        let sent = self.ctx.intra.send_body(Method::PUT, &url, headers, body, timeout);
        let mut answer = sent.await?;
        if answer.status().is_success() {
            return Ok(true);
        }
        Err(peer_error(&url, &mut answer).await)
    }

    async fn store_delivery(
        self: &Arc<Self>,
        state: &ClusterState,
        delivery: Delivery,
        body: &mut Body,
    ) -> Result<(), ApiError> {
        let object = delivery.object.clone();
        let props = state.bmd.get(&object.bucket);
        let props = props.ok_or_else(|| ApiError::bucket_not_found(&object.bucket))?;
        let (access, what) = delivery.operation.access();
        if !props.allows(access) {
            return Err(ApiError::access_denied(&object.bucket, what));
        }
        if !delivery.if_absent
            && delivery.checksum.is_some()
            && let Some(present) = self.current(&object).await?
            && delivery.is_done_by(&present)
        {
            return Ok(());
        }
        let given = Given {
            checksum: delivery.checksum,
            custom: delivery.custom,
            version: delivery.version,
            length: Some(delivery.length),
            if_absent: delivery.if_absent,
            if_match: None::<Condition>,
        };
        let options = put_options(props, given);
        let _writer = self.objects.writing.begin(&object.uname);
        let objects = Arc::clone(&self.objects);
        receive(objects, object.clone(), options, body, Some(delivery.length)).await?;
        self.confirm(&object).await
    }
}
