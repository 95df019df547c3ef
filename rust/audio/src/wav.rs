//! WAV: a header, and frames of equal size, so that any cut is a range of bytes.

use std::io::SeekFrom;

use crate::error::AudioError;
use crate::output::Writer;
use crate::recording::Source;
use crate::sample::Sample;

/// Most chunks before the samples.
const MAX_CHUNKS: usize = 1024;
/// Most bytes of the description of the format that are looked at.
const FORMAT_BYTES: usize = 40;
/// Samples are read in pieces of about this size.
const PIECE_BYTES: usize = 128 << 10;

const TAG_PCM: u16 = 1;
const TAG_FLOAT: u16 = 3;
const TAG_EXTENSIBLE: u16 = 0xFFFE;

/// Rate, channels, samples.
type Format = (u32, u16, Sample);

/// A WAV file whose header was read.
pub(crate) struct Wav {
    source: Box<dyn Source>,
    data: u64,
    frames: u64,
    frame_bytes: usize,
}

impl Wav {
    /// Reads the header; the source stands at its start.
    pub(crate) fn open(mut source: Box<dyn Source>) -> Result<(Self, Format), AudioError> {
        let size = source.size();
        let mut at = 12;
        let mut format = None;
        let mut long_data = None;
        for _ in 0..MAX_CHUNKS {
            source.seek(SeekFrom::Start(at))?;
            let mut head = [0; 8];
            source.read_exact(&mut head).map_err(AudioError::reading)?;
            let (name, length) = head.split_at(4);
            let length = length.try_into().map_or(0, u32::from_le_bytes);
            at += 8;
            match name {
                b"fmt " => format = Some(read_format(&mut *source, length)?),
                b"ds64" if length >= 16 => {
                    let mut sizes = [0; 16];
                    source.read_exact(&mut sizes).map_err(AudioError::reading)?;
                    let (_, of_data) = sizes.split_at(8);
                    long_data = of_data.try_into().ok().map(u64::from_le_bytes);
                }
                b"data" => {
                    let Some(format) = format else {
                        return Err(AudioError::damaged("its samples come before their format"));
                    };
                    let (_, channels, sample) = format;
                    let frame_bytes = usize::from(channels) * sample.bytes();
                    // Recorders that are killed leave 0 or the largest number.
                    let claimed = match (length, long_data) {
                        (u32::MAX, Some(long)) => long,
                        (0 | u32::MAX, _) => u64::MAX,
                        (length, _) => u64::from(length),
                    };
                    let there = size.saturating_sub(at);
                    if claimed != u64::MAX && claimed > there {
                        return Err(AudioError::damaged(format!(
                            "it has {there} bytes of samples, and says that it has {claimed}"
                        )));
                    }
                    let frames =
                        claimed.min(there).checked_div(frame_bytes as u64).unwrap_or_default();
                    return Ok((Self { source, data: at, frames, frame_bytes }, format));
                }
                _ => {}
            }
            at = at.saturating_add(u64::from(length)).saturating_add(u64::from(length % 2));
            if at >= size {
                return Err(AudioError::damaged("it has no samples"));
            }
        }
        Err(AudioError::damaged(format!("more than {MAX_CHUNKS} chunks precede its samples")))
    }

    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Reads frames that are there.
    pub(crate) fn read(
        &mut self,
        from: u64,
        frames: Option<u64>,
        out: &mut Writer,
    ) -> Result<(), AudioError> {
        let frames = frames.unwrap_or_else(|| self.frames.saturating_sub(from));
        let width = self.frame_bytes as u64;
        self.source.seek(SeekFrom::Start(self.data + from * width))?;
        let per_piece = (PIECE_BYTES / self.frame_bytes).max(1);
        let mut piece = vec![0; per_piece * self.frame_bytes];
        let mut left = frames;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(per_piece);
            let bytes = piece.get_mut(..now * self.frame_bytes).unwrap_or_default();
            self.source.read_exact(bytes).map_err(AudioError::reading)?;
            out.put_stored(bytes);
            left -= now as u64;
        }
        Ok(())
    }
}

fn read_format(source: &mut dyn Source, length: u32) -> Result<Format, AudioError> {
    let mut bytes = [0; FORMAT_BYTES];
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(FORMAT_BYTES);
    if length < 16 {
        return Err(AudioError::damaged(format!("its format takes {length} bytes")));
    }
    let head = bytes.get_mut(..length).unwrap_or_default();
    source.read_exact(head).map_err(AudioError::reading)?;
    let short = |at: usize| {
        let pair = bytes.get(at..at + 2).and_then(|pair| pair.try_into().ok());
        u16::from_le_bytes(pair.unwrap_or_default())
    };
    let (mut tag, channels, align, bits) = (short(0), short(2), short(12), short(14));
    let rate = u32::from(short(4)) | u32::from(short(6)) << 16;
    if tag == TAG_EXTENSIBLE {
        tag = short(24);
    }
    let sample = match (tag, bits) {
        (TAG_PCM, 8) => Sample::U8,
        (TAG_PCM, 16) => Sample::I16,
        (TAG_PCM, 24) => Sample::I24,
        (TAG_PCM, 32) => Sample::I32,
        (TAG_FLOAT, 32) => Sample::F32,
        (TAG_FLOAT, 64) => Sample::F64,
        _ => {
            return Err(AudioError::Unsupported(format!("WAV of encoding {tag} with {bits} bits")));
        }
    };
    let frame = usize::from(channels) * sample.bytes();
    if frame == 0 || frame != usize::from(align) {
        return Err(AudioError::damaged(format!("{channels} channels in frames of {align} bytes")));
    }
    Ok((rate, channels, sample))
}
