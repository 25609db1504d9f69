"""Known answers, a ring of the known key, and the ways in which stored bytes get damaged."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing

FOLDER = Path(__file__).parents[1] / "vectors"


@pytest.fixture(scope="session")
def known() -> Callable[[str], Any]:
    return lambda name: json.loads((FOLDER / f"{name}.json").read_text())


@pytest.fixture
def ring() -> KeyRing:
    """Epoch 3, the current one, has the data key of the known answers; epoch 2 is still live."""
    return KeyRing({2: Key(bytes(reversed(range(32)))), 3: Key(bytes(range(32)))}, current=3)


@pytest.fixture
def collection() -> bytes:
    return bytes.fromhex("0f0e0d0c0b0a49088706050403020100")


def damage(data: bytes) -> Iterator[bytes]:
    """Every truncation, an extension, and every byte with one bit and with all bits flipped."""
    for length in range(len(data)):
        yield data[:length]
    yield data + b"\0"
    for at in range(len(data)):
        for mask in (1 << at % 8, 0xFF):
            yield data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


@pytest.fixture(scope="session")
def damaged() -> Callable[[bytes], Iterator[bytes]]:
    return damage
