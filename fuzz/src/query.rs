//! Query strings.

use aistore_core::text::encode_query;
use aistore_node::http::Query;
use aistore_node::http::query::MAX_PAIRS;

/// What parses stays within its bound and means the same when it is written out again.
pub fn query(data: &[u8]) {
    let Some(raw) = crate::text(data) else { return };
    let Ok(parsed) = Query::parse(raw) else { return };
    assert_eq!(parsed.raw(), raw);
    assert!(parsed.pairs().len() <= MAX_PAIRS);
    let pairs = parsed.pairs().iter();
    let again: Vec<String> = pairs
        .map(|(key, value)| format!("{}={}", encode_query(key), encode_query(value)))
        .collect();
    let reparsed = Query::parse(&again.join("&")).expect("an encoded query parses");
    assert_eq!(reparsed.pairs(), parsed.pairs());
    for (key, _) in parsed.pairs() {
        assert!(parsed.get(key).is_some());
    }
}
