//! Cuts of recordings to exact frames.
//!
//! WAV is cut by arithmetic: the frames wanted are read and nothing else. FLAC, Ogg Vorbis and MP3 are entered near
//! the cut and decoded from there. What comes out has the samples of the recording, bit for bit, where the recording has
//! integers; floats otherwise.
//!
//! Everything here is fed by outsiders: sizes in files are claims, and memory follows what is really there.

mod coded;
mod error;
mod media;
mod output;
mod recording;
mod sample;
mod wav;

pub use self::error::AudioError;
pub use self::recording::{MAX_CUT_BYTES, MAX_OPEN_CUT_BYTES, Planned, Recording, Source, open};
pub use self::sample::Sample;

#[cfg(test)]
mod tests;
