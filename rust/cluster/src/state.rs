//! The replicated state and its wire projections.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use aistore_core::bucket::Bucket;
use aistore_core::config::ClusterConfig;
use aistore_core::props::BucketProps;
use aistore_core::smap::Smap;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::jobs::Jobs;

/// Everything that the gateways agree on, at one point of the log.
///
/// Cloning is cheap for buckets (shared entries) and linear in the number of nodes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterState {
    /// Log index of the last command that changed anything; 0 before the cluster is bootstrapped.
    /// Grows with each change, so of two states of one cluster the larger is the newer.
    pub version: u64,
    /// Cluster map. Its `uuid` is the cluster's identity, empty before the bootstrap.
    pub smap: Smap,
    /// Buckets and their properties.
    pub bmd: Bmd,
    /// Cluster-wide configuration.
    pub config: ClusterConfig,
    /// Jobs that run, and those that ended lately. Absent in states of before there were jobs.
    #[serde(default)]
    pub jobs: Jobs,
    /// Renames of buckets that were given up: new bucket's id to old one's. The same rename goes on with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub half_renamed: BTreeMap<u64, u64>,
}

impl ClusterState {
    /// Identity of the cluster, empty before the bootstrap.
    pub fn uuid(&self) -> &str {
        &self.smap.uuid
    }

    /// Whether the cluster has been bootstrapped.
    pub fn is_bootstrapped(&self) -> bool {
        !self.smap.uuid.is_empty()
    }
}

/// Bucket metadata: every bucket with its properties, sorted by provider, namespace and name.
///
/// Lookup is a binary search. Entries are shared between states, so a change copies pointers and
/// one bucket, not all of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bmd {
    /// Identity of the cluster.
    pub uuid: String,
    /// Grows with every change of a bucket.
    pub version: u64,
    #[serde(deserialize_with = "in_order")]
    buckets: Vec<Arc<BucketEntry>>,
}

/// A bucket and its properties.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct BucketEntry {
    /// Name and place.
    pub bucket: Bucket,
    /// Properties.
    pub props: BucketProps,
}

fn order(a: &Bucket, b: &Bucket) -> Ordering {
    let key = |bucket: &Bucket| bucket.provider.as_str();
    key(a).cmp(key(b)).then_with(|| a.namespace.cmp(&b.namespace)).then_with(|| a.name.cmp(&b.name))
}

/// Refuses lists that are unsorted or name a bucket twice: a lookup in them would lie.
fn in_order<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Arc<BucketEntry>>, D::Error> {
    let entries = Vec::<Arc<BucketEntry>>::deserialize(deserializer)?;
    for (a, b) in entries.iter().zip(entries.iter().skip(1)) {
        if order(&a.bucket, &b.bucket) != Ordering::Less {
            return Err(serde::de::Error::custom(format!(
                "buckets {} and {} are out of order",
                a.bucket, b.bucket
            )));
        }
    }
    Ok(entries)
}

impl Bmd {
    /// Properties of a bucket, `None` when the cluster has no such bucket.
    pub fn get(&self, bucket: &Bucket) -> Option<&BucketProps> {
        self.entry(bucket).map(|entry| &entry.props)
    }

    /// A bucket with its properties, to be kept by who looks at them more than once.
    pub fn entry(&self, bucket: &Bucket) -> Option<&Arc<BucketEntry>> {
        self.buckets.get(self.find(bucket).ok()?)
    }

    /// Whether the bucket exists.
    pub fn contains(&self, bucket: &Bucket) -> bool {
        self.find(bucket).is_ok()
    }

    /// Buckets with their properties, sorted by provider, namespace and name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Bucket, &BucketProps)> {
        self.buckets.iter().map(|entry| (&entry.bucket, &entry.props))
    }

    /// Number of buckets.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether there is no bucket.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The wire form: `{"providers":{PROVIDER:{NAMESPACE:{BUCKET:PROPS}}},"uuid":..,"version":".."}`.
    pub fn to_wire(&self) -> Value {
        let mut providers = Map::new();
        for (bucket, props) in self.iter() {
            let namespaces = object_at(&mut providers, bucket.provider.as_str());
            let buckets = object_at(namespaces, &bucket.namespace.to_string());
            #[expect(clippy::expect_used, reason = "derived on strings, numbers and structs only")]
            let props = serde_json::to_value(props).expect("properties are plain data");
            buckets.insert(bucket.name.clone(), props);
        }
        serde_json::json!({
            "providers": providers,
            "uuid": self.uuid,
            "version": self.version.to_string(),
        })
    }

    /// Adds a bucket or replaces its properties.
    pub(crate) fn put(&mut self, bucket: Bucket, props: BucketProps) {
        let at = self.find(&bucket);
        let entry = Arc::new(BucketEntry { bucket, props });
        match at {
            Ok(at) => {
                if let Some(slot) = self.buckets.get_mut(at) {
                    *slot = entry;
                }
            }
            Err(at) => self.buckets.insert(at, entry),
        }
    }

    /// Drops a bucket; whether it was there.
    pub(crate) fn remove(&mut self, bucket: &Bucket) -> bool {
        self.find(bucket).map(|at| self.buckets.remove(at)).is_ok()
    }

    fn find(&self, bucket: &Bucket) -> Result<usize, usize> {
        self.buckets.binary_search_by(|entry| order(&entry.bucket, bucket))
    }
}

/// The object under `key`, created when absent.
fn object_at<'m>(map: &'m mut Map<String, Value>, key: &str) -> &'m mut Map<String, Value> {
    let slot = map.entry(key).or_insert_with(|| Value::Object(Map::new()));
    match slot {
        Value::Object(inner) => inner,
        _ => unreachable!("only objects are inserted here"),
    }
}
