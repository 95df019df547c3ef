"""Native half of the package: the client's data path and the entry points of `ais` and `aisnode`.

Private. Every function frees the GIL while it waits or copies, answers Ctrl-C, and raises the
exceptions of `aistore.sdk.errors` (built by `aistore.sdk.errors.from_native`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias, final

from typing_extensions import Self

__all__ = [
    "AioBatch",
    "AioClient",
    "AioListing",
    "AioStream",
    "AioTask",
    "ArchiveWriter",
    "ArrowListing",
    "BatchStream",
    "BucketEntry",
    "Client",
    "CutBatch",
    "CutLines",
    "Entries",
    "ObjectStream",
    "Order",
    "Response",
    "SnapshotTable",
    "SnapshotWriter",
    "__version__",
    "after_fork",
    "ais_main",
    "checksum",
    "make_certificate",
    "node_main",
]

__version__: Final[str]

_Pairs: TypeAlias = Sequence[tuple[str, str]]
# Called once with (result, None) or (None, error), on a thread of its own.
_Done: TypeAlias = Callable[[Any, BaseException | None], object]

@final
class AioTask:
    """A call under way."""

    def cancel(self) -> None:
        """Drops the call where it stands; its callback is not called unless it is on its way already."""

@final
class AioClient:
    """A client whose calls do not block, and of which a bounded number is under way at a time."""

    def request(
        self,
        callback: _Done,
        method: str,
        path: str,
        params: _Pairs = ...,
        headers: _Pairs = ...,
        body: bytes | None = None,
        *,
        base_url: str | None = None,
        timeout: float | None = None,
    ) -> AioTask:
        """Gives a `Response`."""
    def object(
        self,
        callback: _Done,
        method: str,
        bucket_uname: str,
        name: str,
        params: _Pairs = ...,
        headers: _Pairs = ...,
        body: bytes | None = None,
    ) -> AioTask:
        """A request to an object's owner; a body makes it a PUT. Gives a `Response`."""
    def get(
        self,
        callback: _Done,
        bucket_uname: str,
        name: str,
        params: _Pairs = ...,
        headers: _Pairs = ...,
    ) -> AioTask:
        """Gives (status, headers, body)."""
    def open(
        self,
        callback: _Done,
        bucket_uname: str,
        name: str,
        params: _Pairs = ...,
        headers: _Pairs = ...,
    ) -> AioTask:
        """Gives an `AioStream`."""
    def put_file(
        self, callback: _Done, bucket_uname: str, name: str, path: str, params: _Pairs = ...
    ) -> AioTask:
        """Gives a `Response`."""
    def list(
        self,
        bucket_uname: str,
        prefix: str = "",
        props: str = "",
        flags: int = 0,
        start_after: str = "",
    ) -> AioListing:
        """A listing; nothing is sent before it is read."""
    def batch(self, callback: _Done, default_bucket_uname: str | None, request: str) -> AioTask:
        """Gives an `AioBatch`."""

@final
class AioStream:
    """One object's bytes as they arrive."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> list[tuple[str, str]]: ...
    def read(self, callback: _Done, size: int) -> AioTask:
        """Gives `size` bytes unless the end comes first, or with 0 a chunk as it arrived; empty = end."""
    def close(self) -> None: ...

@final
class AioListing:
    """A listing, piece by piece."""

    def next_many(self, callback: _Done, wanted: int) -> AioTask:
        """Gives `Entries`, about `wanted` of them; none = end."""
    def close(self) -> None: ...

@final
class AioBatch:
    """Entries of one batch, in request order."""

    def next_many(self, callback: _Done, most: int) -> AioTask:
        """Gives rows as `BatchStream.next_many` does."""
    def close(self) -> None: ...

@final
class Response:
    """A complete HTTP answer with status below 400."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> list[tuple[str, str]]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def url(self) -> str: ...

@final
class ObjectStream:
    """One object's bytes as they arrive; leaving `with` early drops the connection."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> list[tuple[str, str]]: ...
    def read(self, size: int = ...) -> bytes:
        """Up to `size` bytes (exactly `size` unless the end comes first); -1 = the rest."""
    def next_chunk(self, max_bytes: int) -> bytes:
        """The next chunk, as large as it arrived but at most `max_bytes`; empty = end."""
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Entries:
    """Listing result held natively; makes Python objects only for what is touched."""

    def __len__(self) -> int: ...
    def names(self) -> list[str]: ...
    def columns(
        self, start: int, stop: int
    ) -> list[tuple[str, str, str, str, str, int, int, int, str]]:
        """Rows (name, checksum, atime, version, location, size, copies, flags, custom) of a slice."""
    def entry(self, index: int) -> BucketEntry: ...
    def bind(self, factory: Callable[[str, int], object]) -> None:
        """Makes `BucketEntry.object` of entries made later be `factory(name, size)`, called on first access."""
    def __iter__(self) -> Iterator[BucketEntry]: ...

@final
class ArrowListing:
    """A listing that hands itself over as an Arrow stream; each time it is asked, it lists anew."""

    def __arrow_c_schema__(self) -> object:
        """The columns, as an `arrow_schema` capsule."""
    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The stream, as an `arrow_array_stream` capsule. A requested schema is not converted to."""

class BucketEntry:
    """One name in a listing. Attributes as in `aistore.sdk.types.BucketEntry`; subclassable there."""

    n: str
    cs: str
    a: str
    v: str
    t: str
    s: int
    c: int
    f: int
    m: str
    object: object
    def __new__(
        cls,
        n: str = "",
        cs: str = "",
        a: str = "",
        v: str = "",
        t: str = "",
        s: int = 0,
        c: int = 0,
        f: int = 0,
        m: str = "",
    ) -> Self: ...
    @property
    def name(self) -> str: ...
    @property
    def checksum(self) -> str: ...
    @property
    def atime(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def location(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def copies(self) -> int: ...
    @property
    def flags(self) -> int: ...
    @property
    def custom(self) -> str: ...
    def is_cached(self) -> bool: ...
    def is_ok(self) -> bool: ...

@final
class BatchStream:
    """Entries of one GetBatch, in request order."""

    def __iter__(self) -> BatchStream: ...
    def __next__(self) -> tuple[int, bytes | None, str | None]:
        """(index, content, None), or (index, None, error message) for a missing entry."""
    def next_many(self, max_entries: int) -> list[tuple[int, bytes | None, str | None]]:
        """Waits for one entry, then returns all that are ready, at most `max_entries`; empty = end."""
    def fill(self, address: int, length: int) -> list[tuple[int, int, str | None]]:
        """Copies contents one after the other into memory at `address`, which the caller keeps alive.

        As many as fit: (index, bytes, error message) of each; empty = end.
        """
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Client:
    """One connection pool per process on a shared runtime. Not picklable; fork-aware: see `after_fork`."""

    def __new__(
        cls,
        endpoint: str,
        *,
        connect_timeout: float | None = ...,
        read_timeout: float | None = ...,
        token: str | None = None,
        max_pool_size: int = 10,
        user_agent: str | None = None,
        attempts: int = 5,
        answered_attempts: int | None = None,
        skip_verify: bool = False,
        ca_cert: str | None = None,
        client_cert: tuple[str, str] | None = None,
        backoff: float = 0.05,
        backoff_max: float = 2.0,
        retry_statuses: Sequence[int] | None = None,
    ) -> Self: ...
    def request(
        self,
        method: str,
        path: str,
        params: _Pairs = ...,
        headers: _Pairs = ...,
        body: bytes | None = None,
        *,
        base_url: str | None = None,
        timeout: float | None = None,
    ) -> Response:
        """Any request; `path` is percent-encoded already and starts with `/v1/`. Redirects are followed."""
    def open_request(
        self,
        method: str,
        path: str,
        params: _Pairs = ...,
        headers: _Pairs = ...,
        body: bytes | None = None,
        *,
        base_url: str | None = None,
    ) -> ObjectStream:
        """Like `request`, with the body streamed instead of collected."""
    def smap(self, force: bool = False) -> str:
        """Cluster map as JSON."""
    def head(self, bucket_uname: str, name: str, params: _Pairs = ...) -> Response: ...
    def get(
        self,
        bucket_uname: str,
        name: str,
        params: _Pairs = ...,
        headers: _Pairs = ...,
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Whole body, received straight into the returned `bytes`. Large bodies are read by parallel ranges."""
    def get_into(
        self,
        bucket_uname: str,
        name: str,
        address: int,
        length: int,
        offset: int = 0,
        parallel: int = 0,
    ) -> int:
        """Reads bytes [offset, offset+length) into memory at `address`, which the caller keeps alive. Returns bytes read.

        Large content is read by `parallel` ranges at once, 0 = as many as usual.
        """
    def open(
        self, bucket_uname: str, name: str, params: _Pairs = ..., headers: _Pairs = ...
    ) -> ObjectStream: ...
    def put(
        self, bucket_uname: str, name: str, body: bytes, params: _Pairs = ..., headers: _Pairs = ...
    ) -> Response: ...
    def put_file(
        self,
        bucket_uname: str,
        name: str,
        path: str,
        progress: Callable[[int], None] | None = None,
        params: _Pairs = ...,
    ) -> Response: ...
    def put_multipart(
        self,
        bucket_uname: str,
        name: str,
        content: str | bytes,
        part_size: int,
        concurrency: int,
        params: _Pairs = ...,
        progress: Callable[[int], None] | None = None,
    ) -> Response:
        """Uploads a file (path) or bytes in parts, several at a time; given up when it fails."""
    def put_many(
        self,
        bucket_uname: str,
        items: Sequence[tuple[str, str | bytes]],
        concurrency: int = 8,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Uploads (name, path or content) pairs; progress(objects, bytes) is called now and then."""
    def delete(self, bucket_uname: str, name: str, params: _Pairs = ...) -> Response: ...
    def list_page(
        self, bucket_uname: str, message: str, headers: _Pairs = ...
    ) -> tuple[str, str, int, Entries]:
        """One page through the gateway: (uuid, token, flags, entries). `message` is the JSON of the list message."""
    def list_all(
        self,
        bucket_uname: str,
        prefix: str = "",
        props: str = "",
        flags: int = 0,
        start_after: str = "",
        page_size: int = 0,
    ) -> Entries:
        """Everything, read from all targets in parallel, sorted by name."""
    def list_arrow(
        self,
        bucket_uname: str,
        prefix: str = "",
        props: str = "",
        flags: int = 0,
        start_after: str = "",
        batch_size: int = 16384,
    ) -> ArrowListing:
        """A listing as an Arrow stream; nothing is sent before it is read."""
    def batch(self, default_bucket_uname: str | None, request: str) -> BatchStream:
        """`request` is the JSON of the batch request. Entries are read from their owners at once and put in order."""
    def load_cuts(self, default_bucket_uname: str | None, cuts: CutBatch) -> BatchStream:
        """Entries of `cuts` in the order of `CutBatch.places`; each that fails is handed out as such."""
    def aio(self, max_calls: int) -> AioClient:
        """The same client for calls that do not block, at most `max_calls` at a time."""
    def close(self) -> None: ...

@final
class CutLines:
    """Lines of a manifest file: plain, gzip or LZ4, told by its first bytes."""

    def __new__(cls, path: str) -> Self: ...
    def take(self, most: int) -> list[bytes]:
        """The next lines, at most so many; none = end."""

@final
class ArchiveWriter:
    """Writes an archive (TAR, gzip, LZ4, ZIP: as `name` ends) to the file `path`."""

    def __new__(cls, path: str, name: str) -> Self: ...
    def add(self, name: str, content: bytes) -> None: ...
    def finish(self) -> None: ...

@final
class CutBatch:
    """Cuts of one batch, read and checked; their entries are grouped by recording, unless numbered from `first`."""

    def __new__(
        cls,
        lines: Sequence[bytes],
        format: str = "npy",  # noqa: A002
        rate: int | None = None,
        first: int | None = None,
    ) -> Self: ...
    def file_names(self) -> list[str]:
        """What each entry is called in an archive, for numbered cuts."""
    def cuts(self) -> list[tuple[str, int | None, int, str | None]]:
        """(name, frames, parts, what is wrong) of each cut."""
    def places(self) -> list[tuple[int, int]]:
        """(cut, part) of each entry."""

@final
class Order:
    """A permutation of `[0, length)`, computed: the same on every machine and in every version."""

    def __new__(
        cls,
        length: int,
        shuffle: str,
        seed: int = 0,
        epoch: int = 0,
        chunk: int = 0,
        window: int = 0,
    ) -> Self:
        """`shuffle` is `none`, `full` or `windowed`; only the last has a chunk and a window."""
    def __len__(self) -> int: ...
    def __getitem__(self, position: int, /) -> int: ...
    def slice(self, start: int, stop: int, stride: int = 1) -> list[int]:
        """The samples at positions start, start + stride, … below stop."""
    def quality(self, most: int) -> tuple[float, float]:
        """(rank correlation, mean displacement relative to a full shuffle), from `most` positions."""

@final
class SnapshotTable:
    """A snapshot file, mapped into memory and shared with all processes that map it."""

    def __new__(cls, path: str) -> Self: ...
    @property
    def id(self) -> str: ...
    @property
    def bucket(self) -> str: ...
    def __len__(self) -> int: ...
    def row(
        self, index: int
    ) -> tuple[str, str, list[str] | None, int | None, int | None, int, float | None, float | None]:
        """(key, object, members, start, length, size, at_second, seconds) of a sample."""
    def read(
        self, client: Client, indices: Sequence[int]
    ) -> tuple[BatchStream, list[tuple[str, list[str] | None]]]:
        """Opens a batch of samples: its stream, and (key, members) of each sample."""

@final
class SnapshotWriter:
    """Writes a snapshot file."""

    def __new__(cls, path: str, bucket_uname: str) -> Self: ...
    def add(
        self,
        object: str,  # noqa: A002
        key: str | None = None,
        members: Sequence[str] | None = None,
        start: int | None = None,
        length: int | None = None,
        size: int = 0,
        at_second: float | None = None,
        seconds: float | None = None,
    ) -> None: ...
    def add_listing(
        self,
        client: Client,
        bucket_uname: str,
        prefix: str = "",
        *,
        shards: bool = False,
        range_bytes: int = 0,
        suffixes: Sequence[str] = ...,
        min_size: int = 0,
        max_size: int = ...,
        skip_prefix: str = "",
        names: set[str] | None = None,
        predicate: Callable[[str, int], object] | None = None,
    ) -> list[str]:
        """Adds what a listing gives; returns those of `names` that it did not."""
    def finish(self) -> tuple[int, str]:
        """Completes the file; gives the number of samples and the identity of the list."""

def after_fork() -> None:
    """Called in a forked child: forgets the parent's runtime and pools without touching their threads."""

def checksum(kind: str, address: int, length: int) -> str:
    """Checksum of `length` bytes of memory at `address`, which the caller keeps alive, in hexadecimal digits."""

def make_certificate(names: list[str]) -> tuple[str, str, str]:
    """PEM texts of an authority, of a certificate that it signed for the names, and of its key."""

def ais_main(argv: list[str]) -> int: ...
def node_main(argv: list[str]) -> int: ...
