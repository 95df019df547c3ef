//! Writing one object.

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::sync::{Arc, RwLockReadGuard};

use aistore_core::checksum::{ChecksumType, Hasher};

use crate::codec;
use crate::config::PutOptions;
use crate::error::StoreError;
use crate::index::Change;
use crate::meta::{BlobId, MAX_CUSTOM_BYTES, ObjectMeta, Role};
use crate::mountpath::SharedMountpath;
use crate::shared::Shared;
use crate::trailer;

/// Payload up to this size is held back until the end, so that a small object is written, trailer
/// included, by one system call.
const BUFFER_BYTES: usize = 64 * 1024;
/// How often a stream without a size hint looks at the free space, in bytes written.
const SPACE_CHECK_BYTES: u64 = 16 * 1024 * 1024;
/// How often a put follows its object to another mountpath.
const RELOCATIONS: usize = 16;

/// A put in progress. Dropping it aborts the put and leaves nothing behind.
///
/// Memory: at most 64 KiB, whatever the object's size.
pub struct ObjectWriter {
    store: Arc<Shared>,
    mountpath: SharedMountpath,
    bid: u64,
    uname: String,
    name: String,
    options: PutOptions,
    hasher: Hasher,
    /// Computes the expected checksum where it is of another type than the stored one.
    second: Option<Hasher>,
    buffer: Vec<u8>,
    file: Option<TmpFile>,
    size: u64,
    checked: u64,
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
        let custom: usize = options.custom.iter().map(|(key, value)| key.len() + value.len()).sum();
        if custom > MAX_CUSTOM_BYTES {
            return Err(StoreError::Invalid(format!(
                "custom metadata of \"{name}\" has {custom} bytes, the limit is {MAX_CUSTOM_BYTES}"
            )));
        }
        let mountpath = Arc::clone(store.set().own(uname));
        mountpath.check_writable()?;
        let hint = options.size_hint.unwrap_or(0);
        mountpath.space.check(&mountpath.files, hint)?;
        let second = match &options.expected {
            Some((kind, _)) if *kind != options.checksum && *kind != ChecksumType::None => {
                Some(Hasher::new(*kind))
            }
            _ => None,
        };
        let hinted = usize::try_from(hint).unwrap_or(usize::MAX);
        let buffer = Vec::with_capacity(if hinted <= BUFFER_BYTES { hinted } else { 0 });
        let hasher = Hasher::new(options.checksum);
        Ok(Self {
            store,
            mountpath,
            bid,
            uname: uname.to_owned(),
            name: name.to_owned(),
            options,
            hasher,
            second,
            buffer,
            file: None,
            size: 0,
            checked: hint,
        })
    }

    /// Appends bytes to the payload.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSpace`], [`StoreError::ReadOnly`] or [`StoreError::Io`]. After one the put cannot
    /// be completed: drop the writer.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hasher.update(bytes);
        if let Some(second) = &mut self.second {
            second.update(bytes);
        }
        self.size += bytes.len() as u64;
        if self.buffer.len() + bytes.len() <= BUFFER_BYTES {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        if self.size > self.checked {
            self.mountpath.space.check(&self.mountpath.files, SPACE_CHECK_BYTES)?;
            self.checked = self.size + SPACE_CHECK_BYTES;
        }
        let buffer = std::mem::take(&mut self.buffer);
        self.file()?.append(&buffer, bytes)
    }

    /// Payload bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Ends the put: checks the expected checksum and atomically makes this the object of its name.
    ///
    /// On return the object survives the end of the process. On error the object of that name is what
    /// it was; after [`StoreError::Index`] alone, that is certain only after a restart.
    pub fn finish(mut self) -> Result<ObjectMeta, StoreError> {
        let hasher = std::mem::replace(&mut self.hasher, Hasher::new(ChecksumType::None));
        let checksum = hasher.finish();
        self.check_expected(&checksum)?;

        let store = Arc::clone(&self.store);
        let _open = self.enter_at_home(&store)?;
        let _name = store.lock_name(self.bid, &self.name);
        let mountpath = Arc::clone(&self.mountpath);
        mountpath.check_writable()?;
        let key = codec::key(self.bid, &self.name);
        let old = store.locate(&self.uname, &key)?;
        let version = match &old {
            _ if !self.options.versioned => 0,
            Some((_, old)) => old.version + 1,
            None => 1,
        };
        let meta = ObjectMeta {
            size: self.size,
            checksum_type: self.options.checksum,
            checksum,
            atime_ns: self.options.now_ns,
            mtime_ns: self.options.now_ns,
            version,
            custom: std::mem::take(&mut self.options.custom),
            blob: mountpath.next_id(old.as_ref().map_or(BlobId(0), |(_, old)| old.blob))?,
            ..ObjectMeta::default()
        };
        self.seal(&meta)?;
        mountpath.commit(Change::Set { key: key.clone(), value: codec::encode_value(&meta) })?;
        if let Some((place, old)) = old {
            Shared::retire(&mountpath, &place, key, old.blob)?;
        }
        Ok(meta)
    }

    /// Enters the store with what was written on the mountpath where the object belongs now, which may
    /// have changed since the put began.
    fn enter_at_home<'s>(
        &mut self,
        store: &'s Shared,
    ) -> Result<RwLockReadGuard<'s, bool>, StoreError> {
        for _ in 0..RELOCATIONS {
            let open = store.enter()?;
            let home = Arc::clone(store.set().own(&self.uname));
            if Arc::ptr_eq(&home, &self.mountpath) {
                return Ok(open);
            }
            // Not while the store is held: copying may take long.
            drop(open);
            self.relocate(home)?;
        }
        let reason = "the mountpaths changed too often during the upload: send it again";
        Err(StoreError::Invalid(reason.to_owned()))
    }

    /// Moves what was written so far to another mountpath.
    fn relocate(&mut self, home: SharedMountpath) -> Result<(), StoreError> {
        home.check_writable()?;
        home.space.check(&home.files, self.size)?;
        if let Some(written) = self.file.take() {
            let mut file = TmpFile::create(Arc::clone(&home))?;
            written.copy_to(&mut file)?;
            self.file = Some(file);
        }
        self.mountpath = home;
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

    /// Writes what is held back and the trailer, and gives the file its final name.
    fn seal(&mut self, meta: &ObjectMeta) -> Result<(), StoreError> {
        let trailer = trailer::encode(Role::Object, self.bid, &self.name, meta);
        let buffer = std::mem::take(&mut self.buffer);
        self.file()?.append(&buffer, &trailer)?;
        match self.file.take() {
            Some(file) => file.publish(meta.blob),
            None => Ok(()),
        }
    }

    fn file(&mut self) -> Result<&mut TmpFile, StoreError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => TmpFile::create(Arc::clone(&self.mountpath))?,
        };
        Ok(self.file.insert(file))
    }
}

/// A file under `tmp/`, removed on drop unless published.
struct TmpFile {
    mountpath: SharedMountpath,
    name: Option<String>,
    file: File,
}

impl TmpFile {
    fn create(mountpath: SharedMountpath) -> Result<Self, StoreError> {
        let (name, file) = mountpath.files.create_tmp()?;
        Ok(Self { mountpath, name: Some(name), file })
    }

    fn append(&mut self, first: &[u8], second: &[u8]) -> Result<(), StoreError> {
        write_both(&mut self.file, first, second)
            .map_err(|source| StoreError::io(self.mountpath.path(), "write to", source))
    }

    /// Appends everything written so far to `other`.
    fn copy_to(&self, other: &mut Self) -> Result<(), StoreError> {
        let Some(name) = &self.name else { return Ok(()) };
        let mut written = self.mountpath.files.open_tmp(name)?;
        io::copy(&mut written, &mut other.file)
            .map_err(|source| StoreError::io(other.mountpath.path(), "write to", source))?;
        Ok(())
    }

    fn publish(mut self, blob: BlobId) -> Result<(), StoreError> {
        if let Some(name) = &self.name {
            self.mountpath.files.publish(name, blob)?;
        }
        self.name = None;
        Ok(())
    }
}

impl Drop for TmpFile {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            self.mountpath.files.remove_tmp(name);
        }
    }
}

fn write_both(file: &mut File, mut first: &[u8], mut second: &[u8]) -> io::Result<()> {
    while !first.is_empty() {
        match file.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                second = second.get(written.saturating_sub(first.len())..).unwrap_or_default();
                first = first.get(written..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    file.write_all(second)
}
