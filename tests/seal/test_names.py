"""Hidden names: those of the specification, each another one in its place, and back."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.keys.key import Key
from vecguard.seal.names import NameCipher

UUID = bytes(range(16))
CIPHER = NameCipher(Key(bytes(range(32))), UUID)


def test_known_answers(known: Callable[[str], Any]) -> None:
    answers = known("names")
    cipher = NameCipher(Key(bytes.fromhex(answers["name_key"])), bytes.fromhex(answers["collection"]))
    for place, name, hidden in answers["names"]:
        assert cipher.hide(place, name) == hidden
        assert cipher.show(place, hidden) == name


@given(st.text(max_size=40), st.text(max_size=40))
def test_names_come_back_and_are_names_everywhere(place: str, name: str) -> None:
    hidden = CIPHER.hide(place, name)
    assert CIPHER.show(place, hidden) == name
    assert re.fullmatch(r"n[a-z2-7]+", hidden)


def test_a_name_is_another_one_in_another_place_and_collection() -> None:
    hidden = CIPHER.hide("/meta", "city")
    assert hidden == CIPHER.hide("/meta", "city")
    other = NameCipher(Key(bytes(range(32))), bytes(16))
    assert len({hidden, CIPHER.hide("", "city"), other.hide("/meta", "city"), CIPHER.hide("/meta", "town")}) == 4
    for cipher, place in ((CIPHER, ""), (other, "/meta"), (NameCipher(Key(bytes(32)), UUID), "/meta")):
        with pytest.raises(Unreadable):
            cipher.show(place, hidden)


def test_short_names_do_not_tell_their_length() -> None:
    assert len({len(CIPHER.hide("", "x" * length)) for length in range(12)}) == 1


def test_every_damaged_name_is_unreadable() -> None:
    hidden = CIPHER.hide("", "city")
    damaged = [hidden[:length] for length in range(len(hidden))] + [hidden + "a", hidden.upper(), f"{hidden}=", "ä"]
    for at in range(1, len(hidden)):
        damaged.append(hidden[:at] + ("b" if hidden[at] == "a" else "a") + hidden[at + 1 :])
    for text in damaged:
        with pytest.raises(Unreadable):
            CIPHER.show("", text)


def test_what_is_sealed_but_no_text_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecguard.seal.names.encode_leaf", lambda name: bytes([1, 0, 0, 0, 1, 1]) + bytes(10))
    hidden = NameCipher(Key(bytes(range(32))), UUID).hide("", "anything")
    with pytest.raises(Unreadable):
        CIPHER.show("", hidden)


def test_half_a_character_is_no_name() -> None:
    with pytest.raises(InvalidArgument):
        CIPHER.hide("", "\ud800")
