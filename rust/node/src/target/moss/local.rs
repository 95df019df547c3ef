//! Entries on this node's own disks, read ahead in order.
//!
//! Visits to the blocking pool are what small reads cost most, so one visit opens and reads a group of
//! entries and leaves them encoded in one buffer. Larger entries are only opened there; whoever sends
//! them reads them piece by piece.

use std::collections::VecDeque;
use std::io::Read as _;
use std::ops::Range;
use std::sync::Arc;

use aistore_core::error::ApiError;
use aistore_store::ObjectReader;
use bytes::Bytes;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use super::cuts::{Made, Opened, Stored, of_this_entry};
use super::layout::Layout;
use super::outbox::Page;
use super::plan::{Entry, Plan, Route};
use crate::target::Target;
use crate::target::archive::{self, Gone, Packed, Unpacking, Watch, member_of, unpack_failure};
use crate::target::buffers::{BUFFER_BYTES, Buffer, Pieces};
use crate::target::failure::read_failure;
use crate::target::objects::{ObjectRef, Objects};
use crate::target::read::Extent;
use crate::tasks::lost_task;

/// Groups under way at a time: one being sent, one being read.
const READ_AHEAD_GROUPS: usize = 2;
/// Cuts being decoded at a time; each is a group of its own.
const CUTS_AHEAD: usize = 4;
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
    pub(crate) data: Data,
    pub(crate) mtime_s: u64,
}

/// Bytes of an entry that are read piece by piece.
pub(crate) enum Data {
    /// As they lie on the disk.
    Plain(Extent),
    /// Unpacked on the way.
    Packed(Box<Unpacking>),
}

impl Data {
    /// Bytes left.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Plain(extent) => extent.length(),
            Self::Packed(unpacking) => unpacking.left(),
        }
    }

    /// The next piece, empty at the end. For who waited for room in `pieces`. Not cancel safe.
    pub(crate) async fn next(&mut self, pieces: &Pieces, cname: &str) -> Result<Bytes, ApiError> {
        match self {
            Self::Plain(extent) => {
                extent.next(pieces).await.map_err(|err| read_failure(&err, cname))
            }
            Self::Packed(unpacking) => {
                unpacking.next(pieces).await.map_err(|err| unpack_failure(&err, cname))
            }
        }
    }
}

/// Where an entry's bytes are.
enum Found {
    Plain(Extent, u64),
    /// In a compressed file whose unpacking can begin at once: the part that is wanted.
    Packed(Packed, (u64, u64), u64),
    /// In a compressed file that must be searched for.
    Hidden,
}

/// One entry as it came from the disks.
pub(crate) enum Item {
    /// Complete and encoded: this range of the group's buffer, with so many payload bytes.
    Encoded(Bytes, Range<usize>, u64),
    /// To be streamed.
    Open(Located),
    /// A cut of a recording, complete.
    Cut(Made),
    /// Not there, or not readable.
    Failed(ApiError),
}

enum Outcome {
    Encoded(Range<usize>, u64),
    Open(Extent, u64),
    /// The entry at this position is unpacked when its turn comes, so that one decoder at a time works.
    Later(usize),
    Cut(Made),
    /// A cut that there was no memory for ahead of its time.
    CutLater(Box<Opened>),
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
    pieces: Pieces,
    has_cuts: bool,
    /// Ends the making of cuts that nobody waits for.
    gone: Gone,
}

/// Yields the batch's local entries in order.
pub(crate) struct LocalEntries {
    work: Arc<Work>,
    pieces: Pieces,
    /// Whom to ask for objects of buckets that are being renamed.
    target: Option<Arc<Target>>,
    next: usize,
    group_size: usize,
    reading: VecDeque<AbortOnDropHandle<Result<Group, JoinError>>>,
    current: Option<Group>,
    _watch: Watch,
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
        let has_cuts = plan.entries.iter().any(|entry| entry.wanted.cut.is_some());
        let own = pieces.clone();
        let (watch, gone) = Watch::new();
        let work = Work { objects, plan, positions, layout, node, pieces: own, has_cuts, gone };
        let work = Arc::new(work);
        let mut entries = Self {
            work,
            pieces,
            target: None,
            next: 0,
            group_size: if has_cuts { 1 } else { FIRST_GROUP },
            reading: VecDeque::new(),
            current: None,
            _watch: watch,
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
                    Some(Outcome::Open(extent, mtime_s)) => {
                        return Ok(Item::Open(Located { data: Data::Plain(extent), mtime_s }));
                    }
                    Some(Outcome::Later(at)) => return self.unpack(at).await,
                    Some(Outcome::Cut(made)) => return Ok(Item::Cut(made)),
                    Some(Outcome::CutLater(opened)) => {
                        return Ok(cut(opened.make_late(&self.pieces, &self.work.objects).await));
                    }
                    Some(Outcome::Failed(at, error)) => return self.look_again(at, error).await,
                    None => self.current = None,
                }
            }
            let Some(reading) = self.reading.pop_front() else {
                return Err(ApiError::internal(
                    "batch: more local entries asked for than there are",
                ));
            };
            let group = reading.await.flatten().map_err(|err| lost_task(&err))?;
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
        match located.await.map_err(|err| lost_task(&err))? {
            Ok(Found::Plain(extent, mtime_s)) => self.open_plain(position, extent, mtime_s).await,
            Ok(_) => self.unpack(position).await,
            Err(error) => Ok(Item::Failed(error)),
        }
    }

    /// An entry whose bytes were found after all: to be streamed, or to be cut.
    async fn open_plain(
        &self,
        position: usize,
        extent: Extent,
        mtime_s: u64,
    ) -> Result<Item, ApiError> {
        let entry = self.work.plan.entries.get(position);
        let Some((entry, wanted)) = entry.and_then(|e| Some((e, e.wanted.cut.clone()?))) else {
            return Ok(Item::Open(Located { data: Data::Plain(extent), mtime_s }));
        };
        let (cname, gone) = (cname(entry), self.work.gone.clone());
        let source = Stored::boxed(extent, gone);
        let opened =
            tokio::task::spawn_blocking(move || Opened::open(source, &wanted, cname, mtime_s));
        Ok(match opened.await.map_err(|err| lost_task(&err))? {
            Ok(opened) => cut(opened.make_late(&self.pieces, &self.work.objects).await),
            Err(error) => Item::Failed(error),
        })
    }

    /// Cuts a recording that lies compressed in a shard.
    async fn cut_packed(&self, position: usize, entry: &Entry) -> Result<Item, ApiError> {
        let (objects, cname) = (&self.work.objects, cname(entry));
        let Some(wanted) = entry.wanted.cut.clone() else {
            return Err(ApiError::internal("batch: a cut without a place"));
        };
        let _turn = objects.unpacking().await;
        let _decoder = match objects.decoder_memory(&cname).await {
            Ok(memory) => memory,
            Err(error) => return Ok(Item::Failed(error)),
        };
        let (searching, work) = (objects.searching().await, Arc::clone(&self.work));
        let found = tokio::task::spawn_blocking(move || {
            let _searching = searching;
            work.open_packed(position, &work.gone)
        });
        let (packed, mtime_s) = match found.await.map_err(|err| lost_task(&err))? {
            Ok(Found::Packed(packed, _, mtime_s)) => (packed, mtime_s),
            Ok(Found::Plain(extent, mtime_s)) => {
                return self.open_plain(position, extent, mtime_s).await;
            }
            Ok(Found::Hidden) => {
                return Ok(Item::Failed(ApiError::internal("batch: a file was not found")));
            }
            Err(error) => return Ok(Item::Failed(of_this_entry(error))),
        };
        let name = format!("{cname}/{}", entry.wanted.archpath);
        let opened = Opened::unpack(packed, wanted, name, mtime_s, &self.pieces, objects).await;
        Ok(match opened {
            Ok(opened) => cut(opened.make_late(&self.pieces, objects).await),
            Err(error) => Item::Failed(error),
        })
    }

    /// Finds a compressed file and begins to unpack it.
    async fn unpack(&self, position: usize) -> Result<Item, ApiError> {
        let Some(entry) = self.work.plan.entries.get(position) else {
            return Err(ApiError::internal("batch: an entry without a place"));
        };
        if entry.wanted.cut.is_some() {
            return self.cut_packed(position, entry).await;
        }
        let memory = match self.work.objects.decoder_memory(&cname(entry)).await {
            Ok(memory) => memory,
            Err(error) => return Ok(Item::Failed(error)),
        };
        let (watch, gone) = Watch::new();
        let searching = self.work.objects.searching().await;
        let work = Arc::clone(&self.work);
        let found = tokio::task::spawn_blocking(move || {
            let _searching = searching;
            work.open_packed(position, &gone)
        });
        Ok(match found.await.map_err(|err| lost_task(&err))? {
            Ok(Found::Packed(packed, _, mtime_s)) => {
                let unpacking = Unpacking::new(packed, watch, memory);
                Item::Open(Located { data: Data::Packed(Box::new(unpacking)), mtime_s })
            }
            Ok(Found::Plain(extent, mtime_s)) => {
                Item::Open(Located { data: Data::Plain(extent), mtime_s })
            }
            Ok(Found::Hidden) => Item::Failed(ApiError::internal("batch: a file was not found")),
            Err(error) => Item::Failed(error),
        })
    }

    /// Sizes the next groups so that one about fills its buffer.
    fn learn(&mut self, group: &Group) {
        if self.work.has_cuts {
            return;
        }
        let entries = group.outcomes.as_slice();
        let bytes: u64 = entries.iter().map(Outcome::size).sum();
        let average = (bytes / entries.len().max(1) as u64).max(1);
        let fitting = usize::try_from(BUFFER_BYTES as u64 / (average + 512)).unwrap_or(MAX_GROUP);
        self.group_size = fitting.clamp(MIN_GROUP, MAX_GROUP);
    }

    fn read_ahead(&mut self) {
        let most = if self.work.has_cuts { CUTS_AHEAD } else { READ_AHEAD_GROUPS };
        while self.reading.len() < most && self.next < self.work.positions.len() {
            let from = self.next;
            let to = (from + self.group_size).min(self.work.positions.len());
            self.next = to;
            let work = Arc::clone(&self.work);
            // Cuts have memory of their own, and wait for their turn at a processor.
            let reading = if work.has_cuts {
                tokio::spawn(async move {
                    let turn = work.objects.searching().await;
                    let reading = tokio::task::spawn_blocking(move || {
                        let _turn = turn;
                        work.read_open(from..to)
                    });
                    reading.await
                })
            } else {
                let buffer = self.pieces.buffer();
                tokio::task::spawn_blocking(move || Ok(work.read(from..to, buffer)))
            };
            self.reading.push_back(AbortOnDropHandle::new(reading));
        }
    }
}

impl Outcome {
    fn size(&self) -> u64 {
        match self {
            Self::Encoded(_, size) => *size,
            Self::Open(extent, _) => extent.length(),
            Self::Cut(made) => made.bytes.len() as u64,
            Self::Later(_) | Self::CutLater(_) | Self::Failed(..) => 0,
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

    /// Opens entries, and makes those that are cuts. Blocks on disk and processor.
    fn read_open(&self, positions: Range<usize>) -> Group {
        let positions = self.positions.get(positions).unwrap_or_default();
        let entries = positions.iter().filter_map(|at| Some((*at, self.plan.entries.get(*at)?)));
        let outcomes: Vec<Outcome> =
            entries.map(|(at, entry)| self.open_entry(at, entry)).collect();
        Group { bytes: Bytes::new(), outcomes: outcomes.into_iter() }
    }

    fn open_entry(&self, position: usize, entry: &Entry) -> Outcome {
        let found = match locate(&self.objects, entry, &self.node) {
            Ok(found) => found,
            Err(error) => return Outcome::Failed(position, error),
        };
        let (extent, mtime_s, wanted) = match (found, &entry.wanted.cut) {
            (Found::Plain(extent, mtime_s), Some(wanted)) => (extent, mtime_s, wanted),
            (Found::Plain(extent, mtime_s), None) => return Outcome::Open(extent, mtime_s),
            _ => return Outcome::Later(position),
        };
        let source = Stored::boxed(extent, self.gone.clone());
        let opened = match Opened::open(source, wanted, cname(entry), mtime_s) {
            Ok(opened) => opened,
            Err(error) => return Outcome::Failed(position, error),
        };
        match opened.make_ahead(&self.pieces) {
            Ok(Ok(made)) => Outcome::Cut(made),
            Ok(Err(error)) => Outcome::Failed(position, error),
            Err(opened) => Outcome::CutLater(opened),
        }
    }

    fn read_entry(&self, position: usize, entry: &Entry, page: &mut Page) -> Outcome {
        let (data, size, mtime_s) = match locate(&self.objects, entry, &self.node) {
            Ok(Found::Plain(extent, mtime_s)) => {
                let size = extent.length();
                (Reading::Plain(extent), size, mtime_s)
            }
            Ok(Found::Packed(packed, part, mtime_s)) => {
                // Unpacking from the middle means unpacking all before it.
                if part.0 + part.1 > SMALL_ENTRY_BYTES {
                    return Outcome::Later(position);
                }
                (Reading::Packed(packed, part), part.1, mtime_s)
            }
            Ok(Found::Hidden) => return Outcome::Later(position),
            Err(error) => return Outcome::Failed(position, error),
        };
        let later = |data| match data {
            Reading::Plain(extent) => Outcome::Open(extent, mtime_s),
            Reading::Packed(..) => Outcome::Later(position),
        };
        if size > SMALL_ENTRY_BYTES {
            data.will_need();
            return later(data);
        }
        let prefix = self.layout.prefix(position, &entry.wanted, size, mtime_s);
        let suffix = self.layout.suffix(size);
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        if !page.fits(prefix.len() + length + suffix.len()) {
            return later(data);
        }
        let from = page.at();
        page.put(&prefix);
        if let Err(error) = data.read_into(page.grow(length), &cname(entry)) {
            page.cut(from);
            return Outcome::Failed(position, error);
        }
        page.put(suffix);
        Outcome::Encoded(from..page.at(), size)
    }

    /// Goes to where a compressed file, or the wanted part of it, begins. Blocks.
    fn open_packed(&self, position: usize, gone: &Gone) -> Result<Found, ApiError> {
        let lost = || ApiError::internal("batch: an entry without a place");
        let entry = self.plan.entries.get(position).ok_or_else(lost)?;
        let (object, reader) = open(&self.objects, entry, &self.node)?;
        let mtime_s = mtime_s(&reader);
        let path = (entry.wanted.archpath.as_str(), "");
        match member_of(&self.objects, &reader, object, path, &self.node, gone)? {
            archive::Found::Packed(packed) => {
                let (start, length) = bounds(entry, packed.size)?;
                let part = packed.part(start, length);
                let part = part.map_err(|err| unpack_failure(&err, &cname(entry)))?;
                Ok(Found::Packed(part, (0, length), mtime_s))
            }
            // Another version of the shard, since.
            archive::Found::Plain(extent) => {
                let (start, length) = bounds(entry, extent.length())?;
                Ok(Found::Plain(extent.part(start, length), mtime_s))
            }
        }
    }
}

/// Bytes of a small entry.
enum Reading {
    Plain(Extent),
    Packed(Packed, (u64, u64)),
}

impl Reading {
    fn will_need(&self) {
        if let Self::Plain(extent) = self {
            extent.will_need();
        }
    }

    /// Reads as many bytes as `to` has. Blocks.
    fn read_into(self, to: &mut [u8], cname: &str) -> Result<(), ApiError> {
        match self {
            Self::Plain(mut extent) => {
                extent.read_exact(to).map_err(|err| read_failure(&err, cname))
            }
            Self::Packed(packed, (start, length)) => {
                let read = packed.part(start, length).and_then(|mut part| part.data.read_exact(to));
                read.map_err(|err| unpack_failure(&err, cname))
            }
        }
    }
}

fn cut(made: Result<Made, ApiError>) -> Item {
    made.map_or_else(Item::Failed, Item::Cut)
}

fn cname(entry: &Entry) -> String {
    entry.wanted.bucket.object_cname(&entry.wanted.object)
}

fn mtime_s(reader: &ObjectReader) -> u64 {
    reader.meta().atime_ns / 1_000_000_000
}

/// Opens the object of an entry. Blocks on the disk.
fn open<'a>(
    objects: &Objects,
    entry: &'a Entry,
    node: &str,
) -> Result<(&'a ObjectRef, Arc<ObjectReader>), ApiError> {
    let wanted = &entry.wanted;
    let object = entry.object.as_ref();
    let object = object.ok_or_else(|| ApiError::bucket_not_found(&wanted.bucket))?;
    let reader = objects.open(object)?;
    let missing = || ApiError::object_not_found(node, &wanted.bucket, &wanted.object);
    Ok((object, reader.ok_or_else(missing)?))
}

/// The part of `size` bytes that an entry wants.
fn bounds(entry: &Entry, size: u64) -> Result<(u64, u64), ApiError> {
    let wanted = &entry.wanted;
    wanted.bounds(size).ok_or_else(|| {
        let asked = wanted.length.map_or("the end".to_owned(), |length| format!("{length} bytes"));
        ApiError::bad_request(format!(
            "{}: not satisfiable range: start {}, length {asked}, of {size} bytes",
            cname(entry),
            wanted.start
        ))
    })
}

/// Finds the bytes that an entry means. Blocks on the disk.
fn locate(objects: &Objects, entry: &Entry, node: &str) -> Result<Found, ApiError> {
    let (object, reader) = open(objects, entry, node)?;
    let mtime_s = mtime_s(&reader);
    let path = &entry.wanted.archpath;
    let whole = if path.is_empty() {
        Extent::whole(reader)
    } else {
        match archive::locate(objects, &reader, object, path, node)? {
            None => return Ok(Found::Hidden),
            Some(archive::Found::Packed(packed)) => {
                let part = bounds(entry, packed.size)?;
                return Ok(Found::Packed(packed, part, mtime_s));
            }
            Some(archive::Found::Plain(extent)) => extent,
        }
    };
    let (start, length) = bounds(entry, whole.length())?;
    Ok(Found::Plain(whole.part(start, length), mtime_s))
}
