//! When to try again, and how long to wait before.

use std::time::Duration;

use crate::error::ClientError;
use crate::transport::Failure;

/// Shortest and longest wait between two tries; between them it doubles.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Which failures a request may be repeated after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Only when the node cannot have seen the request.
    Unsent,
    /// Also after a broken connection, and when the node says that it is busy: doing it twice is as good
    /// as once.
    Busy,
}

/// Tries left for one request.
pub(crate) struct Budget {
    left: u32,
    next: Duration,
}

impl Budget {
    pub(crate) fn new(attempts: u32) -> Self {
        Self { left: attempts.max(1) - 1, next: BACKOFF_MIN }
    }

    /// Whether the failure is worth another try under `repeat`.
    pub(crate) fn applies(repeat: Repeat, failure: &Failure) -> bool {
        match &failure.error {
            ClientError::Connect { .. } => failure.unsent || repeat != Repeat::Unsent,
            // 502 and 504 come from middlemen, 429 and 503 from a busy or starting node.
            ClientError::Api { error, .. } => match error.status {
                // Refused before anything was done.
                429 => true,
                502..=504 => repeat == Repeat::Busy,
                _ => false,
            },
            _ => false,
        }
    }

    /// Waits before the next try; hands the failure back when there is none left.
    pub(crate) async fn spend(&mut self, failure: Failure) -> Result<(), ClientError> {
        if self.left == 0 {
            return Err(failure.error);
        }
        self.left -= 1;
        // Jitter over the whole interval, so that clients that failed together do not return together.
        let jittered = self.next.mul_f64(fastrand::f64());
        let asked = failure.retry_after.unwrap_or_default().min(BACKOFF_MAX);
        tokio::time::sleep(jittered.max(asked)).await;
        self.next = (self.next * 2).min(BACKOFF_MAX);
        Ok(())
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
        for status in [400, 403, 404, 409, 416, 421, 500, 507] {
            assert!(!Budget::applies(Repeat::Busy, &answer(status)), "{status}");
        }
        assert!(Budget::applies(Repeat::Busy, &answer(503)));
        assert!(!Budget::applies(Repeat::Unsent, &answer(503)));
        assert!(Budget::applies(Repeat::Unsent, &answer(429)));
        let broken = |unsent| Failure {
            error: ClientError::Connect { url: "u".into(), source: "reset".into() },
            unsent,
            retry_after: None,
        };
        assert!(Budget::applies(Repeat::Unsent, &broken(true)));
        assert!(!Budget::applies(Repeat::Unsent, &broken(false)));
        assert!(Budget::applies(Repeat::Busy, &broken(false)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_ends() {
        let mut budget = Budget::new(3);
        assert!(budget.spend(answer(503)).await.is_ok());
        assert!(budget.spend(answer(503)).await.is_ok());
        assert!(budget.spend(answer(503)).await.is_err());
    }
}
