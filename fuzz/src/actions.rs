//! Action messages and what they carry: property patches, configuration patches, batch requests.

use aistore_core::bucket::Bucket;
use aistore_core::config::ClusterConfig;
use aistore_core::moss::MossReq;
use aistore_core::props::BucketProps;
use aistore_core::wire::ActionMsg;

/// A patch is refused, or gives properties that are valid and survive their own wire form.
pub fn actions(data: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<MossReq>(data) {
        let bucket = Bucket::ais("b");
        for entry in &request.entries {
            let _ = entry.resolve(None);
            if let Ok(wanted) = entry.resolve(Some(&bucket)) {
                if let Some((start, length)) = wanted.bounds(1000) {
                    assert!(start.checked_add(length).is_some_and(|end| end <= 1000));
                }
            }
        }
    }
    let Ok(message) = serde_json::from_slice::<ActionMsg>(data) else { return };
    let config = ClusterConfig::default();
    let props = BucketProps::new(&config, &Bucket::ais("b"), 1 << 63 | 1, 1);
    if let Ok(after) = props.patched(&message.value) {
        after.validate().expect("a patch was accepted that leaves invalid properties");
        let wire = serde_json::to_value(&after).expect("properties encode");
        let read: BucketProps = serde_json::from_value(wire).expect("properties parse");
        assert_eq!(
            (read.bid, read.created, read.provider),
            (props.bid, props.created, props.provider)
        );
    }
    if let Ok(after) = config.patched(&message.value) {
        after.validate().expect("a patch was accepted that leaves an invalid configuration");
    }
}
