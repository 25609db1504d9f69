"""A key derives as specified and cannot leak by print, pickle, copy or comparison."""

import copy
import json
import pickle
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vecguard.errors import ConfigError, Unavailable
from vecguard.keys.encoding import length_prefixed
from vecguard.keys.key import Key

SECRET = bytes(range(32))


def test_derived_bytes_are_the_known_answers(known_keys: dict[str, Any]) -> None:
    key = Key(bytes.fromhex(known_keys["data_key"]))
    for case in known_keys["derived"]:
        assert key.derive_bytes(case["n"], case["purpose"], *case["context"]).hex() == case["bytes"]


def test_a_derived_key_is_the_derived_32_bytes() -> None:
    assert Key(SECRET).derive("a", "b").expose() == Key(SECRET).derive_bytes(32, "a", "b")


def test_purpose_context_and_length_separate_what_is_derived() -> None:
    key = Key(SECRET)
    derived = [key.derive_bytes(32, *texts) for texts in [("ab",), ("a", "b"), ("a", "b", ""), ("b", "a"), ("",)]]
    derived.append(key.derive_bytes(64, "ab")[:32])
    assert len(set(derived)) == len(derived)


def test_random_keys_differ() -> None:
    assert Key.random() != Key.random()


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_another_length_is_refused(length: int) -> None:
    with pytest.raises(ConfigError, match="32 bytes"):
        Key(bytes(length))


def test_a_number_is_not_taken_for_that_many_zeros() -> None:
    with pytest.raises(TypeError):
        Key(32)  # type: ignore[arg-type]


@pytest.mark.parametrize("shown", [repr, str, format, lambda key: f"{key!s}{key:>40}", lambda key: f"{[key]}"])
def test_no_form_of_printing_shows_the_secret(shown: Any) -> None:
    text = shown(Key(b"k" * 32))
    assert "Key(…)" in text
    assert "kk" not in text


def test_what_a_key_consists_of_shows_nothing_either() -> None:
    buffer = Key(b"k" * 32)._secret
    assert "kk" not in f"{buffer!r} {buffer} {[buffer]}"
    with pytest.raises(TypeError):
        pickle.dumps(buffer)


@pytest.mark.parametrize(
    "leak", [pickle.dumps, copy.copy, copy.deepcopy, hash, vars, Key.__getstate__, json.dumps, bytes, list]
)
def test_pickling_copying_and_hashing_are_refused(leak: Any) -> None:
    with pytest.raises(TypeError):
        leak(Key(SECRET))


def test_keys_compare_by_value_and_with_nothing_else() -> None:
    assert Key(SECRET) == Key(SECRET)
    assert Key(SECRET) != Key(SECRET[::-1])
    assert Key(SECRET) != SECRET


def test_closing_zeroes_the_buffer_and_stops_all_use() -> None:
    key = Key(SECRET)
    buffer = key._secret
    key.close()
    assert bytes(buffer) == bytes(32)
    for use in (key.expose, lambda: key.derive("a"), lambda: key == Key(SECRET)):
        with pytest.raises(Unavailable):
            use()


def test_deleting_zeroes_the_buffer() -> None:
    key = Key(SECRET)
    buffer = key._secret
    del key
    assert bytes(buffer) == bytes(32)


def test_a_cipher_made_from_a_key_outlives_it_unchanged() -> None:
    """Were the cipher to keep a view, it would go on with a key of zeros."""
    key = Key(SECRET)
    cipher = AESGCM(key.expose())
    key.close()
    box = cipher.encrypt(bytes(12), b"text", None)
    assert AESGCM(SECRET).decrypt(bytes(12), box, None) == b"text"


def test_length_prefixed_parts_are_never_confused() -> None:
    lists = [(), (b"",), (b"", b""), (b"ab",), (b"a", b"b"), (b"\0\0\0\1a",), (b"a", b""), (b"", b"a")]
    assert len({length_prefixed(*parts) for parts in lists}) == len(lists)
