//! Range templates: `p-{000..999..2}.tar` stands for `p-000.tar`, `p-002.tar`, … `p-998.tar`.
//!
//! Several ranges in one template multiply, the last one running fastest, as in a shell. A
//! range is padded with zeros to the width of its narrower bound.

use std::fmt::Write as _;

/// Most names one template may stand for: a slip of a digit must not exhaust memory.
pub const MAX_NAMES: u64 = 10_000_000;

/// A template that cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// Braces without a range in them, or unbalanced ones.
    #[error(
        "template \"{0}\": expected \"{{first..last}}\" or \"{{first..last..step}}\" with decimal numbers, as in \"p-{{000..999..2}}.tar\""
    )]
    Syntax(String),
    /// A range that runs backwards or never advances.
    #[error(
        "template \"{template}\": range {{{range}}} must run upwards with a step of at least 1"
    )]
    Range {
        /// Whole template.
        template: String,
        /// The range between the braces.
        range: String,
    },
    /// Stands for too many names.
    #[error("template \"{0}\" stands for more than {MAX_NAMES} names: split it")]
    TooMany(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    first: u64,
    last: u64,
    step: u64,
    width: usize,
    /// Literal text after the range.
    suffix: String,
}

impl Range {
    fn count(&self) -> u64 {
        ((self.last - self.first) / self.step).saturating_add(1)
    }
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    prefix: String,
    ranges: Vec<Range>,
}

impl Template {
    /// Whether `text` holds at least one well-formed range.
    pub fn is_template(text: &str) -> bool {
        Self::parse(text).is_ok_and(|template| !template.ranges.is_empty())
    }

    /// Parses a template; text without braces is a template of one name.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] for what stands for no names.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let syntax = || TemplateError::Syntax(text.to_owned());
        let mut pieces = text.split('{');
        let prefix = pieces.next().unwrap_or_default().to_owned();
        if prefix.contains('}') {
            return Err(syntax());
        }
        let mut ranges = Vec::new();
        let mut total: u64 = 1;
        for piece in pieces {
            let (body, suffix) = piece.split_once('}').ok_or_else(syntax)?;
            if suffix.contains('}') {
                return Err(syntax());
            }
            let range = parse_range(text, body, suffix)?;
            total = total
                .checked_mul(range.count())
                .filter(|&n| n <= MAX_NAMES)
                .ok_or_else(|| TemplateError::TooMany(text.to_owned()))?;
            ranges.push(range);
        }
        Ok(Self { prefix, ranges })
    }

    /// Number of names, at most [`MAX_NAMES`].
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(Range::count).product()
    }

    /// The names in order, produced one by one.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.names_from(0)
    }

    /// As [`names`](Self::names), from the name at `first` on.
    pub fn names_from(&self, first: u64) -> impl Iterator<Item = String> + '_ {
        (first..self.count()).map(|index| self.name(index))
    }

    /// The name at `index`, which counts the ranges as digits, the last range lowest.
    fn name(&self, mut index: u64) -> String {
        let mut values = vec![0; self.ranges.len()];
        for (value, range) in values.iter_mut().zip(&self.ranges).rev() {
            *value = range.first + (index % range.count()) * range.step;
            index /= range.count();
        }
        let mut name = self.prefix.clone();
        for (value, Range { width, suffix, .. }) in values.iter().zip(&self.ranges) {
            // Writing to a String cannot fail.
            let _ = write!(name, "{value:0width$}");
            name.push_str(suffix);
        }
        name
    }
}

fn parse_range(template: &str, body: &str, suffix: &str) -> Result<Range, TemplateError> {
    let syntax = || TemplateError::Syntax(template.to_owned());
    let number = |text: &str| -> Result<u64, TemplateError> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(syntax());
        }
        text.parse().map_err(|_| syntax())
    };
    let mut parts = body.split("..");
    let first_text = parts.next().unwrap_or_default();
    let first = number(first_text)?;
    let last_text = parts.next().ok_or_else(syntax)?;
    let last = number(last_text)?;
    let step = parts.next().map(number).transpose()?.unwrap_or(1);
    if parts.next().is_some() {
        return Err(syntax());
    }
    if last < first || step == 0 {
        return Err(TemplateError::Range { template: template.to_owned(), range: body.to_owned() });
    }
    let width = first_text.len().min(last_text.len());
    Ok(Range { first, last, step, width, suffix: suffix.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Vec<String> {
        Template::parse(text).unwrap().names().collect()
    }

    #[test]
    fn ranges_step_pad_and_multiply() {
        assert_eq!(expand("p-{000..999..2}.tar").len(), 500);
        assert_eq!(expand("p-{000..004..2}.tar"), ["p-000.tar", "p-002.tar", "p-004.tar"]);
        assert_eq!(expand("{00..2}"), ["0", "1", "2"]);
        assert_eq!(expand("{9..11}"), ["9", "10", "11"]);
        assert_eq!(expand("a{0..1}/b{1..2}"), ["a0/b1", "a0/b2", "a1/b1", "a1/b2"]);
        assert_eq!(expand("plain"), ["plain"]);
    }

    #[test]
    fn malformed_templates_are_refused_with_the_template_in_the_message() {
        for bad in [
            "{",
            "a{1..}",
            "a{..2}",
            "}",
            "{1..2",
            "{a..b}",
            "{1,2}",
            "{1..2..3..4}",
            "{-1..2}",
            "{1..2}}",
        ] {
            let err = Template::parse(bad).unwrap_err();
            assert!(matches!(err, TemplateError::Syntax(_)), "{bad}: {err}");
            assert!(err.to_string().contains(bad), "{err}");
            assert!(!Template::is_template(bad));
        }
        for backwards in ["{3..1}", "{1..3..0}"] {
            assert!(matches!(Template::parse(backwards), Err(TemplateError::Range { .. })));
        }
    }

    #[test]
    fn absurd_counts_are_refused_before_any_name_is_made() {
        for text in ["{0..99999999}", "{0..9999}{0..9999}", "{0..18446744073709551615}"] {
            assert!(matches!(Template::parse(text), Err(TemplateError::TooMany(_))), "{text}");
        }
    }
}
