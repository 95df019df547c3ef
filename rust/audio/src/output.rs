//! What a cut comes as.

use aistore_core::cut::CutFormat;

use crate::recording::Planned;
use crate::sample::Sample;

/// Upper bound of what precedes the samples.
pub(crate) const HEADER_BYTES: u64 = 256;
/// Memory set aside before any sample has come, when the file does not tell how many there are.
const RESERVE_BYTES: u64 = 1 << 20;

/// Takes whole frames of all channels, keeps what is wanted.
pub(crate) struct Writer {
    channels: Vec<u16>,
    /// Whether these are all channels, in their order.
    is_all: bool,
    format: CutFormat,
    rate: u32,
    source_channels: usize,
    sample: Sample,
    /// WAV: the samples. NPY: those of the first channel.
    out: Vec<u8>,
    /// NPY: those of the other channels.
    others: Vec<Vec<u8>>,
    frames: u64,
    left: Option<u64>,
}

impl Writer {
    pub(crate) fn new(
        planned: &Planned,
        (rate, source_channels, sample): (u32, u16, Sample),
    ) -> Self {
        let is_all = planned.channels.iter().copied().eq(0..source_channels);
        let known = planned.frames.map_or(RESERVE_BYTES, |_| planned.bytes);
        let is_npy = planned.format == CutFormat::Npy;
        let parts = if is_npy { planned.channels.len().max(1) } else { 1 };
        let capacity = usize::try_from(known).unwrap_or_default() / parts;
        let room = || Vec::with_capacity(capacity);
        let others = std::iter::repeat_with(room).take(parts - 1).collect();
        let mut out = Vec::with_capacity(capacity + 256);
        out.resize(if is_npy { NPY_HEADER } else { WAV_HEADER }, 0);
        Self {
            channels: planned.channels.clone(),
            is_all,
            format: planned.format,
            rate,
            source_channels: usize::from(source_channels),
            sample,
            out,
            others,
            frames: 0,
            left: planned.frames,
        }
    }

    /// Frames taken.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Whether no more are wanted, or more than any cut may have came.
    pub(crate) fn is_full(&self) -> bool {
        self.left == Some(0) || self.out.len() as u64 > crate::recording::MAX_CUT_BYTES
    }

    /// Takes frames: `bytes` has whole frames of all channels of the recording.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let width = self.sample.bytes();
        let frame = width * self.source_channels;
        let available = (bytes.len() / frame) as u64;
        let take = self.left.map_or(available, |left| left.min(available));
        if let Some(left) = &mut self.left {
            *left -= take;
        }
        self.frames += take;
        let length = usize::try_from(take).unwrap_or_default() * frame;
        let bytes = bytes.get(..length).unwrap_or_default();
        match self.format {
            CutFormat::Wav if self.is_all => self.out.extend_from_slice(bytes),
            CutFormat::Wav => {
                for frame in bytes.chunks_exact(frame) {
                    for channel in &self.channels {
                        let at = usize::from(*channel) * width;
                        self.out.extend_from_slice(frame.get(at..at + width).unwrap_or_default());
                    }
                }
            }
            CutFormat::Npy => {
                let lanes = std::iter::once(&mut self.out).chain(&mut self.others);
                for (channel, lane) in self.channels.iter().zip(lanes) {
                    let at = usize::from(*channel) * width;
                    let samples = bytes.get(at..).unwrap_or_default();
                    let samples = samples.chunks(frame).filter_map(|chunk| chunk.get(..width));
                    lane.extend(
                        samples.flat_map(|sample| self.sample.to_f32(sample).to_le_bytes()),
                    );
                }
            }
        }
    }

    /// The whole file.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        match self.format {
            CutFormat::Wav => {
                let head = wav_header(
                    self.rate,
                    self.channels.len(),
                    self.sample,
                    self.out.len() - WAV_HEADER,
                );
                put_head(&mut self.out, &head);
                if self.out.len() % 2 == 1 {
                    self.out.push(0);
                }
            }
            CutFormat::Npy => {
                let head = npy_header(self.channels.len(), self.frames);
                put_head(&mut self.out, &head);
                for lane in std::mem::take(&mut self.others) {
                    self.out.extend_from_slice(&lane);
                }
            }
        }
        self.out
    }
}

fn put_head(out: &mut [u8], head: &[u8]) {
    out.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
}

const WAV_HEADER: usize = 44;
const NPY_HEADER: usize = 128;

/// The 44 bytes before the samples. Cuts are far below the 4 GiB that it can describe.
fn wav_header(rate: u32, channels: usize, sample: Sample, data: usize) -> Vec<u8> {
    let width = u32::try_from(sample.bytes()).unwrap_or_default();
    let channels = u16::try_from(channels).unwrap_or_default();
    let align = u32::from(channels) * width;
    let data = u32::try_from(data).unwrap_or(u32::MAX);
    let padded = data.saturating_add(data % 2);
    let mut head = Vec::with_capacity(WAV_HEADER);
    head.extend_from_slice(b"RIFF");
    head.extend_from_slice(&padded.saturating_add(36).to_le_bytes());
    head.extend_from_slice(b"WAVEfmt \x10\0\0\0");
    head.extend_from_slice(&(if sample.is_float() { 3_u16 } else { 1 }).to_le_bytes());
    head.extend_from_slice(&channels.to_le_bytes());
    head.extend_from_slice(&rate.to_le_bytes());
    head.extend_from_slice(&rate.saturating_mul(align).to_le_bytes());
    head.extend_from_slice(&u16::try_from(align).unwrap_or(u16::MAX).to_le_bytes());
    head.extend_from_slice(&u16::try_from(width * 8).unwrap_or_default().to_le_bytes());
    head.extend_from_slice(b"data");
    head.extend_from_slice(&data.to_le_bytes());
    head
}

/// The 128 bytes before the samples of an array of version 1.0.
fn npy_header(channels: usize, frames: u64) -> Vec<u8> {
    let mut head = b"\x93NUMPY\x01\0\x76\0".to_vec();
    let text =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({channels}, {frames}), }}");
    head.extend_from_slice(text.as_bytes());
    head.resize(NPY_HEADER - 1, b' ');
    head.push(b'\n');
    head
}
