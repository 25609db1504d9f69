"""Row ids have one form each; places have one key each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vecguard.errors import InvalidArgument
from vecguard.front.milvus.ids import int64_ids, new_tokens, text_ids, token_ids
from vecguard.front.milvus.place import Place, database_of, from_key, place_of

KNOWN = json.loads((Path(__file__).parents[2] / "vectors" / "row_ids.json").read_text(encoding="utf-8"))


def test_known_answers() -> None:
    for number, expected in KNOWN["numbers"]:
        assert int64_ids([int(number)])[0].hex() == expected
    for text, expected in KNOWN["texts"]:
        assert text_ids([text])[0].hex() == expected
    for token, expected in KNOWN["tokens"]:
        assert token_ids([bytes.fromhex(token)])[0].hex() == expected


def test_kinds_never_meet() -> None:
    token = new_tokens(1)
    assert len({*int64_ids([1]), *text_ids(["1"]), *token_ids(token)}) == 3


def test_tokens_are_drawn_anew() -> None:
    tokens = new_tokens(100) + new_tokens(100)
    assert len(set(tokens)) == 200
    assert {len(token) for token in tokens} == {16}
    assert new_tokens(0) == []


def test_a_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        text_ids(["\ud800"])


@pytest.mark.parametrize(
    ("in_message", "header", "expected"),
    [("", None, "default"), ("", "", "default"), ("", "north", "north"), ("south", "north", "south")],
)
def test_the_database_of_a_request(in_message: str, header: str | None, expected: str) -> None:
    metadata = [("identifier", "7"), *([] if header is None else [("dbname", header)])]
    assert database_of(in_message, metadata) == expected


def test_keys_and_back() -> None:
    for place, key in ((Place("default", "notes"), "notes"), (Place("north", "notes"), "north/notes")):
        assert place.key == key
        assert from_key(key) == place


@pytest.mark.parametrize(("database", "name"), [("", "a/b"), ("a/b", "c"), ("default", "north/notes")])
def test_slashes_would_make_keys_ambiguous(database: str, name: str) -> None:
    with pytest.raises(InvalidArgument, match="Invalid collection name"):
        place_of(database, name, [])
