"""Encrypted ids: those of the specification, each another id of its kind, and back."""

import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.errors import Unreadable
from vecguard.keys.key import Key
from vecguard.seal.id_cipher import IdCipher, text_length

CIPHER = IdCipher(Key(bytes(range(32))))
NUMBERS = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 100), st.integers(2**64 - 100, 2**64 - 1))


def test_known_answers(known: Callable[[str], Any]) -> None:
    answers = known("encrypted_ids")
    cipher = IdCipher(Key(bytes.fromhex(answers["id_key"])))
    clear, stored = zip(*((int(a), int(b)) for a, b in answers["numbers"]), strict=True)
    assert cipher.encrypt_numbers(clear) == list(stored)
    clear, stored = zip(*((uuid.UUID(a).bytes, uuid.UUID(b).bytes) for a, b in answers["uuids"]), strict=True)
    assert cipher.encrypt_uuids(clear) == list(stored)


@given(st.lists(NUMBERS, max_size=20))
def test_numbers_come_back(numbers: list[int]) -> None:
    stored = CIPHER.encrypt_numbers(numbers)
    assert CIPHER.decrypt_numbers(stored) == numbers
    assert all(0 <= number < 2**64 for number in stored)


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=20))
def test_uuids_come_back(uuids: list[bytes]) -> None:
    assert CIPHER.decrypt_uuids(CIPHER.encrypt_uuids(uuids)) == uuids


def test_neighbours_have_nothing_in_common() -> None:
    """Half of the bits change, and no order is left, between ids that differ by one."""
    stored = np.array(CIPHER.encrypt_numbers(range(4_000)), np.uint64)
    changed = [int(bits).bit_count() for bits in stored[1:] ^ stored[:-1]]
    assert len(set(stored.tolist())) == len(stored)
    assert abs(np.mean(changed) - 32) < 0.5
    assert 0.45 < np.mean(stored[1:] > stored[:-1]) < 0.55


@pytest.mark.parametrize("other", [Key(bytes(32)), Key(bytes(range(1, 33)))])
def test_another_key_gives_others(other: Key) -> None:
    cipher = IdCipher(other)
    assert not set(cipher.encrypt_numbers(range(100))) & set(CIPHER.encrypt_numbers(range(100)))
    assert cipher.encrypt_uuids([bytes(16)]) != CIPHER.encrypt_uuids([bytes(16)])


def test_known_answers_of_signed_numbers_and_texts(known: Callable[[str], Any]) -> None:
    answers = known("encrypted_ids")
    cipher = IdCipher(Key(bytes.fromhex(answers["id_key"])))
    clear, stored = zip(*((int(a), int(b)) for a, b in answers["signed"]), strict=True)
    assert cipher.encrypt_signed(clear) == list(stored)
    assert cipher.decrypt_signed(stored) == list(clear)
    texts, hidden = zip(*answers["texts"], strict=True)
    assert cipher.encrypt_texts(texts) == list(hidden)
    assert cipher.decrypt_texts(hidden) == list(texts)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20), st.lists(st.text(max_size=60), max_size=5))
def test_signed_numbers_and_texts_come_back_and_fit(numbers: list[int], texts: list[str]) -> None:
    stored = CIPHER.encrypt_signed(numbers)
    assert CIPHER.decrypt_signed(stored) == numbers
    assert all(-(2**63) <= number < 2**63 for number in stored)
    hidden = CIPHER.encrypt_texts(texts)
    assert CIPHER.decrypt_texts(hidden) == texts
    assert all(len(one) <= text_length(len(text.encode())) for one, text in zip(hidden, texts, strict=True))


def test_every_damaged_text_is_unreadable() -> None:
    (stored,) = CIPHER.encrypt_texts(["a key"])
    damaged = [stored[:length] for length in range(len(stored))] + [f"{stored}A", f"{stored}=", "ä"]
    damaged += [stored[:at] + ("B" if stored[at] == "A" else "A") + stored[at + 1 :] for at in range(len(stored))]
    for text in damaged:
        with pytest.raises(Unreadable):
            CIPHER.decrypt_texts([text])
    with pytest.raises(Unreadable):
        IdCipher(Key(bytes(32))).decrypt_texts([stored])
