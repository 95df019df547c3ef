//! Names in paths, URLs and unames.

use aistore_core::bucket::{Bucket, Namespace, validate_object_name};
use aistore_core::text::{decode_path, encode_object_name};
use aistore_node::http::path;

/// A name means the same on every way that it travels.
pub fn names(data: &[u8]) {
    let Some(text) = crate::text(data) else { return };
    let _ = (path::segments(text), path::easy(text));
    if let Ok(found) = path::object(text) {
        let location = path::for_location(text);
        assert_eq!(path::object(&location).as_ref(), Ok(&found), "{text:?} as {location:?}");
    }
    assert_eq!(decode_path(&encode_object_name(text)).as_deref(), Some(text));
    if let Ok((bucket, object)) = Bucket::parse_url(text) {
        spelled(&bucket, &object);
    }
    if let Ok((bucket, object)) = Bucket::parse_uname(text) {
        spelled(&bucket, &object);
    }
    if let Ok(namespace) = Namespace::parse(text) {
        assert_eq!(Namespace::parse(&namespace.to_string()), Ok(namespace));
    }
    if validate_object_name(text).is_ok() {
        spelled(&Bucket::ais("b"), text);
    }
}

/// Both spellings of a bucket and an object lead back to them.
fn spelled(bucket: &Bucket, object: &str) {
    let whole = (bucket.clone(), object.to_owned());
    assert_eq!(Bucket::parse_uname(&bucket.object_uname(object)).as_ref(), Ok(&whole));
    assert_eq!(Bucket::parse_url(&bucket.object_cname(object)).as_ref(), Ok(&whole));
}
