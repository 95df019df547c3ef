//! `/v1/buckets`: create, destroy, properties, lists.

use aistore_cluster::Command;
use aistore_core::bucket::{Bucket, Namespace, Provider};
use aistore_core::error::ApiError;
use aistore_core::headers::BUCKET_PROPS;
use aistore_core::list::ListMsg;
use aistore_core::props::ACCESS_DESTROY_BUCKET;
use aistore_core::wire::ActionMsg;
use http::{Method, StatusCode};
use serde_json::Value;

use super::redirect::now_ns;
use super::{Gateway, backends};
use crate::http::{Reply, Req, path, reply};

/// Actions on buckets that this version knows of but does not carry out.
const LATER: [&str; 18] = [
    "etl-bck",
    "ec-encode",
    "rechunk",
    "prefetch-listrange",
    "copy-listrange",
    "etl-listrange",
    "delete-listrange",
    "evict-listrange",
    "index-shard",
    "create-inventory",
    "destroy-inventory",
    "archive",
    "promote",
    "blob-download",
    "dsort",
    "download",
    "validate-bck",
    "add-bck",
];
const METHODS: &str = "GET, POST, PUT, PATCH, HEAD, DELETE";

impl Gateway {
    /// Answers `/v1/buckets[/BUCKET[/PREFIX]]`.
    pub(super) async fn bucket(&self, req: &mut Req) -> Result<Reply, ApiError> {
        let segments = path::segments(&req.raw_path)?;
        let name = segments.get(2).map(String::as_str);
        let summary = !req.query.text("bsumm_remote").is_empty();
        if segments.len() > 3 && !(req.method == Method::HEAD && summary) {
            return Err(ApiError::bad_request(format!(
                "path \"{}\" has more than a bucket's name",
                req.raw_path
            )));
        }
        match (&req.method, name) {
            (&Method::GET, name) => self.get_bucket(req, name).await,
            (&Method::HEAD, Some(name)) => self.head_bucket(req, name, summary),
            (&Method::POST | &Method::PUT | &Method::PATCH | &Method::DELETE, Some(name)) => {
                self.change_bucket(req, name).await
            }
            (
                &Method::HEAD | &Method::POST | &Method::PUT | &Method::PATCH | &Method::DELETE,
                None,
            ) => {
                Err(ApiError::bad_request("the path names no bucket: expected /v1/buckets/BUCKET"))
            }
            _ => Ok(reply::method_not_allowed(METHODS)),
        }
    }

    async fn get_bucket(&self, req: &mut Req, name: Option<&str>) -> Result<Reply, ApiError> {
        let action = match req.read_action().await? {
            Some(action) => action,
            // A plain GET, as from curl, lists.
            None if name.is_some() => ActionMsg::new("list", Value::Object(serde_json::Map::new())),
            None => ActionMsg::new("list", Value::Null),
        };
        match (action.action.as_str(), name) {
            ("list", _) if action.value.is_null() => self.list_buckets(req, &action.name),
            ("list", Some(name)) => {
                let bucket = req.bucket(name)?;
                let message: ListMsg = serde_json::from_value(action.value).map_err(|err| {
                    ApiError::bad_request(format!("malformed list request: {err}"))
                })?;
                self.list_objects(req, &bucket, message).await
            }
            ("summary-bck", name) => self.summary(req, name, action.value),
            ("list", None) => {
                Err(ApiError::bad_request("listing objects needs a bucket: /v1/buckets/BUCKET"))
            }
            (other, _) => Err(unsupported(other)),
        }
    }

    fn list_buckets(&self, req: &Req, name: &str) -> Result<Reply, ApiError> {
        let provider = req.query.text("provider");
        let provider = (!provider.is_empty()).then(|| Provider::parse(provider)).transpose()?;
        let wanted = NamespaceFilter::parse(req.query.text("namespace"))?;
        let presence = presence(req.query.text("presence"))?;
        let in_cluster = matches!(presence, 2..=4);
        if let Some(cloud) = provider.filter(|p| *p != Provider::Ais)
            && !in_cluster
        {
            return Err(ApiError::new(400, "ErrMissingBackend", backends::no_backend(cloud)));
        }
        let hidden = |bucket: &Bucket| bucket.name.starts_with('.') && !req.query.flag("sys");
        let state = self.ctx.state();
        let buckets: Vec<&Bucket> = state
            .bmd
            .iter()
            .map(|(bucket, _)| bucket)
            .filter(|bucket| provider.is_none_or(|wanted| wanted == bucket.provider))
            .filter(|bucket| wanted.matches(&bucket.namespace))
            .filter(|bucket| name.is_empty() || bucket.name == name)
            .filter(|bucket| !hidden(bucket))
            .collect();
        Ok(req.json(&buckets))
    }

    fn head_bucket(&self, req: &Req, name: &str, summary: bool) -> Result<Reply, ApiError> {
        let bucket = req.bucket(name)?;
        let presence = presence(req.query.text("presence"))?;
        let state = self.ctx.state();
        let props = backends::find(&state, &bucket, matches!(presence, 2..=4))?;
        let json = serde_json::to_string(props)
            .map_err(|err| ApiError::internal(format!("properties of {bucket}: {err}")))?;
        if summary {
            let segments = path::segments(&req.raw_path)?;
            let prefix = segments.get(3..).unwrap_or_default().join("/");
            return self.summary_in_headers(req, &bucket, &prefix, &json);
        }
        Ok(reply::with_header(reply::empty(StatusCode::OK), BUCKET_PROPS, &reply::ascii(&json)))
    }

    async fn change_bucket(&self, req: &mut Req, name: &str) -> Result<Reply, ApiError> {
        let bucket = req.bucket(name)?;
        let Some(ActionMsg { action, value, .. }) = req.read_action().await? else {
            return Err(ApiError::bad_request(format!(
                "{} of a bucket needs an action message in its body",
                req.method
            )));
        };
        let command = match (&req.method, action.as_str()) {
            (&Method::POST, "create-bck") => return self.create_bucket(bucket, value).await,
            (&Method::DELETE, "destroy-bck") => return self.destroy_bucket(bucket).await,
            (&Method::DELETE, "evict-remote-bck") => return self.evict(&bucket),
            (&Method::POST, "make-n-copies") => return self.make_n_copies(bucket, &value).await,
            (&Method::PUT, "archive") => return self.archive_objects(bucket, value).await,
            (&Method::POST, "copy-bck") => return self.copy_bucket(req, bucket, value).await,
            (&Method::POST, "move-bck") => return self.rename_bucket(req, bucket).await,
            (&Method::PATCH, "set-bprops") => return self.set_props(bucket, value).await,
            (&Method::PATCH, "reset-bprops") => Command::ResetProps { bucket },
            (_, action) => return Err(unsupported(action)),
        };
        self.submit(command).await?;
        Ok(reply::empty(StatusCode::OK))
    }

    async fn create_bucket(&self, bucket: Bucket, value: Value) -> Result<Reply, ApiError> {
        if bucket.is_remote() {
            return Err(backends::unreachable_home(&bucket));
        }
        let patch = (!value.is_null()).then_some(value);
        let command = Command::CreateBucket { bucket: bucket.clone(), patch, created_ns: now_ns() };
        self.submit(command).await.map_err(|err| backends::about(&bucket, err))?;
        Ok(reply::empty(StatusCode::OK))
    }

    /// Changes properties; the reply is the id of the job that brings the objects in line, if any.
    async fn set_props(&self, bucket: Bucket, patch: Value) -> Result<Reply, ApiError> {
        let before = super::props(&self.ctx.state(), &bucket)?.clone();
        let about = |err| backends::about(&bucket, err);
        backends::check_attached(&self.ctx.state(), &bucket, &patch).map_err(about)?;
        if let Ok(wanted) = before.patched(&patch)
            && wanted.needs_mirroring(&before)
        {
            self.check_room_everywhere(&format!("mirror bucket \"{bucket}\"")).await?;
        }
        let command = Command::PatchProps { bucket: bucket.clone(), patch };
        let state = self.submit(command).await.map_err(about)?;
        let after = super::props(&state, &bucket)?;
        if after.needs_mirroring(&before) || (before.mirror.enabled && !after.mirror.enabled) {
            let copies = if after.mirror.enabled { u64::from(after.mirror.copies) } else { 1 };
            return self.start_mirror(bucket, copies).await;
        }
        Ok(super::mirror::no_job())
    }

    async fn destroy_bucket(&self, bucket: Bucket) -> Result<Reply, ApiError> {
        if bucket.provider != Provider::Ais {
            return Err(ApiError::new(
                405,
                "ErrUnsupp",
                format!(
                    "bucket \"{bucket}\" belongs to a cloud and is not destroyed from here: evict it"
                ),
            ));
        }
        self.check_access(&bucket, ACCESS_DESTROY_BUCKET, "DESTROY-BUCKET")?;
        self.submit(Command::DestroyBucket { bucket }).await?;
        Ok(reply::empty(StatusCode::OK))
    }

    /// Refuses what the bucket's access mask forbids; a bucket that is not there is for others to report.
    pub(super) fn check_access(
        &self,
        bucket: &Bucket,
        bit: u64,
        operation: &str,
    ) -> Result<(), ApiError> {
        match super::props(&self.ctx.state(), bucket) {
            Ok(props) if !props.allows(bit) => Err(ApiError::access_denied(bucket, operation)),
            _ => Ok(()),
        }
    }

    /// A remote bucket that the cluster does not have is evicted already.
    fn evict(&self, bucket: &Bucket) -> Result<Reply, ApiError> {
        if !bucket.is_remote() {
            return Err(ApiError::new(
                400,
                "ErrNotRemoteBck",
                format!("bucket \"{bucket}\" is not remote: destroy it instead of evicting it"),
            ));
        }
        if self.ctx.state().bmd.contains(bucket) {
            return Err(unsupported("evict-remote-bck"));
        }
        Ok(reply::empty(StatusCode::OK))
    }
}

/// 501 for an action of a later version, 400 for one that nobody knows.
fn unsupported(action: &str) -> ApiError {
    if LATER.contains(&action) || action == "evict-remote-bck" {
        ApiError::unsupported(format!("action \"{action}\" is not supported by this version"))
    } else {
        ApiError::bad_request(format!("unknown action \"{action}\" on a bucket"))
    }
}

fn presence(text: &str) -> Result<u8, ApiError> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().ok().filter(|value| *value <= 5).ok_or_else(|| {
        ApiError::bad_request(format!("invalid presence=\"{text}\": expected 0 to 5"))
    })
}

/// Which namespaces a list of buckets covers.
#[derive(Debug, PartialEq, Eq)]
enum NamespaceFilter {
    /// All that are not remote.
    Local,
    /// All that are remote.
    Remote,
    /// All of one remote cluster.
    Cluster(String),
    /// This one.
    Exact(Namespace),
}

impl NamespaceFilter {
    fn parse(text: &str) -> Result<Self, ApiError> {
        if text == "@" {
            return Ok(Self::Remote);
        }
        let namespace = Namespace::parse(text)?;
        Ok(if namespace.is_global() {
            Self::Local
        } else if namespace.name.is_empty() {
            Self::Cluster(namespace.uuid)
        } else {
            Self::Exact(namespace)
        })
    }

    fn matches(&self, namespace: &Namespace) -> bool {
        match self {
            Self::Local => namespace.uuid.is_empty(),
            Self::Remote => !namespace.uuid.is_empty(),
            Self::Cluster(uuid) => namespace.uuid == *uuid,
            Self::Exact(wanted) => namespace == wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_match_as_the_query_says() {
        let space = |text: &str| Namespace::parse(text).unwrap();
        let covers =
            |query: &str, text: &str| NamespaceFilter::parse(query).unwrap().matches(&space(text));
        assert!(covers("", "") && covers("@#", "#prod") && !covers("", "@u#"));
        assert!(covers("@", "@u#n") && !covers("@", "#prod"));
        assert!(covers("@u", "@u#n") && !covers("@u", "@v#n"));
        assert!(covers("#prod", "#prod") && !covers("#prod", "") && !covers("@u#n", "@u#m"));
    }

    #[test]
    fn presence_is_a_small_number() {
        assert_eq!(presence("").unwrap(), 0);
        assert_eq!(presence("5").unwrap(), 5);
        assert!(presence("6").is_err() && presence("x").is_err());
    }

    #[test]
    fn known_actions_of_later_versions_are_told_from_typing_errors() {
        assert_eq!(unsupported("etl-bck").status, 501);
        assert_eq!(unsupported("crate-bck").status, 400);
    }
}
