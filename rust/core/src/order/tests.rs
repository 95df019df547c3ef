use proptest::prelude::*;

use super::{Order, Permutation, Shuffle};

fn is_bijection(order: &Order) -> bool {
    let mut seen: Vec<u64> = (0..order.len()).filter_map(|at| order.get(at)).collect();
    seen.sort_unstable();
    seen.iter().copied().eq(0..order.len())
}

proptest! {
    #[test]
    fn a_full_shuffle_is_a_bijection(len in 0u64..3000, seed: u64, epoch: u64) {
        prop_assert!(is_bijection(&Order::new(len, seed, epoch, Shuffle::Full)));
    }

    #[test]
    fn a_windowed_shuffle_is_a_bijection(
        len in 0u64..3000, seed: u64, epoch: u64, chunk in 0u64..200, window in 0u64..4000,
    ) {
        let order = Order::new(len, seed, epoch, Shuffle::Windowed { chunk, window });
        prop_assert!(is_bijection(&order));
    }

    #[test]
    fn a_permutation_is_undone(len in 1u64..u64::MAX / 2, seed: u64, at: u64) {
        let permutation = Permutation::new(len, seed, 0);
        let place = permutation.get(at % len);
        prop_assert_eq!(place.and_then(|place| permutation.position_of(place)), Some(at % len));
    }
}

#[test]
fn a_million_samples_do_not_correlate_with_their_places() {
    for (seed, epoch) in [(0, 0), (0, 1), (1, 0), (12_345, 678)] {
        let quality = Order::new(1_000_000, seed, epoch, Shuffle::Full).quality(1_000_000);
        assert!(quality.correlation.abs() < 0.01, "{seed} {epoch}: {quality:?}");
        assert!((quality.displacement - 1.0).abs() < 0.01, "{seed} {epoch}: {quality:?}");
    }
}

#[test]
fn epochs_do_not_correlate_with_each_other() {
    let orders = [0, 1].map(|epoch| Order::new(1 << 16, 7, epoch, Shuffle::Full));
    let same = (0..1 << 16).filter(|at| orders[0].get(*at) == orders[1].get(*at)).count();
    // One coincidence is expected in the mean.
    assert!(same < 10, "{same}");
}

#[test]
fn a_small_window_says_so() {
    let near = Order::new(100_000, 1, 0, Shuffle::Windowed { chunk: 100_000, window: 100 });
    assert!(near.quality(10_000).correlation > 0.99);
    let far = Order::new(100_000, 1, 0, Shuffle::Windowed { chunk: 100, window: 1000 });
    assert!(far.quality(100_000).correlation.abs() < 0.2);
}

/// A changed order would make every saved position point at other samples.
#[test]
fn the_order_is_the_one_that_was_promised() {
    let full = Order::new(10, 1, 2, Shuffle::Full);
    let order: Vec<_> = (0..10).filter_map(|at| full.get(at)).collect();
    assert_eq!(order, PROMISED_FULL);
    let windowed = Order::new(10, 1, 2, Shuffle::Windowed { chunk: 3, window: 5 });
    let order: Vec<_> = (0..10).filter_map(|at| windowed.get(at)).collect();
    assert_eq!(order, PROMISED_WINDOWED);
}

const PROMISED_FULL: [u64; 10] = [0, 8, 6, 9, 2, 7, 4, 5, 3, 1];
const PROMISED_WINDOWED: [u64; 10] = [5, 3, 4, 0, 1, 2, 9, 6, 7, 8];
