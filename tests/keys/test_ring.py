"""The key ring hands out subkeys of live epochs only."""

import gc

import pytest

from vecguard.errors import ConfigError, Unavailable, Unreadable
from vecguard.keys.key import Key
from vecguard.keys.ring import MAX_EPOCH, KeyRing


def ring(current: int = 3) -> KeyRing:
    return KeyRing({epoch: Key(bytes([epoch]) * 32) for epoch in (2, 3, 5)}, current)


def test_subkeys_are_those_of_the_epochs_data_key() -> None:
    assert ring().subkey(2, "purpose", "name") == Key(bytes([2]) * 32).derive("purpose", "name")


def test_epochs_and_purposes_are_separate() -> None:
    keys = ring()
    exposed = [keys.subkey(epoch, purpose).expose() for epoch in (2, 3, 5) for purpose in ("a", "b")]
    assert len(set(exposed)) == 6


def test_a_subkey_is_derived_once() -> None:
    keys = ring()
    assert keys.subkey(2, "a", "b") is keys.subkey(2, "a", "b")


def test_the_current_epoch_comes_first() -> None:
    assert ring(3).epochs == (3, 5, 2)
    assert ring(5).epochs == (5, 3, 2)
    assert ring(2).current == 2


def test_an_epoch_that_is_not_live_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        ring().subkey(4, "a")


@pytest.mark.parametrize(("epochs", "current"), [([], 1), ([1], 2), ([0, 1], 1), ([1, MAX_EPOCH + 1], 1)])
def test_bad_rings_are_refused(epochs: list[int], current: int) -> None:
    with pytest.raises(ConfigError):
        KeyRing({epoch: Key.random() for epoch in epochs}, current)


def test_the_largest_epoch_is_taken() -> None:
    assert KeyRing({MAX_EPOCH: Key.random()}, MAX_EPOCH).epochs == (MAX_EPOCH,)


def test_what_is_cached_is_bounded() -> None:
    keys = ring()
    for number in range(5000):
        keys.subkey(2, "field", f"path {number}")
    assert keys._subkey.cache_info().currsize <= 4096


def test_a_closed_ring_derives_nothing() -> None:
    keys = ring()
    keys.subkey(2, "a")
    keys.close()
    with pytest.raises(Unavailable):
        keys.subkey(2, "a")


def test_printing_shows_epochs_only() -> None:
    assert repr(ring()) == "KeyRing(epochs=(3, 5, 2), current=3)"


def test_a_ring_that_is_dropped_zeroes_its_keys_at_once() -> None:
    keys = ring()
    keys.subkey(2, "a")
    buffers = [key._secret for key in keys._keys.values()]
    gc.disable()  # nothing but the last reference is to be needed
    try:
        del keys
        assert all(bytes(buffer) == bytes(32) for buffer in buffers)
    finally:
        gc.enable()
