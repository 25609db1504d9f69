"""What is remembered of a point: the paths and stamps of the specification, whichever way a database answers it."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import grpc as q

from vecguard.errors import Unreadable
from vecguard.fresh import log
from vecguard.fresh.log import ALL, WHOLE, Cover, Slot, Write
from vecguard.fresh.stamps import ABSENT, Stamps
from vecguard.front.qdrant import parts
from vecguard.keys.key import Key
from vecguard.seal import record
from vecguard.state.sealing import StateKey

KNOWN = json.loads((Path(__file__).parents[2] / "vectors" / "freshness.json").read_text())
POINT = bytes.fromhex(KNOWN["point"])


@pytest.fixture(scope="module")
def stamps() -> Stamps:
    key = StateKey(Key(bytes.fromhex(KNOWN["state_key"])))
    return Stamps(key.subkey("freshness"), bytes.fromhex(KNOWN["uuid"]), key.identity)


def value(content: Any) -> q.Value:
    made = q.Value()
    if isinstance(content, dict):
        made.struct_value.SetInParent()
        for key, inner in content.items():
            made.struct_value.fields[key].CopyFrom(value(inner))
    elif isinstance(content, list):
        made.list_value.values.extend(map(value, content))
        made.list_value.SetInParent()
    elif content is None:
        made.null_value = q.NullValue.NULL_VALUE
    else:
        kinds = {str: "string_value", bool: "bool_value", int: "integer_value", float: "double_value"}
        setattr(made, kinds[type(content)], content)
    return made


def payload(content: dict[str, Any]) -> dict[str, q.Value]:
    return {key: value(inner) for key, inner in content.items()}


def test_the_known_names_and_stamps(stamps: Stamps) -> None:
    assert (stamps.place.hex(), stamps.name(POINT).hex()) == (KNOWN["place"], KNOWN["name"])
    found = parts.parts_of(payload(KNOWN["payload"]), POINT, stamps)
    assert found.pop(ALL) == parts.whole_of(payload(KNOWN["payload"]), POINT, stamps)
    assert {path.hex(): stamp.hex() for path, stamp in found.items()} == KNOWN["parts"]


def test_the_known_log(stamps: Stamps) -> None:
    text = bytes.fromhex(KNOWN["log"])
    held, word = log.parse(text), stamps.path(b"p", ("word",))
    one, two = (bytes.fromhex(KNOWN["parts"][path.hex()]) for path in (word, b"r"))
    moment = 1_735_787_045_000
    assert held.settled == {word: Slot([one, ABSENT], [(two, moment)]), b"r": Slot([two])}
    holes = [Cover(word, exact=True)]
    assert held.writes == [Write(b"\0\0\0\7", moment, False, [Cover(b"p")], {word: one}, holes)]
    assert log.pack(held) == text


def test_the_known_logs_of_whole_records(stamps: Stamps) -> None:
    """One that was written whole, and the same after a deletion that ended while another write was under way."""
    text, word, content = bytes.fromhex(KNOWN["whole"]), stamps.path(b"p", ("word",)), bytes(range(1, 9))
    one = bytes.fromhex(KNOWN["parts"][word.hex()])
    assert log.settled({word: one, ALL: content}) == text
    assert log.is_whole(text, content)
    assert not log.is_whole(text, one)
    after = log.parse(bytes.fromhex(KNOWN["deleted"]))
    assert after.writes == [Write(b"\0\0\0\x08", 1_735_787_045_000, True, [WHOLE], {}, [])]
    assert (after.allowed(word, 0), log.pack(after).hex()) == ({one, ABSENT}, KNOWN["deleted"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (2.0, 2),
        (-0.0, 0),
        ({"a": None}, {}),
        (float("nan"), None),
        ({"a": {"b": 1}, "c": 2}, {"c": 2, "a": {"b": 1.0}}),
    ],
)
def test_forms_that_are_one(stamps: Stamps, one: Any, other: Any) -> None:
    alike = [parts.content_of(payload({"_p": {"x": each}}), POINT, stamps) for each in (one, other)]
    assert alike[0] == alike[1]


def test_the_last_bits_of_a_number_are_not_its_content(stamps: Stamps) -> None:
    """Databases that keep JSON do not give them back as they were; also where they decide how it is rounded."""
    draw = random.Random(5)
    numbers = [draw.uniform(-1e6, 1e6) * 10.0 ** draw.randint(-9, 9) for _ in range(500)]
    numbers += [(round(number, 3) + 0.5) * 1e-11 for number in (draw.uniform(1e11, 9e11) for _ in range(500))]
    numbers += [3.0, 1e15, 0.1, 2.0**60, 1.5e300, 5e-324]
    for number in numbers:
        for moved in (number, math.nextafter(number, math.inf), math.nextafter(number, -math.inf)):
            was, now = (payload({"_p": {"x": each, "l": [1, each, [each]]}}) for each in (number, moved))
            made = parts.content_of(was, POINT, stamps)
            found = parts.reconciled(
                parts.content_of(now, POINT, stamps), now, POINT, stamps, lambda path, made=made: {made[path]}
            )
            assert found == made, (number, moved)
    one, other = (payload({"_p": {"x": each}}) for each in (1.0, 1.00000000002))
    made = parts.content_of(one, POINT, stamps)
    assert (
        parts.reconciled(parts.content_of(other, POINT, stamps), other, POINT, stamps, lambda path: {made[path]})
        != made
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, "1"), (True, 1), ("", None), ([], None), ([1, 2], [2, 1]), ([None], []), (0.5, 0.25), (2**60, 2**60 + 1)],
)
def test_forms_that_are_two(stamps: Stamps, one: Any, other: Any) -> None:
    found = [parts.content_of(payload({"_p": {"x": each}}), POINT, stamps) for each in (one, other)]
    assert found[0] != found[1]


def test_a_stamp_is_of_its_record_and_path_alone(stamps: Stamps) -> None:
    path, other = stamps.path(b"p", ("a",)), stamps.path(b"p", ("b",))
    made = {
        stamps.stamp(POINT, path, b"sx"),
        stamps.stamp(POINT + b"1", path, b"sx"),
        stamps.stamp(POINT, other, b"sx"),
    }
    assert len(made) == 3


def test_of_entries_those_go_that_were_superseded(stamps: Stamps) -> None:
    old, new = bytes(40), bytes(range(40))
    path = stamps.path(b"v", ("d",))
    held = log.parse(log.settled({path: stamps.stamp(POINT, path, new)}))
    for entries, left in (({"d": old}, {}), ({"d": new}, {"d": new}), ({"d": new, "e": new}, {"d": new})):
        point = q.RetrievedPoint(id=q.PointId(num=7))
        point.payload["_vg"].string_value = record.encode("0f0e0d0c0b0a4908", entries)
        for key, entry in (("f_64", new), ("0_64", old), ("odd", new), ("1_zz", new)):
            point.payload["_vgn"].struct_value.fields[key].CopyFrom(parts.records.encode(entry))
        parts.prune(point, held, stamps, 0)
        assert record.decode(point.payload["_vg"].string_value).entries == left
        assert set(point.payload["_vgn"].struct_value.fields) == {"f_64"}


def test_a_record_that_is_none_has_a_stamp_and_no_entries(stamps: Stamps) -> None:
    held = payload({"_vg": "what is no record"})
    with pytest.raises(Unreadable):
        record.decode("what is no record")
    assert set(parts.parts_of(held, POINT, stamps)) == {ALL, b"r"}
