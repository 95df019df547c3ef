//! Conditional requests: `If-Match` and its kin, in the order that RFC 9110 section 13.2.2 gives.

use crate::http_date::parse_http_date;

/// Most entity tags in one header.
const MAX_TAGS: usize = 256;

/// A condition that cannot be read; answers 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "malformed {header} \"{value}\": expected \"*\" or a list of at most 256 quoted entity tags"
)]
pub struct MalformedCondition {
    header: &'static str,
    value: String,
}

/// The conditions of one request, as the headers have them. Dates that are no dates are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    matching: Option<Tags>,
    none_match: Option<Tags>,
    modified_since: Option<u64>,
    unmodified_since: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    These(Vec<Tag>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Tag {
    weak: bool,
    /// Without quotes.
    opaque: String,
}

/// What is known of the stored object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validators<'a> {
    /// Strong tag without quotes.
    pub etag: &'a str,
    /// Last modification, seconds since the epoch.
    pub modified_s: u64,
}

/// What the conditions say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Carry the request out.
    Proceed,
    /// 304: the client has this version. Only for reads.
    NotModified,
    /// 412.
    Failed,
}

impl Conditions {
    /// Reads the four headers; `header` gives the value of one by its lower-case name, several lines of
    /// one header joined by commas.
    ///
    /// # Errors
    ///
    /// [`MalformedCondition`] for tag lists that cannot be read: to guess could mean to overwrite.
    pub fn parse<'h>(
        header: impl Fn(&'static str) -> Option<&'h str>,
    ) -> Result<Self, MalformedCondition> {
        let tags = |name| header(name).map(|text| parse_tags(name, text)).transpose();
        let date = |name| header(name).and_then(parse_http_date);
        Ok(Self {
            matching: tags("if-match")?,
            none_match: tags("if-none-match")?,
            modified_since: date("if-modified-since"),
            unmodified_since: date("if-unmodified-since"),
        })
    }

    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the request is for a name without an object: exactly `If-None-Match: *`.
    pub fn wants_absent(&self) -> bool {
        self.none_match == Some(Tags::Any)
    }

    /// Decides for a GET or HEAD; `None` is a name without an object.
    pub fn for_read(&self, current: Option<Validators<'_>>) -> Verdict {
        if !self.precondition_holds(current) {
            return Verdict::Failed;
        }
        let unchanged = match (&self.none_match, self.modified_since, current) {
            (Some(tags), _, current) => tags.weakly_match(current),
            (None, Some(since), Some(current)) => current.modified_s <= since,
            _ => false,
        };
        if unchanged { Verdict::NotModified } else { Verdict::Proceed }
    }

    /// Decides for a change; `None` is a name without an object. Never [`Verdict::NotModified`].
    pub fn for_change(&self, current: Option<Validators<'_>>) -> Verdict {
        let refused = self.none_match.as_ref().is_some_and(|tags| tags.weakly_match(current));
        if refused || !self.precondition_holds(current) {
            return Verdict::Failed;
        }
        Verdict::Proceed
    }

    fn precondition_holds(&self, current: Option<Validators<'_>>) -> bool {
        match (&self.matching, self.unmodified_since, current) {
            (Some(tags), _, current) => tags.strongly_match(current),
            (None, Some(since), Some(current)) => current.modified_s <= since,
            _ => true,
        }
    }
}

/// Whether `Range` counts under an `If-Range` header: its tag or date is that of the stored version.
///
/// A date must be equal, and a weak tag never is: the parts must be of the very same bytes.
pub fn if_range_holds(header: &str, current: Validators<'_>) -> bool {
    if let Some(date) = parse_http_date(header) {
        return date == current.modified_s;
    }
    match parse_tags("if-range", header) {
        Ok(Tags::These(tags)) => {
            matches!(tags.as_slice(), [tag] if !tag.weak && tag.opaque == current.etag)
        }
        _ => false,
    }
}

impl Tags {
    fn strongly_match(&self, current: Option<Validators<'_>>) -> bool {
        let Some(current) = current else { return false };
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|tag| !tag.weak && tag.opaque == current.etag),
        }
    }

    fn weakly_match(&self, current: Option<Validators<'_>>) -> bool {
        let Some(current) = current else { return false };
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|tag| tag.opaque == current.etag),
        }
    }
}

/// Reads a list of tags. Tags without quotes are taken too: the protocol's older servers gave such out.
fn parse_tags(header: &'static str, text: &str) -> Result<Tags, MalformedCondition> {
    let malformed = || MalformedCondition { header, value: text.to_owned() };
    let text = text.trim();
    if text == "*" {
        return Ok(Tags::Any);
    }
    let mut tags = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (tag, after) = parse_tag(rest).ok_or_else(malformed)?;
        if let Some(tag) = tag {
            tags.push(tag);
        }
        rest = after;
        if tags.len() > MAX_TAGS {
            return Err(malformed());
        }
    }
    if tags.is_empty() { Err(malformed()) } else { Ok(Tags::These(tags)) }
}

/// The first element of a list (`None` for an empty one) and what follows its comma.
fn parse_tag(text: &str) -> Option<(Option<Tag>, &str)> {
    let (weak, body) = match text.strip_prefix("W/") {
        Some(body) => (true, body),
        None => (false, text),
    };
    let (opaque, after) = if let Some(quoted) = body.strip_prefix('"') {
        quoted.split_once('"')?
    } else {
        let end = body.find(',').unwrap_or(body.len());
        let bare = body.get(..end)?.trim_end();
        if bare.contains(['"', '*', ' ']) || (weak && bare.is_empty()) {
            return None;
        }
        (bare, body.get(end..)?)
    };
    let after = after.trim_start();
    let after = if after.is_empty() { after } else { after.strip_prefix(',')?.trim_start() };
    let quoted = body.starts_with('"');
    let tag = (quoted || !opaque.is_empty()).then(|| Tag { weak, opaque: opaque.to_owned() });
    Some((tag, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Verdict::{Failed, NotModified, Proceed};
    use super::*;

    const DATE: &str = "Wed, 14 May 2025 14:30:22 GMT";
    const LATER: &str = "Wed, 14 May 2025 14:30:23 GMT";
    const EARLIER: &str = "Wed, 14 May 2025 14:30:21 GMT";
    const CURRENT: Option<Validators<'_>> =
        Some(Validators { etag: "abc", modified_s: 1_747_233_022 });

    fn conditions(pairs: &[(&str, &'static str)]) -> Conditions {
        let find = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, text)| *text);
        Conditions::parse(find).unwrap()
    }

    #[test]
    fn each_condition_alone_on_reads_and_changes() {
        for (name, value, read, change) in [
            ("if-match", "\"abc\"", Proceed, Proceed),
            ("if-match", "abc", Proceed, Proceed),
            ("if-match", "*", Proceed, Proceed),
            ("if-match", "\"x\", \"abc\"", Proceed, Proceed),
            ("if-match", "W/\"abc\"", Failed, Failed),
            ("if-match", "\"x\"", Failed, Failed),
            ("if-none-match", "\"abc\"", NotModified, Failed),
            ("if-none-match", "W/\"abc\"", NotModified, Failed),
            ("if-none-match", "*", NotModified, Failed),
            ("if-none-match", "\"x\",\"y\"", Proceed, Proceed),
            ("if-modified-since", DATE, NotModified, Proceed),
            ("if-modified-since", LATER, NotModified, Proceed),
            ("if-modified-since", EARLIER, Proceed, Proceed),
            ("if-modified-since", "yesterday", Proceed, Proceed),
            ("if-unmodified-since", DATE, Proceed, Proceed),
            ("if-unmodified-since", EARLIER, Failed, Failed),
        ] {
            let conditions = conditions(&[(name, value)]);
            assert_eq!(conditions.for_read(CURRENT), read, "{name}: {value}");
            assert_eq!(conditions.for_change(CURRENT), change, "{name}: {value}");
            assert!(!conditions.is_empty() || value == "yesterday");
        }
        assert!(conditions(&[("if-none-match", "*")]).wants_absent());
        assert!(!conditions(&[("if-none-match", "\"abc\"")]).wants_absent());
    }

    #[test]
    fn an_absent_object_matches_nothing() {
        for (name, value, verdict) in [
            ("if-match", "*", Failed),
            ("if-match", "\"abc\"", Failed),
            ("if-none-match", "*", Proceed),
            ("if-unmodified-since", EARLIER, Proceed),
        ] {
            assert_eq!(conditions(&[(name, value)]).for_change(None), verdict, "{name}: {value}");
        }
    }

    #[test]
    fn tags_win_over_dates() {
        let both = conditions(&[("if-none-match", "\"x\""), ("if-modified-since", LATER)]);
        assert_eq!(both.for_read(CURRENT), Proceed);
        let both = conditions(&[("if-match", "\"abc\""), ("if-unmodified-since", EARLIER)]);
        assert_eq!(both.for_read(CURRENT), Proceed);
        let both = conditions(&[("if-match", "\"x\""), ("if-none-match", "\"abc\"")]);
        assert_eq!(both.for_read(CURRENT), Failed);
    }

    #[test]
    fn unreadable_lists_are_refused_with_header_and_value() {
        for bad in ["", ",", "\"abc", "\"a\" \"b\"", "a b", "W/", "*, \"a\""] {
            let err = Conditions::parse(|name| (name == "if-match").then_some(bad)).unwrap_err();
            assert!(err.to_string().starts_with("malformed if-match"), "{bad}: {err}");
        }
    }

    #[test]
    fn a_range_counts_for_the_very_same_version_only() {
        let current = CURRENT.unwrap();
        for (header, holds) in [
            ("\"abc\"", true),
            ("abc", true),
            ("W/\"abc\"", false),
            ("\"x\"", false),
            ("\"abc\", \"x\"", false),
            ("*", false),
            (DATE, true),
            (LATER, false),
            ("", false),
        ] {
            assert_eq!(if_range_holds(header, current), holds, "{header}");
        }
    }

    proptest! {
        #[test]
        fn a_written_list_is_read_back(opaque in prop::collection::vec("[!#-~]{0,8}", 1..9), weak in any::<bool>()) {
            let prefix = if weak { "W/" } else { "" };
            let text: Vec<String> = opaque.iter().map(|tag| format!("{prefix}\"{tag}\"")).collect();
            let parsed = parse_tags("if-match", &text.join(" , ")).unwrap();
            let expected = opaque.into_iter().map(|opaque| Tag { weak, opaque }).collect();
            prop_assert_eq!(parsed, Tags::These(expected));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}", other in "[W/\"a,* ]{0,20}") {
            let _ = parse_tags("if-match", &text);
            let _ = parse_tags("if-match", &other);
            let _ = if_range_holds(&other, CURRENT.unwrap());
        }

        #[test]
        fn a_change_and_its_opposite_never_both_proceed(text in "[W/\"abc, ]{1,12}") {
            let read = |name: &'static str| Conditions::parse(|header| (header == name).then_some(text.as_str()));
            if let (Ok(with), Ok(without)) = (read("if-match"), read("if-none-match")) {
                let with = with.for_change(CURRENT) == Proceed;
                let without = without.for_change(CURRENT) == Proceed;
                prop_assert!(!(with && without));
            }
        }
    }
}
