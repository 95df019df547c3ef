//! The cluster map, and requests that go straight to the node that owns an object.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::headers::SMAP_VERSION;
use aistore_core::placement;
use aistore_core::smap::Smap;
use aistore_core::text::encode_object_name;
use http::{HeaderValue, Method};
use tokio::sync::Mutex;

use crate::body::Source;
use crate::client::Client;
use crate::error::ClientError;
use crate::request::Call;
use crate::retry::{Budget, Repeat};
use crate::transport::{Failure, Opened, Outgoing, add_headers};

/// Times that one request is sent again because the target's map differs from ours.
pub(crate) const STALE_MAP_RETRIES: u32 = 2;

/// The map as last fetched.
#[derive(Default)]
pub(crate) struct MapCache {
    current: RwLock<(u64, Option<Arc<Smap>>)>,
    /// Held while fetching, so that many requests fetch once.
    fetching: Mutex<()>,
}

impl MapCache {
    /// The cached map and how many fetches led to it.
    fn read(&self) -> (u64, Option<Arc<Smap>>) {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The cached map.
    pub(crate) fn get(&self) -> Option<Arc<Smap>> {
        self.read().1
    }

    fn store(&self, map: Arc<Smap>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // A slow answer must not replace a newer map of the same cluster.
        let older = current
            .1
            .as_ref()
            .is_some_and(|known| known.uuid == map.uuid && known.version > map.version);
        current.0 += 1;
        if !older {
            current.1 = Some(map);
        }
    }
}

/// One object request, sent to the owner or through the gateway.
pub(crate) struct ObjectRequest<'a> {
    pub(crate) method: Method,
    pub(crate) bucket: &'a Bucket,
    pub(crate) name: &'a str,
    pub(crate) query: &'a [(String, String)],
    pub(crate) headers: &'a [(String, String)],
    pub(crate) body: &'a Source,
    pub(crate) via_gateway: bool,
    pub(crate) repeat: Repeat,
}

impl ObjectRequest<'_> {
    pub(crate) fn target(&self) -> String {
        let path = format!("/v1/objects/{}/{}", self.bucket.name, encode_object_name(self.name));
        with_query(path, self.bucket, self.query)
    }
}

/// Appends the bucket's and the caller's query parameters to a path; the caller's win.
pub(crate) fn with_query(path: String, bucket: &Bucket, extra: &[(String, String)]) -> String {
    let given = |key: &str| extra.iter().any(|(k, _)| k == key);
    let start = path.len() + 1;
    let mut query = form_urlencoded::Serializer::for_suffix(path + "?", start);
    if !given("provider") {
        query.append_pair("provider", bucket.provider.as_str());
    }
    if !bucket.namespace.is_global() && !given("namespace") {
        query.append_pair("namespace", &bucket.namespace.to_string());
    }
    query.extend_pairs(extra);
    query.finish()
}

impl Client {
    /// The cluster map; `force` fetches it anew.
    ///
    /// Concurrent fetches are merged into one.
    pub async fn smap(&self, force: bool) -> Result<Arc<Smap>, ClientError> {
        self.map_after(force, true).await
    }

    /// Whether a cluster map is in memory.
    pub fn has_map(&self) -> bool {
        self.shared.map.get().is_some()
    }

    async fn map_after(&self, force: bool, patient: bool) -> Result<Arc<Smap>, ClientError> {
        let cache = &self.shared.map;
        let (seen, cached) = cache.read();
        if let (Some(map), false) = (&cached, force) {
            return Ok(map.clone());
        }
        let _guard = cache.fetching.lock().await;
        let (now, cached) = cache.read();
        if let (Some(map), true) = (cached, now > seen) {
            return Ok(map);
        }
        let call = Call::new(Method::GET, "/v1/daemon").query("what", "smap");
        let reply = if patient { self.call(call).await? } else { self.call_once(call).await? };
        let map = Arc::new(reply.json::<Smap>()?);
        cache.store(map.clone());
        Ok(cache.get().unwrap_or(map))
    }

    /// Fetches the map if a gateway answers; used when something else has failed already.
    pub(crate) async fn refresh_map(&self) {
        if let Err(e) = self.map_after(true, false).await {
            tracing::debug!(error = %e, "cluster map not refreshed");
        }
    }

    /// Base URL of the target that owns an object, and the version of the map that says so.
    pub(crate) async fn owner(
        &self,
        bucket: &Bucket,
        name: &str,
    ) -> Result<(String, u64), ClientError> {
        let uname = bucket.object_uname(name);
        for force in [false, true] {
            let map = self.smap(force).await?;
            if let Some(node) = placement::owner(&map, &uname) {
                return Ok((node.url().to_owned(), map.version));
            }
        }
        Err(self.no_targets())
    }

    pub(crate) fn no_targets(&self) -> ClientError {
        let endpoint = &self.config().endpoint;
        let text = format!(
            "the cluster at {endpoint} has no target that accepts data: start one with \"aisnode --role target --join {endpoint}\""
        );
        ClientError::api(ApiError::unavailable(text), "GET", endpoint)
    }

    /// Sends an object request to its owner; follows changes of the map and repeats within budget.
    pub(crate) async fn object(&self, request: &ObjectRequest<'_>) -> Result<Opened, ClientError> {
        let mut budget = Budget::new(self.config());
        let mut stale = STALE_MAP_RETRIES;
        let target = request.target();
        loop {
            let through_gateway = request.via_gateway || self.must_redirect(&request.method);
            let mut headers = self.shared.transport.headers();
            add_headers(&mut headers, request.headers)?;
            let base = if through_gateway {
                self.endpoint().to_owned()
            } else {
                let (owner, version) = self.owner(request.bucket, request.name).await?;
                headers.insert(SMAP_VERSION, HeaderValue::from(version));
                owner
            };
            let out = Outgoing {
                method: &request.method,
                url: base + &target,
                headers,
                body: request.body,
                wait: self.config().read_wait(),
            };
            let failure = match self.shared.transport.attempt(out).await {
                Ok(opened) => return Ok(opened),
                Err(failure) => failure,
            };
            if failure.error.is_stale_map() && stale > 0 {
                stale -= 1;
                self.refresh_map().await;
            } else if !through_gateway && wants_redirect(&failure) {
                self.shared.foreign.store(true, Ordering::Relaxed);
            } else if budget.applies(request.repeat, &failure) {
                let lost = matches!(failure.error, ClientError::Connect { .. });
                budget.spend(failure).await?;
                if lost && !through_gateway {
                    self.refresh_map().await;
                }
            } else {
                return Err(failure.error);
            }
        }
    }

    /// Whether a change must go through the gateway because targets refused one that came directly.
    pub(crate) fn must_redirect(&self, method: &Method) -> bool {
        !method.is_safe() && self.shared.foreign.load(Ordering::Relaxed)
    }
}

/// Whether a target of another make refused a change because no gateway sent it.
fn wants_redirect(failure: &Failure) -> bool {
    matches!(&failure.error, ClientError::Api { error, .. }
        if error.status == 400 && error.message.contains("is expected to be redirected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_is_always_named_and_the_callers_query_wins() {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let plain = with_query("/p".into(), &Bucket::ais("b"), &[pair("archpath", "a b/ü")]);
        assert_eq!(plain, "/p?provider=ais&archpath=a+b%2F%C3%BC");
        let far = Bucket::from_parts("b", "s3", "@u#n").unwrap();
        let query = with_query("/p".into(), &far, &[pair("provider", "aws")]);
        assert_eq!(query, "/p?namespace=%40u%23n&provider=aws");
    }

    #[test]
    fn a_late_answer_does_not_bring_an_old_map_back() {
        let cache = MapCache::default();
        let map = |version| Arc::new(Smap { uuid: "c".into(), version, ..Smap::default() });
        cache.store(map(7));
        cache.store(map(6));
        assert_eq!(cache.get().unwrap().version, 7);
        let other = Arc::new(Smap { uuid: "d".into(), version: 1, ..Smap::default() });
        cache.store(other);
        assert_eq!(cache.get().unwrap().uuid, "d", "a cluster that was set up anew");
    }
}
