//! Names of kinds: what people type, and what the protocol says.

use crate::failure::Failure;

/// How the end of a job is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// The cluster keeps a status.
    Status,
    /// Every target has an end time.
    Finished,
    /// Nothing has been left to do for a while.
    Idle,
}

/// Kind, name shown, how its end is told.
const KINDS: [(&str, &str, Ends); 31] = [
    ("election", "elect-primary", Ends::Finished),
    ("rebalance", "rebalance", Ends::Status),
    ("etl-inline", "etl-inline", Ends::Status),
    ("lru", "lru-eviction", Ends::Status),
    ("cleanup-store", "cleanup", Ends::Status),
    ("summary-bck", "summary", Ends::Finished),
    ("summary-shard", "shard-summary", Ends::Finished),
    ("resilver", "resilver", Ends::Finished),
    ("rechunk", "rechunk", Ends::Status),
    ("index-shard", "shard-index", Ends::Status),
    ("ec-get", "ec-get", Ends::Idle),
    ("ec-put", "ec-put", Ends::Idle),
    ("ec-resp", "ec-resp", Ends::Idle),
    ("put-copies", "put-copies", Ends::Idle),
    ("archive", "archive", Ends::Idle),
    ("copy-listrange", "copy-objects", Ends::Idle),
    ("etl-listrange", "etl-objects", Ends::Idle),
    ("blob-download", "blob-download", Ends::Finished),
    ("download", "download", Ends::Idle),
    ("promote", "promote-files", Ends::Status),
    ("evict-listrange", "evict-objects", Ends::Status),
    ("evict-remote-bck", "evict-remote-bucket", Ends::Finished),
    ("delete-listrange", "delete-objects", Ends::Status),
    ("prefetch-listrange", "prefetch-objects", Ends::Status),
    ("ec-encode", "ec-bucket", Ends::Status),
    ("make-n-copies", "mirror", Ends::Status),
    ("move-bck", "rename-bucket", Ends::Status),
    ("copy-bck", "copy-bucket", Ends::Status),
    ("list", "list", Ends::Idle),
    ("get-batch", "get-batch", Ends::Idle),
    ("load-lom-cache", "warm-up-metadata", Ends::Finished),
];

/// Words that people use besides.
const SHORTCUTS: [(&str, &str); 6] = [
    ("evict", "evict-listrange"),
    ("prefetch", "prefetch-listrange"),
    ("copy", "copy-bck"),
    ("delete", "delete-listrange"),
    ("ec", "ec-encode"),
    ("ls", "list"),
];

/// Most letters that may be wrong for a suggestion.
const MAX_DISTANCE: usize = 3;

/// The kind that a word means.
pub(super) fn find(word: &str) -> Option<&'static str> {
    let known = KINDS.iter().find(|(kind, shown, _)| *kind == word || *shown == word);
    let short = SHORTCUTS.iter().find(|(short, _)| *short == word);
    known.map(|(kind, _, _)| *kind).or(short.map(|(_, kind)| *kind))
}

/// The name to show of a kind.
pub(super) fn display(kind: &str) -> &str {
    KINDS.iter().find(|(known, _, _)| *known == kind).map_or(kind, |(_, shown, _)| shown)
}

/// How the end of jobs of a kind is told.
pub(super) fn ends(kind: &str) -> Ends {
    KINDS.iter().find(|(known, _, _)| *known == kind).map_or(Ends::Finished, |(_, _, ends)| *ends)
}

/// The error for a word that is nothing, with the nearest kind.
pub(super) fn unknown(word: &str) -> Failure {
    let names = KINDS.iter().flat_map(|(kind, shown, _)| [*kind, *shown]);
    let near = names
        .map(|name| (crate::props::distance(word, name), name))
        .filter(|(distance, _)| *distance <= MAX_DISTANCE)
        .min();
    let remedy = match near {
        Some((_, name)) => format!("did you mean \"{name}\"?"),
        None => "expected a kind (such as copy-bucket), a job's id, a target t[ID] or a bucket"
            .to_owned(),
    };
    Failure::usage(format!("\"{word}\" is no kind or id of a job: {remedy}"))
}
