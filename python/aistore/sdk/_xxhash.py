"""XXH64 and the placement mix, for choosing an owner from Python.

The data path places natively; this serves `Smap.get_target_for_object` and tests against it.
"""

from __future__ import annotations

import struct

MASK = (1 << 64) - 1
PLACEMENT_SEED = 1103515245

_P1, _P2, _P3, _P4, _P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
_STRIPE, _WORD, _HALF = 32, 8, 4


def _rotl(x: int, bits: int) -> int:
    return ((x << bits) | (x >> (64 - bits))) & MASK


def _round(acc: int, word: int) -> int:
    return _rotl((acc + word * _P2) & MASK, 31) * _P1 & MASK


def xxh64(data: bytes, seed: int = 0) -> int:
    """XXH64 of `data`. About a microsecond per 8 bytes."""
    at, end = 0, len(data)
    if end >= _STRIPE:
        lanes = [seed + _P1 + _P2, seed + _P2, seed, seed - _P1]
        lanes = [lane & MASK for lane in lanes]
        while at <= end - _STRIPE:
            words = struct.unpack_from("<4Q", data, at)
            lanes = [_round(lane, word) for lane, word in zip(lanes, words, strict=True)]
            at += _STRIPE
        acc = (
            sum(_rotl(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & MASK
        )
        for lane in lanes:
            acc = ((acc ^ _round(0, lane)) * _P1 + _P4) & MASK
    else:
        acc = (seed + _P5) & MASK
    acc = (acc + end) & MASK
    while at <= end - _WORD:
        (word,) = struct.unpack_from("<Q", data, at)
        acc = (_rotl(acc ^ _round(0, word), 27) * _P1 + _P4) & MASK
        at += _WORD
    if at <= end - _HALF:
        (half,) = struct.unpack_from("<I", data, at)
        acc = (_rotl(acc ^ (half * _P1 & MASK), 23) * _P2 + _P3) & MASK
        at += _HALF
    for byte in data[at:]:
        acc = _rotl(acc ^ (byte * _P5 & MASK), 11) * _P1 & MASK
    acc = (acc ^ (acc >> 33)) * _P2 & MASK
    acc = (acc ^ (acc >> 29)) * _P3 & MASK
    return acc ^ (acc >> 32)


def mix(x: int) -> int:
    """The 64-bit mix that turns two combined digests into a placement weight."""
    golden, a, b = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
    z = (x + golden) & MASK
    z = (z ^ (z >> 30)) * a & MASK
    z = (z ^ (z >> 27)) * b & MASK
    z = ((z ^ (z >> 31)) + golden) & MASK
    z = (z ^ (z >> 30)) * a & MASK
    z = (z ^ (z >> 27)) * b & MASK
    z = (z ^ (z >> 31)) * 5 & MASK
    return _rotl(z, 7) * 9 & MASK
