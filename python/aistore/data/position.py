"""Where a pass over a snapshot stands: names the samples, and neither ranks nor workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_VERSION = 1
_MARK = "aistore.data"


@dataclass(frozen=True)
class Position:
    """A place in the one order of samples that all ranks and workers share.

    Args:
        snapshot: Identity of the list of samples.
        seed: Seed of the shuffle.
        epoch: Number of the epoch.
        position: Samples of this epoch that were delivered, on all ranks together.
        shuffle: Kind and settings of the shuffle.
        own: Of a worker's own state only: (worker, workers), and `position` is where this worker's
            next batch begins.
    """

    snapshot: str
    seed: int
    epoch: int = 0
    position: int = 0
    shuffle: list[str | int] = field(default_factory=lambda: ["full"])
    own: tuple[int, int] | None = None

    def to_state(self) -> dict[str, Any]:
        """Plain values, less than 4 KiB in any encoding."""
        state = {
            _MARK: _VERSION,
            "snapshot": self.snapshot,
            "seed": self.seed,
            "epoch": self.epoch,
            "position": self.position,
            "shuffle": list(self.shuffle),
        }
        return {**state, "own": list(self.own)} if self.own else state

    @staticmethod
    def from_state(state: dict[str, Any]) -> Position:
        """Reads what `to_state` gave.

        Raises:
            ValueError: It is something else.
        """
        if state.get(_MARK) != _VERSION:
            raise ValueError(
                f"not a position in a snapshot (keys {sorted(map(str, state))[:8]}): give what"
                " state_dict() of aistore.data returned, or position_of() a loader's state"
            )
        own = state.get("own")
        return Position(
            state["snapshot"],
            state["seed"],
            state["epoch"],
            state["position"],
            list(state["shuffle"]),
            (own[0], own[1]) if own else None,
        )

    def check(self, snapshot: str, seed: int, shuffle: list[str | int]) -> None:
        """Refuses a position in another order.

        Raises:
            ValueError: The samples or their order are others.
        """
        here = {"snapshot": snapshot, "seed": seed, "shuffle": shuffle}
        for name, value in here.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"this position is for {name} {getattr(self, name)!r}, and the data set has"
                    f" {value!r}: make it with the same {name}"
                )


def position_of(state: Any) -> dict[str, Any]:
    """Finds the position in a loader's state, such as a torchdata `StatefulDataLoader`'s.

    What is returned can be loaded with any number of ranks and workers, where the loader's own
    state is bound to its number of workers.

    Raises:
        ValueError: There is none, or they contradict each other.
    """
    found = list(_find(state))
    if not found:
        raise ValueError("no position of a snapshot in this state")
    # Workers stand at their own next batches; the first that is not delivered is the earliest.
    first = min(found, key=lambda p: (p.epoch, p.position))
    for other in found:
        other.check(first.snapshot, first.seed, first.shuffle)
    return Position(
        first.snapshot, first.seed, first.epoch, first.position, first.shuffle
    ).to_state()


def _find(state: Any) -> list[Position]:
    if isinstance(state, dict):
        if _MARK in state:
            return [Position.from_state(state)]
        return [position for value in state.values() for position in _find(value)]
    if isinstance(state, list | tuple):
        return [position for value in state for position in _find(value)]
    return []
