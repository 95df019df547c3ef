//! How many bytes may be read by when: a bucket of tokens. Reads no clock.

use std::time::Duration;

/// Bytes that may be read at once after a pause: as many as a second brings, no more than this.
const MOST_AT_ONCE: u64 = 8 << 20;

/// Tokens, one a byte, that come at a rate and are spent in advance or on credit.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Bytes left, negative when more were read than there were.
    tokens: f64,
    last: Duration,
}

impl Pace {
    /// An empty bucket; `now` is the time since any fixed moment.
    pub fn new(now: Duration) -> Self {
        Self { tokens: 0.0, last: now }
    }

    /// How many bytes may be read now, at `rate` bytes a second. 0 while a debt is paid.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "byte counts far below 2^53; never negative"
    )]
    pub fn allowance(&mut self, now: Duration, rate: u64) -> u64 {
        let passed = now.saturating_sub(self.last);
        self.last = self.last.max(now);
        let most = rate.min(MOST_AT_ONCE) as f64;
        self.tokens = (self.tokens + passed.as_secs_f64() * rate as f64).min(most);
        self.tokens.max(0.0) as u64
    }

    /// Takes what was read.
    #[expect(clippy::cast_precision_loss, reason = "byte counts far below 2^53")]
    pub fn spend(&mut self, bytes: u64) {
        self.tokens -= bytes as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_any_time_no_more_is_read_than_the_rate_and_one_step_beyond() {
        const RATE: u64 = 1 << 20;
        const OVERSHOOT: u64 = 300_000;
        let mut pace = Pace::new(Duration::from_secs(5));
        let (mut now, mut read, mut random) = (Duration::from_secs(5), 0_u64, 7_u64);
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            now += Duration::from_millis(random >> 58);
            let allowed = pace.allowance(now, RATE);
            if allowed > 0 {
                // A step reads what is allowed and, at most, one piece more.
                let step = allowed + (random >> 33) % OVERSHOOT;
                pace.spend(step);
                read += step;
            }
            let passed = now.saturating_sub(Duration::from_secs(5)).as_millis();
            let due = u64::try_from(passed).unwrap() * RATE / 1000 + OVERSHOOT + 1;
            assert!(read <= due, "{read} of {due}");
        }
        let passed = now.saturating_sub(Duration::from_secs(5)).as_secs();
        assert!(read > passed * RATE * 9 / 10, "it keeps up: {read} in {passed} s");
    }

    #[test]
    fn a_pause_is_not_made_up_for_and_a_debt_is_paid() {
        let mut pace = Pace::new(Duration::ZERO);
        assert_eq!(pace.allowance(Duration::from_hours(1), 1000), 1000);
        pace.spend(5000);
        assert_eq!(pace.allowance(Duration::from_secs(3603), 1000), 0);
        assert_eq!(pace.allowance(Duration::from_secs(3605), 1000), 1000);
        assert_eq!(pace.allowance(Duration::from_secs(9999), 1 << 40), MOST_AT_ONCE);
        assert_eq!(pace.allowance(Duration::from_secs(1), 1 << 40), MOST_AT_ONCE, "no way back");
    }
}
