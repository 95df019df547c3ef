//! Cuts of recordings: opened and decoded where the recording lies, on the blocking pool.
//!
//! A cut is complete before anything of it is sent, so that what is wrong with a recording costs its entry and not
//! the batch. Its memory is counted before it is decoded: ahead of time only while there is plenty.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use aistore_audio::{AudioError, Planned, Recording, Source};
use aistore_core::cut::Cut;
use aistore_core::error::ApiError;
use aistore_core::units::human_size;
use bytes::Bytes;

use crate::memory::{Budget, Permit, Purpose};
use crate::target::archive::{Gone, Packed, unpack_failure};
use crate::target::buffers::Pieces;
use crate::target::failure::read_failure;
use crate::target::objects::Objects;
use crate::target::read::Extent;
use crate::tasks::lost_task;

/// What a decoder holds besides the cut: a packet of many channels in three forms, a window of the file, titles.
const DECODER_BYTES: u64 = 4 << 20;
/// Largest recording that is unpacked to be cut.
const MAX_UNPACKED_BYTES: u64 = 256 << 20;
/// Parts of the memory for cuts that one cut, and the one recording that is unpacked, may have. A quarter more goes to
/// cuts that are made ahead, so none of these waits for another that waits.
const CUT_DIVISOR: u64 = 2;
const UNPACKED_DIVISOR: u64 = 4;

/// A cut whose recording was opened.
pub(crate) struct Opened {
    recording: Recording,
    planned: Planned,
    cname: String,
    mtime_s: u64,
}

/// A cut, ready to be sent.
pub(crate) struct Made {
    pub(crate) bytes: Bytes,
    pub(crate) mtime_s: u64,
}

impl Opened {
    /// Reads the header of a recording and finds the cut in it. Blocks on the disk.
    pub(crate) fn open(
        source: Box<dyn Source>,
        cut: &Cut,
        cname: String,
        mtime_s: u64,
    ) -> Result<Self, ApiError> {
        let opened = guarded(|| {
            let recording = aistore_audio::open(source)?;
            let planned = recording.plan(cut)?;
            Ok((recording, planned))
        });
        match opened {
            Ok((recording, planned)) => Ok(Self { recording, planned, cname, mtime_s }),
            Err(err) => Err(failure(&err, &cname)),
        }
    }

    /// The same of a recording that lies compressed in a shard. Decoders seek, so it is unpacked into memory.
    pub(crate) async fn unpack(
        packed: Packed,
        cut: Box<Cut>,
        cname: String,
        mtime_s: u64,
        pieces: &Pieces,
        objects: &Objects,
    ) -> Result<Self, ApiError> {
        if packed.size > MAX_UNPACKED_BYTES {
            return Err(ApiError::new(
                422,
                "",
                format!(
                    "{cname}: a recording of {} bytes inside a compressed shard cannot be cut, at most {MAX_UNPACKED_BYTES} are unpacked: keep it in a plain .tar",
                    packed.size
                ),
            ));
        }
        let permit = take(pieces.budget(), packed.size, UNPACKED_DIVISOR, &cname).await?;
        let turn = objects.searching().await;
        let opened = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let mut bytes = vec![0; usize::try_from(packed.size).unwrap_or_default()];
            let mut data = packed.data;
            data.read_exact(&mut bytes)
                .map_err(|err| of_this_entry(unpack_failure(&err, &cname)))?;
            let bytes = permit.attach(bytes.into());
            Self::open(Box::new(Cursor::new(bytes)), &cut, cname, mtime_s)
        });
        opened.await.map_err(|err| lost_task(&err))?
    }

    fn memory(&self) -> u64 {
        self.planned.bytes + DECODER_BYTES
    }

    /// Decodes the cut if there is plenty of memory. Blocks on disk and processor.
    pub(crate) fn make_ahead(self, pieces: &Pieces) -> Result<Result<Made, ApiError>, Box<Self>> {
        match pieces.budget().spare(Purpose::Cuts, self.memory()) {
            Some(permit) => Ok(self.make(permit)),
            None => Err(Box::new(self)),
        }
    }

    /// Decodes the cut, waiting for memory.
    pub(crate) async fn make_late(
        self,
        pieces: &Pieces,
        objects: &Objects,
    ) -> Result<Made, ApiError> {
        let memory = self.memory();
        let permit = take(pieces.budget(), memory, CUT_DIVISOR, &self.cname).await?;
        let turn = objects.searching().await;
        let made = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            self.make(permit)
        });
        made.await.map_err(|err| lost_task(&err))?
    }

    /// Blocks on disk and processor.
    fn make(self, mut permit: Permit) -> Result<Made, ApiError> {
        let Self { recording, planned, cname, mtime_s } = self;
        let bytes =
            guarded(move || recording.read(&planned)).map_err(|err| failure(&err, &cname))?;
        permit.shrink(bytes.capacity() as u64);
        Ok(Made { bytes: permit.attach(bytes.into()), mtime_s })
    }
}

/// Waits for memory that may be so large a part of that for all cuts.
async fn take(budget: &Budget, bytes: u64, divisor: u64, cname: &str) -> Result<Permit, ApiError> {
    let most = budget.share(Purpose::Cuts) / divisor;
    if bytes > most {
        let (bytes, most) = (human_size(bytes), human_size(most));
        return Err(ApiError::new(
            422,
            "",
            format!(
                "{cname}: takes {bytes} of memory to be cut, and this node has {most} for one: ask for a shorter cut, or raise the node's --memory"
            ),
        ));
    }
    budget.take_late(Purpose::Cuts, bytes, cname).await
}

/// Decoders are made by others: one that panics has met a damaged recording.
fn guarded<T>(work: impl FnOnce() -> Result<T, AudioError>) -> Result<T, AudioError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(AudioError::Damaged("its decoder gave up".to_owned())))
}

/// What is wrong with one recording ends nothing else.
pub(crate) fn of_this_entry(error: ApiError) -> ApiError {
    if error.status == 400 { ApiError { status: 422, ..error } } else { error }
}

fn failure(err: &AudioError, cname: &str) -> ApiError {
    let status = match err {
        AudioError::Io(err) if err.kind() == io::ErrorKind::ConnectionAborted => 503,
        AudioError::Io(err) => return read_failure(err, cname),
        AudioError::PastEnd { .. } | AudioError::TooLong { .. } => 416,
        _ => 422,
    };
    ApiError::new(status, "", format!("{cname}: {err}"))
}

/// A recording on this node's disks. Decoders read it in pieces of their own.
pub(crate) struct Stored {
    whole: Extent,
    at: u64,
    gone: Gone,
}

impl Stored {
    /// The recording, until nobody waits for its cut.
    pub(crate) fn boxed(whole: Extent, gone: Gone) -> Box<dyn Source> {
        Box::new(Self { whole, at: 0, gone })
    }
}

impl Read for Stored {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.gone.check()?;
        let mut rest = self.whole.part(self.at, buf.len() as u64);
        let length = usize::try_from(rest.length()).unwrap_or(usize::MAX).min(buf.len());
        rest.read_exact(buf.get_mut(..length).unwrap_or_default())?;
        self.at += length as u64;
        Ok(length)
    }
}

impl Seek for Stored {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.whole.length().checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a place before the recording's start")
        })?;
        Ok(self.at)
    }
}

impl Source for Stored {
    fn size(&self) -> u64 {
        self.whole.length()
    }
}
