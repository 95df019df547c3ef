//! Environment variables of the program: a misspelt one must not be ignored silently.

use clap::Command;

use super::options::OptionsError;

/// All variables with this prefix are meant for this program.
const PREFIX: &str = "AISNODE_";
/// From this similarity on, an unknown name is taken for a typing error.
const SIMILAR: f64 = 0.6;

/// Refuses variables that start with [`PREFIX`] and belong to no option of `command`.
///
/// # Errors
///
/// [`OptionsError::Invalid`] that names the variable and the known one most like it.
pub(super) fn check(
    command: &Command,
    names: impl Iterator<Item = String>,
) -> Result<(), OptionsError> {
    let known: Vec<String> = command
        .get_arguments()
        .filter_map(|option| Some(option.get_env()?.to_str()?.to_owned()))
        .collect();
    let ours = names.filter(|name| name.starts_with(PREFIX));
    let Some(unknown) = ours.filter(|name| !known.contains(name)).min() else { return Ok(()) };
    let remedy = match nearest(&unknown, &known) {
        Some(near) => format!("did you mean {near}?"),
        None => "unset it".to_owned(),
    };
    let known = known.join(", ");
    Err(OptionsError::Invalid(format!(
        "unknown environment variable {unknown}: {remedy} (known variables: {known})"
    )))
}

fn nearest<'k>(unknown: &str, known: &'k [String]) -> Option<&'k str> {
    // Without the common prefix, which would make all of them alike.
    let word = |name: &'k str| name.strip_prefix(PREFIX).unwrap_or(name);
    let wanted = unknown.strip_prefix(PREFIX).unwrap_or(unknown);
    known
        .iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(wanted, word(name)), name.as_str()))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn checked(names: &[&str]) -> Result<(), String> {
        let option = |name: &'static str| Arg::new(name).long(name);
        let command = Command::new("aisnode")
            .arg(option("listen").env("AISNODE_LISTEN"))
            .arg(option("join").env("AISNODE_JOIN"));
        let names = names.iter().map(|name| (*name).to_owned());
        check(&command, names).map_err(|err| err.to_string())
    }

    #[test]
    fn known_and_foreign_variables_pass() {
        checked(&["AISNODE_LISTEN", "HOME", "AISNODE", "MY_AISNODE_X"]).unwrap();
    }

    #[test]
    fn a_typing_error_names_the_variable_and_the_nearest_known_one() {
        let text = checked(&["AISNODE_JOIN", "AISNODE_LISTNE"]).unwrap_err();
        assert!(text.contains("AISNODE_LISTNE: did you mean AISNODE_LISTEN?"), "{text}");
        let text = checked(&["AISNODE_COLOUR"]).unwrap_err();
        assert!(text.contains("AISNODE_COLOUR: unset it"), "{text}");
        assert!(text.contains("AISNODE_LISTEN, AISNODE_JOIN"), "{text}");
    }
}
