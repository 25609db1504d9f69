"""Encrypted primary keys in expressions, and field names in every place of Milvus' messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pymilvus.grpc_gen import schema_pb2 as s

from front.milvus.schemas import schema_of, shield_for
from vecguard.errors import InvalidArgument, Unreadable
from vecguard.front.milvus import stored_keys, translation
from vecguard.front.milvus.expression.parse import parse
from vecguard.front.milvus.expression.render import render
from vecguard.front.milvus.expression.tree import Node, rebuilt
from vecguard.front.milvus.layout import INT64, VARCHAR, Column
from vecguard.front.milvus.proto import c, m
from vecguard.keys.key import Key
from vecguard.seal.id_cipher import IdCipher

CIPHER = IdCipher(Key(bytes(range(32))))


def primary(data_type: int) -> Column:
    return Column("pk", "primary", data_type, 0, "plain", False, 8, 0, 0, None, False)


NUMBERS, TEXTS = primary(INT64), primary(VARCHAR)


def stored(text: str, column: Column = NUMBERS) -> str:
    def turned(node: Node) -> Node:
        found = stored_keys.at_rest(node, column, CIPHER)
        return rebuilt(node, turned) if found is None else found

    return render(turned(parse(text)))


def number(of: int) -> int:
    return CIPHER.encrypt_signed([of])[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pk == 5", f"pk == {number(5)}"),
        ("5 != pk", f"pk != {number(5)}"),
        ("pk in [5, -7] and a > 3", f"pk in [{number(5)}, {number(-7)}] and a > 3"),
        ("pk not in []", "pk not in []"),
        ("pk > 9 and (a == 1)", f"pk > {number(9)} and a == 1"),
        ("pk < 9223372036854775807", f"pk != {number(2**63 - 1)}"),
        ("pk <= 9223372036854775807", "pk <= 9223372036854775807"),
        ("pk < -9223372036854775807", f"pk == {number(-(2**63))}"),
        ("pk >= -9223372036854775807", f"pk != {number(-(2**63))}"),
        ("pk is not null", "pk is not null"),
    ],
)
def test_keys_in_expressions(text: str, expected: str) -> None:
    assert stored(text) == render(parse(expected))


def test_texts_in_expressions() -> None:
    one, two = CIPHER.encrypt_texts(["a", ""])
    assert stored('pk == "a" or pk in ["", "a"]', TEXTS) == f'pk == "{one}" or pk in ["{two}", "{one}"]'
    assert stored('pk >= ""', TEXTS) == 'pk >= ""'
    with pytest.raises(InvalidArgument, match="max length"):
        stored('pk == "more than eight"', TEXTS)


@pytest.mark.parametrize("text", ["pk == 1.5", "pk == true", 'pk == "5"', "pk in [1, 2.0]", "pk + 1 == 5", "pk == a"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        stored(text)


ASKED = ["pk == 5", "pk in [1] or pk != 3", "not (pk in [2])", "pk < 9223372036854775807", "pk is null", "a > 5", ""]
AFTER = ["pk > 5", "pk > 5 and (a == 1 or pk == 3)", "(a == 1) and pk > 5", "5 < pk"]
REFUSED = [
    *("pk >= 5", "pk > 5 or a == 1", "pk > 5 and pk > 6", "not (pk > 5)", "pk % 2 == 0", "1 < pk < 9", "pk == b"),
    *('pk like "a%"', "array_contains(pk, 3)", "pk > 5 and pk < 9"),
]


@pytest.mark.parametrize("cursor", [True, False])
@pytest.mark.parametrize("text", ASKED)
def test_equality_is_let_through(text: str, cursor: bool) -> None:
    stored_keys.require_equality(text, NUMBERS, cursor=cursor)


@pytest.mark.parametrize("text", AFTER)
def test_what_comes_after_a_key_is_for_iterators_alone(text: str) -> None:
    stored_keys.require_equality(text, NUMBERS, cursor=True)
    with pytest.raises(InvalidArgument, match="equality"):
        stored_keys.require_equality(text, NUMBERS, cursor=False)


@pytest.mark.parametrize("text", REFUSED)
def test_other_ranges_are_refused_to_iterators_too(text: str) -> None:
    with pytest.raises(InvalidArgument, match="equality"):
        stored_keys.require_equality(text, NUMBERS, cursor=True)


@pytest.mark.parametrize(
    ("parameters", "time", "outputs", "expected"),
    [
        ({"iterator": "True", "limit": "7"}, 10**17, [], True),
        ({"iterator": "True", "limit": "1"}, 10**17, ["a"], True),
        ({"iterator": "True", "limit": "1"}, 10**17, [], False),
        ({"iterator": "True", "limit": "7"}, 2, [], False),
        ({"iterator": "False", "limit": "7"}, 10**17, [], False),
        ({"limit": "7"}, 10**17, [], False),
    ],
)
def test_which_queries_are_later_pages(
    parameters: dict[str, str], time: int, outputs: list[str], expected: bool
) -> None:
    pairs = [c.KeyValuePair(key=key, value=value) for key, value in parameters.items()]
    request = m.QueryRequest(query_params=pairs, guarantee_timestamp=time, output_fields=outputs)
    assert stored_keys.is_cursor(request) == expected


def test_ids_of_the_other_type_are_no_keys() -> None:
    with pytest.raises(InvalidArgument):
        stored_keys.turn_ids(s.IDs(str_id=s.StringArray(data=["a"])), NUMBERS, CIPHER)
    with pytest.raises(Unreadable):
        stored_keys.turn_ids(s.IDs(str_id=s.StringArray(data=["a"])), NUMBERS, CIPHER, back=True)
    ids = s.IDs(int_id=s.LongArray(data=[5, 6]))
    stored_keys.turn_ids(ids, NUMBERS, CIPHER)
    assert list(ids.int_id.data) == [number(5), number(6)]
    stored_keys.turn_ids(ids, NUMBERS, CIPHER, back=True)
    assert list(ids.int_id.data) == [5, 6]


def test_the_last_key_is_the_last_of_the_stored_ones() -> None:
    keys = list(range(50))
    assert stored_keys.last_of(keys, NUMBERS, None) == 49
    last = stored_keys.last_of(keys, NUMBERS, CIPHER)
    assert number(last) == max(map(number, keys))
    assert json.dumps(last)


@pytest.mark.parametrize("kind", [m.InsertRequest, m.UpsertRequest, m.DeleteRequest])
def test_hashes_of_keys_go_nowhere_where_keys_are_encrypted(kind: Any) -> None:
    shield, _ = shield_for(schema_of())
    request = kind(collection_name="notes", hash_keys=[7, 8])
    assert list(translation.stored(request, shield).hash_keys) == [7, 8]
    shield.ids = CIPHER
    assert list(translation.stored(request, shield).hash_keys) == []
    assert list(request.hash_keys) == [7, 8]
