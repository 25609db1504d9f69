"""A sealed declaration opens for its own collection and key only."""

import json
from pathlib import Path

import pytest

from vecguard.errors import Unreadable
from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.seal import base64url
from vecguard.seal.declaration import open_declaration, seal_declaration

UUID = bytes(range(16))
CONTENT = b"schema of \xc3\xa4 collection"
KNOWN = json.loads((Path(__file__).parents[1] / "vectors" / "declaration.json").read_text())


def ring(seed=1, epochs=(1,)):
    return KeyRing({epoch: Key(bytes([seed + epoch] * 32)) for epoch in epochs}, epochs[-1])


def test_what_was_sealed_opens_again():
    text = seal_declaration(CONTENT, ring(), UUID)
    assert open_declaration(text, ring(), UUID) == CONTENT
    assert CONTENT.hex() not in base64url.decode(text[3:]).hex()


def test_each_sealing_is_another():
    assert seal_declaration(CONTENT, ring(), UUID) != seal_declaration(CONTENT, ring(), UUID)


def test_an_older_epoch_opens_while_it_lives():
    text = seal_declaration(CONTENT, ring(), UUID)
    assert open_declaration(text, ring(epochs=(1, 2)), UUID) == CONTENT
    with pytest.raises(Unreadable):
        open_declaration(text, ring(epochs=(2,)), UUID)


def test_another_collection_or_key_does_not_open_it():
    text = seal_declaration(CONTENT, ring(), UUID)
    for keys, identity in ((ring(7), UUID), (ring(), bytes(16))):
        with pytest.raises(Unreadable):
            open_declaration(text, keys, identity)


@pytest.mark.parametrize("position", range(0, 40, 3))
def test_a_flipped_bit_or_a_cut_is_noticed(position):
    data = bytearray(base64url.decode(seal_declaration(CONTENT, ring(), UUID)[3:]))
    for damaged in (
        bytes(data[:position]),
        bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]),
    ):
        with pytest.raises(Unreadable):
            open_declaration("vg:" + base64url.encode(damaged), ring(), UUID)


def test_the_known_answer_stays_readable():
    keys = KeyRing({KNOWN["epoch"]: Key(bytes.fromhex(KNOWN["data_key"]))}, KNOWN["epoch"])
    opened = open_declaration(KNOWN["text"], keys, bytes.fromhex(KNOWN["uuid"]))
    assert opened == bytes.fromhex(KNOWN["content"])
