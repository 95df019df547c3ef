//! From the assembled stream to the format that the client asked for.
//!
//! A plain TAR passes through. Compressed ones are squeezed piece by piece on the blocking pool, each piece
//! flushed, so that what was assembled can be read. A ZIP is made out of frames: their headers say where
//! entries begin, so checksums and sizes go behind the data.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

use aistore_core::error::ApiError;
use aistore_core::frames::{HEADER_BYTES, Header};
use aistore_core::zip_stream::ZipWriter;
use bytes::{Buf as _, Bytes};
use flate2::Compression;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};

use super::assemble::Assembler;
use super::layout::Layout;
use super::plan::Plan;
use crate::target::archive::Format;
use crate::target::buffers::Pieces;
use crate::tasks::lost_task;

/// Data of an entry that is sent without a copy.
const PASS_THROUGH_BYTES: usize = 32 << 10;
/// What the squeezed bytes of one piece take, at most, beside the assembler's own buffers.
const PACKED_BUFFERS: u64 = 2;

/// The stream that a batch of some format is assembled as.
pub(crate) fn layout_of(format: Format, only_object_name: bool) -> Layout {
    match format {
        Format::Zip => Layout::Frames,
        Format::Tar | Format::TarGz | Format::TarLz4 => Layout::Tar { only_object_name },
    }
}

/// What answers of a format are called.
pub(crate) fn content_type(format: Format) -> &'static str {
    match format {
        Format::Tar => "application/x-tar",
        Format::TarGz => "application/gzip",
        Format::TarLz4 => "application/x-lz4",
        Format::Zip => "application/zip",
    }
}

/// A batch in the making, in its final format.
pub(crate) struct Packed {
    assembler: Assembler,
    packer: Packer,
    pieces: Pieces,
    ready: VecDeque<Bytes>,
    ended: bool,
}

enum Packer {
    /// Nothing is to be done.
    Plain,
    /// `None` while it is at work, and after a failure.
    Squeeze(Option<Box<Squeezer>>),
    Zip(Box<Zipper>),
}

impl Packed {
    /// The assembler's stream as it is.
    pub(crate) fn plain(assembler: Assembler, pieces: Pieces) -> Self {
        Self::with(assembler, Packer::Plain, pieces)
    }

    /// A batch in `format`; the assembler works in the layout that [`layout_of`] says.
    pub(super) fn new(
        assembler: Assembler,
        format: Format,
        only_object_name: bool,
        pieces: Pieces,
    ) -> Self {
        let packer = match format {
            Format::Tar => Packer::Plain,
            Format::TarGz => Packer::Squeeze(Some(Box::new(Squeezer::gzip()))),
            Format::TarLz4 => Packer::Squeeze(Some(Box::new(Squeezer::lz4()))),
            Format::Zip => {
                let plan = assembler.shared_plan();
                Packer::Zip(Box::new(Zipper::new(plan, only_object_name)))
            }
        };
        Self::with(assembler, packer, pieces)
    }

    fn with(assembler: Assembler, packer: Packer, pieces: Pieces) -> Self {
        Self { assembler, packer, pieces, ready: VecDeque::new(), ended: false }
    }

    pub(crate) fn assembler(&self) -> &Assembler {
        &self.assembler
    }

    /// The next piece of the answer, `None` after its end. As [`Assembler::next`].
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        if let Packer::Plain = self.packer {
            return self.assembler.next().await;
        }
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            if self.ended {
                return Ok(None);
            }
            self.pieces.room(PACKED_BUFFERS).await;
            let piece = self.assembler.next().await?;
            self.ended = piece.is_none();
            match &mut self.packer {
                Packer::Plain => self.ready.extend(piece),
                Packer::Squeeze(squeezer) => {
                    let Some(mut working) = squeezer.take() else {
                        return Err(ApiError::internal("batch: its compressor has failed before"));
                    };
                    let worked = tokio::task::spawn_blocking(move || {
                        let out = match piece {
                            Some(piece) => working.push(&piece),
                            None => return working.finish().map(|out| (None, out)),
                        };
                        out.map(|out| (Some(working), out))
                    });
                    let (working, out) =
                        worked.await.map_err(|err| lost_task(&err))?.map_err(|err| {
                            ApiError::internal(format!("batch: compressing failed: {err}"))
                        })?;
                    *squeezer = working;
                    lease(&self.pieces, &out, &mut self.ready);
                }
                Packer::Zip(zipper) => match piece {
                    Some(piece) => {
                        let mut sink = Sink::new(&self.pieces, &mut self.ready);
                        zipper.push(piece, &mut sink)?;
                        sink.flush();
                    }
                    None => lease(&self.pieces, &zipper.finish()?, &mut self.ready),
                },
            }
        }
    }
}

/// Copies bytes into memory that is counted for this answer.
fn lease(pieces: &Pieces, mut bytes: &[u8], ready: &mut VecDeque<Bytes>) {
    while !bytes.is_empty() {
        let mut space = pieces.any_space(bytes.len() as u64);
        let room = space.bytes();
        let Some((now, later)) = bytes.split_at_checked(room.len()) else { return };
        room.copy_from_slice(now);
        ready.push_back(space.freeze(now.len()));
        bytes = later;
    }
}

enum Squeezer {
    Gzip(GzEncoder<Vec<u8>>),
    Lz4(FrameEncoder<Vec<u8>>),
}

impl Squeezer {
    fn gzip() -> Self {
        Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast()))
    }

    fn lz4() -> Self {
        let info = FrameInfo::new().block_size(BlockSize::Max256KB);
        Self::Lz4(FrameEncoder::with_frame_info(info, Vec::new()))
    }

    /// Squeezes a piece; returns all that it became.
    fn push(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => {
                encoder.write_all(piece)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Lz4(encoder) => {
                encoder.write_all(piece)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Lz4(encoder) => Ok(encoder.finish()?),
        }
    }
}

/// Gathers small writes.
struct Sink<'a> {
    pieces: &'a Pieces,
    ready: &'a mut VecDeque<Bytes>,
    small: Vec<u8>,
}

impl<'a> Sink<'a> {
    fn new(pieces: &'a Pieces, ready: &'a mut VecDeque<Bytes>) -> Self {
        Self { pieces, ready, small: Vec::new() }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
    }

    fn pass(&mut self, bytes: Bytes) {
        if bytes.len() < PASS_THROUGH_BYTES {
            return self.put(&bytes);
        }
        self.flush();
        self.ready.push_back(bytes);
    }

    fn flush(&mut self) {
        lease(self.pieces, &self.small, self.ready);
        self.small.clear();
    }
}

/// Turns frames into a ZIP archive.
struct Zipper {
    plan: Arc<Plan>,
    only_object_name: bool,
    writer: ZipWriter,
    header: [u8; HEADER_BYTES],
    have: usize,
    /// Bytes of the current payload still to come, and whether they are data or a message.
    payload: Option<(u64, bool)>,
    entries: usize,
    complete: bool,
}

impl Zipper {
    fn new(plan: Arc<Plan>, only_object_name: bool) -> Self {
        Self {
            plan,
            only_object_name,
            writer: ZipWriter::default(),
            header: [0; HEADER_BYTES],
            have: 0,
            payload: None,
            entries: 0,
            complete: false,
        }
    }

    fn push(&mut self, mut piece: Bytes, sink: &mut Sink<'_>) -> Result<(), ApiError> {
        loop {
            if let Some((left, is_data)) = self.payload {
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
                let part = piece.split_to(take);
                if is_data {
                    self.writer.data(&part);
                    sink.pass(part);
                }
                if left > take as u64 {
                    self.payload = Some((left - take as u64, is_data));
                    return Ok(());
                }
                self.payload = None;
                sink.put(&self.writer.end());
            }
            let take = (HEADER_BYTES - self.have).min(piece.len());
            let room = self.header.get_mut(self.have..self.have + take).unwrap_or_default();
            room.copy_from_slice(piece.get(..take).unwrap_or_default());
            piece.advance(take);
            self.have += take;
            if self.have < HEADER_BYTES {
                return Ok(());
            }
            self.have = 0;
            let header = Header::decode(&self.header).map_err(|err| broken(&err.to_string()))?;
            self.start(header, sink)?;
        }
    }

    fn start(&mut self, header: Header, sink: &mut Sink<'_>) -> Result<(), ApiError> {
        if header.is_end() {
            self.complete = true;
            return Ok(());
        }
        let at = usize::try_from(header.index).unwrap_or(usize::MAX);
        let Some(entry) = self.plan.entries.get(at).filter(|_| at == self.entries) else {
            return Err(broken("entries out of order"));
        };
        let is_data = header.status == 0;
        let name = entry.wanted.archive_name(self.only_object_name, !is_data);
        sink.put(&self.writer.begin(&name));
        self.entries += 1;
        self.payload = Some((header.length, is_data));
        Ok(())
    }

    /// The end of the archive.
    fn finish(&mut self) -> Result<Vec<u8>, ApiError> {
        if !self.complete || self.entries != self.plan.entries.len() {
            return Err(broken("it ended early"));
        }
        let comment = format!("complete batch of {} entries", self.entries);
        Ok(std::mem::take(&mut self.writer).finish(&comment))
    }
}

fn broken(what: &str) -> ApiError {
    ApiError::internal(format!("batch: the stream of its entries is malformed: {what}"))
}
