//! List requests (JSON) and pages (msgpack and JSON).

use aistore_core::list::{ListMsg, ListPage};

/// What parses comes back the same from both encodings.
pub fn listing(data: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<ListMsg>(data) {
        let text = serde_json::to_vec(&message).expect("a message encodes");
        assert_eq!(serde_json::from_slice::<ListMsg>(&text).expect("it parses"), message);
    }
    let pages = [ListPage::from_msgpack(data).ok(), serde_json::from_slice(data).ok()];
    for page in pages.into_iter().flatten() {
        let packed = ListPage::from_msgpack(&page.to_msgpack());
        assert_eq!(packed.expect("an encoded page parses"), page);
        let text = serde_json::to_vec(&page).expect("a page encodes");
        assert_eq!(serde_json::from_slice::<ListPage>(&text).expect("it parses"), page);
    }
}
