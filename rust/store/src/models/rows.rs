//! Rows of the index kept at hand, among readers and who changes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::thread;

use super::{explore, finds};
use crate::rows::Rows;
use crate::sync::give_way;

const KEY: &[u8] = b"12345678name";

/// The engine: one number, which only grows.
fn read(rows: &Rows, engine: &AtomicU64) -> u64 {
    let number = |value: &[u8]| u64::from_be_bytes(value.try_into().unwrap());
    match rows.get(KEY, number) {
        Ok(value) => value,
        Err(missed) => {
            give_way();
            let value = engine.load(Ordering::SeqCst);
            give_way();
            rows.learn(&missed, KEY, &value.to_be_bytes());
            value
        }
    }
}

#[test]
fn nobody_sees_what_is_older_than_what_was_seen() {
    rows_at_hand();
}

#[test]
fn rows_at_hand_fails_with_a_flaw() {
    finds("rows: learnt late", rows_at_hand);
}

fn rows_at_hand() {
    explore(|| {
        let (rows, engine) = (Arc::new(Rows::new(1 << 20)), Arc::new(AtomicU64::new(1)));
        let seen = Arc::new(AtomicU64::new(0));
        let readers = (0..3).map(|_| {
            let (rows, engine, seen) = (Arc::clone(&rows), Arc::clone(&engine), Arc::clone(&seen));
            thread::spawn(move || {
                for _ in 0..3 {
                    let before = seen.load(Ordering::SeqCst);
                    let value = read(&rows, &engine);
                    assert!(value >= before, "{value} after {before}");
                    seen.fetch_max(value, Ordering::SeqCst);
                }
            })
        });
        let readers: Vec<_> = readers.collect();
        for value in 2..4_u64 {
            let hash = rows.begin(KEY);
            give_way();
            engine.store(value, Ordering::SeqCst);
            give_way();
            rows.end(hash, KEY, Some(&value.to_be_bytes()));
            assert_eq!(read(&rows, &engine), value);
            seen.fetch_max(value, Ordering::SeqCst);
        }
        for reader in readers {
            reader.join().unwrap();
        }
        assert_eq!(read(&rows, &engine), 3);
    });
}
