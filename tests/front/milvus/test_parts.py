"""What is remembered of a row: the paths and stamps of the specification, whichever way a database answers it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from front.milvus.schemas import arrays_of, data_of, dynamic_of, field_of, schema_of, shield_for
from front.milvus.test_stored_row import KNOWN as ROW
from front.milvus.test_stored_row import SCHEMA, stored_row
from vecguard.errors import Unreadable
from vecguard.fresh.log import WHOLE, Cover
from vecguard.fresh.stamps import Stamps
from vecguard.front.milvus import parts
from vecguard.front.milvus.layout import Layout
from vecguard.front.milvus.proto import s
from vecguard.keys.key import Key
from vecguard.policy.model import CollectionPolicy, PayloadRule
from vecguard.state.sealing import StateKey

KNOWN = json.loads((Path(__file__).parents[2] / "vectors" / "freshness_row.json").read_text())
ID = bytes.fromhex(KNOWN["row"])


@pytest.fixture(scope="module")
def stamps() -> Stamps:
    key = StateKey(Key(bytes.fromhex(KNOWN["state_key"])))
    return Stamps(key.subkey("freshness"), bytes.fromhex(KNOWN["uuid"]), key.identity)


@pytest.fixture(scope="module")
def layout() -> Layout:
    modes = PayloadRule(fields=ROW["modes"])
    return shield_for(SCHEMA, CollectionPolicy(match="*", payload=modes).placed(0))[1]


def test_the_known_row(stamps: Stamps, layout: Layout) -> None:
    columns = [*stored_row(ROW["stored"]), dynamic_of([json.dumps(KNOWN["dynamic"]).encode()])]
    (change,) = parts.written(layout, columns, [ID], KNOWN["partition"], stamps, whole=True)
    assert change.covers == (WHOLE,)
    assert {path.hex(): stamp.hex() for path, stamp in change.leaves.items()} == KNOWN["parts"]


def plain(**options: Any) -> Layout:
    fields = [field_of("x", "Double", **options), field_of("list", "Array", {"max_capacity": 4}, element="Int64")]
    schema = schema_of(*fields, field_of("doc", "JSON", nullable=True), dynamic=True)
    modes = PayloadRule(default="plain")
    return shield_for(schema, CollectionPolicy(match="*", payload=modes).placed(0))[1]


def stamped(layout: Layout, stamps: Stamps, *columns: s.FieldData) -> parts.Leaves:
    return parts.leaves_of(layout, columns, [ID], stamps)[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a": 1.0, "b": null}', b'{"a":1}'),
        (b'{"a": {"x": 1, "y": [2.0, -0.0]}}', b'{"a": {"y": [2, 0], "x": 1}}'),
        (b'{"a": 0.1}', b'{"a": 0.10000000000000002}'),
        (b'{"a": 18446744073709551615}', b'{"a": 1.8446744073709551615e19}'),
    ],
)
def test_forms_that_are_one(stamps: Stamps, one: bytes, other: bytes) -> None:
    layout = plain()
    assert stamped(layout, stamps, dynamic_of([one])) == stamped(layout, stamps, dynamic_of([other]))
    assert stamped(layout, stamps, data_of("doc", "JSON", [one])) == stamped(
        layout, stamps, data_of("doc", "JSON", [other])
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [(b'{"a": 1}', b'{"a": "1"}'), (b'{"a": [1, 2]}', b'{"a": [2, 1]}'), (b'{"a": true}', b'{"a": 1}')],
)
def test_forms_that_are_not(stamps: Stamps, one: bytes, other: bytes) -> None:
    layout = plain()
    assert stamped(layout, stamps, dynamic_of([one])) != stamped(layout, stamps, dynamic_of([other]))


def test_a_default_is_as_good_as_nothing(stamps: Stamps) -> None:
    default = s.ValueField(double_data=2.5)
    layout = plain(default_value=default, nullable=True)
    nothing = stamped(layout, stamps)
    assert stamped(layout, stamps, data_of("x", "Double", [2.5])) == nothing
    assert stamped(layout, stamps, data_of("x", "Double", [], valid=[False])) == nothing
    assert stamped(layout, stamps, data_of("x", "Double", [2.0])) != nothing
    assert stamped(plain(), stamps, data_of("x", "Double", [2.5])) != nothing


def test_lists_have_content(stamps: Stamps) -> None:
    """Also where they come as protobuf's own kind of list."""
    layout = plain()
    lists = [stamped(layout, stamps, arrays_of("list", "Int64", [each])) for each in ([1, 2], [1, 3], [])]
    assert len({json.dumps({key.hex(): value.hex() for key, value in each.items()}) for each in lists}) == 3


def test_some_columns_cover_themselves(stamps: Stamps) -> None:
    layout = plain()
    (change,) = parts.written(layout, [data_of("x", "Double", [1.0])], [ID], "", stamps, whole=False)
    path = stamps.path(b"c", ("x",))
    assert set(change.covers) == {Cover(one, exact=True) for one in (parts.THERE, parts.PARTITION, path)}
    (change,) = parts.written(layout, [dynamic_of([b'{"k": 1}'])], [ID], "", stamps, whole=False)
    assert any(cover.has(stamps.path(b"m", ("other",))) for cover in change.covers)
    assert not any(cover.has(path) for cover in change.covers)


@pytest.mark.parametrize(
    "column",
    [
        data_of("unknown", "Int64", [1]),
        data_of("x", "Double", [1.0, 2.0]),
        dynamic_of([b"[1]"]),
        dynamic_of([b"{"]),
        data_of("doc", "JSON", [b"[" * 100_000]),
    ],
)
def test_what_is_malformed_is_unreadable(stamps: Stamps, column: s.FieldData) -> None:
    with pytest.raises(Unreadable):
        stamped(plain(), stamps, column)


def test_vectors_keys_and_labels_have_no_part(stamps: Stamps, layout: Layout) -> None:
    columns = stored_row(ROW["stored"])
    left = [data for data in columns if data.field_name in ("id", "v", "s", "_vgl_price")]
    assert len(left) == 4
    assert set(stamped(layout, stamps, *left)) == {parts.THERE}
    assert parts.paths_of(layout, left, stamps) == []
