"""Keys keep the order of what they stand for; a cover holds exactly its interval, whatever the bounds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.seal.dyadic import (
    DEPTHS,
    MOST_NODES,
    Interval,
    Order,
    cover,
    met,
    nodes_of,
    number_key,
    numbers,
    outside,
    whole_key,
    wholes,
)

FLOATS = st.floats(allow_nan=False)
WHOLES = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-300, 300))
KEYS = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 300), st.integers(2**64 - 300, 2**64 - 1))


@given(FLOATS, FLOATS)
def test_keys_of_numbers_keep_their_order(a: float, b: float) -> None:
    assert (number_key(a) < number_key(b)) == (a < b)
    assert (number_key(a) == number_key(b)) == (a == b)


@given(WHOLES, WHOLES)
def test_keys_of_integers_keep_their_order(a: int, b: int) -> None:
    assert (whole_key(a) < whole_key(b)) == (a < b)


@given(KEYS, KEYS, KEYS)
def test_exactly_the_keys_within_have_a_node_of_the_cover(low: int, high: int, key: int) -> None:
    nodes = cover(Interval(Order.WHOLE, low, high))
    assert len(set(nodes)) == len(nodes) <= MOST_NODES
    for one in {key, low, high, max(low - 1, 0), min(high + 1, 2**64 - 1)}:
        assert len(set(nodes) & set(nodes_of(one))) == (low <= one <= high)


def test_the_widest_cover_has_as_many_nodes_as_said() -> None:
    assert len(cover(Interval(Order.WHOLE, 1, 2**64 - 2))) == MOST_NODES - 16
    assert len(cover(Interval(Order.WHOLE, 0, 2**64 - 1))) == 16
    assert cover(Interval(Order.WHOLE, 5, 4)) == []
    assert len(nodes_of(0)) == DEPTHS


@given(FLOATS, FLOATS, FLOATS, st.booleans(), st.booleans())
def test_bounds_of_numbers(low: float, high: float, x: float, above: bool, below: bool) -> None:
    interval = numbers(low=low, high=high, above=above, below=below)
    expected = (x > low if above else x >= low) and (x < high if below else x <= high)
    assert (interval.low <= number_key(x) <= interval.high) == expected


def test_nothing_compares_with_nan_and_everything_lies_without_bounds() -> None:
    assert cover(numbers(low=math.nan)) == cover(numbers(high=math.nan)) == []
    assert cover(numbers(high=-math.inf, below=True)) == []
    assert cover(numbers(low=-0.0, high=0.0)) == [nodes_of(number_key(0.0))[-1]]
    assert len(cover(numbers())) == len(cover(Interval(Order.NUMBER, number_key(-math.inf), number_key(math.inf))))


def test_bounds_beyond_64_bits() -> None:
    assert wholes(Order.TIME, -(2**80), 2**80) == Interval(Order.TIME, 0, 2**64 - 1)
    assert cover(wholes(Order.WHOLE, 2**63, 2**80)) == []
    assert cover(met(wholes(Order.WHOLE, 3, 9), wholes(Order.WHOLE, 10, 12))) == []


@pytest.mark.parametrize("order", [Order.WHOLE, Order.NUMBER])
@given(st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), max_size=4), st.integers(-50, 50))
def test_outside_is_all_else(order: Order, bounds: list[tuple[int, int]], x: int) -> None:
    if order is Order.WHOLE:
        held, key = [wholes(order, low, high) for low, high in bounds], whole_key(x)
    else:
        held, key = [numbers(low=low, high=high) for low, high in bounds], number_key(x)
    inside = any(low <= x <= high for low, high in bounds)
    assert any(one.low <= key <= one.high for one in outside(held, order)) != inside
