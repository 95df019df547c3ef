"""Small helpers that applications use as well."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from aistore.sdk import _braces
from aistore.sdk._xxhash import PLACEMENT_SEED, mix, xxh64
from aistore.sdk.const import DEFAULT_LOG_FORMAT, UTF_ENCODING
from aistore.sdk.errors import InvalidURLException
from aistore.sdk.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

_TRUE = frozenset({"1", "t", "true", "y", "yes", "on"})
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LEAST_POLL_S = 0.1


def parse_bool(text: str | None) -> bool:
    """Whether a text means yes: 1, t, true, y, yes or on, in any case."""
    return (text or "").strip().lower() in _TRUE


def probing_frequency(dur: float) -> float:
    """Seconds between two looks when waiting for at most `dur` seconds."""
    return max(_LEAST_POLL_S, dur / 64, min(dur / 8, 1.0))


def read_file_bytes(filepath: str | PathLike[str]) -> bytes:
    """Reads a whole file."""
    return Path(filepath).read_bytes()


def validate_file(path: str | PathLike[str]) -> None:
    """Checks that a path is a file.

    Raises:
        ValueError: It is not.
    """
    if not Path(path).exists():
        raise ValueError(f"Path: {path} does not exist")
    if not Path(path).is_file():
        raise ValueError(f"Path: {path} is not a file")


def validate_directory(path: str | PathLike[str]) -> None:
    """Checks that a path is a directory.

    Raises:
        ValueError: It is not.
    """
    if not Path(path).exists():
        raise ValueError(f"Path: {path} does not exist")
    if not Path(path).is_dir():
        raise ValueError(f"Path: {path} is not a directory")


def get_file_size(file: Path) -> str:
    """Size of a file for people."""
    return format_bytes(file.stat().st_size)


def format_bytes(count: float) -> str:
    """A number of bytes for people: `1.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:  # noqa: PLR2004 - what the units are made of
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def expand_braces(template: str) -> Iterator[str]:
    """Yields the names that a template such as `a-{0..9}.tar` stands for."""
    return _braces.expand(template)


def decode_response(content: bytes) -> str:
    """Text of a body."""
    return content.decode(UTF_ENCODING)


def parse_url(url: str) -> tuple[str, str, str]:
    """Splits `provider://bucket/object`; parts that are missing come back empty.

    The provider is the scheme as written, aliases included.
    """
    # Not urlsplit for the rest: `?` and `#` are ordinary characters of object names.
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "", "", url.lstrip("/")
    bucket, _, name = rest.partition("/")
    return scheme, bucket, name


def extract_and_parse_url(text: str) -> tuple[str, str, bool] | None:
    """Finds the first bucket or object URL in a text.

    Returns:
        Provider, bucket and whether an object follows; None without a URL.
    """
    found = re.search(r"(ais|aws|azure|gcp|oci|gs|s3)://([A-Za-z0-9@#._-]{1,132})(/?)", text)
    return (found[1], found[2], bool(found[3])) if found else None


def get_object_url_components(url: str) -> tuple[Provider, str, str]:
    """Splits the URL of an object.

    Raises:
        InvalidURLException: Provider, bucket or object is missing.
    """
    provider, bucket, name = parse_url(url)
    if not (provider and bucket and name):
        raise InvalidURLException(url)
    return Provider.parse(provider), bucket, name


def get_logger(name: str) -> logging.Logger:
    """A logger with a handler of its own that does not pass records on."""
    logger = logging.getLogger(name)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(DEFAULT_LOG_FORMAT))
        logger.addHandler(handler)
    logger.propagate = False
    return logger


def xoshiro256_hash(seed: int) -> int:
    """The mix that turns two combined digests into a placement weight."""
    return mix(seed)


def get_digest(name: str) -> int:
    """Digest of a name, as placement uses it."""
    return xxh64(name.encode(UTF_ENCODING), PLACEMENT_SEED)


def convert_to_seconds(value: str | int) -> int:
    """Reads a duration: a number of seconds, or one number with the unit s, m, h or d.

    Raises:
        ValueError: Any other form.
    """
    if isinstance(value, int):
        return value
    found = re.fullmatch(r"(\d+)([smhd]?)", value.strip())
    if found is None:
        raise ValueError(f"Invalid duration {value!r}: expected for instance 30, '30s', '5m', '2h'")
    return int(found[1]) * _SECONDS[found[2] or "s"]
