//! When to try again, and how long to wait before.

use std::time::Duration;

use http::Method;

use crate::config::{ClientConfig, LONGEST_WAIT};
use crate::error::ClientError;
use crate::transport::Failure;

/// Which failures a request may be repeated after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Only when the node cannot have seen the request.
    Unsent,
    /// Also after a broken connection, and when the node says that it is busy: doing it twice is as good
    /// as once.
    Busy,
}

impl Repeat {
    /// What holds for a request that nothing else is known of.
    pub(crate) fn of(method: &Method) -> Self {
        if method.is_idempotent() { Self::Busy } else { Self::Unsent }
    }
}

/// Tries left for one request.
pub(crate) struct Budget<'a> {
    config: &'a ClientConfig,
    left: u32,
    left_answered: u32,
    next: Duration,
}

impl<'a> Budget<'a> {
    pub(crate) fn new(config: &'a ClientConfig) -> Self {
        let answered = config.answered_attempts.unwrap_or(config.attempts);
        Self {
            config,
            left: config.attempts.max(1) - 1,
            left_answered: answered.max(1) - 1,
            next: config.backoff.min(LONGEST_WAIT),
        }
    }

    /// Whether the failure is worth another try under `repeat`.
    pub(crate) fn applies(&self, repeat: Repeat, failure: &Failure) -> bool {
        match &failure.error {
            ClientError::Connect { .. } => failure.unsent || repeat != Repeat::Unsent,
            // 429: refused before anything was done.
            ClientError::Api { error, .. } => {
                self.config.retry_statuses.contains(&error.status)
                    && (error.status == 429 || repeat == Repeat::Busy)
            }
            // It may have been done; only what changes nothing is worth the risk of another wait.
            ClientError::Timeout { method, .. } => {
                self.config.repeat_timeouts && matches!(method.as_str(), "GET" | "HEAD")
            }
            _ => false,
        }
    }

    /// Waits before the next try; hands the failure back when there is none left.
    pub(crate) async fn spend(&mut self, failure: Failure) -> Result<(), ClientError> {
        let wait = self.pause(failure)?;
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Takes one try; tells how long to wait before it.
    pub(crate) fn pause(&mut self, failure: Failure) -> Result<Duration, ClientError> {
        let answered = matches!(failure.error, ClientError::Api { .. });
        let left = if answered { &mut self.left_answered } else { &mut self.left };
        let Some(fewer) = left.checked_sub(1) else { return Err(failure.error) };
        *left = fewer;
        // Jitter over the whole interval, so that clients that failed together do not return together.
        let jittered = self.next.min(self.config.backoff_max).mul_f64(fastrand::f64());
        let longest = self.config.backoff_max.min(LONGEST_WAIT);
        let asked = failure.retry_after.unwrap_or_default().min(longest);
        self.next = (self.next * 2).min(longest);
        Ok(jittered.max(asked))
    }
}

#[cfg(test)]
mod tests {
    use aistore_core::error::ApiError;

    use super::*;

    fn answer(status: u16) -> Failure {
        ClientError::api(ApiError::new(status, "", "x"), "GET", "u").into()
    }

    #[test]
    fn only_passing_failures_are_worth_another_try() {
        let config = ClientConfig::new("http://h");
        let budget = Budget::new(&config);
        for status in [400, 403, 404, 409, 416, 421, 500, 507] {
            assert!(!budget.applies(Repeat::Busy, &answer(status)), "{status}");
        }
        assert!(budget.applies(Repeat::Busy, &answer(503)));
        assert!(!budget.applies(Repeat::Unsent, &answer(503)));
        assert!(budget.applies(Repeat::Unsent, &answer(429)));
        let broken = |unsent| Failure {
            error: ClientError::Connect { url: "u".into(), source: "reset".into() },
            unsent,
            retry_after: None,
        };
        assert!(budget.applies(Repeat::Unsent, &broken(true)));
        assert!(!budget.applies(Repeat::Unsent, &broken(false)));
        assert!(budget.applies(Repeat::Busy, &broken(false)));
    }

    #[test]
    fn forced_statuses_do_not_repeat_what_must_not_be_done_twice() {
        let mut config = ClientConfig::new("http://h");
        config.retry_statuses = (100..=599).collect();
        let budget = Budget::new(&config);
        for (method, again) in [
            (Method::GET, true),
            (Method::PUT, true),
            (Method::DELETE, true),
            (Method::POST, false),
            (Method::PATCH, false),
        ] {
            assert_eq!(budget.applies(Repeat::of(&method), &answer(500)), again, "{method}");
            assert!(
                budget.applies(Repeat::of(&method), &answer(429)),
                "{method}: nothing was done"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_ends() {
        let mut config = ClientConfig::new("http://h");
        config.attempts = 3;
        let mut budget = Budget::new(&config);
        assert!(budget.spend(answer(503)).await.is_ok());
        assert!(budget.spend(answer(503)).await.is_ok());
        assert!(budget.spend(answer(503)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn answers_and_silence_are_counted_apart() {
        let silent = |method: &str| {
            let (method, url) = (method.to_owned(), "u".to_owned());
            Failure::from(ClientError::Timeout {
                method,
                url,
                what: "answer",
                after: Duration::ZERO,
            })
        };
        let mut config = ClientConfig::new("http://h");
        config.attempts = 3;
        config.answered_attempts = Some(2);
        assert!(!Budget::new(&config).applies(Repeat::Busy, &silent("GET")));
        config.repeat_timeouts = true;
        let mut budget = Budget::new(&config);
        for (method, again) in
            [("GET", true), ("HEAD", true), ("PUT", false), ("POST", false), ("PATCH", false)]
        {
            assert_eq!(budget.applies(Repeat::Busy, &silent(method)), again, "{method}");
        }
        budget.spend(answer(503)).await.unwrap();
        budget.spend(answer(503)).await.unwrap_err();
        budget.spend(silent("GET")).await.unwrap();
        budget.spend(silent("GET")).await.unwrap();
        budget.spend(silent("GET")).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn waits_and_statuses_are_the_configured_ones() {
        let mut config = ClientConfig::new("http://h");
        config.attempts = 6;
        config.backoff = Duration::ZERO;
        config.retry_statuses = vec![500];
        let mut budget = Budget::new(&config);
        assert!(budget.applies(Repeat::Busy, &answer(500)));
        assert!(!budget.applies(Repeat::Unsent, &answer(500)));
        assert!(!budget.applies(Repeat::Busy, &answer(503)));
        let started = tokio::time::Instant::now();
        for _ in 0..5 {
            budget.spend(answer(500)).await.unwrap();
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
        config.backoff = Duration::from_secs(100);
        config.backoff_max = Duration::from_secs(3);
        let mut patient = Budget::new(&config);
        let started = tokio::time::Instant::now();
        for _ in 0..5 {
            patient.spend(answer(500)).await.unwrap();
        }
        assert!(started.elapsed() <= Duration::from_secs(16), "each at most backoff_max");
    }
}
