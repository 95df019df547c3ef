//! Listing without recursion: which names are shown, and which are folded into virtual directories.
//!
//! A prefix that ends in `/`, or none, shows what is directly below it. Any other prefix `a` shows the
//! level that it is on, `ab` and `abc/`, and enters the directory of exactly that name: `a/x`, `a/y/`.

/// The virtual directory, with its final `/`, that `name` is folded into; `None` when the name itself is
/// shown. `name` starts with `prefix`.
pub fn directory<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    let rest = name.get(prefix.len()..)?;
    let entered = !prefix.is_empty() && !prefix.ends_with('/') && rest.starts_with('/');
    let skipped = prefix.len() + usize::from(entered);
    let slash = name.get(skipped..)?.find('/')?;
    name.get(..=skipped + slash)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What a listing of `names` shows.
    fn shown(names: &BTreeSet<String>, prefix: &str) -> BTreeSet<String> {
        let below = names.iter().filter(|name| name.starts_with(prefix));
        below.map(|name| directory(name, prefix).unwrap_or(name).to_owned()).collect()
    }

    /// The same from the definition: objects of a folder, and its immediate sub-folders.
    fn folder(names: &BTreeSet<String>, folder: &str) -> BTreeSet<String> {
        let inside = names.iter().filter_map(|name| name.strip_prefix(folder));
        let child = |rest: &str| match rest.split_once('/') {
            None => format!("{folder}{rest}"),
            Some((dir, _)) => format!("{folder}{dir}/"),
        };
        inside.map(child).collect()
    }

    #[test]
    fn directories_are_cut_after_the_prefix() {
        assert_eq!(directory("a/b/c", ""), Some("a/"));
        assert_eq!(directory("a/b/c", "a/"), Some("a/b/"));
        assert_eq!(directory("a/", "a/"), None);
        assert_eq!(directory("ä/b", "ä/"), None);
        assert_eq!(directory("a//b", "a/"), Some("a//"));
    }

    #[test]
    fn the_directory_of_exactly_the_prefix_is_entered() {
        assert_eq!(directory("a/b", "a"), None);
        assert_eq!(directory("a/b/c", "a"), Some("a/b/"));
        assert_eq!(directory("abc/d", "a"), Some("abc/"));
        assert_eq!(directory("x/ab/c", "x/a"), Some("x/ab/"));
        assert_eq!(directory("x/a/c", "x/a"), None);
    }

    proptest! {
        #[test]
        fn a_folder_shows_its_children_and_nothing_deeper(
            names in prop::collection::btree_set("[ab/]{1,6}", 0..40),
            dir in "([ab]{0,2}/)?",
        ) {
            prop_assert_eq!(shown(&names, &dir), folder(&names, &dir));
        }

        #[test]
        fn a_bare_prefix_shows_its_level_and_enters_one_directory(
            names in prop::collection::btree_set("[ab/]{1,6}", 0..40),
            dir in "([ab]/)?",
            stem in "[ab]{1,2}",
        ) {
            let prefix = format!("{dir}{stem}");
            let entered = format!("{prefix}/");
            let mut expected: BTreeSet<String> =
                folder(&names, &dir).into_iter().filter(|name| name.starts_with(&prefix)).collect();
            expected.remove(&entered);
            expected.extend(folder(&names, &entered));
            prop_assert_eq!(shown(&names, &prefix), expected);
        }
    }
}
