//! The kinds of jobs that the protocol knows, and what holds for each.

/// What a job of a kind works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The cluster.
    Cluster,
    /// One bucket, which must be named.
    Bucket,
    /// One bucket, several or all.
    Buckets,
    /// One target.
    Target,
}

/// What the generic `start` action says to a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It starts.
    Yes,
    /// It is asked for in another way: 400.
    OwnApi,
    /// It cannot be asked for: 501.
    No,
}

/// One kind of job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobKind {
    /// Name on the wire and in replies.
    pub name: &'static str,
    /// Name for people; requests may use either.
    pub display: &'static str,
    /// What it works on.
    pub scope: Scope,
    /// Whether the generic `start` takes it.
    pub start: Start,
    /// Whether `what=status` knows it.
    pub status: bool,
    /// Whether it waits for more work, so that clients wait until it idles.
    pub idles: bool,
    /// Whether it refuses to start while objects change places (rebalance, resilver, bucket rename).
    pub exclusive: bool,
}

impl JobKind {
    /// Whether objects change places under it.
    pub fn moves_objects(&self) -> bool {
        matches!(self.name, "rebalance" | "resilver" | "move-bck")
    }

    /// Whether it is a copy or rename from bucket to bucket.
    pub fn is_between_buckets(&self) -> bool {
        matches!(self.name, "copy-bck" | "move-bck" | "etl-bck")
    }
}

const fn kind(name: &'static str, scope: Scope) -> JobKind {
    let start = Start::No;
    JobKind { name, display: name, scope, start, status: false, idles: false, exclusive: false }
}

impl JobKind {
    const fn shown(mut self, display: &'static str) -> Self {
        self.display = display;
        self
    }
    const fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }
    const fn status(mut self) -> Self {
        self.status = true;
        self
    }
    const fn idles(mut self) -> Self {
        self.idles = true;
        self
    }
    const fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }
}

/// Every kind, in the order of the protocol's table.
pub const KINDS: [JobKind; 34] = [
    kind("election", Scope::Cluster).shown("elect-primary"),
    kind("rebalance", Scope::Cluster).start(Start::Yes).status(),
    kind("etl-inline", Scope::Cluster).status(),
    kind("lru", Scope::Buckets).shown("lru-eviction").start(Start::Yes).status(),
    kind("cleanup-store", Scope::Buckets).shown("cleanup").start(Start::Yes).status().exclusive(),
    kind("summary-bck", Scope::Buckets).shown("summary"),
    kind("summary-shard", Scope::Bucket).shown("shard-summary"),
    kind("resilver", Scope::Target).start(Start::Yes),
    kind("rechunk", Scope::Bucket).start(Start::Yes).status().exclusive(),
    kind("index-shard", Scope::Bucket).shown("shard-index").status().exclusive(),
    kind("ec-get", Scope::Bucket).idles(),
    kind("ec-put", Scope::Bucket).idles(),
    kind("ec-resp", Scope::Bucket).idles(),
    kind("put-copies", Scope::Bucket).start(Start::OwnApi).idles(),
    kind("archive", Scope::Bucket).idles(),
    kind("copy-listrange", Scope::Bucket).shown("copy-objects").idles().exclusive(),
    kind("etl-listrange", Scope::Bucket).shown("etl-objects").idles().exclusive(),
    kind("blob-download", Scope::Bucket).start(Start::Yes),
    kind("download", Scope::Cluster).start(Start::OwnApi).status().idles(),
    kind("dsort", Scope::Bucket).exclusive(),
    kind("promote", Scope::Bucket).shown("promote-files").status(),
    kind("evict-listrange", Scope::Bucket).shown("evict-objects").start(Start::OwnApi).status(),
    kind("evict-remote-bck", Scope::Bucket).shown("evict-remote-bucket"),
    kind("delete-listrange", Scope::Bucket).shown("delete-objects").start(Start::OwnApi).status(),
    kind("prefetch-listrange", Scope::Bucket).shown("prefetch-objects").start(Start::Yes).status(),
    kind("ec-encode", Scope::Bucket).shown("ec-bucket").start(Start::OwnApi).status().exclusive(),
    kind("make-n-copies", Scope::Bucket).shown("mirror").start(Start::OwnApi).status(),
    kind("move-bck", Scope::Bucket).shown("rename-bucket").status().exclusive(),
    kind("copy-bck", Scope::Bucket).shown("copy-bucket").status().exclusive(),
    kind("etl-bck", Scope::Bucket).shown("etl-bucket").status().exclusive(),
    kind("list", Scope::Bucket).idles(),
    kind("get-batch", Scope::Buckets).idles().exclusive(),
    kind("create-inventory", Scope::Bucket).status().exclusive(),
    kind("load-lom-cache", Scope::Bucket).shown("warm-up-metadata").start(Start::Yes),
];

/// The kind of that name or display name.
pub fn find_kind(name: &str) -> Option<&'static JobKind> {
    KINDS.iter().find(|kind| kind.name == name || kind.display == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_find_a_kind_and_no_name_is_taken_twice() {
        assert_eq!(find_kind("mirror").map(|kind| kind.name), Some("make-n-copies"));
        assert_eq!(find_kind("copy-bck").map(|kind| kind.display), Some("copy-bucket"));
        assert_eq!(find_kind("copy"), None);
        for (at, kind) in KINDS.iter().enumerate() {
            for name in [kind.name, kind.display] {
                let first = KINDS.iter().position(|k| k.name == name || k.display == name);
                assert_eq!(first, Some(at), "{name}");
            }
        }
    }
}
