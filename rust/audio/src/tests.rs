use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aistore_core::cut::{Cut, CutFormat, Seconds};
use proptest::prelude::*;

use super::*;

const RATE: u32 = 100;

/// A WAV file with frames 0, 1, 2 ...: channel c of frame n has n + 1000 c.
fn wav(frames: i16, channels: u16) -> Vec<u8> {
    let mut data = Vec::new();
    for frame in 0..frames {
        for channel in 0..i16::try_from(channels).unwrap() {
            data.extend_from_slice(&(frame + 1000 * channel).to_le_bytes());
        }
    }
    let mut file = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0\x01\0".to_vec();
    file.extend_from_slice(&channels.to_le_bytes());
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&(RATE * 2 * u32::from(channels)).to_le_bytes());
    file.extend_from_slice(&(2 * channels).to_le_bytes());
    file.extend_from_slice(b"\x10\0data");
    file.extend_from_slice(&u32::try_from(data.len()).unwrap().to_le_bytes());
    file.extend_from_slice(&data);
    file
}

fn cut(start: f64, duration: Option<f64>, channels: &[u16], format: CutFormat) -> Cut {
    let seconds = |value| Seconds::try_from(value).unwrap();
    let (start, duration) = (seconds(start), duration.map(seconds));
    Cut { start, duration, channels: channels.to_vec(), rate: None, format }
}

fn make(file: Vec<u8>, cut: &Cut) -> Result<Vec<u8>, AudioError> {
    let recording = open(Box::new(Cursor::new(file)))?;
    let planned = recording.plan(cut)?;
    let made = recording.read(&planned)?;
    assert!(made.len() as u64 <= planned.bytes, "{} of {}", made.len(), planned.bytes);
    Ok(made)
}

/// The samples of a cut, by way of its own output.
fn samples(file: Vec<u8>, start: f64, duration: Option<f64>, channels: &[u16]) -> Vec<i16> {
    let made = make(file, &cut(start, duration, channels, CutFormat::Wav)).unwrap();
    let data = made.get(44..).unwrap();
    data.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

#[test]
fn wav_is_cut_to_exact_frames() {
    assert_eq!(samples(wav(500, 1), 0.0, Some(0.03), &[]), [0, 1, 2]);
    assert_eq!(samples(wav(500, 1), 4.98, None, &[]), [498, 499]);
    assert_eq!(samples(wav(500, 2), 1.0, Some(0.02), &[]), [100, 1100, 101, 1101]);
    assert_eq!(samples(wav(500, 3), 1.0, Some(0.02), &[2, 0]), [2100, 100, 2101, 101]);
    assert_eq!(samples(wav(500, 1), 0.0, None, &[]).len(), 500);
    assert_eq!(samples(wav(500, 1), 4.98, Some(0.04), &[]), [498, 499], "a little over the end");
}

#[test]
fn arrays_have_channels_by_frames() {
    let made = make(wav(500, 2), &cut(1.0, Some(0.02), &[], CutFormat::Npy)).unwrap();
    assert!(made.starts_with(b"\x93NUMPY\x01\0\x76\0{'descr': '<f4'"));
    assert!(made[..128].ends_with(b"\n"));
    assert!(made[..128].windows(6).any(|text| text == b"(2, 2)"));
    let floats: Vec<f32> = made[128..]
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes(four.try_into().unwrap()) * 32_768.0)
        .collect();
    assert_eq!(floats, [100.0, 101.0, 1100.0, 1101.0]);
}

#[test]
fn what_is_not_there_is_named() {
    let refused = |cut: &Cut| make(wav(500, 1), cut).unwrap_err().to_string();
    let plain = CutFormat::Wav;
    assert!(refused(&cut(5.0, Some(1.0), &[], plain)).contains("begins at 5"));
    assert!(refused(&cut(4.0, Some(2.0), &[], plain)).contains("ends at 6"));
    assert!(refused(&cut(0.0, None, &[1], plain)).contains("channel 1"));
    assert!(refused(&Cut { rate: Some(16_000), ..Cut::default() }).contains("100 Hz"));
    let broken = |file: Vec<u8>| make(file, &Cut::default()).unwrap_err().to_string();
    assert!(broken(Vec::new()).contains("0 bytes"));
    assert!(
        broken(b"words and more words, none of them audio".repeat(99)).contains("no recording")
    );
    let mut short = wav(500, 1);
    short.truncate(600);
    assert!(broken(short).contains("says that it has"));
}

struct Counting(Cursor<Vec<u8>>, Arc<AtomicU64>);

impl Read for Counting {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buf)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for Counting {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl Source for Counting {
    fn size(&self) -> u64 {
        self.0.size()
    }
}

#[test]
fn a_cut_of_a_long_recording_reads_its_own_bytes() {
    let read = Arc::new(AtomicU64::new(0));
    let file = Cursor::new(wav(30_000, 2));
    let recording = open(Box::new(Counting(file, Arc::clone(&read)))).unwrap();
    let planned = recording.plan(&cut(100.0, Some(1.0), &[], CutFormat::Wav)).unwrap();
    assert_eq!(recording.read(&planned).unwrap().len(), 44 + 400);
    assert!(read.load(Ordering::Relaxed) < 600, "{read:?}");
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_cut(
        head in prop::sample::select(vec![&b"fLaC"[..], b"OggS", b"ID3\x04", b"\xff\xfb\x90\x64", b"RIFF\0\0\0\0WAVEfmt "]),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let file = [head, &bytes].concat();
        let _ = make(file, &cut(0.0, Some(1.0), &[], CutFormat::Npy));
    }

    #[test]
    fn damaged_wavs_are_refused_or_cut(at in 0_usize..80, byte: u8, length in 0_usize..1100) {
        let mut file = wav(500, 1);
        file[at] = byte;
        file.truncate(length);
        let _ = make(file, &cut(0.5, Some(1.0), &[0], CutFormat::Wav));
    }
}
