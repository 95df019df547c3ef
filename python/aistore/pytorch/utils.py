"""Small helpers for data sets."""

from __future__ import annotations

from aistore.sdk.provider import Provider
from aistore.sdk.utils import parse_url as _parse_url

_MB = 1_000_000


def convert_mb_to_bytes(megabytes: float) -> int:
    """Millions of bytes to bytes, rounded down."""
    return int(megabytes * _MB)


def convert_bytes_to_mb(num_bytes: float) -> float:
    """Bytes to millions of bytes."""
    return num_bytes / _MB


def parse_url(url: str) -> tuple[str, str, str]:
    """Splits `provider://bucket/object`; parts that are missing come back empty."""
    return _parse_url(url)


def unparse_url(provider: str | Provider, bck_name: str, obj_name: str) -> str:
    """Writes `provider://bucket/object`."""
    scheme = provider.value if isinstance(provider, Provider) else provider
    return f"{scheme}://{bck_name}/{obj_name}"


def get_basename(name: str) -> str:
    """Last part of a path, up to its first dot: what the files of one sample have in common."""
    return name.rpartition("/")[2].partition(".")[0]


def get_extension(name: str) -> str:
    """What follows the last dot of a path's last part; empty without a dot."""
    _, dot, extension = name.rpartition("/")[2].rpartition(".")
    return extension if dot else ""
