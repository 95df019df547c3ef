//! Which files of an archive a request for many means.

use regex::{Regex, RegexBuilder};

use crate::error::ApiError;
use crate::tar::lookup_name;

/// Bound on what a compiled expression takes, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// How names are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchMode {
    /// A regular expression found anywhere in the name.
    Regexp,
    /// The name starts with the text.
    Prefix,
    /// The name ends with the text.
    Suffix,
    /// The name contains the text.
    Substr,
    /// The name without its extension is the text.
    WdsKey,
}

impl MatchMode {
    /// Reads `archmode`; empty and `*` mean a prefix.
    ///
    /// # Errors
    ///
    /// 400 for any other word.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        Ok(match text {
            "regexp" => Self::Regexp,
            "" | "*" | "prefix" => Self::Prefix,
            "suffix" => Self::Suffix,
            "substr" => Self::Substr,
            "wdskey" => Self::WdsKey,
            other => {
                return Err(ApiError::bad_request(format!(
                    "invalid matching mode \"{other}\": expected regexp, prefix, suffix, substr or wdskey"
                )));
            }
        })
    }
}

/// Tells which files are meant.
#[derive(Debug, Clone)]
pub struct Matcher {
    mode: MatchMode,
    text: String,
    regex: Option<Regex>,
}

impl Matcher {
    /// Files whose names match `text`; empty and `*` match all.
    ///
    /// # Errors
    ///
    /// 400 for an unknown mode and for a malformed expression.
    pub fn new(mode: &str, text: &str) -> Result<Self, ApiError> {
        let mode = MatchMode::parse(mode)?;
        let text = if text == "*" { "" } else { text };
        let is_regex = mode == MatchMode::Regexp && !text.is_empty();
        let regex = is_regex.then(|| RegexBuilder::new(text).size_limit(MAX_REGEX_BYTES).build());
        let regex = regex.transpose().map_err(|err| {
            ApiError::bad_request(format!("invalid regular expression \"{text}\": {err}"))
        })?;
        Ok(Self { mode, text: text.to_owned(), regex })
    }

    /// What is looked for, for messages.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a file is meant.
    pub fn matches(&self, name: &str) -> bool {
        if self.text.is_empty() {
            return true;
        }
        let plain = lookup_name(name);
        match (self.mode, &self.regex) {
            (_, Some(regex)) => regex.is_match(name),
            (MatchMode::Suffix, _) => name.ends_with(&self.text),
            (MatchMode::Substr, _) => name.contains(&self.text),
            (MatchMode::WdsKey, _) => without_extension(plain) == lookup_name(&self.text),
            (MatchMode::Prefix | MatchMode::Regexp, _) => {
                name.starts_with(&self.text) || plain.starts_with(&self.text)
            }
        }
    }
}

/// The path without what follows the last dot of its last part.
fn without_extension(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !extension.contains('/') => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_matches_as_its_name_says() {
        for (mode, text, yes, no) in [
            ("regexp", r"^a/\d+\.jpg$", "a/12.jpg", "a/x.jpg"),
            ("regexp", "1", "a1b", "ab"),
            ("prefix", "a/", "a/b", "b/a/"),
            ("", "a/", "./a/b", "b/a/"),
            ("suffix", ".jpg", "x.jpg", "x.jpg.txt"),
            ("substr", "b", "abc", "ac"),
            ("wdskey", "d/0001", "/d/0001.jpg", "d/00011.jpg"),
            ("wdskey", "d/a.b", "d/a.b.c", "d/a.b"),
            ("wdskey", "d.x/a", "d.x/a", "d"),
        ] {
            let matcher = Matcher::new(mode, text).unwrap();
            assert!(matcher.matches(yes), "{mode} {text} {yes}");
            assert!(!matcher.matches(no), "{mode} {text} {no}");
        }
        for all in ["", "*"] {
            for mode in ["", "*", "regexp", "wdskey", "suffix"] {
                assert!(Matcher::new(mode, all).unwrap().matches("anything"));
            }
        }
    }

    #[test]
    fn mistakes_are_named() {
        let err = Matcher::new("glob", "x").unwrap_err();
        assert!(err.message.starts_with("invalid matching mode \"glob\""), "{err}");
        assert_eq!(Matcher::new("regexp", "(").unwrap_err().status, 400);
        assert_eq!(Matcher::new("regexp", r"(\w{500}){500}").unwrap_err().status, 400);
    }
}
