//! What may be wrong with a recording, or with what is asked of it.

use std::io;

/// Why a cut could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// Not a format, or a codec, that is read here.
    #[error("no recording that can be cut ({0}): WAV, FLAC, Ogg Vorbis and MP3 can")]
    Unsupported(String),
    /// The file contradicts itself, or ends too early.
    #[error("the recording is damaged: {0}")]
    Damaged(String),
    /// The cut begins behind the end.
    #[error("the cut begins at {start:.6} s, the recording has {length:.6} s")]
    PastEnd {
        /// Where the cut begins.
        start: f64,
        /// What there is.
        length: f64,
    },
    /// The cut ends too far behind the end.
    #[error("the cut ends at {end:.6} s, the recording has {length:.6} s")]
    TooLong {
        /// Where the cut ends.
        end: f64,
        /// What there is.
        length: f64,
    },
    /// The cut begins behind the end of a file that does not tell where that is.
    #[error("the cut begins at {start:.6} s, which is behind the end of the recording")]
    Behind {
        /// Where the cut begins.
        start: f64,
    },
    /// Rounded to nothing.
    #[error("the cut is shorter than one frame at {rate} Hz")]
    Empty {
        /// Frames in a second.
        rate: u32,
    },
    /// There is no such channel.
    #[error("the cut wants channel {wanted}, the recording has {channels} (counted from 0)")]
    Channel {
        /// What is asked for.
        wanted: u16,
        /// What there is.
        channels: u16,
    },
    /// Another sampling rate than was promised.
    #[error(
        "the recording has {rate} Hz, {expected} Hz are asked for: resample it, or correct the manifest"
    )]
    Rate {
        /// What there is.
        rate: u32,
        /// What is asked for.
        expected: u32,
    },
    /// More than one cut may take.
    #[error(
        "the cut takes {bytes} bytes or more, at most {most} are possible: ask for a shorter one, or for the object itself"
    )]
    TooLarge {
        /// Bytes of the cut.
        bytes: u64,
        /// Limit.
        most: u64,
    },
    /// The recording could not be read.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl AudioError {
    /// What is wrong with the bytes at hand.
    pub(crate) fn damaged(text: impl Into<String>) -> Self {
        Self::Damaged(text.into())
    }

    /// Of reading where the file says that something is: when nothing is there, that is its own fault.
    pub(crate) fn reading(err: io::Error) -> Self {
        match err.kind() {
            io::ErrorKind::UnexpectedEof => Self::damaged("it ends too early"),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                Self::damaged(err.to_string())
            }
            io::ErrorKind::QuotaExceeded => Self::damaged(
                "it cannot be found out what it has without reading it over and over, or its header has more than 16 MiB",
            ),
            _ => Self::Io(err),
        }
    }
}
