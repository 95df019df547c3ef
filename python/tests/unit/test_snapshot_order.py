"""Orders and positions: no cluster needed."""

from __future__ import annotations

import json

import pytest

from aistore import _native
from aistore.data import Position, Windowed, position_of


@pytest.mark.parametrize("shuffle", ["none", "full", "windowed"])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 17, 1000])
def test_an_order_is_a_permutation(shuffle: str, length: int) -> None:
    order = _native.Order(length, shuffle, 5, 2, 7, 40)
    assert sorted(order.slice(0, length)) == list(range(length))
    assert len(order) == length
    assert [order[i] for i in range(length)] == order.slice(0, length)
    with pytest.raises(IndexError, match=f"position {length}"):
        order[length]


def test_a_full_shuffle_does_not_correlate() -> None:
    correlation, displacement = _native.Order(1_000_000, "full", 1).quality(100_000)
    assert abs(correlation) < 0.01
    assert 0.97 < displacement < 1.03


def test_a_windowed_shuffle_tells_its_quality() -> None:
    assert "rank correlation +1.0" in Windowed(100_000, 100).quality(100_000)
    with pytest.raises(ValueError, match="at least 1"):
        Windowed(0, 5)


def test_a_position_is_small_and_found_in_other_states() -> None:
    position = Position("f" * 32, (1 << 64) - 1, 10**9, 10**15, ["windowed", 10**6, 10**9])
    state = position.to_state()
    assert len(json.dumps(state)) < 4096
    assert Position.from_state(json.loads(json.dumps(state))) == position
    assert position_of({"outer": [{"inner": state}, 3]}) == state
    with pytest.raises(ValueError, match="no position"):
        position_of({"a": 1})
    with pytest.raises(ValueError, match="not a position"):
        Position.from_state({"a": 1})
    with pytest.raises(ValueError, match="same seed"):
        position.check(position.snapshot, 7, position.shuffle)
