//! Which objects a request about several of them means: a list, a range, or a prefix.

use crate::bucket::validate_object_name;
use crate::error::ApiError;
use crate::template::Template;

/// What a client said: names win over the template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names.
    pub objnames: Vec<String>,
    /// `p-{00..99}.tar`, `p-@99.tar`, or a prefix.
    pub template: String,
}

/// The objects that are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// These; one that is missing is an error.
    List(Vec<String>),
    /// These, as far as they are there.
    Range(Template),
    /// All whose names begin so.
    Prefix(String),
}

impl Selection {
    /// Reads the selection; an empty one means every object.
    ///
    /// # Errors
    ///
    /// 400 for names that cannot be and malformed templates.
    pub fn names(&self) -> Result<Names, ApiError> {
        if !self.objnames.is_empty() {
            for name in &self.objnames {
                validate_object_name(name)?;
            }
            return Ok(Names::List(self.objnames.clone()));
        }
        let text = self.template.as_str();
        let refused = |err: crate::template::TemplateError| ApiError::bad_request(err.to_string());
        if text.contains('{') && text.contains('}') {
            return Ok(Names::Range(Template::parse(text).map_err(refused)?));
        }
        if text.contains('@') {
            let braces = at_to_braces(text).ok_or_else(|| {
                ApiError::bad_request(format!(
                    "template \"{text}\": expected digits after \"@\", as in \"p-@099.tar\""
                ))
            })?;
            return Ok(Names::Range(Template::parse(&braces).map_err(refused)?));
        }
        if text.contains('%') {
            return Err(ApiError::bad_request(format!(
                "template \"{text}\" has no end: use a range with two bounds, as in \"p-{{000..999}}.tar\""
            )));
        }
        Ok(Names::Prefix(text.strip_suffix('*').unwrap_or(text).to_owned()))
    }
}

/// `p-@099` counts from 0 to 99 in three digits.
fn at_to_braces(text: &str) -> Option<String> {
    let mut pieces = text.split('@');
    let mut out = pieces.next()?.to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
        let (digits, rest) = piece.split_at(end);
        if digits.is_empty() {
            return None;
        }
        let first = "0".repeat(digits.len());
        out.extend(["{", &first, "..", digits, "}", rest]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(template: &str) -> Result<Names, ApiError> {
        Selection { objnames: Vec::new(), template: template.to_owned() }.names()
    }

    #[test]
    fn templates_are_ranges_or_prefixes() {
        let expand = |text: &str| match names(text).unwrap() {
            Names::Range(template) => template.names().collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(expand("a-{08..10..1}.x"), ["a-08.x", "a-09.x", "a-10.x"]);
        assert_eq!(expand("a-@02.x"), ["a-00.x", "a-01.x", "a-02.x"]);
        for (text, prefix) in [("", ""), ("*", ""), ("a/b*", "a/b"), ("a/b", "a/b")] {
            assert_eq!(names(text).unwrap(), Names::Prefix(prefix.to_owned()));
        }
        for bad in ["a@", "{1..}", "a-%06d"] {
            assert_eq!(names(bad).unwrap_err().status, 400, "{bad}");
        }
    }
}
