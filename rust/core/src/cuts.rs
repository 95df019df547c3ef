//! Manifests of cuts, as Lhotse writes them: one JSON document a line, often compressed.
//!
//! A cut names a recording, and which part of it: its sources become [`Part`]s, each a file with some of the
//! channels. What cannot be had by cutting (cuts mixed of several, recordings that are to be transformed) is refused by
//! name instead of giving other samples than Lhotse would.

mod lines;
mod location;

use serde::Deserialize;

pub use self::lines::{LineError, Lines, MAX_LINE_BYTES};
pub use self::location::{Location, LocationError};
use crate::bucket::validate_object_name;
use crate::cut::{Cut, CutFormat, MAX_CHANNELS, Seconds};
use crate::moss::MossIn;

/// Most sources of one recording.
const MAX_SOURCES: usize = MAX_CHANNELS;

/// One cut of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutSpec {
    /// Its name.
    pub id: String,
    /// Where it begins in the recording.
    pub start: Seconds,
    /// How long it is; `None` = to the end of the recording.
    pub duration: Option<Seconds>,
    /// Sampling rate that the manifest promises.
    pub rate: Option<u32>,
    /// Files, with the channels wanted of each.
    pub parts: Vec<Part>,
}

/// A file of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it lies.
    pub location: Location,
    /// Channels by their number in the file; empty = all.
    pub channels: Vec<u16>,
}

/// Why a line is no cut that can be had here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CutSpecError {
    /// No JSON, or another shape.
    #[error("not a cut in JSON: {0}")]
    Json(String),
    /// Known, and not done here.
    #[error("cut \"{id}\": {what}")]
    Unsupported {
        /// Its name.
        id: String,
        /// What and why.
        what: String,
    },
    /// No recording.
    #[error(
        "cut \"{0}\": names no recording (\"recording.sources[0].source\", \"recording.path\" or \"audio_source\")"
    )]
    NoRecording(String),
    /// A source that is no object.
    #[error("cut \"{id}\": {reason}")]
    Location {
        /// Its name.
        id: String,
        /// Why.
        reason: LocationError,
    },
    /// Channels that the recording does not have.
    #[error("cut \"{id}\": no source of its recording has channel {channel}")]
    Channel {
        /// Its name.
        id: String,
        /// Channel.
        channel: u32,
    },
}

#[derive(Deserialize)]
struct RawCut {
    #[serde(default)]
    id: serde_json::Value,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    start: Seconds,
    #[serde(default)]
    duration: Option<Seconds>,
    #[serde(default)]
    channel: Option<Channels>,
    #[serde(default)]
    recording: Option<RawRecording>,
    #[serde(default)]
    audio_source: Option<String>,
    #[serde(default)]
    tracks: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Channels {
    One(u32),
    Many(Vec<u32>),
}

#[derive(Deserialize)]
struct RawRecording {
    #[serde(default)]
    sources: Vec<RawSource>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    sampling_rate: Option<u32>,
    #[serde(default)]
    transforms: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Deserialize)]
struct RawSource {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    channels: Vec<u32>,
    #[serde(default)]
    source: String,
}

impl CutSpec {
    /// Reads one line of a manifest.
    pub fn parse(line: &[u8]) -> Result<Self, CutSpecError> {
        let raw: RawCut =
            serde_json::from_slice(line).map_err(|err| CutSpecError::Json(err.to_string()))?;
        let id = match raw.id {
            serde_json::Value::String(id) => id,
            serde_json::Value::Null => String::new(),
            other => other.to_string(),
        };
        let refused =
            |what: &str| CutSpecError::Unsupported { id: id.clone(), what: what.to_owned() };
        match raw.kind.as_deref() {
            Some("MixedCut") => {
                return Err(refused("is mixed of several: load its tracks, and mix them yourself"));
            }
            Some("PaddingCut") => return Err(refused("is silence: there is nothing to load")),
            _ if raw.tracks.is_some() => {
                return Err(refused("is mixed of several: load its tracks, and mix them yourself"));
            }
            _ => {}
        }
        if raw.duration.is_some_and(|duration| duration.get() <= 0.0) {
            return Err(refused("has no duration"));
        }
        let recording = raw.recording.as_ref();
        if recording
            .is_some_and(|recording| recording.transforms.as_ref().is_some_and(|t| !t.is_empty()))
        {
            return Err(refused(
                "its recording is to be transformed (\"transforms\"): drop them, and apply them after loading",
            ));
        }
        let parts = match recording {
            Some(recording) if !recording.sources.is_empty() => {
                of_sources(&id, &recording.sources, raw.channel.as_ref())?
            }
            _ => {
                let path = recording.and_then(|recording| recording.path.as_ref());
                let uri = path.or(raw.audio_source.as_ref()).filter(|uri| !uri.is_empty());
                let uri = uri.ok_or_else(|| CutSpecError::NoRecording(id.clone()))?;
                let channels = of_file(&id, raw.channel.as_ref())?;
                vec![Part { location: located(&id, uri)?, channels }]
            }
        };
        let rate = recording.and_then(|recording| recording.sampling_rate);
        Ok(Self { id, start: raw.start, duration: raw.duration, rate, parts })
    }

    /// What to ask a batch for, an entry for each part.
    pub fn entries(&self, format: CutFormat, rate: Option<u32>) -> Vec<MossIn> {
        let entry = |part: &Part| {
            let cut = Cut {
                start: self.start,
                duration: self.duration,
                channels: part.channels.clone(),
                rate: rate.or(self.rate),
                format,
            };
            MossIn { cut: Some(Box::new(cut)), ..part.location.entry() }
        };
        self.parts.iter().map(entry).collect()
    }

    /// Names of its files in an archive. `number` makes a name where its own cannot be one.
    pub fn file_names(&self, number: u64) -> Vec<String> {
        let base = if validate_object_name(&self.id).is_ok() && !self.id.starts_with('/') {
            self.id.clone()
        } else {
            format!("cut-{number}")
        };
        if self.parts.len() == 1 {
            return vec![format!("{base}.wav")];
        }
        (0..self.parts.len()).map(|part| format!("{base}.{part}.wav")).collect()
    }

    /// Frames that the manifest promises.
    pub fn frames(&self) -> Option<u64> {
        Some(self.duration?.frames(self.rate?))
    }
}

fn located(id: &str, uri: &str) -> Result<Location, CutSpecError> {
    Location::parse(uri).map_err(|reason| CutSpecError::Location { id: id.to_owned(), reason })
}

fn too_many(id: &str, what: &str, most: usize) -> CutSpecError {
    CutSpecError::Unsupported { id: id.to_owned(), what: format!("has more than {most} {what}") }
}

/// Channels of a recording that is one file.
fn of_file(id: &str, wanted: Option<&Channels>) -> Result<Vec<u16>, CutSpecError> {
    let Some(wanted) = wanted else { return Ok(Vec::new()) };
    let wanted = wanted.list();
    if wanted.len() > MAX_CHANNELS {
        return Err(too_many(id, "channels", MAX_CHANNELS));
    }
    let number = |channel: &u32| {
        u16::try_from(*channel)
            .map_err(|_| CutSpecError::Channel { id: id.to_owned(), channel: *channel })
    };
    wanted.iter().map(number).collect()
}

/// Files and their channels in the order of the recording, as Lhotse stacks them.
fn of_sources(
    id: &str,
    sources: &[RawSource],
    wanted: Option<&Channels>,
) -> Result<Vec<Part>, CutSpecError> {
    if sources.len() > MAX_SOURCES {
        return Err(too_many(id, "sources", MAX_SOURCES));
    }
    let wanted = wanted.map(Channels::list);
    if wanted.is_some_and(|wanted| wanted.len() > MAX_CHANNELS)
        || sources.iter().any(|source| source.channels.len() > MAX_CHANNELS)
    {
        return Err(too_many(id, "channels", MAX_CHANNELS));
    }
    let has = |channel: &u32| {
        sources.iter().any(|s| s.channels.is_empty() || s.channels.contains(channel))
    };
    if let Some(channel) = wanted.and_then(|wanted| wanted.iter().find(|channel| !has(channel))) {
        return Err(CutSpecError::Channel { id: id.to_owned(), channel: *channel });
    }
    let mut parts = Vec::with_capacity(sources.len());
    for source in sources {
        let kept = (0_u16..).zip(&source.channels);
        let kept = kept.filter(|(_, channel)| wanted.is_none_or(|wanted| wanted.contains(channel)));
        let channels: Vec<u16> = kept.map(|(at, _)| at).collect();
        if channels.is_empty() && !source.channels.is_empty() {
            continue;
        }
        // All of a file needs no list.
        let is_all = channels.len() == source.channels.len();
        let elsewhere = match source.kind.as_deref() {
            Some("command") => Some("is made by a command, which is not run here"),
            Some("memory") => Some("is in memory: cut it there"),
            Some("shar") => Some("is filled in later, by Lhotse Shar"),
            _ => None,
        };
        if let Some(elsewhere) = elsewhere {
            let what = format!("its recording {elsewhere}");
            return Err(CutSpecError::Unsupported { id: id.to_owned(), what });
        }
        let channels = if is_all && wanted.is_none() { Vec::new() } else { channels };
        parts.push(Part { location: located(id, &source.source)?, channels });
    }
    if parts.is_empty() {
        return Err(CutSpecError::NoRecording(id.to_owned()));
    }
    Ok(parts)
}

impl Channels {
    fn list(&self) -> &[u32] {
        match self {
            Self::One(channel) => std::slice::from_ref(channel),
            Self::Many(channels) => channels,
        }
    }
}

#[cfg(test)]
mod tests;
