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
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes the decimal digits as a string.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "signature fixed by serde")]
    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads a string of digits or a number.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(n) => Ok(n),
            Either::Text(text) => text.parse().map_err(|_| {
                D::Error::custom(format!("expected a decimal integer, got \"{text}\""))
            }),
        }
    }
}
