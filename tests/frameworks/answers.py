"""Comparing what a scenario reported through VecGuard with what it reported straight from the engine."""

from __future__ import annotations

import json
import math
from itertools import groupby
from typing import Any

SCORE_TOLERANCE = 1e-4
TIE = 1e-6


def differences(expected: Any, actual: Any, at: str = "") -> list[str]:
    """Where two reports differ, as paths with both values: all of it, in order; floats to 1e-4.

    Only hits of equal score (reciprocal ranks, above all) may stand in another order, and the limit may cut another one
    of those that tie for the last place: no database promises an order there.

    Keys that begin with `unordered-` are left out: what they hold has tests of its own.
    Types count (1 is not 1.0, nor true), since a payload's types have to come back too.
    """
    if type(expected) is not type(actual):
        return [f"{at}: {_short(expected)} became {_short(actual)}"]
    if isinstance(expected, dict):
        if expected.keys() != actual.keys():
            return [f"{at}: keys {sorted(expected)} became {sorted(actual)}"]
        ordered = [key for key in expected if not key.startswith("unordered-")]
        return [line for key in ordered for line in differences(expected[key], actual[key], f"{at}/{key}")]
    if isinstance(expected, list):
        if len(expected) != len(actual):
            return [f"{at}: {len(expected)} became {len(actual)}: {_short(expected)} and {_short(actual)}"]
        pairs = enumerate(zip(_ties_by_id(expected), _ties_by_id(actual), strict=True))
        pairs = [(number, pair) for number, pair in pairs if not _tied_last(expected, *pair)]
        return [line for number, (one, two) in pairs for line in differences(one, two, f"{at}/{number}")]
    if isinstance(expected, float):
        same = math.isclose(expected, actual, rel_tol=SCORE_TOLERANCE, abs_tol=SCORE_TOLERANCE)
    else:
        same = expected == actual
    return [] if same else [f"{at}: {_short(expected)} became {_short(actual)}"]


def _ties_by_id(values: list[Any]) -> list[Any]:
    """Hits with neighbours of the same score in the order of their ids; any other list as it is."""
    if not all(_is_hit(value) for value in values):
        return values
    ordered: list[Any] = []
    for _, tied in groupby(values, key=lambda hit: round(hit["score"] / TIE)):
        ordered += sorted(tied, key=lambda hit: str(hit["id"]))
    return ordered


def _is_hit(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("score"), float)


def _tied_last(hits: list[Any], one: Any, two: Any) -> bool:
    """Whether these are two hits that both have the score of the last of `hits`."""
    if not (_is_hit(one) and _is_hit(two) and _is_hit(hits[-1])):
        return False
    return all(abs(each["score"] - hits[-1]["score"]) < TIE for each in (one, two)) and one["id"] != two["id"]


def _short(value: Any) -> str:
    return json.dumps(value)[:200]
