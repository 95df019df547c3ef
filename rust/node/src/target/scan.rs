//! Scan: one page of this target's own objects, which a gateway or a native client merges.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use aistore_core::error::ApiError;
use aistore_core::list::{
    ENTRY_CACHED, ENTRY_IS_DIR, FLAG_ARCH_DIR, FLAG_CACHED, FLAG_NAME_ONLY, FLAG_NAME_SIZE,
    FLAG_NO_RECURSION, ListEntry, ListMsg, ListPage, MAX_PAGE_SIZE,
};
use aistore_store::{ListChunk, ListQuery, Listed, Store, StoreError};

use super::Target;
use super::date::listing_date;
use super::failure::store_failure;
use crate::http::{Reply, Req, reply};
use crate::tasks::lost_task;

/// Listing id when the caller has none yet: never empty, and all pages need the same.
const DEFAULT_UUID: &str = "listing-1";
/// Custom keys that come first, in this order.
const LEADING_KEYS: [&str; 7] =
    ["source", "ETag", "LastModified", "Last-Modified", "crc32c", "md5", "version"];

impl Target {
    pub(super) async fn scan(
        self: &Arc<Self>,
        mut req: Req,
        bucket: &str,
    ) -> Result<Reply, ApiError> {
        let started = Instant::now();
        let done = self.scan_page(&mut req, bucket).await;
        match &done {
            Ok(bytes) => self.ctx.metrics.list.done(bytes.len() as u64, started.elapsed()),
            Err(_) => self.ctx.metrics.list.failed(),
        }
        done.map(reply::msgpack)
    }

    async fn scan_page(self: &Arc<Self>, req: &mut Req, bucket: &str) -> Result<Vec<u8>, ApiError> {
        let msg: ListMsg = req.read_json().await?;
        if msg.flags & FLAG_ARCH_DIR != 0 {
            return Err(ApiError::unsupported(format!(
                "listing files inside archives of {bucket} (flag 8) is not supported yet"
            )));
        }
        let found = self.find_bucket(req, bucket).await?;
        let (bid, cname) = (found.props()?.bid, found.bucket.cname());
        let target = Arc::clone(self);
        let page = tokio::task::spawn_blocking(move || target.page_blocking(bid, &cname, msg));
        page.await.map_err(|err| lost_task(&err))?
    }

    fn page_blocking(&self, bid: u64, cname: &str, msg: ListMsg) -> Result<Vec<u8>, ApiError> {
        let fields = Fields::of(&msg);
        let wanted = usize::try_from(msg.page_size).ok().filter(|size| *size > 0);
        let query = ListQuery {
            prefix: msg.prefix.strip_suffix('*').unwrap_or(&msg.prefix),
            after: msg.continuation_token.as_str().max(msg.start_after.as_str()),
            limit: wanted.unwrap_or(MAX_PAGE_SIZE).min(MAX_PAGE_SIZE),
            delimiter: msg.flags & FLAG_NO_RECURSION != 0,
            meta: fields.needs_metadata(),
        };
        let chunk = list_level(&self.objects.store, bid, &query);
        let chunk = chunk.map_err(|err| store_failure(&err, cname))?;
        // An empty page with a token would make clients ask for ever.
        let last = chunk.entries.last().filter(|_| chunk.more);
        let continuation_token = last.map(|entry| entry.name.clone()).unwrap_or_default();
        let locations = if fields.location { self.locations() } else { HashMap::new() };
        let entries = chunk.entries.into_iter();
        let entries = entries.map(|listed| fields.project(listed, &locations)).collect();
        let uuid = if msg.uuid.is_empty() { DEFAULT_UUID.to_owned() } else { msg.uuid };
        Ok(ListPage { uuid, continuation_token, entries, flags: 0 }.to_msgpack())
    }

    /// Location texts by mountpath.
    fn locations(&self) -> Locations {
        let mountpaths = self.objects.store.mountpaths();
        let paths = mountpaths.available.into_iter().chain(mountpaths.draining);
        paths.map(|path| (path.clone(), self.location(&path))).collect()
    }
}

/// Lists as the store does, but for a prefix that does not end in `/` without recursion: there the
/// directory of exactly that name is entered, while others of the level stay directories.
fn list_level(store: &Store, bid: u64, query: &ListQuery<'_>) -> Result<ListChunk, StoreError> {
    if !query.delimiter || query.prefix.is_empty() || query.prefix.ends_with('/') {
        return store.list(bid, query);
    }
    let inside = format!("{}/", query.prefix);
    // One more, because the entered directory itself is left out.
    let level = store.list(bid, &ListQuery { limit: query.limit + 1, ..*query })?;
    let content = store.list(bid, &ListQuery { prefix: &inside, ..*query })?;
    Ok(merge_levels(level, content, &inside, query.limit))
}

fn merge_levels(level: ListChunk, content: ListChunk, entered: &str, limit: usize) -> ListChunk {
    let mut more = level.more || content.more;
    let mut entries = level.entries;
    entries.retain(|entry| !(entry.is_dir && entry.name == entered));
    entries.extend(content.entries);
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries.dedup_by(|a, b| a.name == b.name);
    more |= entries.len() > limit;
    entries.truncate(limit);
    ListChunk { entries, more }
}

/// Location texts of the mountpaths.
type Locations = HashMap<PathBuf, String>;

/// Which properties an entry carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one per property of the protocol")]
struct Fields {
    size: bool,
    checksum: bool,
    atime: bool,
    version: bool,
    location: bool,
    copies: bool,
    custom: bool,
}

impl Fields {
    fn of(msg: &ListMsg) -> Self {
        let has = |flag: u64| msg.flags & flag != 0;
        if has(FLAG_NAME_ONLY) || msg.props == "name" {
            return Self::default();
        }
        let props = match msg.props.as_str() {
            "" if has(FLAG_CACHED) => "name,size,checksum,atime",
            "" => "name,size",
            props => props,
        };
        if has(FLAG_NAME_SIZE) {
            return Self { size: true, ..Self::default() };
        }
        // By substring, as the protocol matches them.
        let wants = |name: &str| props.contains(name);
        Self {
            size: wants("size"),
            checksum: wants("checksum"),
            atime: wants("atime"),
            version: wants("version"),
            location: wants("location"),
            copies: wants("copies"),
            custom: wants("custom"),
        }
    }

    /// Whether more than the size comes from the object's metadata.
    fn needs_metadata(self) -> bool {
        self.checksum || self.atime || self.version || self.custom
    }

    fn project(self, listed: Listed, locations: &Locations) -> ListEntry {
        let Listed { name, is_dir, meta, mountpath } = listed;
        if is_dir {
            return ListEntry { name, flags: ENTRY_IS_DIR, ..ListEntry::default() };
        }
        let mut entry = ListEntry { name, flags: ENTRY_CACHED, ..ListEntry::default() };
        if self.size {
            entry.size = meta.size;
        }
        if self.checksum {
            entry.checksum = meta.checksum;
        }
        if self.atime && meta.atime_ns != 0 {
            entry.atime = listing_date(meta.atime_ns);
        }
        if self.version && meta.version != 0 {
            entry.version = meta.version.to_string();
        }
        if self.location {
            entry.location = locations.get(&*mountpath).cloned().unwrap_or_default();
        }
        if self.copies {
            entry.copies = 1;
        }
        if self.custom && !meta.custom.is_empty() {
            entry.custom = custom_text(&meta.custom);
        }
        entry
    }
}

/// `[k:v k2:v2]`, well-known keys first.
fn custom_text(custom: &BTreeMap<String, String>) -> String {
    let leading = LEADING_KEYS.iter().filter_map(|key| custom.get_key_value(*key));
    let others = custom.iter().filter(|(key, _)| !LEADING_KEYS.contains(&key.as_str()));
    let pairs: Vec<String> = leading.chain(others).map(|(k, v)| format!("{k}:{v}")).collect();
    format!("[{}]", pairs.join(" "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use aistore_store::ObjectMeta;

    use super::*;

    fn fields(props: &str, flags: u64) -> Fields {
        Fields::of(&ListMsg { props: props.into(), flags, ..ListMsg::default() })
    }

    fn listed() -> Listed {
        let custom = [("zz", "1"), ("md5", "2"), ("source", "web")];
        let custom = custom.map(|(k, v)| (k.to_owned(), v.to_owned()));
        let meta = ObjectMeta {
            size: 9,
            checksum: "abc".into(),
            atime_ns: 1_709_251_199_000_000_000,
            version: 3,
            custom: custom.into(),
            ..ObjectMeta::default()
        };
        Listed { name: "o".into(), is_dir: false, meta, mountpath: Path::new("/b").into() }
    }

    #[test]
    fn props_choose_the_fields() {
        assert_eq!(fields("", 0), Fields { size: true, ..Fields::default() });
        assert_eq!(fields("name", 0), Fields::default());
        assert_eq!(fields("name,size,version", FLAG_NAME_ONLY), Fields::default());
        assert_eq!(fields("name,size,version", FLAG_NAME_SIZE), fields("", 0));
        let cached = fields("", FLAG_CACHED);
        assert!(cached.size && cached.checksum && cached.atime && !cached.version);
        assert!(!fields("name,size,cached,location,copies", 0).needs_metadata());
    }

    #[test]
    fn entries_are_projected() {
        let all = fields("name,size,checksum,atime,version,location,copies,custom", 0);
        let entry =
            all.project(listed(), &HashMap::from([("/b".into(), "t[x]:mp[/b, sdb]".into())]));
        assert_eq!(entry.size, 9);
        assert_eq!(entry.checksum, "abc");
        assert_eq!(entry.atime, "29 Feb 24 23:59 UTC");
        assert_eq!(entry.version, "3");
        assert_eq!(entry.location, "t[x]:mp[/b, sdb]");
        assert_eq!(entry.custom, "[source:web md5:2 zz:1]");
        assert_eq!((entry.copies, entry.flags), (1, ENTRY_CACHED));
        let bare = fields("name", 0).project(listed(), &HashMap::new());
        assert_eq!(
            bare,
            ListEntry { name: "o".into(), flags: ENTRY_CACHED, ..ListEntry::default() }
        );
    }

    #[test]
    fn a_prefix_without_slash_enters_the_directory_of_that_name() {
        let chunk = |names: &[&str]| ListChunk {
            entries: names
                .iter()
                .map(|name| Listed {
                    name: (*name).into(),
                    is_dir: name.ends_with('/'),
                    ..listed()
                })
                .collect(),
            more: false,
        };
        let (level, content) = (chunk(&["a.txt", "a/", "abc/"]), chunk(&["a/x", "a/y/"]));
        let merged = merge_levels(level.clone(), content.clone(), "a/", 10);
        let names: Vec<_> = merged.entries.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["a.txt", "a/x", "a/y/", "abc/"]);
        assert!(!merged.more);
        let cut = merge_levels(level, content, "a/", 2);
        assert!(cut.more && cut.entries.len() == 2);
    }

    #[test]
    fn directories_have_nothing_but_their_flag() {
        let dir = Listed { name: "d/".into(), is_dir: true, ..listed() };
        let entry = fields("name,size", 0).project(dir, &HashMap::new());
        assert_eq!(
            entry,
            ListEntry { name: "d/".into(), flags: ENTRY_IS_DIR, ..ListEntry::default() }
        );
    }
}
