//! Index entries of uploads, under the reserved bucket id 0.
//!
//! ```text
//! key of an upload   0 | "upload/" id            id = 16 hex digits
//! key of a part      0 | "upload/" id "/" number  number = 5 digits
//! upload             version 1 | bucket id: u64 BE | uname | name | started | custom: count, key, value each
//! part               version 1 | part (see `codec`) | mtime | md5: bytes
//! ```

use std::collections::BTreeMap;

use crate::codec::{self, Input, RESERVED_BID, decode_part, encode_part, put_bytes, put_varint};
use crate::meta::Part;

const PREFIX: &str = "upload/";
const VERSION: u8 = 1;

/// What is stored of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UploadRecord {
    pub(crate) bid: u64,
    pub(crate) uname: String,
    pub(crate) name: String,
    pub(crate) started_ns: u64,
    pub(crate) custom: BTreeMap<String, String>,
}

/// What is stored of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartRecord {
    pub(crate) part: Part,
    pub(crate) mtime_ns: u64,
    pub(crate) md5: Vec<u8>,
}

/// What a key under the reserved bucket id is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Upload(u64),
    Part(u64, u32),
}

pub(crate) fn upload_key(id: u64) -> Vec<u8> {
    codec::key(RESERVED_BID, &format!("{PREFIX}{id:016x}"))
}

pub(crate) fn part_key(id: u64, number: u32) -> Vec<u8> {
    codec::key(RESERVED_BID, &format!("{PREFIX}{id:016x}/{number:05}"))
}

/// Start of the keys of all uploads.
pub(crate) fn all_prefix() -> Vec<u8> {
    codec::key(RESERVED_BID, PREFIX)
}

/// Start of the keys of all parts of an upload.
pub(crate) fn parts_prefix(id: u64) -> Vec<u8> {
    codec::key(RESERVED_BID, &format!("{PREFIX}{id:016x}/"))
}

/// Parses the name in a key; `None` when it is about something else.
pub(crate) fn subject(name: &str) -> Option<Subject> {
    let rest = name.strip_prefix(PREFIX)?;
    match rest.split_once('/') {
        None => u64::from_str_radix(rest, 16).ok().map(Subject::Upload),
        Some((id, number)) => {
            let id = u64::from_str_radix(id, 16).ok()?;
            Some(Subject::Part(id, number.parse().ok()?))
        }
    }
}

/// The stored parts that an entry under the reserved bucket id names; `None` when it is damaged.
pub(crate) fn parts_of_entry(name: &str, value: &[u8]) -> Option<Vec<Part>> {
    match subject(name) {
        Some(Subject::Part(..)) => Some(vec![PartRecord::decode(value)?.part]),
        _ => Some(Vec::new()),
    }
}

impl UploadRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.bid.to_be_bytes());
        put_bytes(&mut out, self.uname.as_bytes());
        put_bytes(&mut out, self.name.as_bytes());
        put_varint(&mut out, self.started_ns);
        put_varint(&mut out, self.custom.len() as u64);
        for (key, value) in &self.custom {
            put_bytes(&mut out, key.as_bytes());
            put_bytes(&mut out, value.as_bytes());
        }
        out
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let mut input = Input(value);
        if input.byte()? != VERSION {
            return None;
        }
        let bid = input.u64()?;
        let (uname, name) = (text(&mut input)?, text(&mut input)?);
        let started_ns = input.varint()?;
        let mut custom = BTreeMap::new();
        for _ in 0..input.varint()? {
            let key = text(&mut input)?;
            custom.insert(key, text(&mut input)?);
        }
        input.0.is_empty().then_some(Self { bid, uname, name, started_ns, custom })
    }
}

impl PartRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        encode_part(&mut out, &self.part);
        put_varint(&mut out, self.mtime_ns);
        put_bytes(&mut out, &self.md5);
        out
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let mut input = Input(value);
        if input.byte()? != VERSION {
            return None;
        }
        let part = decode_part(&mut input)?;
        let (mtime_ns, md5) = (input.varint()?, input.bytes()?.to_vec());
        input.0.is_empty().then_some(Self { part, mtime_ns, md5 })
    }
}

fn text(input: &mut Input<'_>) -> Option<String> {
    std::str::from_utf8(input.bytes()?).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::{BlobId, Place};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_are_read_back(numbers in any::<[u64; 4]>(), names in any::<[String; 2]>(), md5 in any::<Vec<u8>>()) {
            let [bid, started_ns, size, digest] = numbers;
            let [uname, name] = names;
            let custom = BTreeMap::from([("k".to_owned(), name.clone())]);
            let upload = UploadRecord { bid, uname, name, started_ns, custom };
            prop_assert_eq!(UploadRecord::decode(&upload.encode()), Some(upload));
            let places = vec![Place { mountpath: digest, blob: BlobId(bid) }];
            let part = Part { size, crc32c: 7, places };
            let part = PartRecord { part, mtime_ns: started_ns, md5 };
            prop_assert_eq!(PartRecord::decode(&part.encode()), Some(part));
        }

        #[test]
        fn garbage_never_panics(bytes in any::<Vec<u8>>(), name in "upload/[0-9a-f/]{0,30}") {
            let bytes = [&[VERSION], bytes.as_slice()].concat();
            let _ = (UploadRecord::decode(&bytes), PartRecord::decode(&bytes));
            let _ = parts_of_entry(&name, &bytes);
        }
    }

    #[test]
    fn keys_are_parsed_back_and_an_upload_sorts_before_its_parts() {
        let name = |key: Vec<u8>| codec::split_key(&key).unwrap().1.to_owned();
        assert_eq!(subject(&name(upload_key(77))), Some(Subject::Upload(77)));
        assert_eq!(subject(&name(part_key(77, 12))), Some(Subject::Part(77, 12)));
        assert_eq!(subject("intent/1"), None);
        assert!(upload_key(7) < part_key(7, 1) && part_key(7, 9999) < upload_key(8));
        assert!(part_key(7, 2).starts_with(&parts_prefix(7)));
    }
}
