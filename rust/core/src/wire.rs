//! Small pieces shared by all wire types: action messages, booleans, integers that travel as strings.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Body of most control requests.
#[derive(Debug, Clone, Serialize, Deserialize, Default, PartialEq)]
pub struct ActionMsg {
    /// What to do, such as `create-bck`.
    #[serde(default)]
    pub action: String,
    /// Object of the action, often empty.
    #[serde(default)]
    pub name: String,
    /// Arguments, by action.
    #[serde(default)]
    pub value: Value,
}

impl ActionMsg {
    /// An action without a name.
    pub fn new(action: &str, value: Value) -> Self {
        Self { action: action.to_owned(), name: String::new(), value }
    }
}

/// Reads a boolean query parameter or header: the listed spellings are true, everything else false.
pub fn parse_bool(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "True" | "TRUE" | "y" | "yes" | "on")
}

/// An unsigned integer that travels as a JSON string of digits; bare numbers are accepted on input.
pub mod string_u64 {
    use std::fmt;

    use serde::{Deserializer, Serializer, de};

    /// Writes the decimal digits as a string.
    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads a string of digits or a number.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = u64;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal integer")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<u64, E> {
                Ok(number)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
