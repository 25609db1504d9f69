"""Ids of planted records: as specified, all different, and of nobody without the key."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from vecguard.keys.key import Key
from vecguard.seal.planted import FORMS, Planted, signed

KNOWN = json.loads((Path(__file__).parents[1] / "vectors" / "planted.json").read_text())


def test_they_are_those_of_the_specification() -> None:
    planted = Planted(Key(bytes.fromhex(KNOWN["key"])), 256)
    for form in FORMS:
        ids = planted.ids(form)
        assert [ids[number] for number in KNOWN["numbers"]] == KNOWN[form]
        assert [planted.numbers[one] for one in KNOWN[form]] == KNOWN["numbers"]
    assert [signed(one) for one in KNOWN["number"]] == KNOWN["signed"]
    assert [planted.numbers[one] for one in KNOWN["signed"]] == KNOWN["numbers"]


def test_no_two_are_the_same_and_uuids_are_of_their_version() -> None:
    planted = Planted(Key.random(), 256)
    assert len(set(planted.every())) == 3 * 256
    assert planted.numbers.keys() == {*planted.every(), *map(signed, planted.ids("number"))}
    assert {uuid.UUID(str(one)).version for one in planted.ids("uuid4")} == {4}
    assert {uuid.UUID(str(one)).version for one in planted.ids("uuid5")} == {5}
    assert {uuid.UUID(str(one)).variant for one in planted.ids("uuid5")} == {uuid.RFC_4122}
    assert planted.every(2) == [one for form in FORMS for one in planted.ids(form)[:2]]


def test_another_key_has_others() -> None:
    one, other = (Planted(Key.random(), 256) for _ in range(2))
    assert not set(one.numbers) & set(other.numbers)
