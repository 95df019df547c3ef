//! Cuts of recordings: which frames of which channels, as batches ask for them.

use serde::{Deserialize, Serialize};

/// Most channels that a cut may name.
pub const MAX_CHANNELS: usize = 64;
/// Frames by which a cut may reach over the end of its recording, in seconds: durations in manifests are rounded.
pub const OVERHANG_S: f64 = 0.025;

/// A number of seconds: finite, and not negative.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[serde(try_from = "f64", into = "f64")]
pub struct Seconds(f64);

// No NaN among them.
impl Eq for Seconds {}

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        if value.is_finite() && value >= 0.0 {
            return Ok(Self(value));
        }
        Err(format!("{value} seconds: expected 0 or more"))
    }
}

impl From<Seconds> for f64 {
    fn from(seconds: Seconds) -> Self {
        seconds.0
    }
}

impl Seconds {
    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// Frames at `rate`, rounded half up after rounding to eight digits, as Lhotse counts them.
    pub fn frames(self, rate: u32) -> u64 {
        let exact = self.0 * f64::from(rate);
        let whole = exact.floor();
        // Eight digits of what is behind the point; large numbers have fewer than that anyway.
        let rest = ((exact - whole) * 1e8).round_ties_even() / 1e8;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, and is not negative"
        )]
        let frames = whole as u64;
        frames.saturating_add(u64::from(rest >= 0.5))
    }
}

/// What a cut comes as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum CutFormat {
    /// A WAV file: samples as the recording has them, or floats where it has no integers.
    #[default]
    Wav,
    /// A `.npy` file: 32-bit floats, channels by frames, -1 to 1.
    Npy,
}

/// A part of a recording in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Where it begins.
    #[serde(default)]
    pub start: Seconds,
    /// How long it is; `None` = to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Seconds>,
    /// Channels by their number in the file, in the order wanted; empty = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<u16>,
    /// Sampling rate that the recording must have; `None` = any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Output.
    #[serde(default)]
    pub format: CutFormat,
}

/// Why a cut cannot be made, whatever the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// More channels than there can be.
    #[error("a cut names {0} channels, at most {MAX_CHANNELS} are possible")]
    Channels(usize),
    /// Nothing.
    #[error("a cut has no duration: leave \"duration\" out for all up to the end")]
    Empty,
    /// Both ways to name a part.
    #[error("\"cut\" and a byte range (\"start\", \"length\" of the entry) exclude each other")]
    Range,
}

impl Cut {
    /// Checks what can be checked without the recording.
    pub fn check(&self) -> Result<(), CutError> {
        if self.channels.len() > MAX_CHANNELS {
            return Err(CutError::Channels(self.channels.len()));
        }
        if self.duration.is_some_and(|duration| duration.get() <= 0.0) {
            return Err(CutError::Empty);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(seconds: f64, rate: u32) -> u64 {
        Seconds::try_from(seconds).unwrap().frames(rate)
    }

    #[test]
    fn frames_are_counted_as_lhotse_does() {
        for (seconds, rate, expected) in [
            (0.0, 16_000, 0),
            (1.0, 16_000, 16_000),
            (0.1 + 0.2, 16_000, 4800),
            (1.2345, 22_050, 27_221),
            (2.499_999_999_99, 2, 5),
            (0.25, 2, 1),
            (0.249_999, 2, 0),
            (0.75, 2, 2),
            (3_599.999_999_999, 16_000, 57_600_000),
        ] {
            assert_eq!(frames(seconds, rate), expected, "{seconds} at {rate}");
        }
        assert_eq!(frames(f64::MAX, 1), u64::MAX);
    }

    #[test]
    fn hostile_numbers_are_refused() {
        for text in [r#"{"start":-1}"#, r#"{"start":1e999}"#, r#"{"start":null}"#, r#"{"begin":1}"#]
        {
            assert!(serde_json::from_str::<Cut>(text).is_err(), "{text}");
        }
        let cut: Cut = serde_json::from_str(r#"{"start":1,"duration":0}"#).unwrap();
        assert_eq!(cut.check(), Err(CutError::Empty));
        let cut = Cut { channels: vec![0; 65], ..Cut::default() };
        assert_eq!(cut.check(), Err(CutError::Channels(65)));
        let cut: Cut =
            serde_json::from_str(r#"{"start":1.5,"duration":2,"channels":[1],"format":"npy"}"#)
                .unwrap();
        assert_eq!(cut.check(), Ok(()));
        assert_eq!(
            serde_json::from_str::<Cut>(&serde_json::to_string(&cut).unwrap()).unwrap(),
            cut
        );
    }
}
