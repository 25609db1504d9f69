"""Labels of range fields: those of the specification, the same for equal values alone, and of every live epoch."""

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vecguard.errors import InvalidArgument
from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.seal.dyadic import DEPTHS, Interval, Order, numbers, wholes
from vecguard.seal.fields import FieldSealer
from vecguard.seal.labels import RangeLabels

LABEL_DIGITS = 11


def clock(text: str) -> int | None:
    """Date-times of this file are microseconds in decimal."""
    return int(text.removeprefix("t")) if text.startswith("t") else None


@pytest.fixture
def labels(ring: KeyRing, collection: bytes) -> RangeLabels:
    return FieldSealer(ring, collection).range_labels("/price", clock)


def value_of(case: dict[str, Any]) -> Any:
    return struct.unpack(">d", bytes.fromhex(case["value"]))[0] if case["type"] == "float" else case["value"]


def test_known_answers(known: Callable[[str], Any], ring: KeyRing, collection: bytes) -> None:
    sealer = FieldSealer(ring, collection)
    for case in known("labels")["values"]:
        value = value_of(case)
        found = sealer.range_labels(case["path"], lambda _, time=case["time"]: time).of(value, whole=case["whole"])
        assert found == [case["equal"], *case["nodes"]]
    for case in known("labels")["covers"]:
        interval = Interval(Order(case["order"]), int(case["low"], 16), int(case["high"], 16))
        found = sealer.range_labels(case["path"], clock).within(interval)
        assert set(found) >= set(case["labels"])
        assert len(found) == len(ring.epochs) * len(case["labels"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)), low=st.floats(-1e3, 1e3))
def test_a_value_has_one_label_of_a_range_or_none(labels: RangeLabels, value: float, low: float) -> None:
    found = set(labels.of(value)) & set(labels.within(numbers(low=low)))
    assert len(found) == (float(value) >= low)


def test_what_has_no_order_has_an_equality_label_alone(labels: RangeLabels) -> None:
    for value in (True, "red", "", float("nan")):
        assert len(labels.of(value)) == 1
    assert len(labels.of(5)) == len(labels.of("t5")) == 1 + DEPTHS
    assert {len(label) for label in labels.of(5)} == {LABEL_DIGITS}


def test_orders_do_not_meet(labels: RangeLabels) -> None:
    """5, 5.0, the time 5 and 5 as an exact integer: alike in at most the order of numbers."""
    five, half, time, whole = labels.of(5), labels.of(5.0), labels.of("t5"), labels.of(5, whole=True)
    assert five[0] != half[0]
    assert five[1:] == half[1:]
    assert five[0] == whole[0]
    assert not set(five[1:]) & {*time, *whole[1:]}
    assert not set(time) & {*labels.within(wholes(Order.WHOLE, 0, 9)), *labels.within(numbers())}


def test_equality_tells_types_apart(labels: RangeLabels) -> None:
    alike = [labels.equal_to(value) for value in (1, 1.0, True, "1")]
    assert len({tuple(found) for found in alike}) == len(alike)
    assert labels.of(1)[0] in labels.equal_to(1)


def test_labels_belong_to_one_field_collection_key_and_epoch(collection: bytes) -> None:
    first, second = Key(bytes(32)), Key(bytes([1]) * 32)
    one = FieldSealer(KeyRing({1: first}, 1), collection)
    other = FieldSealer(KeyRing({1: second}, 1), collection)
    found = [set(one.range_labels(path, clock).of(5)) for path in ("/a", "/b")]
    found.append(set(other.range_labels("/a", clock).of(5)))
    assert len(set.union(*found)) == 3 * (1 + DEPTHS)
    both = FieldSealer(KeyRing({1: first, 2: second}, 2), collection).range_labels("/a", clock)
    assert set(both.of(5)) == found[2]  # written under the current epoch, asked for under both
    assert all(set(both.equal_to(5)) & one for one in (found[0], found[2]))
    assert len(set(both.within(numbers(low=5, high=6))) & (found[0] | found[2])) == 2


def test_a_value_that_cannot_be_encoded(labels: RangeLabels) -> None:
    for value in (2**63, "\ud800"):
        with pytest.raises(InvalidArgument):
            labels.of(value)


def test_words_have_labels_of_their_own(known: Callable[[str], Any], ring: KeyRing, collection: bytes) -> None:
    sealer = FieldSealer(ring, collection)
    for case in known("labels")["texts"]:
        assert sealer.word_labels(case["path"]).of(case["text"]) == case["labels"]
    assert sealer.word_labels("/a").of(5) == []
    assert sealer.word_labels("/a").of("a b a B") == sealer.word_labels("/a").of("b, A")
    assert not set(sealer.word_labels("/a").of("red")) & set(sealer.word_labels("/b").of("red"))


def test_words_are_asked_for_under_every_epoch(collection: bytes) -> None:
    keys = {1: Key(bytes(32)), 2: Key(bytes([1]) * 32)}
    labels = FieldSealer(KeyRing(keys, 2), collection).word_labels("/a")
    (green, red) = labels.each_of("red GREEN red")
    assert (len(red), len(green)) == (2, 2)
    assert labels.of("red") == red[:1]
    assert FieldSealer(KeyRing(keys, 1), collection).word_labels("/a").of("red") == red[1:]
    assert labels.each_of("...") == []
    assert labels.of("\ud800red") == red[:1]
