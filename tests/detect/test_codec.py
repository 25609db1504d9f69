"""Profiles as bytes: known answers, whole round trips, and what is damaged refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vecguard.detect.codec import open_head, open_states, pack_head, pack_states
from vecguard.detect.detector import Evidence, State
from vecguard.detect.store import Profile
from vecguard.detect.trend import Trend
from vecguard.errors import Unreadable

KNOWN = json.loads((Path(__file__).parents[1] / "vectors" / "profiles.json").read_text())
WHO = ("ann ü", "notes")


def profile() -> Profile:
    return Profile(
        states=states(),
        risk=1.25,
        at=1_800_000_000.5,
        rung="alert",
        evidence={"walk": Evidence("walk", 1.25, "41 of 50 queries lie at vectors that were returned before")},
        trend=Trend([(1_799_999_000.0, 0.1), (1_800_000_000.5, 1.25)]),
        pinned=None,
        acknowledged=0.0,
        blocked_until=1_800_000_060.0,
    )


def states() -> dict[str, State]:
    return {
        "walk": {
            "ring": np.array([[1.5, -2.0], [0.0, 3.25]], np.float32),
            "seen": np.array([1, 2**63], np.uint64),
        },
        "count": {"n": np.array(7, np.int64), "open": np.array([True, False])},
        "empty": {},
    }


def test_known_answers() -> None:
    assert pack_head(WHO, profile()).decode() == KNOWN["head"]
    assert pack_states(states()).hex() == KNOWN["states"]


def test_round_trip() -> None:
    who, head = open_head(pack_head(WHO, profile()))
    assert who == WHO
    expected = profile()
    expected.states = {}
    assert head == expected
    opened = open_states(pack_states(states()))
    assert opened.keys() == states().keys()
    for detector, arrays in states().items():
        assert opened[detector].keys() == arrays.keys()
        for name, array in arrays.items():
            found = opened[detector][name]
            assert (found.dtype, found.shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(found, array)
            assert found.flags.writeable


def test_big_endian_is_turned() -> None:
    big = {"d": {"a": np.array([1, 2], ">u4")}}
    assert pack_states(big) == pack_states({"d": {"a": np.array([1, 2], "<u4")}})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_number_is_not_packed(value: float) -> None:
    with pytest.raises(ValueError):
        pack_head(WHO, Profile(risk=value))


def test_no_objects() -> None:
    with pytest.raises(ValueError):
        pack_states({"d": {"a": np.array([object()])}})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"vgs2" + pack_states(states())[4:],
        pack_states(states())[:-1],
        pack_states(states()) + b"x",
        b"vgs1\xff\xff\xff\x7f",
        b'vgs1\x23\x00\x00\x00[["d"],[["d","a","|O",[1]]]]' + bytes(16),
        b'vgs1\x1f\x00\x00\x00[["d"],[["d","a","<f4",[-1]]]]' + bytes(16),
        b'vgs1\x1f\x00\x00\x00[[],[["d","a","<f4",[1]]]]    ' + bytes(4),
    ],
)
def test_damaged_states_are_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        open_states(data)


@pytest.mark.parametrize(
    "change",
    [{"format": "vecguard profile 2"}, {"risk": "much"}, {"more": 1}, {"evidence": {"walk": [1]}}],
)
def test_damaged_heads_are_refused(change: dict[str, object]) -> None:
    head = {**json.loads(pack_head(WHO, profile())), **change}
    with pytest.raises(Unreadable):
        open_head(json.dumps(head).encode())
