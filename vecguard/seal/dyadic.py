"""Ranges as sets of prefixes: order-preserving 64-bit keys, the nodes above a key, and the cover of an interval.

A key is sixteen hexadecimal digits. A value stands in one node at each depth, its first 1 to 16 digits; an interval is
the disjoint union of at most `MOST_NODES` nodes, its dyadic cover (base 16). So "in the interval" is exactly "has a
node of the cover", which an index of keywords can answer. Range search over encrypted data by such covers: Demertzis et
al., "Practical Private Range Search Revisited", SIGMOD 2016 (there in base 2, "logarithmic-BRC").
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import Final, NamedTuple

DEPTHS: Final = 16
DIGIT_BITS: Final = 4
_BASE: Final = 1 << DIGIT_BITS
_KEYS: Final = 1 << 64
_SIGN: Final = 1 << 63

MOST_NODES: Final = 2 * (_BASE - 1) * DEPTHS
"""Nodes of a cover at most: fifteen on each side at each depth."""


class Order(IntEnum):
    """What a key says the order of; nodes of different orders have nothing in common."""

    NUMBER = 1
    """Numbers by their value as a double; -0.0 is 0.0, and NaN has no key."""
    TIME = 2
    """Whole microseconds since 1970-01-01T00:00:00 UTC."""
    WHOLE = 3
    """64-bit integers by their value, exactly."""


class Node(NamedTuple):
    """The keys that begin with the first `depth` hexadecimal digits of `key`, whose other digits are zero."""

    depth: int
    key: int


class Interval(NamedTuple):
    """The values of an order with keys from `low` to `high`, both included; empty where `low` is greater."""

    order: Order
    low: int
    high: int


def number_key(value: float) -> int:
    """Key of a number other than NaN: its IEEE 754 bits, all inverted for negative ones, else with the sign bit set."""
    bits: int = struct.unpack(">Q", struct.pack(">d", value + 0.0))[0]  # -0.0 + 0.0 is 0.0
    return bits ^ (_KEYS - 1) if bits & _SIGN else bits | _SIGN


def whole_key(value: int) -> int:
    """Key of a 64-bit integer, also of microseconds: two's complement with the sign bit inverted."""
    return value + _SIGN


def in_range_of_keys(value: int) -> bool:
    """Whether an integer has a `whole_key`."""
    return -_SIGN <= value < _SIGN


def numbers(*, low: float = -math.inf, high: float = math.inf, above: bool = False, below: bool = False) -> Interval:
    """Numbers from `low` to `high`; with `above` without `low` itself, with `below` without `high`.

    A bound that is NaN leaves nothing, as no number compares with it.
    """
    if math.isnan(low) or math.isnan(high):
        return Interval(Order.NUMBER, 1, 0)
    return Interval(Order.NUMBER, number_key(low) + above, number_key(high) - below)


def wholes(order: Order, low: int, high: int) -> Interval:
    """Integers, or microseconds, from `low` to `high`, both included; bounds may lie beyond 64 bits."""
    return Interval(order, max(whole_key(low), 0), min(whole_key(high), _KEYS - 1))


def met(first: Interval, second: Interval) -> Interval:
    """What lies in both of two intervals of one order."""
    return Interval(first.order, max(first.low, second.low), min(first.high, second.high))


def outside(held: Iterable[Interval], order: Order) -> list[Interval]:
    """What of an order lies in none of the intervals, which are of that order."""
    everything = numbers() if order is Order.NUMBER else Interval(order, 0, _KEYS - 1)
    found, start = [], everything.low
    for interval in sorted(held):
        if interval.low <= interval.high:
            found.append(Interval(order, start, interval.low - 1))
            start = max(start, interval.high + 1)
    found.append(Interval(order, start, everything.high))
    return [interval for interval in found if interval.low <= interval.high]


def nodes_of(key: int) -> list[Node]:
    """The nodes that a key stands in, from the widest to itself: `DEPTHS` of them."""
    return [Node(depth, key & -(1 << DIGIT_BITS * (DEPTHS - depth))) for depth in range(1, DEPTHS + 1)]


def cover(interval: Interval) -> list[Node]:
    """The fewest nodes that hold the interval's keys and no others; at most `MOST_NODES`."""
    low, end = interval.low, interval.high + 1
    found: list[Node] = []
    for depth in range(DEPTHS, 0, -1):
        width = 1 << DIGIT_BITS * (DEPTHS - depth)
        above = width * _BASE
        whole = depth == 1  # there is nothing wider than the first digit's nodes
        while low < end and (whole or low % above):
            found.append(Node(depth, low))
            low += width
        while low < end and end % above:
            end -= width
            found.append(Node(depth, end))
    return found
