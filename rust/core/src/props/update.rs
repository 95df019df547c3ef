//! Changes to bucket properties.

use serde_json::Value;

use super::{BUCKET_FEATURES, BucketProps, FEATURE_COUNT, check_features};
use crate::bucket::{Bucket, Namespace, Provider};
use crate::config::{ClusterConfig, MirrorConf, mirror_or_chunks};
use crate::error::ApiError;
use crate::patch;

const WHAT: &str = "bucket property";
/// Keys of the stored form that no patch may hold.
const READ_ONLY: [&str; 4] = ["bid", "created", "provider", "Renamed"];

impl BucketProps {
    /// Puts a patch over these properties: null and missing keys stay as they are, at every level.
    ///
    /// `force` in the patch is a switch, not a property. What depends on the cluster (enough targets for erasure
    /// coding, a backend that exists) is for the caller to check, see [`BucketProps::targets_needed`].
    ///
    /// # Errors
    ///
    /// 400 naming the key: unknown, of a wrong type, out of bounds or read-only; 409 when one patch starts
    /// mirroring and erasure coding at once.
    pub fn patched(&self, patch: &Value) -> Result<Self, ApiError> {
        let Value::Object(keys) = patch else {
            return Err(ApiError::bad_request(
                "invalid bucket properties: expected a JSON object, such as {\"versioning\":{\"enabled\":false}}",
            ));
        };
        let mut keys = keys.clone();
        keys.retain(|_, value| !value.is_null());
        if let Some(key) = READ_ONLY.iter().find(|key| keys.contains_key(**key)) {
            return Err(ApiError::bad_request(format!(
                "{WHAT} \"{key}\" cannot be set: leave it out"
            )));
        }
        let force = match keys.remove("force") {
            None => false,
            Some(Value::Bool(force)) => force,
            Some(other) => return Err(patch::refused("force", other, "true or false")),
        };
        let patch = Value::Object(keys);
        let mut merged = patch::to_value("bucket properties", self)?;
        if patch::lookup(&patch, "backend_bck.namespace").is_some_and(|n| !n.is_null()) {
            // A namespace is replaced as a whole: half of an old one names another bucket.
            if let Some(slot) = merged.pointer_mut("/backend_bck/namespace") {
                *slot = patch::to_value(WHAT, &Namespace::default())?;
            }
        }
        patch::check_sections(&merged, &patch)?;
        patch::merge(&mut merged, &patch);
        let mut after: Self = patch::decode(WHAT, merged)?;
        after.settle(&patch);
        after.validate()?;
        self.allows_change(&after, force)?;
        Ok(after)
    }

    /// Cluster defaults for everything but identity.
    ///
    /// Whether a backend is attached, in which case the protocol refuses a reset, is for the caller to check.
    #[must_use]
    pub fn reset(&self, config: &ClusterConfig) -> Self {
        let bucket = Bucket { provider: self.provider, ..Bucket::default() };
        let fresh = Self::new(config, &bucket, self.bid, self.created);
        Self { renamed: self.renamed.clone(), ..fresh }
    }

    /// Applies what the protocol derives from a change.
    fn settle(&mut self, patch: &Value) {
        self.features &= BUCKET_FEATURES | !0 << FEATURE_COUNT;
        if let Ok(provider) = Provider::parse(&self.backend_bck.provider)
            && !self.backend_bck.provider.is_empty()
        {
            provider.as_str().clone_into(&mut self.backend_bck.provider);
        }
        if self.backend_bck.name.is_empty() && self.backend_bck.provider.is_empty() {
            self.backend_bck.namespace = Namespace::default();
        }
        if self.mirror.copies == 1 {
            let asked = patch::lookup(patch, "mirror.enabled") == Some(&Value::Bool(true));
            if asked {
                self.mirror.copies = MirrorConf::default().copies;
            } else {
                self.mirror.enabled = false;
            }
        }
    }

    /// Checks these properties by themselves.
    ///
    /// # Errors
    ///
    /// 400 with the first key that breaks a rule.
    pub fn validate(&self) -> Result<(), ApiError> {
        self.mirror.validate()?;
        self.ec.validate()?;
        self.chunks.validate()?;
        self.lru.validate()?;
        self.rate_limit.validate()?;
        self.extra.validate()?;
        mirror_or_chunks(&self.mirror, &self.chunks)?;
        let features = self.features;
        check_features(features, BUCKET_FEATURES)?;
        if let Some(remote) = self.backend_bck.bucket()?
            && self.provider != Provider::Ais
        {
            return Err(ApiError::bad_request(format!(
                "invalid \"backend_bck\" {remote}: only ais:// buckets can have a backend"
            )));
        }
        Ok(())
    }

    /// Checks a change against what is there.
    fn allows_change(&self, after: &Self, force: bool) -> Result<(), ApiError> {
        if self.provider != Provider::Ais && self.versioning.enabled != after.versioning.enabled {
            return Err(patch::refused(
                "versioning.enabled",
                after.versioning.enabled,
                "no change: versioning of a remote bucket follows its provider",
            ));
        }
        let slices = |props: &Self| (props.ec.data_slices, props.ec.parity_slices);
        if self.ec.enabled && after.ec.enabled {
            if slices(self) != slices(after) {
                let (data, parity) = slices(after);
                return Err(patch::refused(
                    "ec",
                    format_args!("data_slices {data}, parity_slices {parity}"),
                    "no change while erasure coding is enabled: disable it first",
                ));
            }
            if self.ec.objsize_limit != after.ec.objsize_limit && !force {
                return Err(patch::refused(
                    "ec.objsize_limit",
                    after.ec.objsize_limit,
                    "no change while erasure coding is enabled, unless \"force\" is true",
                ));
            }
        }
        if after.needs_mirroring(self) && after.needs_encoding(self) {
            return Err(ApiError::new(
                409,
                "",
                "cannot start mirroring and erasure coding in one change: set \"mirror\" and \"ec\" one after the other",
            ));
        }
        Ok(())
    }
}
