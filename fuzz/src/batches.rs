//! Batch requests, and the archives that are made of them.

use aistore_core::bucket::Bucket;
use aistore_core::moss::{MossReq, MossResp};
use aistore_core::tar::{Event, StreamDecoder, encode_header};
use aistore_core::zip_stream::ZipWriter;
use bytes::Bytes;

/// Longest range that is checked against every size below.
const SIZES: [u64; 4] = [0, 1, 1000, u64::MAX];

/// A request that parses survives its own JSON, its ranges lie within what they are ranges of, and the names
/// of its entries come back out of a TAR.
pub fn batches(data: &[u8]) {
    let _ = serde_json::from_slice::<MossResp>(data);
    let Ok(request) = serde_json::from_slice::<MossReq>(data) else { return };
    let json = serde_json::to_vec(&request).expect("what was parsed can be written");
    assert_eq!(serde_json::from_slice::<MossReq>(&json).expect("own JSON"), request);
    let default = Bucket::ais("default");
    let mut zip = ZipWriter::default();
    for entry in &request.entries {
        let Ok(wanted) = entry.resolve(Some(&default)) else { continue };
        assert!(!wanted.archpath.starts_with('/'));
        for size in SIZES {
            if let Some((start, length)) = wanted.bounds(size) {
                assert!(start.checked_add(length).is_some_and(|end| end <= size));
            }
        }
        for missing in [false, true] {
            let name = wanted.archive_name(request.only_object_name, missing);
            let mut header = Bytes::from(encode_header(&name, 0, 0));
            let event = StreamDecoder::new().push(&mut header).expect("own header");
            if let Some(Event::Entry { name: read, size, .. }) = event {
                assert_eq!((read, size), (name.clone(), 0));
            }
            assert!(zip.begin(&name).len() >= 30 && zip.end().len() == 16);
        }
    }
    assert!(zip.finish("").len() >= 22);
}
