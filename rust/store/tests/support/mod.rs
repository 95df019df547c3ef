//! A store in a temporary directory, and shorthands over its public API.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use aistore_core::checksum::{ChecksumType, checksum};
use aistore_core::list::directory;
use aistore_store::inspect::{BlobInfo, each_blob};
use aistore_store::{
    AppendState, BlobId, Compacted, Home, ListQuery, ObjectMeta, Pass, Passed, PutOptions, Store,
    StoreConfig, StoreError,
};

pub(crate) const BID: u64 = 1 << 63 | 5;

pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) paths: Vec<PathBuf>,
    /// Whether every blob gets a file of its own.
    pub(crate) files_only: bool,
}

impl Fixture {
    pub(crate) fn new(mountpaths: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let paths = (0..mountpaths).map(|i| dir.path().join(format!("mp{i}"))).collect();
        Self { dir, paths, files_only: false }
    }

    /// The same without segments.
    pub(crate) fn of_files(mountpaths: usize) -> Self {
        Self { files_only: true, ..Self::new(mountpaths) }
    }

    pub(crate) fn config(&self) -> StoreConfig {
        let mut config = StoreConfig::new(self.paths.clone());
        if self.files_only {
            config.max_record_bytes = 0;
        }
        config
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(self.config()).unwrap()
    }

    /// Every blob that is not waste.
    pub(crate) fn blobs(&self) -> Vec<BlobInfo> {
        self.paths.iter().flat_map(|path| blobs_on(path)).collect()
    }

    /// Every file below `sub` of every mountpath.
    pub(crate) fn files(&self, sub: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for path in &self.paths {
            walk(&path.join("ais").join(sub), &mut found);
        }
        found
    }
}

/// Takes an append session back to its begin, by forgetting where it stands.
pub(crate) fn emptied(store: &Store, state: AppendState) -> AppendState {
    let paths = store.mountpaths();
    let draining = paths.draining.into_iter().map(|(path, _)| path);
    let mut marks = Vec::new();
    paths
        .available
        .into_iter()
        .chain(draining)
        .for_each(|path| walk(&path.join("ais/appends"), &mut marks));
    let of_session = format!("-{}.at", state.id);
    for mark in marks.into_iter().filter(|mark| mark.to_string_lossy().ends_with(&of_session)) {
        std::fs::remove_file(mark).unwrap();
    }
    AppendState { size: 0, ..state }
}

/// Changes a bit of the payload of a blob.
pub(crate) fn flip(fixture: &Fixture, blob: BlobId, at: u64) {
    use std::os::unix::fs::FileExt as _;
    let found = fixture.blobs().into_iter().find(|found| found.id == blob.0).unwrap();
    let file = std::fs::File::options().read(true).write(true).open(found.path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, found.offset + at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], found.offset + at).unwrap();
}

/// Compacts what there is to compact. Until the sweep of the start is over nothing is.
pub(crate) fn compacted(store: &Store) -> Compacted {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let done = store.compact(&AtomicBool::new(false));
        if done.segments > 0 {
            return done;
        }
        assert!(Instant::now() < deadline, "nothing was compacted within a minute: {done:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until what the last run left was looked through: a store that is closed before does not end in order.
pub(crate) fn swept(store: &Store) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !store.is_swept() {
        assert!(Instant::now() < deadline, "the sweep does not end within a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Every blob of a mountpath that is not waste.
pub(crate) fn blobs_on(mountpath: &Path) -> Vec<BlobInfo> {
    let mut found = Vec::new();
    each_blob(mountpath, |blob| found.push(blob)).unwrap();
    found.retain(|blob| !blob.dead);
    found
}

pub(crate) fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

pub(crate) fn uname(bid: u64, name: &str) -> String {
    format!("ais/@#/bucket-{bid}/{name}")
}

pub(crate) fn options() -> PutOptions {
    PutOptions { versioned: true, now_ns: 1_700_000_000_000_000_000, ..PutOptions::default() }
}

pub(crate) fn put(store: &Store, name: &str, bytes: &[u8]) -> Result<ObjectMeta, StoreError> {
    put_in(store, BID, name, bytes, options())
}

pub(crate) fn put_in(
    store: &Store,
    bid: u64,
    name: &str,
    bytes: &[u8],
    options: PutOptions,
) -> Result<ObjectMeta, StoreError> {
    let mut writer = store.begin_put(bid, &uname(bid, name), name, options)?;
    for piece in bytes.chunks(50_000) {
        writer.write(piece)?;
    }
    writer.finish()
}

/// Reads an object and checks its checksum.
pub(crate) fn get(store: &Store, name: &str) -> Option<Vec<u8>> {
    get_in(store, BID, name)
}

pub(crate) fn get_in(store: &Store, bid: u64, name: &str) -> Option<Vec<u8>> {
    let reader = store.open_object(bid, &uname(bid, name), name).unwrap()?;
    let mut bytes = vec![0; usize::try_from(reader.meta().size).unwrap()];
    assert_eq!(reader.read_at(&mut bytes, 0).unwrap(), bytes.len());
    let kind = reader.meta().checksum_type;
    assert_eq!(checksum(kind, &bytes), reader.meta().checksum, "{name}");
    Some(bytes)
}

pub(crate) fn delete(store: &Store, name: &str) -> bool {
    store.delete(BID, &uname(BID, name), name).unwrap()
}

pub(crate) fn query<'a>(
    prefix: &'a str,
    after: &'a str,
    limit: usize,
    delimiter: bool,
) -> ListQuery<'a> {
    ListQuery { prefix, after, limit, delimiter, meta: true, copies: false, unames: None }
}

/// Lists everything in pages of `page`.
pub(crate) fn list(store: &Store, prefix: &str, delimiter: bool, page: usize) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().cloned().unwrap_or_default();
        let chunk = store.list(BID, &query(prefix, &after, page, delimiter)).unwrap();
        assert!(chunk.entries.len() <= page);
        for entry in chunk.entries {
            assert_eq!(
                entry.standing == aistore_store::Standing::Directory,
                delimiter
                    && entry.name[prefix.len()..].ends_with('/')
                    && entry.meta == ObjectMeta::default()
            );
            names.push(entry.name);
        }
        if !chunk.more {
            return names;
        }
        assert!(!names.is_empty() || page == 0);
    }
}

/// What [`list`] must return for these names.
pub(crate) fn expected_list<V>(
    model: &BTreeMap<String, V>,
    prefix: &str,
    delimiter: bool,
) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in model.keys().filter(|name| name.starts_with(prefix)) {
        let folded = directory(name, prefix).filter(|_| delimiter).unwrap_or(name);
        if names.last().is_none_or(|last| last != folded) {
            names.push(folded.to_owned());
        }
    }
    names
}

/// Brings every object to where it belongs, with so many copies. One that cannot be brought there is a panic.
pub(crate) fn resilver(store: &Store, copies: usize) -> Passed {
    with_pass(copies, &AtomicBool::new(false), |pass| store.resilver(pass)).unwrap()
}

/// Calls what wants to know where objects belong.
pub(crate) fn with_pass<T>(
    copies: usize,
    cancel: &AtomicBool,
    call: impl FnOnce(&Pass<'_>) -> T,
) -> T {
    let guide = |bid, name: &str| Some(Home { uname: uname(bid, name), copies });
    let failed = |name: &str, error: &StoreError| panic!("{name}: {error}");
    call(&Pass { guide: &guide, cancel, moved: &|_, _| {}, failed: &failed })
}

pub(crate) fn kinds() -> [ChecksumType; 7] {
    use ChecksumType::{Crc32c, Md5, None, Sha256, Sha512, Xxhash, Xxhash2};
    [None, Xxhash, Xxhash2, Md5, Crc32c, Sha256, Sha512]
}
