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
    #[serde(default, deserialize_with = "unique::deserialize")]
    pub value: Value,
}

impl ActionMsg {
    /// An action without a name.
    pub fn new(action: &str, value: Value) -> Self {
        Self { action: action.to_owned(), name: String::new(), value }
    }
}

/// Any JSON, but no key twice in one object: which of the two counts would be anyone's guess.
mod unique {
    use std::fmt;

    use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
    use serde_json::{Map, Number, Value};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
        Unique.deserialize(from)
    }

    struct Unique;

    impl<'de> DeserializeSeed<'de> for Unique {
        type Value = Value;
        fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
            from.deserialize_any(self)
        }
    }

    impl<'de> Visitor<'de> for Unique {
        type Value = Value;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any JSON value")
        }
        fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
            Ok(value.into())
        }
        fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
            Ok(value.into())
        }
        fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
            Ok(value.into())
        }
        fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
            Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
        }
        fn visit_str<E>(self, value: &str) -> Result<Value, E> {
            Ok(value.into())
        }
        fn visit_string<E>(self, value: String) -> Result<Value, E> {
            Ok(value.into())
        }
        fn visit_unit<E>(self) -> Result<Value, E> {
            Ok(Value::Null)
        }
        fn visit_none<E>(self) -> Result<Value, E> {
            Ok(Value::Null)
        }
        fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
            self.deserialize(from)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
            let mut values = Vec::new();
            while let Some(value) = from.next_element_seed(Self)? {
                values.push(value);
            }
            Ok(values.into())
        }
        fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
            let mut values = Map::new();
            while let Some(key) = from.next_key::<String>()? {
                if values.contains_key(&key) {
                    return Err(de::Error::custom(format!(
                        "key \"{key}\" is given twice: name each once"
                    )));
                }
                let value = from.next_value_seed(Self)?;
                values.insert(key, value);
            }
            Ok(values.into())
        }
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
