"""What the groups of the harness share: rows, workers, interleaving, memory of nodes."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SDK_PYTHON = ROOT / ".venv-sdk" / "bin" / "python"
KIB, MIB = 1 << 10, 1 << 20


@dataclass
class Row:
    """One line of the table: lower is better for times, memory and `x`, higher for the rest."""

    group: str
    name: str
    unit: str
    ours: float
    theirs: float | None
    rival: str
    goal: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times better we are."""
        if self.theirs is None:
            return None
        slow = self.unit in {"s", "ms", "us", "MiB", "x"}
        return self.theirs / self.ours if slow else self.ours / self.theirs


class Worker:
    """A process that measures one side: ours or the official SDK."""

    def __init__(self, python: Path | str, *arguments: str, script: str = "worker.py") -> None:
        # A path to our package must not reach the official one, which has the same name.
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH" or python != SDK_PYTHON}
        self._process = subprocess.Popen(
            [python, Path(__file__).with_name(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )

    def run(self, **task: Any) -> float:
        """Does one task; seconds."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("worker without pipes")
        stdin.write(json.dumps(task) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"worker ended during {task}")
        return float(json.loads(line)["seconds"])

    def close(self) -> None:
        """Ends the process."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(timeout=30)


def interleave(sides: Sequence[Worker], tasks: Sequence[dict[str, Any]], runs: int) -> list[float]:
    """Medians of `runs` per side, in A B B A order; the first, unmeasured run warms both."""
    for side, task in zip(sides, tasks, strict=True):
        side.run(**task)
    seconds: list[list[float]] = [[] for _ in sides]
    for turn in range(runs):
        order = range(len(sides)) if turn % 2 == 0 else reversed(range(len(sides)))
        for i in order:
            seconds[i].append(sides[i].run(**tasks[i]))
    return [statistics.median(times) for times in seconds]


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


@dataclass
class Watch:
    """Resident memory of the largest of some processes: at the start, at its peak, at the end."""

    before: float
    peak: float
    after: float


@contextmanager
def watched(pids: Sequence[int]) -> Iterator[Watch]:
    """Samples memory while the block runs."""
    start = max(map(resident_mib, pids))
    watch = Watch(start, start, start)
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.02):
            watch.peak = max(watch.peak, *map(resident_mib, pids))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()
        watch.after = max(map(resident_mib, pids))
        watch.peak = max(watch.peak, watch.after)
