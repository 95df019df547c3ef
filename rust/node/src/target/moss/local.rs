//! Entries on this node's own disks, read ahead in order.
//!
//! Visits to the blocking pool are what small reads cost most, so one visit opens and reads a group of
//! entries and leaves them encoded in one buffer. Larger entries are only opened there; whoever sends
//! them reads them piece by piece.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use aistore_core::error::ApiError;
use bytes::Bytes;
use tokio::task::JoinHandle;

use super::layout::Layout;
use super::outbox::Page;
use super::plan::{Entry, Plan, Route};
use crate::target::Target;
use crate::target::archive;
use crate::target::buffers::{BUFFER_BYTES, Buffer, Pieces};
use crate::target::failure::read_failure;
use crate::target::objects::Objects;
use crate::target::read::Extent;
use crate::tasks::lost_task;

/// Groups under way at a time: one being sent, one being read.
const READ_AHEAD_GROUPS: usize = 2;
/// Entries larger than this are streamed.
const SMALL_ENTRY_BYTES: u64 = 64 << 10;
/// Bounds of a group's entries; the upper one bounds open files too.
const MIN_GROUP: usize = 2;
const MAX_GROUP: usize = 64;
/// Entries of the first group, before any size is known.
const FIRST_GROUP: usize = 16;
/// The first frame's payload then starts 64 bytes into a page: 16 bytes past a page boundary would be
/// the slow place for copies out of the page cache.
const GROUP_GAP: usize = 48;

/// An entry, located.
pub(crate) struct Located {
    pub(crate) extent: Extent,
    pub(crate) mtime_s: u64,
}

/// One entry as it came from the disks.
pub(crate) enum Item {
    /// Complete and encoded: this range of the group's buffer, with so many payload bytes.
    Encoded(Bytes, Range<usize>, u64),
    /// To be streamed.
    Open(Located),
    /// Not there, or not readable.
    Failed(ApiError),
}

enum Outcome {
    Encoded(Range<usize>, u64),
    Open(Located),
    /// The entry at this position.
    Failed(usize, ApiError),
}

struct Group {
    bytes: Bytes,
    outcomes: std::vec::IntoIter<Outcome>,
}

/// What the blocking side needs, shared by all groups of a batch.
struct Work {
    objects: Arc<Objects>,
    plan: Arc<Plan>,
    positions: Vec<usize>,
    layout: Layout,
    node: String,
}

/// Yields the batch's local entries in order.
pub(crate) struct LocalEntries {
    work: Arc<Work>,
    pieces: Pieces,
    /// Whom to ask for objects of buckets that are being renamed.
    target: Option<Arc<Target>>,
    next: usize,
    group_size: usize,
    reading: VecDeque<JoinHandle<Group>>,
    current: Option<Group>,
}

impl LocalEntries {
    /// Starts reading at once, with objects of buckets that are being renamed.
    pub(crate) fn of(
        target: &Arc<Target>,
        plan: Arc<Plan>,
        layout: Layout,
        pieces: Pieces,
    ) -> Self {
        let (objects, node) = (Arc::clone(&target.objects), target.ctx.display());
        Self {
            target: Some(Arc::clone(target)),
            ..Self::new(objects, plan, (layout, node), pieces)
        }
    }

    /// Starts reading at once. `node` is the display form of this node.
    pub(crate) fn new(
        objects: Arc<Objects>,
        plan: Arc<Plan>,
        (layout, node): (Layout, String),
        pieces: Pieces,
    ) -> Self {
        let positions = plan.positions(Route::Here);
        let work = Arc::new(Work { objects, plan, positions, layout, node });
        let mut entries = Self {
            work,
            pieces,
            target: None,
            next: 0,
            group_size: FIRST_GROUP,
            reading: VecDeque::new(),
            current: None,
        };
        entries.read_ahead();
        entries
    }

    /// The next entry.
    pub(crate) async fn next(&mut self) -> Result<Item, ApiError> {
        loop {
            if let Some(group) = &mut self.current {
                match group.outcomes.next() {
                    Some(Outcome::Encoded(range, size)) => {
                        return Ok(Item::Encoded(group.bytes.clone(), range, size));
                    }
                    Some(Outcome::Open(located)) => return Ok(Item::Open(located)),
                    Some(Outcome::Failed(at, error)) => return self.look_again(at, error).await,
                    None => self.current = None,
                }
            }
            let Some(reading) = self.reading.pop_front() else {
                return Err(ApiError::internal(
                    "batch: more local entries asked for than there are",
                ));
            };
            let group = reading.await.map_err(|err| lost_task(&err))?;
            self.learn(&group);
            self.current = Some(group);
            self.read_ahead();
        }
    }

    /// An entry that is missing because its bucket is being renamed is brought, and read then.
    async fn look_again(&self, position: usize, error: ApiError) -> Result<Item, ApiError> {
        let object = self.work.plan.entries.get(position).and_then(|entry| entry.object.as_ref());
        let (Some(target), Some(object), 404) = (&self.target, object, error.status) else {
            return Ok(Item::Failed(error));
        };
        match target.pull_renamed(object).await {
            Ok(true) => {}
            Ok(false) => return Ok(Item::Failed(error)),
            Err(error) => return Ok(Item::Failed(error)),
        }
        let work = Arc::clone(&self.work);
        let located = tokio::task::spawn_blocking(move || {
            let entry = work.plan.entries.get(position);
            entry.map_or(Err(error), |entry| locate(&work.objects, entry, &work.node))
        });
        Ok(match located.await.map_err(|err| lost_task(&err))? {
            Ok(located) => Item::Open(located),
            Err(error) => Item::Failed(error),
        })
    }

    /// Sizes the next groups so that one about fills its buffer.
    fn learn(&mut self, group: &Group) {
        let entries = group.outcomes.as_slice();
        let bytes: u64 = entries.iter().map(Outcome::size).sum();
        let average = (bytes / entries.len().max(1) as u64).max(1);
        let fitting = usize::try_from(BUFFER_BYTES as u64 / (average + 512)).unwrap_or(MAX_GROUP);
        self.group_size = fitting.clamp(MIN_GROUP, MAX_GROUP);
    }

    fn read_ahead(&mut self) {
        while self.reading.len() < READ_AHEAD_GROUPS && self.next < self.work.positions.len() {
            let from = self.next;
            let to = (from + self.group_size).min(self.work.positions.len());
            self.next = to;
            let (work, buffer) = (Arc::clone(&self.work), self.pieces.buffer());
            self.reading
                .push_back(tokio::task::spawn_blocking(move || work.read(from..to, buffer)));
        }
    }
}

impl Outcome {
    fn size(&self) -> u64 {
        match self {
            Self::Encoded(_, size) => *size,
            Self::Open(located) => located.extent.length(),
            Self::Failed(..) => 0,
        }
    }
}

impl Work {
    /// Reads one group. Blocks on the disk.
    fn read(&self, positions: Range<usize>, buffer: Buffer) -> Group {
        let mut page = Page::new(buffer, GROUP_GAP);
        let positions = self.positions.get(positions).unwrap_or_default();
        let entries = positions.iter().filter_map(|at| Some((*at, self.plan.entries.get(*at)?)));
        let outcomes: Vec<Outcome> =
            entries.map(|(at, entry)| self.read_entry(at, entry, &mut page)).collect();
        Group { bytes: page.freeze(), outcomes: outcomes.into_iter() }
    }

    fn read_entry(&self, position: usize, entry: &Entry, page: &mut Page) -> Outcome {
        let located = match locate(&self.objects, entry, &self.node) {
            Ok(located) => located,
            Err(error) => return Outcome::Failed(position, error),
        };
        let size = located.extent.length();
        if size > SMALL_ENTRY_BYTES {
            located.extent.will_need();
            return Outcome::Open(located);
        }
        let prefix = self.layout.prefix(position, &entry.wanted, size, located.mtime_s);
        let suffix = self.layout.suffix(size);
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        if !page.fits(prefix.len() + length + suffix.len()) {
            return Outcome::Open(located);
        }
        let from = page.at();
        page.put(&prefix);
        let Located { mut extent, .. } = located;
        if let Err(err) = extent.read_exact(page.grow(length)) {
            page.cut(from);
            return Outcome::Failed(position, read_failure(&err, &cname(entry)));
        }
        page.put(suffix);
        Outcome::Encoded(from..page.at(), size)
    }
}

fn cname(entry: &Entry) -> String {
    entry.wanted.bucket.object_cname(&entry.wanted.object)
}

/// Finds the bytes that an entry means. Blocks on the disk.
fn locate(objects: &Objects, entry: &Entry, node: &str) -> Result<Located, ApiError> {
    let wanted = &entry.wanted;
    let Some(object) = &entry.object else {
        return Err(ApiError::bucket_not_found(&wanted.bucket));
    };
    let reader = objects.open(object)?;
    let reader =
        reader.ok_or_else(|| ApiError::object_not_found(node, &wanted.bucket, &wanted.object))?;
    let mtime_s = reader.meta().atime_ns / 1_000_000_000;
    let whole = if wanted.archpath.is_empty() {
        Extent::whole(reader)
    } else {
        archive::locate(objects, &reader, object, (&wanted.archpath, ""), node)?
    };
    let size = whole.length();
    let Some((start, length)) = wanted.bounds(size) else {
        let asked = wanted.length.map_or("the end".to_owned(), |length| format!("{length} bytes"));
        return Err(ApiError::bad_request(format!(
            "{}: not satisfiable range: start {}, length {asked}, of {size} bytes",
            object.cname(),
            wanted.start
        )));
    };
    Ok(Located { extent: whole.part(start, length), mtime_s })
}
