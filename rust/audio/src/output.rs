//! What a cut comes as.

use aistore_core::cut::CutFormat;

use crate::recording::{MAX_OPEN_CUT_BYTES, Planned};
use crate::sample::Sample;

/// Upper bound of what precedes the samples, and follows them.
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
    /// The header, and frame after frame.
    out: Vec<u8>,
    frames: u64,
    left: Option<u64>,
}

impl Writer {
    pub(crate) fn new(
        planned: &Planned,
        (rate, source_channels, sample): (u32, u16, Sample),
    ) -> Self {
        let is_all = planned.channels.iter().copied().eq(0..source_channels);
        let is_npy = planned.format == CutFormat::Npy;
        let width = if is_npy { Sample::F32 } else { sample }.bytes() * planned.channels.len();
        let known = planned.frames.map_or(RESERVE_BYTES, |n| n.saturating_mul(width as u64));
        let known = (known + HEADER_BYTES).min(planned.bytes);
        let mut out = Vec::with_capacity(usize::try_from(known).unwrap_or_default());
        out.resize(if is_npy { NPY_HEADER } else { WAV_HEADER }, 0);
        Self {
            channels: planned.channels.clone(),
            is_all,
            format: planned.format,
            rate,
            source_channels: usize::from(source_channels).max(1),
            sample,
            out,
            frames: 0,
            left: planned.frames,
        }
    }

    /// Frames taken.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.out.len() as u64
    }

    /// Whether more came than a cut without an end may have.
    pub(crate) fn is_over(&self) -> bool {
        self.left.is_none() && self.bytes() > MAX_OPEN_CUT_BYTES
    }

    /// Whether no more are wanted, or can be had.
    pub(crate) fn is_full(&self) -> bool {
        self.left == Some(0) || self.is_over()
    }

    /// Takes frames as they are stored in the recording.
    pub(crate) fn put_stored(&mut self, bytes: &[u8]) {
        let (width, sample) = (self.sample.bytes(), self.sample);
        let bytes = bytes.get(..self.take(bytes.len() / width) * width).unwrap_or_default();
        if self.is_all && self.format == CutFormat::Wav {
            return self.out.extend_from_slice(bytes);
        }
        for frame in bytes.chunks_exact(width * self.source_channels) {
            for channel in &self.channels {
                let at = usize::from(*channel) * width;
                let value = frame.get(at..at + width).unwrap_or_default();
                match self.format {
                    CutFormat::Wav => self.out.extend_from_slice(value),
                    CutFormat::Npy => {
                        self.out.extend_from_slice(&sample.to_f32(value).to_le_bytes());
                    }
                }
            }
        }
    }

    /// Takes frames of integers of 32 bits, the highest bits first.
    #[expect(clippy::cast_precision_loss, reason = "what is lost was not in the recording")]
    pub(crate) fn put_ints(&mut self, values: &[i32]) {
        let values = values.get(..self.take(values.len())).unwrap_or_default();
        let (sample, shift) = (self.sample, 32 - 8 * self.sample.bytes());
        match self.format {
            CutFormat::Wav => self.put(values, |value, out| sample.put_int(value >> shift, out)),
            CutFormat::Npy => self.put(values, |value, out| {
                out.extend_from_slice(&(value as f32 / 2_147_483_648.0).to_le_bytes());
            }),
        }
    }

    /// Takes frames of floats.
    pub(crate) fn put_floats(&mut self, values: &[f32]) {
        let values = values.get(..self.take(values.len())).unwrap_or_default();
        self.put(values, |value, out| out.extend_from_slice(&value.to_le_bytes()));
    }

    /// How many of so many values are whole frames that are still wanted; they count as taken.
    fn take(&mut self, values: usize) -> usize {
        let available = (values / self.source_channels) as u64;
        let take = self.left.map_or(available, |left| left.min(available));
        if let Some(left) = &mut self.left {
            *left -= take;
        }
        self.frames += take;
        usize::try_from(take).unwrap_or_default() * self.source_channels
    }

    fn put<T: Copy>(&mut self, values: &[T], one: impl Fn(T, &mut Vec<u8>)) {
        if self.is_all {
            for value in values {
                one(*value, &mut self.out);
            }
            return;
        }
        for frame in values.chunks_exact(self.source_channels) {
            for channel in &self.channels {
                if let Some(value) = frame.get(usize::from(*channel)) {
                    one(*value, &mut self.out);
                }
            }
        }
    }

    /// The whole file.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let channels = self.channels.len();
        match self.format {
            CutFormat::Wav => {
                let data = self.out.len() - WAV_HEADER;
                let head = wav_header(self.rate, channels, self.sample, data);
                put_head(&mut self.out, &head);
                if self.out.len() % 2 == 1 {
                    self.out.push(0);
                }
            }
            CutFormat::Npy => {
                put_head(&mut self.out, &npy_header(channels, self.frames));
                if channels > 1 {
                    self.out = by_channel(&self.out, channels);
                }
            }
        }
        self.out
    }
}

/// An array of frames as one of channels.
fn by_channel(frames: &[u8], channels: usize) -> Vec<u8> {
    let (head, samples) = frames.split_at(NPY_HEADER.min(frames.len()));
    let mut out = Vec::with_capacity(frames.len());
    out.extend_from_slice(head);
    let (samples, _) = samples.as_chunks::<4>();
    for channel in 0..channels {
        out.extend(samples.iter().skip(channel).step_by(channels).flatten());
    }
    out
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
