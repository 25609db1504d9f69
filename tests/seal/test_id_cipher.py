"""Encrypted ids: those of the specification, each another id of its kind, and back."""

import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.keys.key import Key
from vecguard.seal.id_cipher import IdCipher

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
