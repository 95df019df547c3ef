//! Sizes and durations as types of configuration keys.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{format_duration, format_size, parse_duration, parse_size};

/// A duration in configuration; JSON is the text of [`format_duration`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GoDuration(pub Duration);

impl GoDuration {
    /// Whole milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// Whole seconds.
    pub const fn from_secs(s: u64) -> Self {
        Self(Duration::from_secs(s))
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration(self.0))
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = GoDuration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"10s\" or \"1h30m\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
                parse_duration(text).map(GoDuration).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// A number of bytes in configuration; JSON is the text of [`format_size`], bare numbers are accepted on input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_size(self.0))
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"64MiB\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                parse_size(text).map(Size).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A number of bytes or -1 where -1 has a meaning of its own; JSON as for [`Size`], `"-1"` besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OptionalSize {
    /// 0: the default of whoever reads it.
    #[default]
    Default,
    /// -1: switched off.
    Off,
    /// So many bytes, at least 1.
    Bytes(u64),
}

impl OptionalSize {
    /// Whether this is [`OptionalSize::Default`].
    pub fn is_default(&self) -> bool {
        *self == Self::Default
    }
}

impl Serialize for OptionalSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Default => serializer.serialize_str("0B"),
            Self::Off => serializer.serialize_str("-1"),
            Self::Bytes(bytes) => serializer.serialize_str(&format_size(*bytes)),
        }
    }
}

impl<'de> Deserialize<'de> for OptionalSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = OptionalSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"64MiB\", or \"-1\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<OptionalSize, E> {
                match text.trim() {
                    "-1" | "-1B" | "-1b" => Ok(OptionalSize::Off),
                    other => self.visit_u64(parse_size(other).map_err(E::custom)?),
                }
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<OptionalSize, E> {
                Ok(if bytes == 0 { OptionalSize::Default } else { OptionalSize::Bytes(bytes) })
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<OptionalSize, E> {
                match u64::try_from(bytes) {
                    Ok(bytes) => self.visit_u64(bytes),
                    Err(_) if bytes == -1 => Ok(OptionalSize::Off),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(bytes), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_one_is_a_size_of_its_own() {
        for (json, value) in [
            ("\"-1\"", OptionalSize::Off),
            ("-1", OptionalSize::Off),
            ("0", OptionalSize::Default),
            ("\"5MiB\"", OptionalSize::Bytes(5 << 20)),
        ] {
            assert_eq!(serde_json::from_str::<OptionalSize>(json).unwrap(), value);
        }
        assert!(serde_json::from_str::<OptionalSize>("-2").is_err());
    }
}
