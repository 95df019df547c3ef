//! Writing one object.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use aistore_core::checksum::{ChecksumType, Hasher};

use crate::blob::BlobWriter;
use crate::codec;
use crate::config::PutOptions;
use crate::copying::copy_part;
use crate::error::StoreError;
use crate::index::Change;
use crate::meta::{BlobId, MAX_CUSTOM_BYTES, MAX_PARTS, ObjectMeta, Part, Place, Role};
use crate::mountpath::SharedMountpath;
use crate::set::MountpathSet;
use crate::settle::Named;
use crate::shared::Shared;
use crate::sync::RwLockReadGuard;
use crate::trailer;

/// How often a put follows its object to another mountpath.
pub(crate) const RELOCATIONS: usize = 16;

/// A put in progress. Dropping it aborts the put and leaves nothing behind.
///
/// Memory: at most 64 KiB for each copy, whatever the object's size, and 80 bytes per part.
pub struct ObjectWriter {
    store: Arc<Shared>,
    /// Where the object belongs.
    home: SharedMountpath,
    bid: u64,
    uname: String,
    name: String,
    options: PutOptions,
    hasher: Hasher,
    /// Computes the expected checksum where it is of another type than the stored one.
    second: Option<Hasher>,
    blob: BlobWriter,
    /// The copies, which get the same bytes.
    copies: Vec<BlobWriter>,
    /// Where the blob being written ends and the next part begins; `None` when it never does.
    cut: Option<Cut>,
    /// Parts that are complete.
    parts: Vec<Part>,
    /// The mountpaths that they lie on, also of those that left meanwhile.
    homes: Vec<SharedMountpath>,
    size: u64,
}

/// Values of index entries to be, each with its mountpath.
type Entries = Vec<(SharedMountpath, Vec<u8>)>;

/// The part being written.
struct Cut {
    /// Payload bytes at which it is full.
    at: u64,
    crc32c: u32,
}

impl std::fmt::Debug for ObjectWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("ObjectWriter");
        debug.field("name", &self.name).field("size", &self.size).finish_non_exhaustive()
    }
}

impl ObjectWriter {
    pub(crate) fn new(
        store: Arc<Shared>,
        bid: u64,
        uname: &str,
        name: &str,
        options: PutOptions,
    ) -> Result<Self, StoreError> {
        check_custom(name, &options.custom)?;
        let home = Arc::clone(store.set().own(uname));
        options.check(name, || store.locate(uname, &codec::key(bid, name)))?;
        let hint = options.size_hint.unwrap_or(0);
        let at = options.first_cut();
        let hint = hint.min(at.unwrap_or(u64::MAX));
        let copies = store.set().ranked(uname, options.copies).into_iter().skip(1);
        let copies = copies.map(|mountpath| Ok(BlobWriter::new(mountpath, hint)?.for_bucket(bid)));
        let copies = copies.collect::<Result<Vec<_>, StoreError>>()?;
        if copies.len() + 1 < options.copies {
            tracing::debug!(name, wanted = options.copies, "too few mountpaths for as many copies");
        }
        let blob = BlobWriter::new(Arc::clone(&home), hint)?.for_bucket(bid);
        let second = match &options.expected {
            Some((kind, _)) if *kind != options.checksum && *kind != ChecksumType::None => {
                Some(Hasher::new(*kind))
            }
            _ => None,
        };
        let hasher = Hasher::new(options.checksum);
        let cut = at.map(|at| Cut { at, crc32c: 0 });
        let (uname, name, parts) = (uname.to_owned(), name.to_owned(), Vec::new());
        Ok(Self {
            store,
            home,
            bid,
            uname,
            name,
            options,
            hasher,
            second,
            blob,
            copies,
            cut,
            parts,
            homes: Vec::new(),
            size: 0,
        })
    }

    /// Appends bytes to the payload.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSpace`], [`StoreError::ReadOnly`] or [`StoreError::Io`]. After one the put cannot
    /// be completed: drop the writer.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        self.hasher.update(bytes);
        if let Some(second) = &mut self.second {
            second.update(bytes);
        }
        self.size += bytes.len() as u64;
        while let Some(cut) = &mut self.cut {
            let room = usize::try_from(cut.at - self.blob.size()).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            cut.crc32c = crc32c::crc32c_append(cut.crc32c, now);
            for copy in &mut self.copies {
                copy.write(now)?;
            }
            self.blob.write(now)?;
            if later.is_empty() {
                return Ok(());
            }
            self.next_part()?;
            bytes = later;
        }
        for copy in &mut self.copies {
            copy.write(bytes)?;
        }
        self.blob.write(bytes)
    }

    /// Payload bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Ends the part being written, and starts the next on other mountpaths.
    fn next_part(&mut self) -> Result<(), StoreError> {
        let number = self.parts.len() + 1;
        let set = self.store.set();
        // Each copy of a part on another mountpath; fewer when some left meanwhile.
        let most = (1 + self.copies.len()).min(set.available().len());
        let begin = |rank| {
            let mountpath = set.spread(&self.uname, number + 1 + rank);
            Ok(BlobWriter::new(Arc::clone(mountpath), 0)?.for_bucket(self.bid))
        };
        let mut next = (0..most).map(begin).collect::<Result<Vec<_>, StoreError>>()?;
        let main = next.remove(0);
        self.publish_part(main, next)?;
        if let Some(cut) = &mut self.cut {
            // The last part that there may be takes all the rest.
            let last = number + 1 >= MAX_PARTS;
            *cut = Cut { at: if last { u64::MAX } else { self.options.chunk_size() }, crc32c: 0 };
        }
        Ok(())
    }

    /// Publishes what was written as the next part, and goes on with other blobs.
    fn publish_part(
        &mut self,
        main: BlobWriter,
        copies: Vec<BlobWriter>,
    ) -> Result<(), StoreError> {
        let full = std::mem::replace(&mut self.blob, main);
        let full_copies = std::mem::replace(&mut self.copies, copies);
        let crc32c = self.cut.as_ref().map_or(0, |cut| cut.crc32c);
        let number = u32::try_from(self.parts.len() + 1).unwrap_or(u32::MAX);
        let role = Role::Part { upload: 0, number };
        self.parts.push(Part { size: full.size(), crc32c, places: Vec::new() });
        for mut blob in std::iter::once(full).chain(full_copies) {
            let published = publish_part(&mut blob, role, self.bid, &self.name, crc32c)?;
            step!("put: part published");
            let home = blob.mountpath();
            if !self.homes.iter().any(|known| Arc::ptr_eq(known, home)) {
                self.homes.push(Arc::clone(home));
            }
            if let Some(part) = self.parts.last_mut() {
                part.places.extend(published.places);
            }
        }
        Ok(())
    }

    /// Ends the put: checks the expected checksum and atomically makes this the object of its name.
    ///
    /// On return the object survives the end of the process. On error the object of that name is what
    /// it was; after [`StoreError::Index`] alone, that is certain only after a restart.
    pub fn finish(mut self) -> Result<ObjectMeta, StoreError> {
        let hasher = std::mem::replace(&mut self.hasher, Hasher::new(ChecksumType::None));
        let checksum = hasher.finish();
        self.check_expected(&checksum)?;
        if !self.parts.is_empty() {
            let describe = BlobWriter::for_description;
            let main = describe(Arc::clone(&self.home))?;
            let seats = self.store.set().ranked(&self.uname, self.options.copies);
            let copies = seats.into_iter().skip(1).map(describe).collect::<Result<Vec<_>, _>>()?;
            self.publish_part(main, copies)?;
        }

        let store = Arc::clone(&self.store);
        let _open = self.enter_at_home(&store)?;
        let _name = store.lock_name(self.bid, &self.name);
        store.check_unsealed(self.bid, &self.name)?;
        self.home.check_writable()?;
        let key = codec::key(self.bid, &self.name);
        let old = store.locate(&self.uname, &key)?;
        self.options.check(&self.name, || Ok(old.clone()))?;
        let version = self.options.next_version(old.as_ref().map(|(_, old)| old));
        let meta = ObjectMeta {
            size: self.size,
            checksum_type: self.options.checksum,
            checksum,
            atime_ns: self.options.now_ns,
            mtime_ns: self.options.now_ns,
            version,
            custom: std::mem::take(&mut self.options.custom),
            blob: self.home.next_id(old.as_ref().map_or(BlobId(0), |(_, old)| old.blob))?,
            chunked: !self.parts.is_empty(),
            parts: self.parts.clone(),
            ..ObjectMeta::default()
        };
        let before = store.survey_for(&key, old.as_ref().map(|(_, old)| old))?;
        store.keep(&meta.parts);
        store.settle_parts(self.bid, &self.home, &meta.parts)?;
        let (meta, copies) = self.publish_all(meta)?;
        step!("put: published");
        // From here on the parts may belong to the object: dropping the writer must not remove them.
        self.parts.clear();
        let entries = copies
            .into_iter()
            .map(|(mountpath, value)| mountpath.commit(Change::Set { key: key.clone(), value }));
        let committed = entries.collect::<Result<Vec<()>, _>>();
        if let Err(error) = committed {
            // What the index holds is known at the next start only, which sweeps what is not in use.
            let homes = self.copies.iter().map(BlobWriter::mountpath).chain(&self.homes);
            homes.chain([&self.home]).for_each(|home| home.leave_unswept());
            return Err(error);
        }
        step!("put: copies committed");
        store.replace(&self.home, &key, &meta, old, before.as_ref())?;
        Ok(meta)
    }

    /// Gives all blobs their final names, or none: the object's and those of its copies, whose entries are
    /// returned. Nothing is known to any index before.
    fn publish_all(&mut self, mut meta: ObjectMeta) -> Result<(ObjectMeta, Entries), StoreError> {
        let main = Place { mountpath: self.home.digest, blob: meta.blob };
        let role = Role::Copy { main };
        let mut entries = Vec::with_capacity(self.copies.len());
        let mut published = || -> Result<(), StoreError> {
            for copy in &mut self.copies {
                let mountpath = Arc::clone(copy.mountpath());
                let blob = mountpath.next_id(meta.blob)?;
                let entry = ObjectMeta { blob, copies: Vec::new(), ..meta.clone() };
                let trailer = trailer::encode(role, self.bid, &self.name, &entry);
                copy.publish(&trailer, (self.bid, blob))?;
                step!("put: copy published");
                meta.copies.push(Place { mountpath: mountpath.digest, blob });
                entries.push((mountpath, codec::encode_entry(role, &entry)));
            }
            let trailer = trailer::encode(Role::Object, self.bid, &self.name, &meta);
            self.blob.publish(&trailer, (self.bid, meta.blob))
        };
        if let Err(error) = published() {
            for ((mountpath, _), place) in entries.iter().zip(&meta.copies) {
                mountpath.discard(place.blob);
            }
            return Err(error);
        }
        Ok((meta, entries))
    }

    /// Enters the store with what was written on the mountpath where the object belongs now, which may
    /// have changed since the put began.
    fn enter_at_home<'s>(
        &mut self,
        store: &'s Shared,
    ) -> Result<RwLockReadGuard<'s, bool>, StoreError> {
        for _ in 0..RELOCATIONS {
            self.relocate_parts()?;
            let open = store.enter()?;
            if !self.stranded(&store.set()).is_empty() {
                continue;
            }
            let mut seats = store.set().ranked(&self.uname, self.options.copies.max(1));
            let home = Arc::clone(store.set().own(&self.uname));
            seats.retain(|seat| !Arc::ptr_eq(seat, &home));
            // A mountpath that came meanwhile gets its copy from the resilver that follows.
            seats.truncate(self.copies.len());
            let same =
                |(seat, copy): (&SharedMountpath, &BlobWriter)| Arc::ptr_eq(seat, copy.mountpath());
            if Arc::ptr_eq(&home, &self.home) && seats.iter().zip(&self.copies).all(same) {
                self.copies.truncate(seats.len());
                return Ok(open);
            }
            // Not while the store is held: copying may take long.
            drop(open);
            if !Arc::ptr_eq(&home, &self.home) {
                self.blob.relocate(Arc::clone(&home))?;
                self.home = home;
            }
            self.relocate_copies(seats)?;
        }
        let reason = "the mountpaths changed too often during the upload: send it again";
        Err(StoreError::Invalid(reason.to_owned()))
    }

    /// Moves the copies to these mountpaths.
    fn relocate_copies(&mut self, seats: Vec<SharedMountpath>) -> Result<(), StoreError> {
        self.copies.truncate(seats.len());
        for (seat, copy) in seats.into_iter().zip(&mut self.copies) {
            if !Arc::ptr_eq(&seat, copy.mountpath()) {
                copy.relocate(seat)?;
            }
        }
        Ok(())
    }

    /// Parts of which no copy is on a mountpath in use any more.
    fn stranded(&self, set: &MountpathSet) -> Vec<usize> {
        let there = |place: &Place| set.by_digest(place.mountpath).is_some();
        let lost = self.parts.iter().enumerate().filter(|(_, part)| !part.places.iter().any(there));
        lost.map(|(index, _)| index).collect()
    }

    /// Copies parts from mountpaths that left meanwhile.
    fn relocate_parts(&mut self) -> Result<(), StoreError> {
        let set = self.store.set();
        for index in self.stranded(&set) {
            let Some(part) = self.parts.get_mut(index) else { continue };
            let sources: Vec<_> = part
                .places
                .iter()
                .filter_map(|place| {
                    let home = self.homes.iter().find(|home| home.digest == place.mountpath)?;
                    Some((Arc::clone(home), place.blob))
                })
                .collect();
            let home = set.spread(&self.uname, index + 1);
            let object = Named { bid: self.bid, uname: &self.uname, name: &self.name };
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            let moving = (&ObjectMeta::default(), &*part);
            let cancel = AtomicBool::new(false);
            let blob = copy_part(object, number, moving, &sources, home, &cancel)?;
            part.places = vec![Place { mountpath: home.digest, blob }];
            for (mountpath, blob) in sources {
                mountpath.discard(blob);
            }
            if !self.homes.iter().any(|known| Arc::ptr_eq(known, home)) {
                self.homes.push(Arc::clone(home));
            }
        }
        Ok(())
    }

    fn check_expected(&mut self, computed: &str) -> Result<(), StoreError> {
        let Some((kind, expected)) = self.options.expected.take() else { return Ok(()) };
        let computed = match self.second.take() {
            Some(second) => second.finish(),
            None => computed.to_owned(),
        };
        if kind == ChecksumType::None || expected.eq_ignore_ascii_case(&computed) {
            return Ok(());
        }
        Err(StoreError::Checksum { kind, expected, computed })
    }
}

impl Drop for ObjectWriter {
    fn drop(&mut self) {
        for place in self.parts.drain(..).flat_map(|part| part.places) {
            if let Some(home) = self.homes.iter().find(|home| home.digest == place.mountpath) {
                home.discard(place.blob);
            }
        }
    }
}

/// Gives a written part its final name.
pub(crate) fn publish_part(
    blob: &mut BlobWriter,
    role: Role,
    bid: u64,
    name: &str,
    crc32c: u32,
) -> Result<Part, StoreError> {
    let mountpath = Arc::clone(blob.mountpath());
    let meta = ObjectMeta {
        size: blob.size(),
        checksum_type: ChecksumType::Crc32c,
        checksum: format!("{crc32c:08x}"),
        blob: mountpath.next_id(BlobId(0))?,
        ..ObjectMeta::default()
    };
    blob.publish(&trailer::encode(role, bid, name, &meta), (bid, meta.blob))?;
    // What names a part may be committed elsewhere.
    mountpath.settle_blobs(bid)?;
    let place = Place { mountpath: mountpath.digest, blob: meta.blob };
    step!("put: place of a part committed");
    Ok(Part { size: meta.size, crc32c, places: vec![place] })
}

/// Writes a blob that holds no payload, only what `meta` says.
pub(crate) fn publish_manifest(
    mountpath: &SharedMountpath,
    role: Role,
    bid: u64,
    name: &str,
    meta: &ObjectMeta,
) -> Result<BlobId, StoreError> {
    let mut blob = BlobWriter::for_description(Arc::clone(mountpath))?;
    blob.publish(&trailer::encode(role, bid, name, meta), (bid, meta.blob))?;
    // What is recorded of it may be committed elsewhere first.
    mountpath.settle_blobs(bid)?;
    Ok(meta.blob)
}

pub(crate) fn check_custom(
    name: &str,
    custom: &std::collections::BTreeMap<String, String>,
) -> Result<(), StoreError> {
    let custom: usize = custom.iter().map(|(key, value)| key.len() + value.len()).sum();
    if custom > MAX_CUSTOM_BYTES {
        return Err(StoreError::Invalid(format!(
            "custom metadata of \"{name}\" has {custom} bytes, the limit is {MAX_CUSTOM_BYTES}"
        )));
    }
    Ok(())
}
