"""Names tell nothing, and values open only as what they were written for."""

from __future__ import annotations

import pytest

from vecguard.errors import Unreadable
from vecguard.keys.key import Key
from vecguard.state.sealing import StateKey

KEY = StateKey(Key(bytes(range(32))))
TOKEN = b"token"


def test_a_value_opens_as_what_it_was_written_for() -> None:
    sealed = KEY.seal("name", "head", TOKEN, b"risk")
    assert b"risk" not in sealed
    assert KEY.open("name", "head", TOKEN, sealed) == b"risk"
    assert KEY.seal("name", "head", TOKEN, b"risk") != sealed


@pytest.mark.parametrize(
    ("name", "part", "token"), [("other", "head", TOKEN), ("name", "states", TOKEN), ("name", "head", b"older")]
)
def test_moved_it_does_not(name: str, part: str, token: bytes) -> None:
    sealed = KEY.seal("name", "head", TOKEN, b"risk")
    with pytest.raises(Unreadable):
        KEY.open(name, part, token, sealed)


@pytest.mark.parametrize("at", [0, 1, 13, -1])
def test_changed_it_does_not(at: int) -> None:
    sealed = bytearray(KEY.seal("name", "head", TOKEN, b"risk"))
    sealed[at] ^= 1
    with pytest.raises(Unreadable):
        KEY.open("name", "head", TOKEN, bytes(sealed))
    with pytest.raises(Unreadable):
        KEY.open("name", "head", TOKEN, bytes(sealed[:20]))


def test_names_are_keyed_and_do_not_run_together() -> None:
    other = StateKey(Key(bytes(32)))
    names = {
        KEY.name("profile", "ann", "notes"),
        KEY.name("profile", "annn", "otes"),
        KEY.name("bucket", "ann", "notes"),
        other.name("profile", "ann", "notes"),
    }
    assert len(names) == 4
    assert KEY.name("profile", "ann", "notes") == StateKey(Key(bytes(range(32)))).name("profile", "ann", "notes")
    assert KEY.identity != other.identity
