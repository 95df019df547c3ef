//! What job requests carry: arguments, queries, copies.

use aistore_core::job::{CopyMsg, JobArgs, JobQuery, is_valid_id};

/// Accepted or refused with a 4xx; buckets that are named have names.
pub fn jobs(data: &[u8]) {
    if let Some(text) = crate::text(data) {
        assert!(!is_valid_id(text) || (text.is_ascii() && text.len() <= 32));
    }
    match JobQuery::parse(data) {
        Ok(query) => assert!(query.ids().all(|id| !id.is_empty())),
        Err(err) => assert!((400..500).contains(&err.status), "{err}"),
    }
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) else { return };
    match JobArgs::parse(value.clone()) {
        Ok(args) => assert!(args.all_buckets().iter().all(|bucket| !bucket.name.is_empty())),
        Err(err) => assert!((400..500).contains(&err.status), "{err}"),
    }
    match CopyMsg::parse(value) {
        Ok(copy) => {
            assert!(copy.destination("dir.d/name.jpg").starts_with(&copy.prepend));
            let _ = copy.describe("copy", "ais://a", "ais://b");
        }
        Err(err) => assert!((400..500).contains(&err.status), "{err}"),
    }
}
