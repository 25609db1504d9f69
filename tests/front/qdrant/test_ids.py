"""Encrypted ids in the database's own words: errors name the client's ids, and nothing else in them is touched."""

from __future__ import annotations

import uuid

import pytest

from vecguard.front.qdrant import ids
from vecguard.keys.key import Key
from vecguard.seal.id_cipher import IdCipher

CIPHER = IdCipher(Key(bytes(range(32))))
UUID = uuid.UUID("0f0e0d0c-0b0a-4908-8706-050403020100")
STORED_UUID = uuid.UUID(bytes=CIPHER.encrypt_uuids([UUID.bytes])[0])


@pytest.mark.parametrize("number", [0, 77, 2**64 - 1])
def test_a_missing_number_is_the_clients(number: int) -> None:
    (stored,) = CIPHER.encrypt_numbers([number])
    text = f"Not found: No point with id {stored} found"
    assert ids.shown_text(text, CIPHER) == f"Not found: No point with id {number} found"


def test_a_missing_uuid_is_the_clients() -> None:
    assert ids.shown_text(f"No point with id {STORED_UUID} found", CIPHER) == f"No point with id {UUID} found"


@pytest.mark.parametrize(
    "text",
    [
        f"No point with id {2**64} found",
        f"No point with id {STORED_UUID}0 found",
        "No point with id abc found",
        "Wrong input: Vector dimension error: expected dim: 4, got 77",
        f"No shard with id {STORED_UUID} found",
    ],
)
def test_what_names_no_stored_id_stays(text: str) -> None:
    assert ids.shown_text(text, CIPHER) == text
