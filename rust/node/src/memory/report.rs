//! The budget in metrics and in the status of a node.

use std::fmt;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use serde_json::{Map, Value, json};

use super::{Account, Budget};

impl Budget {
    /// What is used, by purpose, for the status of a node.
    pub(crate) fn report(&self) -> Value {
        let shares = self.shares();
        let purposes: Map<String, Value> = self
            .0
            .accounts
            .iter()
            .map(|account| {
                let record = json!({
                    "share": account.bytes,
                    "used": account.used(),
                    "waits": account.waits.load(Ordering::Relaxed),
                    "refusals": account.refusals.load(Ordering::Relaxed),
                });
                (account.purpose.name().to_owned(), record)
            })
            .collect();
        json!({
            "budget": shares.total,
            "source": shares.source,
            "index_cache": shares.index_cache,
            "index_writes": shares.index_writes,
            "shard_indexes": shares.members,
            "open_objects": shares.readers,
            "idle_buffers": shares.idle,
            "purposes": purposes,
        })
    }
}

impl Account {
    fn used(&self) -> u64 {
        self.bytes.saturating_sub(self.free_bytes())
    }
}

/// Name, description, and what it is of an account.
type Series = (&'static str, &'static str, fn(&Account) -> u64);

impl Collector for Budget {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let bytes = Some(&Unit::Bytes);
        let total = encoder.encode_descriptor(
            "memory_budget",
            "Memory that the node may spend",
            bytes,
            MetricType::Gauge,
        )?;
        ConstGauge::new(self.shares().total).encode(total)?;
        let gauges: [Series; 2] = [
            ("memory_share", "Memory that the node may spend on a purpose", |a| a.bytes),
            ("memory_used", "Memory in use for a purpose", Account::used),
        ];
        for (name, help, value) in gauges {
            let mut family = encoder.encode_descriptor(name, help, bytes, MetricType::Gauge)?;
            for account in &self.0.accounts {
                let labels = [("purpose", account.purpose.name())];
                ConstGauge::new(value(account)).encode(family.encode_family(&labels)?)?;
            }
        }
        let counts: [Series; 2] = [
            ("memory_waits", "Requests that had to wait for memory", |a| {
                a.waits.load(Ordering::Relaxed)
            }),
            ("memory_refusals", "Requests refused for want of memory", |a| {
                a.refusals.load(Ordering::Relaxed)
            }),
        ];
        for (name, help, value) in counts {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for account in &self.0.accounts {
                let labels = [("purpose", account.purpose.name())];
                ConstCounter::new(value(account)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
