"""Kinds of jobs."""

XACT_KIND_ELECTION = "election"
XACT_KIND_REBALANCE = "rebalance"
XACT_KIND_RESILVER = "resilver"
XACT_KIND_LRU = "lru"
XACT_KIND_CLEANUP_STORE = "cleanup-store"
XACT_KIND_SUMMARY_BCK = "summary-bck"
XACT_KIND_SUMMARY_SHARD = "summary-shard"
XACT_KIND_RECHUNK = "rechunk"
XACT_KIND_INDEX_SHARD = "index-shard"
XACT_KIND_EC_GET = "ec-get"
XACT_KIND_EC_PUT = "ec-put"
XACT_KIND_EC_RESP = "ec-resp"
XACT_KIND_EC_ENCODE = "ec-encode"
XACT_KIND_PUT_COPIES = "put-copies"
XACT_KIND_MAKE_N_COPIES = "make-n-copies"
XACT_KIND_ARCHIVE = "archive"
XACT_KIND_COPY_OBJECTS = "copy-listrange"
XACT_KIND_ETL_OBJECTS = "etl-listrange"
XACT_KIND_DELETE_OBJECTS = "delete-listrange"
XACT_KIND_EVICT_OBJECTS = "evict-listrange"
XACT_KIND_PREFETCH_OBJECTS = "prefetch-listrange"
XACT_KIND_BLOB_DL = "blob-download"
XACT_KIND_DOWNLOAD = "download"
XACT_KIND_DSORT = "dsort"
XACT_KIND_PROMOTE = "promote"
XACT_KIND_MOVE_BCK = "move-bck"
XACT_KIND_COPY_BCK = "copy-bck"
XACT_KIND_ETL_BCK = "etl-bck"
XACT_KIND_ETL_INLINE = "etl-inline"
XACT_KIND_EVICT_REMOTE_BCK = "evict-remote-bck"
XACT_KIND_LIST = "list"
XACT_KIND_GET_BATCH = "get-batch"
XACT_KIND_CREATE_NBI = "create-inventory"
XACT_KIND_LOAD_LOM_CACHE = "load-lom-cache"

# Jobs that stay alive between requests: waiting for them is waiting until they have nothing to do.
IDLE_KINDS = frozenset(
    {
        XACT_KIND_EC_GET,
        XACT_KIND_EC_PUT,
        XACT_KIND_EC_RESP,
        XACT_KIND_PUT_COPIES,
        XACT_KIND_ARCHIVE,
        XACT_KIND_COPY_OBJECTS,
        XACT_KIND_ETL_OBJECTS,
        XACT_KIND_DOWNLOAD,
        XACT_KIND_LIST,
        XACT_KIND_GET_BATCH,
    }
)

KNOWN_KINDS = frozenset(
    value for name, value in list(globals().items()) if name.startswith("XACT_KIND_")
)


def idles_before_finishing(kind: str) -> bool:
    """Whether a job of this kind is done when it has nothing to do, before it ends."""
    return kind in IDLE_KINDS


def is_valid_kind(kind: str) -> bool:
    """Whether there are jobs of this kind."""
    return kind in KNOWN_KINDS
