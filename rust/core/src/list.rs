//! List-objects: the request message, the page, and its msgpack and JSON encodings.

mod level;
mod merge;
mod time;

use rmp::encode as mp;
use serde::{Deserialize, Serialize};

pub use self::level::directory;
pub use self::merge::Merge;
pub use self::time::{DEFAULT_LAYOUT, MAX_LAYOUT_BYTES, format_time};
use crate::wire::string_u64;

/// Most entries in one page of a native bucket.
pub const MAX_PAGE_SIZE: usize = 10_000;

/// Only in-cluster objects.
pub const FLAG_CACHED: u64 = 1;
/// Also objects out of place, copies, and copies without their object.
pub const FLAG_MISSING: u64 = 2;
/// Expand archives.
pub const FLAG_ARCH_DIR: u64 = 8;
/// Names only.
pub const FLAG_NAME_ONLY: u64 = 16;
/// Names and sizes.
pub const FLAG_NAME_SIZE: u64 = 32;
/// The bucket must be in the cluster; a remote one is not looked up.
pub const FLAG_PRESENT: u64 = 64;
/// Only objects absent from the cluster; needs a remote backend.
pub const FLAG_NOT_CACHED: u64 = 512;
/// No recursion: immediate children and virtual directories.
pub const FLAG_NO_RECURSION: u64 = 2048;
/// Compare with the remote backend.
pub const FLAG_DIFF: u64 = 4096;
/// List from an inventory of a remote bucket.
pub const FLAG_INVENTORY: u64 = 32_768;

/// Status bits of an entry.
pub const ENTRY_STATUS_MASK: u16 = 31;
/// Status: on a node that it does not belong on.
pub const ENTRY_WRONG_NODE: u16 = 1;
/// Status: on a mountpath that it does not belong on.
pub const ENTRY_WRONG_MOUNTPATH: u16 = 2;
/// Status: a copy of an object.
pub const ENTRY_COPY: u16 = 3;
/// Status: a copy whose object is missing.
pub const ENTRY_COPY_WITHOUT_MAIN: u16 = 4;
/// Entry is in the cluster; always set for objects of native buckets.
pub const ENTRY_CACHED: u16 = 64;
/// Entry is a file inside an archive.
pub const ENTRY_IN_ARCHIVE: u16 = 128;
/// Entry is a virtual directory.
pub const ENTRY_IS_DIR: u16 = 256;
/// Entry is an archive.
pub const ENTRY_IS_ARCHIVE: u16 = 512;
/// Entry is an object in several chunks.
pub const ENTRY_CHUNKED: u16 = 8192;

/// Value of a `list` action: one page request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct ListMsg {
    /// Listing id, empty on the first page.
    pub uuid: String,
    /// Token of the previous page.
    pub continuation_token: String,
    /// Name prefix.
    pub prefix: String,
    /// Wanted properties, comma-separated; empty means the default set.
    pub props: String,
    /// `FLAG_*` bits.
    #[serde(with = "string_u64")]
    pub flags: u64,
    /// Entries wanted; 0 means the maximum.
    #[serde(rename = "pagesize")]
    pub page_size: u64,
    /// Exclusive lower bound.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub start_after: String,
    /// Target that lists a remote bucket; unused for native ones.
    pub target: String,
    /// Go time layout for `atime`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub time_format: String,
}

/// One name in a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ListEntry {
    /// Object name.
    #[serde(rename = "name")]
    pub name: String,
    /// Checksum value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub checksum: String,
    /// Access time as text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub atime: String,
    /// Version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// `t[id]:mp[path, disk]`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub location: String,
    /// `[k:v k2:v2]`.
    #[serde(default, rename = "custom-md", skip_serializing_if = "String::is_empty")]
    pub custom: String,
    /// Size in bytes.
    #[serde(default, with = "string_u64", skip_serializing_if = "is_zero")]
    pub size: u64,
    /// Number of copies; 1 means no replicas; 0 means not asked for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub copies: u16,
    /// `ENTRY_*` bits.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flags: u16,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One page. The derived serde form is the JSON form; msgpack has other keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ListPage {
    /// Listing id, never empty.
    pub uuid: String,
    /// Empty on the last page.
    pub continuation_token: String,
    /// Entries in order.
    pub entries: Vec<ListEntry>,
    /// 1 = membership is changing, the list may be incomplete.
    #[serde(default)]
    pub flags: u32,
}

/// A page that is not valid msgpack of the expected shape.
#[derive(Debug, thiserror::Error)]
#[error("malformed list page: {0}")]
pub struct PageError(String);

/// The optional string fields of an entry with their msgpack keys.
fn text_fields(entry: &ListEntry) -> [(&'static str, &str); 5] {
    [
        ("cs", &entry.checksum),
        ("a", &entry.atime),
        ("v", &entry.version),
        ("t", &entry.location),
        ("m", &entry.custom),
    ]
}

impl ListPage {
    /// Encodes the page as `application/msgpack`.
    pub fn to_msgpack(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.entries.len() * 48);
        // Writing to a Vec cannot fail; the results are discarded for that reason.
        let _ = mp::write_map_len(&mut out, 4);
        let _ = mp::write_str(&mut out, "UUID");
        let _ = mp::write_str(&mut out, &self.uuid);
        let _ = mp::write_str(&mut out, "ContinuationToken");
        let _ = mp::write_str(&mut out, &self.continuation_token);
        let _ = mp::write_str(&mut out, "Flags");
        let _ = mp::write_uint(&mut out, u64::from(self.flags));
        let _ = mp::write_str(&mut out, "Entries");
        let _ =
            mp::write_array_len(&mut out, u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        for entry in &self.entries {
            encode_entry(&mut out, entry);
        }
        out
    }

    /// Decodes a msgpack page.
    pub fn from_msgpack(bytes: &[u8]) -> Result<Self, PageError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Page {
            #[serde(rename = "UUID")]
            uuid: String,
            continuation_token: String,
            flags: u32,
            entries: Option<Vec<Entry>>,
        }
        #[derive(Deserialize)]
        struct Entry {
            n: String,
            #[serde(default)]
            cs: String,
            #[serde(default)]
            a: String,
            #[serde(default)]
            v: String,
            #[serde(default)]
            t: String,
            #[serde(default)]
            m: String,
            #[serde(default)]
            s: u64,
            #[serde(default)]
            c: u16,
            #[serde(default)]
            f: u16,
        }
        let page: Page = rmp_serde::from_slice(bytes).map_err(|e| PageError(e.to_string()))?;
        let entries = page.entries.unwrap_or_default().into_iter().map(|e| ListEntry {
            name: e.n,
            checksum: e.cs,
            atime: e.a,
            version: e.v,
            location: e.t,
            custom: e.m,
            size: e.s,
            copies: e.c,
            flags: e.f,
        });
        Ok(Self {
            uuid: page.uuid,
            continuation_token: page.continuation_token,
            entries: entries.collect(),
            flags: page.flags,
        })
    }
}

fn encode_entry(out: &mut Vec<u8>, entry: &ListEntry) {
    let texts = text_fields(entry);
    let numbers =
        [("s", entry.size), ("c", u64::from(entry.copies)), ("f", u64::from(entry.flags))];
    let present = texts.iter().filter(|(_, v)| !v.is_empty()).count()
        + numbers.iter().filter(|(_, v)| *v != 0).count();
    let _ = mp::write_map_len(out, u32::try_from(1 + present).unwrap_or(u32::MAX));
    let _ = mp::write_str(out, "n");
    let _ = mp::write_str(out, &entry.name);
    for (key, value) in texts.iter().filter(|(_, v)| !v.is_empty()) {
        let _ = mp::write_str(out, key);
        let _ = mp::write_str(out, value);
    }
    for (key, value) in numbers.iter().filter(|(_, v)| *v != 0) {
        let _ = mp::write_str(out, key);
        let _ = mp::write_uint(out, *value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = ListEntry> {
        (".{0,40}", "[0-9a-f]{0,16}", ".{0,9}", any::<u64>(), any::<u16>(), any::<u16>()).prop_map(
            |(name, checksum, version, size, copies, flags)| ListEntry {
                name,
                checksum,
                version,
                size,
                copies,
                flags,
                ..ListEntry::default()
            },
        )
    }

    proptest! {
        #[test]
        fn pages_survive_both_encodings(entries in prop::collection::vec(entry(), 0..20), token in ".{0,20}") {
            let page = ListPage { uuid: "listing-1".into(), continuation_token: token, entries, flags: 1 };
            prop_assert_eq!(&ListPage::from_msgpack(&page.to_msgpack()).unwrap(), &page);
            let json = serde_json::to_string(&page).unwrap();
            prop_assert_eq!(&serde_json::from_str::<ListPage>(&json).unwrap(), &page);
        }

        #[test]
        fn garbage_is_an_error_not_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ListPage::from_msgpack(&bytes);
        }
    }

    #[test]
    fn message_flags_travel_as_text() {
        let msg: ListMsg = serde_json::from_str(
            r#"{"prefix":"a/","pagesize":3,"uuid":"","props":"","continuation_token":"","flags":"64","target":""}"#,
        )
        .unwrap();
        assert_eq!((msg.flags, msg.page_size, msg.prefix.as_str()), (64, 3, "a/"));
    }
}
