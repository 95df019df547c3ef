//! FLAC, Ogg Vorbis and MP3: entered near the cut, decoded from there.

use std::io::{self, Seek, SeekFrom};

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_FLAC, CODEC_ID_MP3, CODEC_ID_VORBIS};
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::{Hint, Probe};
use symphonia::core::formats::{FormatOptions, FormatReader, SeekMode, SeekTo, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::units::Timestamp;

use crate::error::AudioError;
use crate::media::{Allowance, Media};
use crate::output::Writer;
use crate::recording::Source;
use crate::sample::Sample;

/// Frames before a cut that are decoded and dropped, so that what they leave behind in the decoder is there: MP3
/// borrows bits from up to nine packets before, and overlaps with one.
const MP3_PREROLL: u64 = 12 * 1152;
/// Vorbis overlaps with the block before.
const VORBIS_PREROLL: u64 = 2 * 8192;
/// Most bytes that are read to understand a header: titles and pictures in it are kept in memory.
const OPEN_BYTES: u64 = 16 << 20;
/// Bytes that a cut may read besides twice the recording: places are searched by halving.
const READ_BYTES: u64 = 64 << 20;
/// How far before the cut it is entered. The search gives up where it comes upon a last packet that is large, so it
/// is made again for an earlier place; and when none is found, everything is decoded from the start.
const STEPS_BACK_S: [u64; 3] = [0, 2, 20];

/// A compressed recording whose header was read.
pub(crate) struct Coded {
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    preroll: u64,
    facts: Facts,
    allowance: Allowance,
}

/// What its header says.
#[derive(Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) rate: u32,
    pub(crate) channels: u16,
    /// If it is known.
    pub(crate) frames: Option<u64>,
    pub(crate) sample: Sample,
    /// Where the decoder puts each channel of the file; those that are not in it stay where they are.
    pub(crate) order: &'static [u16],
}

fn probe() -> &'static Probe {
    symphonia::default::get_probe()
}

fn codecs() -> &'static CodecRegistry {
    symphonia::default::get_codecs()
}

fn failure(err: Error) -> AudioError {
    match err {
        Error::IoError(err) => AudioError::reading(err),
        Error::Unsupported(what) => AudioError::Unsupported(what.to_owned()),
        other => AudioError::damaged(other.to_string()),
    }
}

fn is_end(err: &Error) -> bool {
    matches!(err, Error::IoError(err) if err.kind() == io::ErrorKind::UnexpectedEof)
}

impl Coded {
    /// Reads the header; the source stands at its start.
    pub(crate) fn open(source: Box<dyn Source>) -> Result<Self, AudioError> {
        let size = source.size();
        let (media, allowance) = Media::new(source, OPEN_BYTES);
        let stream = MediaSourceStream::new(Box::new(media), MediaSourceStreamOptions::default());
        let mut coded = Self::of(stream, allowance)?;
        if coded.facts.frames.is_none() && coded.preroll == MP3_PREROLL {
            // The reader guesses where such a file ends, and ends there; not when it cannot look ahead.
            coded.allowance.forward_only();
            coded = coded.again()?;
        }
        coded.allowance.set(size.saturating_mul(2).saturating_add(READ_BYTES));
        Ok(coded)
    }

    fn of(stream: MediaSourceStream<'static>, allowance: Allowance) -> Result<Self, AudioError> {
        let format = probe()
            .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(failure)?;
        let nothing = || AudioError::Unsupported("no audio in it".to_owned());
        let track = format.default_track(TrackType::Audio).ok_or_else(nothing)?;
        let params = track.codec_params.as_ref().and_then(|params| params.audio());
        let params = params.ok_or_else(nothing)?;
        let rate =
            params.sample_rate.ok_or_else(|| AudioError::damaged("it tells no sampling rate"))?;
        let channels = params.channels.as_ref().map_or(0, Channels::count);
        let channels = u16::try_from(channels).unwrap_or(u16::MAX);
        let is_frames =
            track.time_base.is_some_and(|base| base.numer.get() == 1 && base.denom.get() == rate);
        if !is_frames {
            return Err(AudioError::Unsupported("its time is not counted in frames".to_owned()));
        }
        let (sample, preroll) = match params.codec {
            CODEC_ID_FLAC => (flac_sample(params.bits_per_sample), 0),
            CODEC_ID_MP3 => (Sample::F32, MP3_PREROLL),
            CODEC_ID_VORBIS => (Sample::F32, VORBIS_PREROLL),
            _ => return Err(AudioError::Unsupported("its codec is another one".to_owned())),
        };
        // Without a header that counts them, the frames of an MP3 are a guess.
        let is_guess = params.codec == CODEC_ID_MP3 && track.delay.is_none();
        let is_vorbis = params.codec == CODEC_ID_VORBIS;
        let frames = track.num_frames.filter(|frames| *frames > 0 && !is_guess);
        let track = track.id;
        let decoder = codecs()
            .make_audio_decoder(params, &AudioDecoderOptions::default())
            .map_err(failure)?;
        let order = if is_vorbis { vorbis_order(channels) } else { &[] };
        let facts = Facts { rate, channels, frames, sample, order };
        Ok(Self { format, decoder, track, preroll, facts, allowance })
    }

    pub(crate) fn facts(&self) -> Facts {
        self.facts
    }

    /// Decodes frames from `from` on, until `out` is full or nothing is left.
    pub(crate) fn read(self: Box<Self>, from: u64, out: &mut Writer) -> Result<(), AudioError> {
        match self.enter(from)? {
            Some(coded) => coded.decode(from, out),
            None => Ok(()),
        }
    }

    /// Goes to a packet from which frame `from` can be decoded; none when it is behind the end.
    fn enter(mut self: Box<Self>, from: u64) -> Result<Option<Box<Self>>, AudioError> {
        let at = from.saturating_sub(self.preroll);
        if at == 0 {
            return Ok(Some(self));
        }
        for seconds in STEPS_BACK_S {
            let at = at.saturating_sub(u64::from(self.facts.rate) * seconds);
            let past_end = |_| AudioError::damaged("the place of the cut cannot be found in it");
            let ts = Timestamp::try_from(at).map_err(past_end)?;
            let to = SeekTo::Timestamp { ts, track_id: self.track };
            match self.format.seek(SeekMode::Accurate, to) {
                Ok(_) => {
                    self.decoder.reset();
                    return Ok(Some(self));
                }
                Err(Error::SeekError(_)) if self.facts.frames.is_none() => return Ok(None),
                Err(err) if is_end(&err) => {}
                Err(err) => return Err(failure(err)),
            }
        }
        Ok(Some(Box::new(self.again()?)))
    }

    /// The same recording, from its start.
    fn again(self) -> Result<Self, AudioError> {
        let mut stream = self.format.into_inner();
        stream.seek(SeekFrom::Start(0)).map_err(AudioError::reading)?;
        Self::of(stream, self.allowance)
    }

    fn decode(mut self, from: u64, out: &mut Writer) -> Result<(), AudioError> {
        let Facts { channels, sample, .. } = self.facts;
        let width = usize::from(channels);
        let mut next = from;
        let mut numbers: Vec<i32> = Vec::new();
        let mut floats: Vec<f32> = Vec::new();
        while !out.is_full() {
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return Ok(()),
                Err(err) if is_end(&err) => return Ok(()),
                Err(err) => return Err(failure(err)),
            };
            if packet.track_id != self.track {
                continue;
            }
            let first = packet.pts.get().saturating_add_unsigned(packet.trim_start.get());
            let decoded = match self.decoder.decode(&packet) {
                Ok(decoded) => decoded,
                // What precedes the cut only prepares the decoder; of MP3 it may refer to what was not read.
                Err(Error::DecodeError(_)) if ends_before(first, packet.dur.get(), from) => {
                    continue;
                }
                Err(err) => return Err(failure(err)),
            };
            if decoded.spec().channels().count() != width {
                return Err(AudioError::damaged("its number of channels changes"));
            }
            let frames = decoded.frames() as u64;
            let Ok(skip) = u64::try_from(i128::from(next) - i128::from(first)) else {
                return Err(AudioError::damaged(format!("frames {next} to {first} are missing")));
            };
            if skip >= frames {
                continue;
            }
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).saturating_mul(width);
            if sample.is_float() {
                decoded.copy_to_vec_interleaved(&mut floats);
                out.put_floats(floats.get(skipped..).unwrap_or_default());
            } else {
                decoded.copy_to_vec_interleaved(&mut numbers);
                out.put_ints(numbers.get(skipped..).unwrap_or_default());
            }
            next += frames - skip;
        }
        Ok(())
    }
}

fn ends_before(first: i64, frames: u64, from: u64) -> bool {
    i128::from(first) + i128::from(frames) <= i128::from(from)
}

/// The decoder sorts loudspeakers; files of Vorbis have theirs from left to right, and so has whoever counts them.
fn vorbis_order(channels: u16) -> &'static [u16] {
    match channels {
        3 | 5 => &[0, 2, 1],
        6 => &[0, 2, 1, 4, 5, 3],
        7 => &[0, 2, 1, 5, 6, 4, 3],
        8 => &[0, 2, 1, 6, 7, 4, 5, 3],
        _ => &[],
    }
}

/// The decoder gives numbers of 32 bits, the highest bits first.
fn flac_sample(bits: Option<u32>) -> Sample {
    match bits {
        Some(..=16) => Sample::I16,
        Some(17..=24) => Sample::I24,
        _ => Sample::I32,
    }
}
