"""Progress on standard error: tqdm where it is installed, a plain line elsewhere.

Drawn in terminals and notebooks only; `AIS_PROGRESS=0` turns it off everywhere.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_REDRAW_S = 0.2
_OFF = frozenset({"0", "false", "off", "no"})


@contextmanager
def progress(
    total: int, label: str, *, show: bool = True, unit: str = "B"
) -> Iterator[Callable[[int], None]]:
    """Shows how much of `total` is done; gives a function that takes the count so far.

    Draws nothing without a terminal or notebook to draw in, and with `AIS_PROGRESS=0`.

    Args:
        total: What there is to do; 0 if not known.
        label: Text in front.
        show: Whether to draw at all.
        unit: What is counted; `B` is scaled to KiB, MiB and so on.
    """
    if not (show and is_shown()):
        yield lambda _done: None
    elif find_spec("tqdm"):
        from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore] # noqa: PLC0415

        with tqdm(total=total or None, desc=label, unit=unit, unit_scale=unit == "B") as bar:
            yield lambda done: bar.update(done - bar.n)
    else:
        line = _Line(total, label, unit, sys.stderr)
        try:
            yield line.show
        finally:
            line.finish()


def is_shown() -> bool:
    """Whether someone is there to look, and wants to."""
    if os.environ.get("AIS_PROGRESS", "").strip().lower() in _OFF:
        return False
    return sys.stderr.isatty() or "ipykernel" in sys.modules


@contextmanager
def reporting(
    given: Callable[[int], None] | bool | None, total: int, label: str
) -> Iterator[Callable[[int], None] | None]:
    """What a native call reports to: the function given, a bar for True, nothing else.

    Args:
        given: What the user asked for.
        total: Bytes to move.
        label: Text in front of a bar.
    """
    if given is None or isinstance(given, bool):
        with progress(total, label, show=bool(given)) as advance_to:
            yield advance_to if given else None
    else:
        yield given


class _Line:
    """One line that is drawn over and over."""

    def __init__(self, total: int, label: str, unit: str, out: TextIO) -> None:
        self._total, self._label, self._unit, self._out = total, label, unit, out
        self._drawn = 0.0
        self._done = 0

    def show(self, done: int) -> None:
        self._done = done
        now = time.monotonic()
        if now - self._drawn >= _REDRAW_S:
            self._drawn = now
            self._draw()

    def finish(self) -> None:
        self._draw()
        self._out.write("\n")
        self._out.flush()

    def _draw(self) -> None:
        share = f" {100 * self._done / self._total:3.0f}%" if self._total else ""
        self._out.write(f"\r{self._label}:{share} {self._done} {self._unit}")
        self._out.flush()
