//! Limits on object requests per bucket (property `rate_limit.frontend`), enforced before the redirect.
//!
//! A token bucket per data bucket and verb: it fills at this gateway's share of `max_tokens` per
//! `interval` and holds `burst_size`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use aistore_core::config::FrontendRateConf;
use aistore_core::error::ApiError;
use aistore_core::props::BucketProps;
use http::Method;

/// Most token buckets remembered; beyond, the full ones (which say nothing) are dropped.
const MAX_BUCKETS: usize = 4096;

/// All limits of one gateway.
#[derive(Debug, Default)]
pub(super) struct Limits {
    buckets: Mutex<HashMap<(u64, Method), Tokens>>,
}

#[derive(Debug, Clone, Copy)]
struct Tokens {
    left: f64,
    at: Instant,
}

/// A limit in numbers.
#[derive(Debug, Clone, Copy)]
struct Rate {
    per_second: f64,
    burst: f64,
}

impl Rate {
    fn of(conf: &FrontendRateConf, gateways: usize) -> Self {
        let share = u32::try_from(gateways.max(1)).map_or(1.0, f64::from);
        let seconds = conf.interval.0.as_secs_f64().max(1.0);
        let per_second = f64::from(conf.max_tokens) / share / seconds;
        Self { per_second, burst: (f64::from(conf.burst_size) / share).max(1.0) }
    }
}

impl Tokens {
    fn refill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * rate.per_second).min(rate.burst);
        self.at = now;
    }

    fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        let granted = self.left >= 1.0;
        if granted {
            self.left -= 1.0;
        }
        granted
    }
}

impl Limits {
    /// Takes a token for one request on a bucket, where the bucket limits such requests.
    ///
    /// # Errors
    ///
    /// 429 when there is none left.
    pub(super) fn admit(
        &self,
        method: &Method,
        props: &BucketProps,
        gateways: usize,
    ) -> Result<(), ApiError> {
        let conf = &props.rate_limit.frontend;
        let limited = [Method::GET, Method::PUT, Method::DELETE].contains(method);
        if !conf.enabled || !limited {
            return Ok(());
        }
        self.take((props.bid, method.clone()), Rate::of(conf, gateways), Instant::now())
    }

    fn take(&self, key: (u64, Method), rate: Rate, now: Instant) -> Result<(), ApiError> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&key) {
            // A bucket that was not asked for in the time that fills it is as good as a new one.
            buckets.retain(|_, tokens| {
                now.saturating_duration_since(tokens.at).as_secs_f64() * rate.per_second
                    < rate.burst
            });
        }
        let full = Tokens { left: rate.burst, at: now };
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&key) {
            return Ok(());
        }
        if buckets.entry(key).or_insert(full).take(rate, now) {
            Ok(())
        } else {
            Err(ApiError::new(429, "ErrRateLimitFrontend", "Too Many Requests"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_granted_and_then_the_rate() {
        let limits = Limits::default();
        let rate = Rate { per_second: 10.0, burst: 3.0 };
        let start = Instant::now();
        let take = |method: Method, after_ms: u64| {
            limits.take((1, method), rate, start + Duration::from_millis(after_ms)).is_ok()
        };
        let granted: Vec<bool> = (0..5).map(|_| take(Method::GET, 0)).collect();
        assert_eq!(granted, [true, true, true, false, false]);
        assert!(take(Method::PUT, 0), "verbs are counted apart");
        assert!(take(Method::GET, 100) && !take(Method::GET, 100) && !take(Method::GET, 150));
        assert!(
            take(Method::GET, 10_000) && take(Method::GET, 10_000) && take(Method::GET, 10_000)
        );
        assert!(!take(Method::GET, 10_000));
        let err = limits.take((1, Method::GET), rate, start).unwrap_err();
        assert_eq!((err.status, err.tcode.as_str()), (429, "ErrRateLimitFrontend"));
    }

    #[test]
    fn gateways_share_a_limit() {
        let conf =
            FrontendRateConf { max_tokens: 120, burst_size: 6, ..FrontendRateConf::default() };
        let rate = Rate::of(&conf, 2);
        assert!((rate.per_second - 1.0).abs() < 1e-9 && (rate.burst - 3.0).abs() < 1e-9);
        assert!(
            (Rate::of(&FrontendRateConf { burst_size: 0, ..conf }, 1).burst - 1.0).abs() < 1e-9
        );
    }
}
