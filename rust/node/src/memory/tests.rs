use std::time::Instant;

use super::*;

/// The least budget that a node takes.
pub(super) fn budget() -> Budget {
    Budget::new(Shares::of(Some(64 << 20), 1).unwrap())
}

fn free(budget: &Budget, purpose: Purpose) -> u64 {
    budget.account(purpose).free_bytes()
}

#[test]
fn a_permit_is_given_back_when_the_last_reference_to_its_bytes_goes() {
    let budget = budget();
    let before = free(&budget, Purpose::Bodies);
    let permit = budget.try_take(Purpose::Bodies, 5000).unwrap();
    assert_eq!(free(&budget, Purpose::Bodies), before - 5 * 1024);
    let bytes = permit.attach(Bytes::from_static(b"hello"));
    let part = bytes.slice(1..3);
    drop(bytes);
    assert_eq!(&part[..], b"el");
    assert_eq!(free(&budget, Purpose::Bodies), before - 5 * 1024);
    drop(part);
    assert_eq!(free(&budget, Purpose::Bodies), before);
}

#[test]
fn permits_shrink_and_grow() {
    let budget = budget();
    let before = free(&budget, Purpose::Uploads);
    let mut permit = budget.try_take(Purpose::Uploads, 10 << 10).unwrap();
    permit.shrink(1);
    assert_eq!((permit.bytes(), free(&budget, Purpose::Uploads)), (1024, before - 1024));
    permit.shrink(1 << 20);
    permit.add(budget.try_take(Purpose::Uploads, 2 << 10).unwrap());
    assert_eq!(permit.bytes(), 3 << 10);
    permit.shrink(0);
    assert_eq!(free(&budget, Purpose::Uploads), before);
    let mut none = Permit::default();
    none.add(budget.try_take(Purpose::Uploads, 1).unwrap());
    assert_eq!(none.bytes(), 1024);
}

#[test]
fn one_purpose_does_not_starve_another() {
    let budget = budget();
    let _all = budget.try_take(Purpose::Replies, budget.share(Purpose::Replies));
    assert!(budget.try_take(Purpose::Replies, 1024).is_none());
    for purpose in Purpose::ALL.into_iter().filter(|p| *p != Purpose::Replies) {
        assert!(budget.try_take(purpose, 2 << 20).is_some(), "{purpose:?}");
    }
}

#[tokio::test]
async fn more_than_there_can_ever_be_is_refused_at_once() {
    let budget = budget();
    let err = budget.take(Purpose::Bodies, 64 << 20, "batch of ais://b").await.unwrap_err();
    assert_eq!(err.status, 413);
    assert!(err.message.starts_with("batch of ais://b: takes 64.00MiB"), "{err}");
    assert!(err.message.contains("--memory"), "{err}");
}

#[tokio::test]
async fn who_waits_too_long_is_told_the_budget_and_the_remedy() {
    let budget =
        Budget::with_wait(Shares::of(Some(64 << 20), 1).unwrap(), Duration::from_millis(5));
    let share = budget.share(Purpose::Uploads);
    let all = budget.try_take(Purpose::Uploads, share).unwrap();
    let err = budget.take(Purpose::Uploads, 1024, "ais://b/o").await.unwrap_err();
    assert_eq!((err.status, err.tcode.as_str()), (429, "ErrTooManyRequests"));
    assert!(err.message.starts_with("ais://b/o: all "), "{err}");
    assert!(err.message.contains("64.00MiB") && err.message.contains("--memory"), "{err}");
    assert_eq!(budget.account(Purpose::Uploads).refusals.load(Ordering::Relaxed), 1);
    assert_eq!(budget.account(Purpose::Uploads).waiting.load(Ordering::Relaxed), 0);
    drop(all);
    budget.take(Purpose::Uploads, 1024, "").await.unwrap();
}

#[tokio::test]
async fn memory_is_handed_out_in_the_order_of_asking_and_large_requests_are_not_overtaken() {
    let budget = budget();
    let share = budget.share(Purpose::Uploads);
    let mut held = budget.try_take(Purpose::Uploads, share).unwrap();
    let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
    for (number, bytes) in [(1, share / 2), (2, 1024), (3, 1024)] {
        let (asking, sender) = (budget.clone(), sender.clone());
        tokio::spawn(async move {
            let permit = asking.take(Purpose::Uploads, bytes, "").await.unwrap();
            sender.send(number).unwrap();
            drop(permit);
        });
        let account = budget.account(Purpose::Uploads);
        let deadline = Instant::now() + Duration::from_secs(5);
        while account.waiting.load(Ordering::Relaxed) < number && Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
    }
    held.shrink(share - 2048);
    tokio::task::yield_now().await;
    assert!(order.try_recv().is_err(), "the first in the queue needs more");
    assert!(budget.try_take(Purpose::Uploads, 1024).is_none(), "nobody passes the queue");
    drop(held);
    assert_eq!(
        [order.recv().await, order.recv().await, order.recv().await],
        [Some(1), Some(2), Some(3)]
    );
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let budget = budget();
    let share = budget.share(Purpose::Frames);
    let _all = budget.try_take(Purpose::Frames, share).unwrap();
    let asking = (0..=MAX_WAITING).map(|_| budget.take(Purpose::Frames, 1024, "x"));
    let first_refused = futures_util::future::select_all(asking.map(Box::pin)).await.0;
    assert_eq!(first_refused.unwrap_err().status, 429);
}

#[test]
fn the_report_and_the_metrics_tell_what_is_used() {
    let budget = budget();
    let _held = budget.try_take(Purpose::Listings, 4096).unwrap();
    let report = budget.report();
    assert_eq!(report["budget"], 64 << 20);
    let used = report["purposes"]["listings"]["used"].as_u64().unwrap();
    assert!((4096..4096 + 1024).contains(&used), "{used}");
    let mut registry = prometheus_client::registry::Registry::with_prefix("ais");
    registry.register_collector(Box::new(budget.clone()));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("ais_memory_budget_bytes 67108864"), "{text}");
    assert!(text.contains("ais_memory_refusals_total{purpose=\"uploads\"} 0"), "{text}");
}
