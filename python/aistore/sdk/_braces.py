"""Brace expansion of object templates: `shard-{000..009..3}.tar`, `{train,val}/x`."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBERS = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?")
_LETTERS = re.compile(r"([A-Za-z])\.\.([A-Za-z])(?:\.\.(-?\d+))?")


def expand(template: str) -> Iterator[str]:
    """Yields all expansions in order, the rightmost group varying fastest.

    A group without a comma or range is kept as it is written.

    Raises:
        ValueError: A brace has no partner.
    """
    parts: list[list[str]] = []
    literal, at = 0, 0
    while at < len(template):
        char = template[at]
        if char == "}":
            raise ValueError(f"template {template!r}: '}}' at {at} has no '{{' before it")
        if char != "{":
            at += 1
            continue
        close = _partner(template, at)
        parts.extend(([template[literal:at]], _alternatives(template[at + 1 : close])))
        literal = at = close + 1
    parts.append([template[literal:]])
    for chosen in product(*parts):
        yield "".join(chosen)


def _partner(template: str, start: int) -> int:
    depth = 0
    for at in range(start, len(template)):
        depth += {"{": 1, "}": -1}.get(template[at], 0)
        if depth == 0:
            return at
    raise ValueError(f"template {template!r}: '{{' at {start} is never closed")


def _alternatives(body: str) -> list[str]:
    if found := _NUMBERS.fullmatch(body):
        return _numbers(found[1], found[2], int(found[3] or 1))
    if found := _LETTERS.fullmatch(body):
        first, last, step = ord(found[1]), ord(found[2]), abs(int(found[3] or 1)) or 1
        way = 1 if first <= last else -1
        return [chr(code) for code in range(first, last + way, way * step)]
    options = _split(body)
    if len(options) == 1:
        return [f"{{{inner}}}" for inner in expand(body)]
    return [text for option in options for text in expand(option)]


def _numbers(first: str, last: str, step: int) -> list[str]:
    low, high, step = int(first), int(last), abs(step) or 1
    padded = any(re.match(r"-?0\d", text) for text in (first, last))
    width = max(len(first), len(last)) if padded else 0
    way = 1 if low <= high else -1
    return [
        f"{number:0{width}d}" if width else str(number)
        for number in range(low, high + way, way * step)
    ]


def _split(body: str) -> list[str]:
    options, depth, start = [], 0, 0
    for at, char in enumerate(body):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == "," and depth == 0:
            options.append(body[start:at])
            start = at + 1
    return [*options, body[start:]]
