//! Bucket properties as text: `KEY=VALUE` in, dotted lines out.
//!
//! Existing properties say which JSON type a key has, so `versioning.enabled=true` becomes a boolean
//! and `chunks.objsize_limit=1GiB` stays a string.

use aistore_core::props::FEATURE_NAMES;
use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// Longest edit distance at which a key is suggested for another.
const MAX_SUGGESTION_DISTANCE: usize = 3;

/// What prints all properties of a bucket.
pub(crate) const BUCKET_PROPS: &str = "ais bucket props show BUCKET";
/// What prints all settings.
pub(crate) const CONFIG: &str = "ais config cluster";

const ACCESS_WORDS: [(&str, u64); 3] = [("ro", 771), ("rw", 831), ("su", u64::MAX)];

/// Builds a patch from `KEY=VALUE` words, or from one JSON object. `known` is a full set of properties.
pub(crate) fn parse_patch(words: &[String], known: &Value) -> Result<Value, Failure> {
    let text = words.join(" ");
    let text = text.trim();
    if text.starts_with('{') {
        return serde_json::from_str(text)
            .map_err(|err| Failure::usage(format!("properties are not JSON: {err}")));
    }
    let mut patch = Map::new();
    for word in text.split_whitespace() {
        let (key, value) = word.split_once('=').ok_or_else(|| {
            Failure::usage(format!("\"{word}\" is not KEY=VALUE, such as versioning.enabled=true"))
        })?;
        insert(&mut patch, key, typed(key, value, known)?);
    }
    if patch.is_empty() {
        return Err(Failure::usage("no properties given: expected KEY=VALUE or JSON"));
    }
    Ok(Value::Object(patch))
}

fn insert(patch: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            patch.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = patch.entry(section).or_insert_with(|| json!({}));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

fn lookup<'v>(known: &'v Value, key: &str) -> Option<&'v Value> {
    key.split('.').try_fold(known, |value, part| value.get(part))
}

fn typed(key: &str, text: &str, known: &Value) -> Result<Value, Failure> {
    let bad = |expected: &str| Failure::usage(format!("{key}=\"{text}\": expected {expected}"));
    match lookup(known, key) {
        None | Some(Value::Object(_)) => Err(unknown_key(key, known, BUCKET_PROPS)),
        Some(Value::Bool(_)) => match text {
            "true" | "yes" | "on" | "1" => Ok(json!(true)),
            "false" | "no" | "off" | "0" => Ok(json!(false)),
            _ => Err(bad("true or false")),
        },
        Some(Value::Number(_)) => {
            let number = text.parse::<i64>().map_err(|_| bad("an integer"))?;
            Ok(json!(number))
        }
        Some(_) if key == "access" => {
            let word = ACCESS_WORDS.iter().find(|(word, _)| *word == text).map(|(_, mask)| *mask);
            let mask = word.or_else(|| text.parse().ok());
            mask.map(|mask| json!(mask.to_string()))
                .ok_or_else(|| bad("ro, rw, su or a decimal mask"))
        }
        Some(_) if key == "features" => Ok(json!(features(text)?.to_string())),
        Some(_) => Ok(json!(text)),
    }
}

/// Feature bits of comma-separated names, of `none`, or of a number, as `16` or `0x10`. Which of them
/// go together is for the cluster to say.
pub(crate) fn features(text: &str) -> Result<u64, Failure> {
    let number = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    if let Some(number) = number {
        return Ok(number);
    }
    if text.eq_ignore_ascii_case("none") {
        return Ok(0);
    }
    text.split(',').map(str::trim).try_fold(0, |bits, name| {
        let known = FEATURE_NAMES.iter().position(|known| known.eq_ignore_ascii_case(name));
        known.map(|bit| bits | 1 << bit).ok_or_else(|| {
            let near = FEATURE_NAMES.iter().map(|known| (distance(known, name), known)).min();
            let hint = match near {
                Some((far, known)) if far <= MAX_SUGGESTION_DISTANCE => {
                    format!("did you mean \"{known}\"?")
                }
                _ => format!("expected a number, none, or some of {}", FEATURE_NAMES.join(", ")),
            };
            Failure::usage(format!("unknown feature \"{name}\": {hint}"))
        })
    })
}

fn unknown_key(key: &str, known: &Value, shown_by: &str) -> Failure {
    let keys = flatten(known);
    let below = format!("{key}.");
    let inside: Vec<_> =
        keys.iter().map(|(k, _)| k.as_str()).filter(|k| k.starts_with(&below)).collect();
    if !inside.is_empty() {
        return Failure::usage(format!("\"{key}\" is a section: set one of {}", inside.join(", ")));
    }
    let nearest = keys.iter().map(|(k, _)| (distance(k, key), k)).min();
    let hint = match nearest {
        Some((distance, known)) if distance <= MAX_SUGGESTION_DISTANCE => {
            format!(": did you mean \"{known}\"?")
        }
        _ => format!(": \"{shown_by}\" prints the known ones"),
    };
    Failure::usage(format!("unknown property \"{key}\"{hint}"))
}

/// Levenshtein distance in characters.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let cost = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Every leaf as `dotted.key` and text, sorted by key.
pub(crate) fn flatten(value: &Value) -> Vec<(String, String)> {
    let mut leaves = Vec::new();
    collect("", value, &mut leaves);
    leaves.sort();
    leaves
}

fn collect(path: &str, value: &Value, leaves: &mut Vec<(String, String)>) {
    if let Value::Object(map) = value {
        for (key, inner) in map {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            collect(&path, inner, leaves);
        }
        return;
    }
    let text = match value {
        Value::String(text) if path == "access" => access_word(text),
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    leaves.push((path.to_owned(), text));
}

fn access_word(mask: &str) -> String {
    let word = ACCESS_WORDS.iter().find(|(_, value)| value.to_string() == mask);
    word.map_or_else(|| mask.to_owned(), |(word, _)| format!("{word} ({mask})"))
}

/// The leaves of one property or section; all of them when none is named. `shown_by` is the command
/// that prints them all.
pub(crate) fn select(
    value: &Value,
    prop: Option<&str>,
    shown_by: &str,
) -> Result<Vec<(String, String)>, Failure> {
    let mut leaves = flatten(value);
    let Some(prop) = prop else { return Ok(leaves) };
    let section = format!("{prop}.");
    leaves.retain(|(key, _)| key == prop || key.starts_with(&section));
    if leaves.is_empty() {
        return Err(unknown_key(prop, value, shown_by));
    }
    Ok(leaves)
}

/// What a patch changes: key, value before, value after; unchanged ones left out.
pub(crate) fn changes(before: &Value, after: &Value) -> Vec<(String, String, String)> {
    let old = flatten(before);
    let was = |key: &str| {
        old.binary_search_by(|(k, _)| k.as_str().cmp(key))
            .ok()
            .and_then(|at| old.get(at))
            .map(|(_, v)| v.clone())
    };
    flatten(after)
        .into_iter()
        .filter_map(|(key, value)| {
            let before = was(&key).unwrap_or_default();
            (before != value).then_some((key, before, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Value {
        json!({
            "access": "18446744073709551615",
            "checksum": {"type": "xxhash2", "validate_warm_get": false},
            "mirror": {"copies": 1, "enabled": false},
            "versioning": {"enabled": true},
        })
    }

    fn patch(text: &str) -> Result<Value, Failure> {
        parse_patch(&[text.to_owned()], &known())
    }

    #[test]
    fn values_take_the_type_of_their_key() {
        assert_eq!(
            patch("mirror.copies=2 mirror.enabled=true checksum.type=md5 access=ro").unwrap(),
            json!({"mirror": {"copies": 2, "enabled": true}, "checksum": {"type": "md5"}, "access": "771"})
        );
        assert_eq!(
            patch(r#"{"mirror": {"copies": 3}}"#).unwrap(),
            json!({"mirror": {"copies": 3}})
        );
    }

    #[test]
    fn mistakes_name_the_key_and_a_remedy() {
        for (text, expected) in [
            ("mirror.copys=2", "did you mean \"mirror.copies\""),
            ("colour=red", "bucket props show"),
            ("mirror=2", "mirror.copies, mirror.enabled"),
            ("mirror.copies=two", "an integer"),
            ("versioning.enabled=maybe", "true or false"),
            ("access=everything", "ro, rw, su"),
            ("versioning.enabled", "KEY=VALUE"),
            ("{bad", "not JSON"),
            ("", "no properties"),
        ] {
            let message = patch(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn selection_and_changes_are_by_dotted_key() {
        let rows = select(&known(), Some("mirror"), BUCKET_PROPS).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(
            select(&known(), None, BUCKET_PROPS).unwrap().first().unwrap().1,
            "su (18446744073709551615)"
        );
        assert!(select(&known(), Some("miror.copies"), BUCKET_PROPS).is_err());
        let mut after = known();
        after["mirror"]["copies"] = json!(2);
        assert_eq!(changes(&known(), &after), [("mirror.copies".into(), "1".into(), "2".into())]);
    }
}
