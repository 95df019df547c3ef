//! The `Date` header, written once a second.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use aistore_core::http_date::http_date;

const NS_PER_S: u64 = 1_000_000_000;

/// Appends the line.
pub(super) fn add_date(head: &mut Vec<u8>) {
    thread_local! {
        static LINE: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LINE.with_borrow_mut(|(second, line)| {
        if *second != now {
            *line = format!("date: {}\r\n", http_date(now.saturating_mul(NS_PER_S)));
            *second = now;
        }
        head.extend_from_slice(line.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_of_this_second() {
        let mut head = Vec::new();
        add_date(&mut head);
        let line = String::from_utf8(head).unwrap();
        let date = line.strip_prefix("date: ").unwrap().strip_suffix("\r\n").unwrap();
        let said = aistore_core::http_date::parse_http_date(date).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(now - said <= 1);
    }
}
