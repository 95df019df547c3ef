//! Whose turn it is on a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// hyper closes a connection on which it has seen no request for a minute, and sees none of those that are
/// answered past it. So one of them goes to it from time to time.
const HAND_EVERY: Duration = Duration::from_secs(30);

/// What hyper has of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Whole requests only, all answered.
    Between,
    /// A request, of which so many bytes are still to come.
    Handed(u64),
    /// Nobody knows: what comes is hyper's.
    Lost,
}

/// Knows when hyper has nothing to do.
#[derive(Debug)]
pub(super) struct Lane {
    state: State,
    /// When hyper was given something last.
    handed: Instant,
    answered: Answered,
    /// Whether all was written since the answer ended.
    written: bool,
}

/// Set when an answer's body has ended, by whoever holds a clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answered(Arc<AtomicBool>);

impl Answered {
    /// The answer's last byte is in hyper's hands, if it had any.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn reset(&self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Lane {
    /// The lane of a new connection.
    pub(super) fn new(answered: Answered) -> Self {
        Self { state: State::Between, handed: Instant::now(), answered, written: false }
    }

    /// hyper writes, perhaps more after the end of a body: trailers.
    pub(super) fn writing(&mut self) {
        self.written = false;
    }

    /// hyper has written all that it had.
    pub(super) fn flushed(&mut self) {
        self.written = self.answered.is_set();
    }

    /// Whether what is received now begins a request. Ask before each read.
    pub(super) fn begins(&mut self) -> bool {
        if self.state == State::Handed(0) && self.written && self.answered.is_set() {
            self.answered.reset();
            self.written = false;
            self.state = State::Between;
        }
        self.state == State::Between
    }

    /// Whether a request may be answered past hyper; only where one [begins](Self::begins).
    pub(super) fn may_answer(&self) -> bool {
        self.handed.elapsed() < HAND_EVERY
    }

    /// hyper is given the beginning of a request, of which `left` bytes are still to come, if that is known.
    pub(super) fn hand(&mut self, left: Option<u64>) {
        self.handed = Instant::now();
        // Of an answer that hyper gave of its own accord.
        self.answered.reset();
        self.written = false;
        self.state = left.map_or(State::Lost, State::Handed);
    }

    /// hyper is given `bytes` more.
    pub(super) fn hand_more(&mut self, bytes: usize) {
        self.state = match self.state {
            State::Handed(left) if bytes > 0 => {
                left.checked_sub(bytes as u64).map_or(State::Lost, State::Handed)
            }
            _ => State::Lost,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane() -> (Lane, Answered) {
        let answered = Answered::default();
        (Lane::new(answered.clone()), answered)
    }

    #[test]
    fn the_turn_comes_back_when_all_of_the_answer_was_written() {
        let (mut lane, answered) = lane();
        assert!(lane.begins() && lane.may_answer());
        lane.hand(Some(3));
        assert!(!lane.begins());
        lane.hand_more(3);
        lane.flushed();
        assert!(!lane.begins(), "no answer yet");
        answered.set();
        assert!(!lane.begins(), "not written yet");
        lane.flushed();
        lane.writing();
        assert!(!lane.begins(), "something followed");
        lane.flushed();
        assert!(lane.begins());
        lane.hand(Some(0));
        assert!(!lane.begins(), "the old answer does not count");
        answered.set();
        lane.flushed();
        assert!(lane.begins());
    }

    #[test]
    fn an_answer_before_the_end_of_its_request_is_not_the_end() {
        let (mut lane, answered) = lane();
        lane.hand(Some(10));
        answered.set();
        lane.flushed();
        assert!(!lane.begins());
        lane.hand_more(10);
        assert!(lane.begins(), "hyper has read and dropped the rest");
    }

    #[test]
    fn what_cannot_be_counted_is_lost_for_good() {
        let (unknown, too_many, closed) = (lane(), lane(), lane());
        for ((mut lane, answered), how) in [(unknown, 0), (too_many, 1), (closed, 2)] {
            match how {
                0 => lane.hand(None),
                1 => {
                    lane.hand(Some(2));
                    lane.hand_more(3);
                }
                _ => {
                    lane.hand(Some(0));
                    lane.hand_more(0);
                }
            }
            answered.set();
            lane.flushed();
            assert!(!lane.begins(), "{how}");
            lane.hand_more(1);
            assert!(!lane.begins(), "{how}");
        }
    }
}
