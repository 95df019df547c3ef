//! Ordered listing: a merge of range scans over the mountpaths.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use aistore_core::list::directory;

use crate::codec::{self, BID_BYTES};
use crate::error::StoreError;
use crate::index::Entry;
use crate::meta::{ObjectMeta, Role};
use crate::mountpath::SharedMountpath;
use crate::set::MountpathSet;
use crate::shared::Shared;

/// What to list.
#[derive(Debug, Clone, Copy)]
pub struct ListQuery<'a> {
    /// Only names that start with this; empty for all.
    pub prefix: &'a str,
    /// Only entries strictly greater, byte-wise; empty to start at the beginning. To continue a listing,
    /// pass the last entry's name, virtual directory or not.
    pub after: &'a str,
    /// Most entries to return.
    pub limit: usize,
    /// Whether names with a `/` after the prefix are folded into virtual directories (`a/`). A directory
    /// costs one seek, however much is in it.
    pub delimiter: bool,
    /// Whether full metadata is wanted; otherwise only size, blob and `chunked` are filled in.
    pub meta: bool,
    /// Whether copies are wanted too. They follow their object, and one name is never cut in two by the limit.
    pub copies: bool,
    /// What the bucket's unames begin with. Where given, objects that lie off their own mountpath are told
    /// apart, which costs something only while objects may lie anywhere.
    pub unames: Option<&'a str>,
}

/// What a line of a listing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Standing {
    /// An object.
    #[default]
    Main,
    /// An object on another mountpath than its own.
    Misplaced,
    /// A virtual directory.
    Directory,
    /// A copy of an object.
    Copy,
    /// A copy whose object is missing.
    CopyWithoutMain,
}

/// Part of a listing.
#[derive(Debug, Clone, Default)]
pub struct ListChunk {
    /// Entries in byte-wise order of their names.
    pub entries: Vec<Listed>,
    /// Whether there is more after the last entry.
    pub more: bool,
}

/// One line of a listing.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Object name, or virtual directory with its trailing `/`.
    pub name: String,
    /// What it is.
    pub standing: Standing,
    /// Metadata; default for directories.
    pub meta: ObjectMeta,
    /// The mountpath that holds the object.
    pub mountpath: Arc<Path>,
}

/// Entries reserved up front; a caller may ask for any number.
const RESERVE_ENTRIES: usize = 1024;
/// Entries skipped one by one before a seek: opening a scan costs about as much.
const STEPS_BEFORE_SEEK: usize = 16;

pub(crate) fn list(
    shared: &Shared,
    bid: u64,
    query: &ListQuery<'_>,
) -> Result<ListChunk, StoreError> {
    let prefix = codec::key(bid, query.prefix);
    let after = codec::key(bid, query.after);
    let from = if query.after.is_empty() || after < prefix {
        Bound::Included(prefix.clone())
    } else {
        Bound::Excluded(after)
    };
    let mut merge = Merge::new(shared, &from, successor(&prefix))?;
    let mut chunk = ListChunk::default();
    chunk.entries.reserve(query.limit.min(RESERVE_ENTRIES));
    while let Some(source) = merge.least() {
        if chunk.entries.len() >= query.limit {
            chunk.more = true;
            break;
        }
        let (name, _) = merge.head(source)?;
        if query.delimiter
            && let Some(dir) = directory(name, query.prefix)
        {
            let (dir, mountpath) = (dir.to_owned(), merge.path(source)?);
            // The directory of a continuation was reported before, or lies wholly before it.
            let listed = dir.as_str() > query.after;
            merge.skip_prefix(&codec::key(bid, &dir))?;
            if listed {
                let meta = ObjectMeta::default();
                let standing = Standing::Directory;
                chunk.entries.push(Listed { name: dir, standing, meta, mountpath });
            }
            continue;
        }
        merge.take(source, query, &mut chunk.entries)?;
    }
    Ok(chunk)
}

/// The least key greater than every key that starts with `prefix`; `None` when there is none.
pub(crate) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut next = prefix.get(..=last)?.to_vec();
    *next.last_mut()? += 1;
    Some(next)
}

type Scan = Box<dyn Iterator<Item = Result<Entry, StoreError>> + Send>;

/// One mountpath's scan and its next entry.
struct Source {
    mountpath: SharedMountpath,
    scan: Scan,
    head: Option<Entry>,
}

impl Source {
    fn advance(&mut self) -> Result<(), StoreError> {
        self.head = self.scan.next().transpose()?;
        Ok(())
    }

    /// Role and metadata of the head; all of it, or what costs next to nothing.
    fn decode(&self, full: bool) -> Result<(Role, ObjectMeta), StoreError> {
        let value = self.head.as_ref().map(|(_, value)| value).ok_or(StoreError::Closed)?;
        let decoded = if full { codec::decode_entry(value) } else { codec::decode_brief(value) };
        decoded.ok_or_else(|| self.mountpath.damaged_entry())
    }

    fn name(&self) -> Option<&[u8]> {
        self.head.as_ref().map(|(key, _)| key.get(BID_BYTES..).unwrap_or_default())
    }
}

/// Merge of the scans. Mountpaths are few, so the least head is found by looking at each.
struct Merge<'s> {
    shared: &'s Shared,
    /// The mountpaths that are read, as of the moment when their scans began.
    set: Arc<MountpathSet>,
    sources: Vec<Source>,
    end: Option<Vec<u8>>,
}

impl<'s> Merge<'s> {
    fn new(
        shared: &'s Shared,
        from: &Bound<Vec<u8>>,
        end: Option<Vec<u8>>,
    ) -> Result<Self, StoreError> {
        let mut merge = Self { shared, set: shared.set(), sources: Vec::new(), end };
        merge.start(from)?;
        Ok(merge)
    }

    /// Starts all scans so that together they see each object, even one that is moved at this moment.
    fn start(&mut self, from: &Bound<Vec<u8>>) -> Result<(), StoreError> {
        loop {
            let set = self.shared.set();
            // A move goes from one mountpath to another while it holds the gate shared.
            let gate = set.scattered.then(|| self.shared.gate.write());
            let scans = set.members().iter().map(|one| scan(one, from, self.end.as_ref()));
            let scans: Vec<Scan> = scans.collect();
            drop(gate);
            // Moves under a newer set may have happened before the scans began.
            if !Arc::ptr_eq(&set, &self.shared.set()) {
                continue;
            }
            self.sources.clear();
            self.set = Arc::clone(&set);
            for (mountpath, scan) in set.members().iter().zip(scans) {
                let mountpath = Arc::clone(mountpath);
                let mut source = Source { mountpath, scan, head: None };
                source.advance()?;
                self.sources.push(source);
            }
            return Ok(());
        }
    }

    /// The first source with the least name.
    fn least(&self) -> Option<usize> {
        let names = self.sources.iter().enumerate();
        let names = names.filter_map(|(at, source)| source.name().map(|name| (name, at)));
        names.min().map(|(_, at)| at)
    }

    fn head(&self, source: usize) -> Result<(&str, &[u8]), StoreError> {
        let damaged = || StoreError::Corrupt {
            path: "index".into(),
            reason: "an object name is not UTF-8".to_owned(),
        };
        let source = self.sources.get(source).ok_or_else(damaged)?;
        let (key, value) = source.head.as_ref().ok_or_else(damaged)?;
        match codec::split_key(key) {
            Some((_, name)) => Ok((name, value)),
            None => Err(source.mountpath.damaged_entry()),
        }
    }

    fn path(&self, source: usize) -> Result<Arc<Path>, StoreError> {
        let source = self.sources.get(source).ok_or(StoreError::Closed)?;
        Ok(Arc::clone(source.mountpath.path()))
    }

    /// Consumes the head of `first` and those of the same name, which are copies, or what a change of the
    /// mountpaths left behind for a while. Of several objects the one with the newest blob counts.
    fn take(
        &mut self,
        first: usize,
        query: &ListQuery<'_>,
        out: &mut Vec<Listed>,
    ) -> Result<(), StoreError> {
        let (name, _) = self.head(first)?;
        let name = name.to_owned();
        let mut main: Option<Listed> = None;
        let mut copies = Vec::new();
        for source in &mut self.sources {
            if source.name() != Some(name.as_bytes()) {
                continue;
            }
            let (role, meta) = source.decode(query.meta)?;
            let mountpath = Arc::clone(source.mountpath.path());
            let mut listed =
                Listed { name: String::new(), standing: Standing::Main, meta, mountpath };
            match role {
                Role::Object if main.as_ref().is_none_or(|m| m.meta.blob < listed.meta.blob) => {
                    main = Some(listed);
                }
                // Without `copies` only where the object may be lost with its mountpath.
                Role::Copy { .. } if query.copies || self.set.scattered => {
                    listed.standing = Standing::Copy;
                    copies.push(listed);
                }
                _ => {}
            }
            source.advance()?;
        }
        let alone = main.is_none();
        if !query.copies {
            let newest = copies.into_iter().max_by_key(|copy| copy.meta.blob);
            if let Some(one) = main.or(newest) {
                let standing = self.standing(&one, &name, query);
                out.push(Listed { name, standing, ..one });
            }
            return Ok(());
        }
        let at = out.len();
        for mut copy in copies {
            copy.name.clone_from(&name);
            if alone {
                copy.standing = Standing::CopyWithoutMain;
            }
            out.push(copy);
        }
        if let Some(main) = main {
            let standing = self.standing(&main, &name, query);
            out.insert(at, Listed { name, standing, ..main });
        }
        Ok(())
    }

    /// Whether an object is where it belongs, as far as the query wants to know.
    fn standing(&self, main: &Listed, name: &str, query: &ListQuery<'_>) -> Standing {
        match query.unames.filter(|_| self.set.scattered) {
            Some(unames) if self.set.own(&format!("{unames}{name}")).path() != &main.mountpath => {
                Standing::Misplaced
            }
            _ => Standing::Main,
        }
    }

    /// Moves every source past the keys that start with `prefix`.
    fn skip_prefix(&mut self, prefix: &[u8]) -> Result<(), StoreError> {
        let next = successor(prefix);
        if self.set.scattered
            && let Some(next) = next
        {
            return self.start(&Bound::Included(next));
        }
        let mut sought = false;
        for source in &mut self.sources {
            let mut steps = 0;
            while source.head.as_ref().is_some_and(|(key, _)| key.starts_with(prefix)) {
                if steps < STEPS_BEFORE_SEEK {
                    steps += 1;
                } else if let Some(next) = &next {
                    let from = Bound::Included(next.clone());
                    source.scan = scan(&source.mountpath, &from, self.end.as_ref());
                    sought = true;
                }
                source.advance()?;
            }
        }
        // Objects may have moved from a mountpath whose scan is a new one to one whose scan is not.
        match next {
            Some(next) if sought && !Arc::ptr_eq(&self.set, &self.shared.set()) => {
                self.start(&Bound::Included(next))
            }
            _ => Ok(()),
        }
    }
}

fn scan(mountpath: &SharedMountpath, from: &Bound<Vec<u8>>, end: Option<&Vec<u8>>) -> Scan {
    let from = from.as_ref().map(Vec::as_slice);
    let empty = match (from, end) {
        (Bound::Included(from) | Bound::Excluded(from), Some(end)) => from >= end.as_slice(),
        _ => false,
    };
    if empty {
        // The engine, like the ordered maps of the standard library, rejects such a range.
        return Box::new(std::iter::empty());
    }
    let end = end.map_or(Bound::Unbounded, |end| Bound::Excluded(end.as_slice()));
    Box::new(mountpath.index.range((from, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successor_is_the_end_of_the_prefix() {
        assert_eq!(successor(b"a/"), Some(b"a0".to_vec()));
        assert_eq!(successor(&[1, 0xff, 0xff]), Some(vec![2]));
        assert_eq!(successor(&[0xff; 8]), None);
    }
}
