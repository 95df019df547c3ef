//! A recording, open, and the part of it that a cut means.

use std::io::{Read, Seek, SeekFrom};

use aistore_core::cut::{Cut, CutFormat, OVERHANG_S};

use crate::coded::{Coded, Facts};
use crate::error::AudioError;
use crate::output::Writer;
use crate::sample::Sample;
use crate::wav::Wav;

/// Most bytes of one cut: half an hour of 16 kHz in floats is 115 MB.
pub const MAX_CUT_BYTES: u64 = 256 << 20;
/// Most bytes of a cut that goes to the end of a recording which does not tell where that is.
pub const MAX_OPEN_CUT_BYTES: u64 = 64 << 20;
/// Most channels of a recording.
pub(crate) const MAX_CHANNELS: u16 = 256;

/// Where a recording comes from.
pub trait Source: Read + Seek + Send + Sync {
    /// Bytes of it.
    fn size(&self) -> u64;
}

impl<T: AsRef<[u8]> + Send + Sync> Source for std::io::Cursor<T> {
    fn size(&self) -> u64 {
        self.get_ref().as_ref().len() as u64
    }
}

/// A recording whose header has been read.
pub struct Recording {
    pub(crate) rate: u32,
    pub(crate) channels: u16,
    /// As far as the file tells.
    pub(crate) frames: Option<u64>,
    pub(crate) sample: Sample,
    order: &'static [u16],
    body: Body,
}

enum Body {
    Wav(Wav),
    Coded(Box<Coded>),
    /// Being read.
    Taken,
}

/// A cut of a recording, in frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    pub(crate) from: u64,
    /// Frames; `None` = to the end, wherever that is.
    pub(crate) frames: Option<u64>,
    /// Channels by their number in what the decoder gives.
    pub(crate) channels: Vec<u16>,
    pub(crate) format: CutFormat,
    /// Memory that it takes, at most.
    pub bytes: u64,
}

/// Reads the header of a recording. Blocks on the source.
pub fn open(mut source: Box<dyn Source>) -> Result<Recording, AudioError> {
    let mut head = [0; 12];
    let mut filled = 0;
    while let Some(space) = head.get_mut(filled..).filter(|space| !space.is_empty()) {
        match source.read(space)? {
            0 => break,
            n => filled += n,
        }
    }
    if filled < head.len() {
        return Err(AudioError::Unsupported(format!("it has {filled} bytes")));
    }
    source.seek(SeekFrom::Start(0))?;
    let recording = if matches!(&head[..4], b"RIFF" | b"RF64" | b"BW64") && &head[8..] == b"WAVE" {
        let (wav, format) = Wav::open(source)?;
        let frames = Some(wav.frames());
        let (rate, channels, sample) = format;
        Recording { rate, channels, frames, sample, order: &[], body: Body::Wav(wav) }
    } else {
        let coded = Coded::open(source)?;
        let Facts { rate, channels, frames, sample, order } = coded.facts();
        Recording { rate, channels, frames, sample, order, body: Body::Coded(Box::new(coded)) }
    };
    if recording.rate == 0 || recording.channels == 0 || recording.channels > MAX_CHANNELS {
        return Err(AudioError::damaged(format!(
            "{} Hz, {} channels",
            recording.rate, recording.channels
        )));
    }
    Ok(recording)
}

impl Recording {
    /// Frames in a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Turns seconds into frames, and checks that they are there.
    pub fn plan(&self, cut: &Cut) -> Result<Planned, AudioError> {
        if let Some(expected) = cut.rate.filter(|rate| *rate != self.rate) {
            return Err(AudioError::Rate { rate: self.rate, expected });
        }
        if let Some(&wanted) = cut.channels.iter().find(|channel| **channel >= self.channels) {
            return Err(AudioError::Channel { wanted, channels: self.channels });
        }
        let mut channels = if cut.channels.is_empty() {
            (0..self.channels).collect()
        } else {
            cut.channels.clone()
        };
        for channel in &mut channels {
            *channel = self.order.get(usize::from(*channel)).copied().unwrap_or(*channel);
        }
        let from = cut.start.frames(self.rate);
        let asked = cut.duration.map(|duration| duration.frames(self.rate));
        let frames = match self.frames {
            Some(total) => Some(self.within(from, asked, total)?),
            None => asked,
        };
        if frames == Some(0) {
            return Err(AudioError::Empty { rate: self.rate });
        }
        let is_npy = cut.format == CutFormat::Npy;
        let sample = if is_npy { Sample::F32 } else { self.sample };
        let width = channels.len() as u64 * sample.bytes() as u64;
        let bytes = frames.map_or(MAX_OPEN_CUT_BYTES, |frames| frames.saturating_mul(width));
        if bytes > MAX_CUT_BYTES {
            return Err(AudioError::TooLarge { bytes, most: MAX_CUT_BYTES });
        }
        // Channels are taken apart in memory of their own; what grows may have twice its room.
        let times = if frames.is_none() || (is_npy && channels.len() > 1) { 2 } else { 1 };
        let bytes = bytes * times + crate::output::HEADER_BYTES;
        Ok(Planned { from, frames, channels, format: cut.format, bytes })
    }

    /// Frames of a cut in a recording of `total`.
    pub(crate) fn within(
        &self,
        from: u64,
        asked: Option<u64>,
        total: u64,
    ) -> Result<u64, AudioError> {
        let seconds = |frames| seconds(frames, self.rate);
        if from >= total {
            return Err(AudioError::PastEnd { start: seconds(from), length: seconds(total) });
        }
        let left = total - from;
        let Some(asked) = asked else { return Ok(left) };
        if asked.saturating_sub(left) > overhang(self.rate) {
            let end = seconds(from.saturating_add(asked));
            return Err(AudioError::TooLong { end, length: seconds(total) });
        }
        Ok(asked.min(left))
    }

    /// Reads a cut. Blocks on the source, and on the processor.
    pub fn read(mut self, planned: &Planned) -> Result<Vec<u8>, AudioError> {
        let mut writer = Writer::new(planned, (self.rate, self.channels, self.sample));
        match std::mem::replace(&mut self.body, Body::Taken) {
            Body::Wav(mut wav) => wav.read(planned.from, planned.frames, &mut writer)?,
            Body::Coded(coded) => coded.read(planned.from, &mut writer)?,
            Body::Taken => {}
        }
        let got = writer.frames();
        if writer.is_over() {
            return Err(AudioError::TooLarge { bytes: writer.bytes(), most: MAX_OPEN_CUT_BYTES });
        }
        if got == 0 && self.frames.is_none() {
            return Err(AudioError::Behind { start: seconds(planned.from, self.rate) });
        }
        // Where the file did not tell its length, only now is known what there was.
        if planned.frames.is_none_or(|frames| got < frames) {
            if self.frames.is_some_and(|total| {
                got < planned.frames.unwrap_or(total - planned.from.min(total))
            }) {
                return Err(AudioError::damaged(format!(
                    "it ends after {:.6} s, and says that it has more",
                    seconds(planned.from + got, self.rate)
                )));
            }
            self.within(planned.from, planned.frames, planned.from + got)?;
        }
        Ok(writer.finish())
    }
}

/// Frames that a cut may reach over the end.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small, and positive")]
fn overhang(rate: u32) -> u64 {
    (OVERHANG_S * f64::from(rate)).ceil() as u64
}

#[expect(clippy::cast_precision_loss, reason = "for messages and tolerances")]
fn seconds(frames: u64, rate: u32) -> f64 {
    frames as f64 / f64::from(rate.max(1))
}
