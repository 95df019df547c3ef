//! Scan: one page of this target's own objects, which a gateway or a native client merges.

mod archived;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::list::{
    DEFAULT_LAYOUT, ENTRY_CACHED, ENTRY_CHUNKED, ENTRY_COPY, ENTRY_COPY_WITHOUT_MAIN, ENTRY_IS_DIR,
    ENTRY_STATUS_MASK, ENTRY_WRONG_MOUNTPATH, ENTRY_WRONG_NODE, FLAG_ARCH_DIR, FLAG_CACHED,
    FLAG_MISSING, FLAG_NAME_ONLY, FLAG_NAME_SIZE, FLAG_NO_RECURSION, ListEntry, ListMsg, ListPage,
    MAX_PAGE_SIZE, format_time,
};
use aistore_core::placement::owner;
use aistore_store::{ListQuery, Listed, Standing};
use bytes::Bytes;

use self::archived::Inside;
use super::Target;
use super::failure::store_failure;
use crate::http::{Reply, Req, reply};
use crate::memory::Purpose;
use crate::tasks::lost_task;

/// Listing id when the caller has none yet: never empty, and all pages need the same.
const DEFAULT_UUID: &str = "listing-1";
/// Memory of an entry while its page is made: looked up, projected and encoded, with a name of some 100 bytes.
const ENTRY_BYTES: u64 = 1 << 10;
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

    async fn scan_page(self: &Arc<Self>, req: &mut Req, bucket: &str) -> Result<Bytes, ApiError> {
        let msg: ListMsg = req.read_json().await?;
        let patience = self.patience();
        loop {
            let named = self.find_bucket(req, bucket).await?.bucket().clone();
            self.settle(&named, patience).await?;
            let found = self.find_bucket(req, bucket).await?;
            let (target, bid, msg) = (Arc::clone(self), found.props().bid, msg.clone());
            let limit = target.page_limit(&msg);
            let bytes = limit as u64 * ENTRY_BYTES;
            let mut memory = self.ctx.memory.take(Purpose::Listings, bytes, &named.cname()).await?;
            let page =
                tokio::task::spawn_blocking(move || target.page_blocking(bid, &named, limit, msg));
            let page = page.await.map_err(|err| lost_task(&err))??;
            memory.shrink(page.len() as u64);
            let page = memory.attach(page.into());
            // A rename that began meanwhile may have taken names away before they were read.
            if self.is_settled(found.bucket()) {
                return Ok(page);
            }
        }
    }

    /// Entries of a page: as many as asked for, but not more than half of the memory for listings holds.
    fn page_limit(&self, msg: &ListMsg) -> usize {
        let wanted = usize::try_from(msg.page_size).ok().filter(|size| *size > 0);
        let most = self.ctx.memory.share(Purpose::Listings) / 2 / ENTRY_BYTES;
        let most = usize::try_from(most).unwrap_or(MAX_PAGE_SIZE).clamp(1, MAX_PAGE_SIZE);
        wanted.unwrap_or(MAX_PAGE_SIZE).min(most)
    }

    fn page_blocking(
        &self,
        bid: u64,
        bucket: &Bucket,
        limit: usize,
        msg: ListMsg,
    ) -> Result<Vec<u8>, ApiError> {
        let fields = Fields::of(&msg);
        // Names alone are those of objects in their place.
        let missing = msg.flags & FLAG_MISSING != 0 && msg.flags & FLAG_NAME_ONLY == 0;
        let unames = bucket.object_uname("");
        let query = ListQuery {
            prefix: msg.prefix.strip_suffix('*').unwrap_or(&msg.prefix),
            after: msg.continuation_token.as_str().max(msg.start_after.as_str()),
            limit,
            delimiter: msg.flags & FLAG_NO_RECURSION != 0,
            meta: fields.needs_metadata(),
            copies: missing,
            unames: missing.then_some(unames.as_str()),
        };
        let chunk = self.objects.store.list(bid, &query);
        let chunk = chunk.map_err(|err| store_failure(&err, &bucket.cname()))?;
        let mut more = chunk.more;
        let locations = if fields.location { self.locations() } else { HashMap::new() };
        let entries = chunk.entries.into_iter();
        let project = |listed| fields.project(listed, &locations, &msg.time_format);
        let mut entries: Vec<ListEntry> = entries.map(project).collect();
        if msg.flags & FLAG_ARCH_DIR != 0 {
            let (prefix, after, sizes) = (query.prefix, query.after, fields.size);
            let inside = Inside { bucket, bid, prefix, after, limit, sizes };
            (entries, more) = self.list_inside(&inside, entries, more);
        }
        // An empty page with a token would make clients ask for ever.
        let last = entries.last().filter(|_| more);
        let continuation_token = last.map(|entry| entry.name.clone()).unwrap_or_default();
        if missing {
            self.mark_misplaced(bucket, &mut entries);
        }
        let uuid = if msg.uuid.is_empty() { DEFAULT_UUID.to_owned() } else { msg.uuid };
        Ok(ListPage { uuid, continuation_token, entries, flags: 0 }.to_msgpack())
    }

    /// Marks objects that another target owns by the current map.
    fn mark_misplaced(&self, bucket: &Bucket, entries: &mut [ListEntry]) {
        let state = self.ctx.state();
        for entry in entries.iter_mut().filter(|entry| is_main(entry.flags)) {
            let found = owner(&state.smap, &bucket.object_uname(&entry.name));
            if found.is_some_and(|owner| owner.daemon_id != self.ctx.snode.daemon_id) {
                entry.flags = entry.flags & !ENTRY_STATUS_MASK | ENTRY_WRONG_NODE;
            }
        }
    }

    /// Location texts by mountpath.
    fn locations(&self) -> Locations {
        let mountpaths = self.objects.store.mountpaths();
        let paths = mountpaths
            .available
            .into_iter()
            .chain(mountpaths.draining.into_iter().map(|(path, _)| path));
        paths.map(|path| (path.clone(), self.location(&path).to_string())).collect()
    }
}

/// Whether an entry is an object itself, on whichever mountpath.
fn is_main(flags: u16) -> bool {
    flags & ENTRY_IS_DIR == 0 && matches!(flags & ENTRY_STATUS_MASK, 0 | ENTRY_WRONG_MOUNTPATH)
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
        self.checksum || self.atime || self.version || self.custom || self.copies
    }

    fn project(self, listed: Listed, locations: &Locations, time_format: &str) -> ListEntry {
        let Listed { name, standing, meta, mountpath } = listed;
        let flags = match standing {
            Standing::Directory => {
                return ListEntry { name, flags: ENTRY_IS_DIR, ..ListEntry::default() };
            }
            Standing::Main => ENTRY_CACHED,
            Standing::Misplaced => ENTRY_CACHED | ENTRY_WRONG_MOUNTPATH,
            Standing::Copy => ENTRY_CACHED | ENTRY_COPY,
            Standing::CopyWithoutMain => ENTRY_CACHED | ENTRY_COPY_WITHOUT_MAIN,
        };
        let mut entry = ListEntry { name, flags, ..ListEntry::default() };
        if meta.chunked {
            entry.flags |= ENTRY_CHUNKED;
        }
        if self.size {
            entry.size = meta.size;
        }
        if self.checksum {
            entry.checksum = meta.checksum;
        }
        if self.atime && meta.atime_ns != 0 {
            let layout = if time_format.is_empty() { DEFAULT_LAYOUT } else { time_format };
            entry.atime = format_time(layout, meta.atime_ns);
        }
        if self.version && meta.version != 0 {
            entry.version = meta.version.to_string();
        }
        if self.location {
            entry.location = locations.get(&*mountpath).cloned().unwrap_or_default();
        }
        if self.copies {
            let copies = u16::try_from(meta.copies.len()).unwrap_or(u16::MAX);
            entry.copies = copies.saturating_add(1);
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

    use aistore_store::{BlobId, ObjectMeta, Place};

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
        Listed {
            name: "o".into(),
            standing: Standing::Main,
            meta,
            mountpath: Path::new("/b").into(),
        }
    }

    #[test]
    fn props_choose_the_fields() {
        assert_eq!(fields("", 0), Fields { size: true, ..Fields::default() });
        assert_eq!(fields("name", 0), Fields::default());
        assert_eq!(fields("name,size,version", FLAG_NAME_ONLY), Fields::default());
        assert_eq!(fields("name,size,version", FLAG_NAME_SIZE), fields("", 0));
        let cached = fields("", FLAG_CACHED);
        assert!(cached.size && cached.checksum && cached.atime && !cached.version);
        assert!(!fields("name,size,cached,location", 0).needs_metadata());
        assert!(fields("name,size,copies", 0).needs_metadata());
    }

    #[test]
    fn entries_are_projected() {
        let place = Place { mountpath: 1, blob: BlobId(2) };
        let all = fields("name,size,checksum,atime,version,location,copies,custom", 0);
        let entry =
            all.project(listed(), &HashMap::from([("/b".into(), "t[x]:mp[/b, sdb]".into())]), "");
        assert_eq!(entry.size, 9);
        assert_eq!(entry.checksum, "abc");
        assert_eq!(entry.atime, "29 Feb 24 23:59 UTC");
        assert_eq!(entry.version, "3");
        assert_eq!(entry.location, "t[x]:mp[/b, sdb]");
        assert_eq!(entry.custom, "[source:web md5:2 zz:1]");
        assert_eq!((entry.copies, entry.flags), (1, ENTRY_CACHED));
        let meta = ObjectMeta { chunked: true, copies: vec![place; 2], ..listed().meta };
        let copy = Listed { standing: Standing::Copy, meta, ..listed() };
        let entry = all.project(copy, &HashMap::new(), "2006-01-02");
        assert_eq!((entry.atime.as_str(), entry.copies), ("2024-02-29", 3));
        assert_eq!(entry.flags, ENTRY_CACHED | ENTRY_CHUNKED | ENTRY_COPY);
        let bare = fields("name", 0).project(listed(), &HashMap::new(), "");
        assert_eq!(
            bare,
            ListEntry { name: "o".into(), flags: ENTRY_CACHED, ..ListEntry::default() }
        );
    }

    #[test]
    fn objects_off_their_place_say_so() {
        let off = Listed { standing: Standing::Misplaced, ..listed() };
        let entry = fields("name", 0).project(off, &HashMap::new(), "");
        assert_eq!(entry.flags, ENTRY_CACHED | ENTRY_WRONG_MOUNTPATH);
        assert!(is_main(entry.flags) && is_main(ENTRY_CACHED | ENTRY_CHUNKED));
        assert!(!is_main(ENTRY_IS_DIR) && !is_main(ENTRY_CACHED | ENTRY_COPY));
    }

    #[test]
    fn directories_have_nothing_but_their_flag() {
        let dir = Listed { name: "d/".into(), standing: Standing::Directory, ..listed() };
        let entry = fields("name,size", 0).project(dir, &HashMap::new(), "");
        assert_eq!(
            entry,
            ListEntry { name: "d/".into(), flags: ENTRY_IS_DIR, ..ListEntry::default() }
        );
    }
}
