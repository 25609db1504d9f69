"""Several key-encryption keys at once: wrapped by the first, opened by whichever it was."""

from __future__ import annotations

import pytest

from vecguard.errors import Unavailable, Unreadable
from vecguard.keys.key import Key
from vecguard.keys.several import SeveralProviders
from vecguard.keys.wrapping import LocalWrapping

OLD, NEW, OTHER = (LocalWrapping(Key(bytes([i] * 32))) for i in (1, 2, 3))
BOTH = SeveralProviders(NEW, [OLD])
DATA_KEY = Key(bytes(range(32)))


def test_it_wraps_with_the_current_one_alone() -> None:
    wrapped = BOTH.wrap(DATA_KEY, b"context")
    assert NEW.unwrap(wrapped, b"context") == DATA_KEY
    assert BOTH.key_id == NEW.key_id
    with pytest.raises(Unreadable):
        OLD.unwrap(wrapped, b"context")


def test_it_opens_what_either_wrapped_in_its_own_context() -> None:
    for provider in (OLD, NEW):
        assert BOTH.unwrap(provider.wrap(DATA_KEY, b"context"), b"context") == DATA_KEY
        with pytest.raises(Unreadable):
            BOTH.unwrap(provider.wrap(DATA_KEY, b"context"), b"another")
    with pytest.raises(Unreadable):
        BOTH.unwrap(OTHER.wrap(DATA_KEY, b"context"), b"context")


def test_one_that_is_away_is_no_unreadable_key() -> None:
    class Away:
        key_id = "away"

        def wrap(self, data_key: Key, context: bytes) -> bytes:
            raise Unavailable("away")

        def unwrap(self, wrapped: bytes, context: bytes) -> Key:
            raise Unavailable("away")

    with pytest.raises(Unavailable):
        SeveralProviders(NEW, [Away()]).unwrap(OLD.wrap(DATA_KEY, b"context"), b"context")
    # What the current one opens does not ask the others.
    assert SeveralProviders(NEW, [Away()]).unwrap(NEW.wrap(DATA_KEY, b"c"), b"c") == DATA_KEY
