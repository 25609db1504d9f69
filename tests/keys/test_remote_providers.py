"""Every provider whose KEK is elsewhere, by one set of rules; each rule has an allow and a deny."""

import time

import pytest
import structlog
from sides import Side

from vecguard.errors import Unavailable, Unreadable
from vecguard.keys.key import Key
from vecguard.keys.provider import KeyProvider

CONTEXT = b"vecguard data key" + bytes(range(16)) + b"\0\0\0\1"


def unreadable(provider: KeyProvider, wrapped: bytes, context: bytes = CONTEXT) -> bool:
    try:
        provider.unwrap(wrapped, context)
    except Unreadable:
        return True
    return False


def test_what_was_wrapped_comes_back(side: Side) -> None:
    data_key = Key.random()
    wrapped = [side.good().wrap(data_key, CONTEXT) for _ in range(2)]
    assert wrapped[0] != wrapped[1]
    assert all(side.good().unwrap(one, CONTEXT) == data_key for one in wrapped)
    assert not any(data_key.expose() in one for one in wrapped)
    assert all(one[0] == 2 for one in wrapped)


@pytest.mark.parametrize("context", [b"", CONTEXT[:-1] + b"\2", CONTEXT + b"\0"])
def test_another_context_is_unreadable(side: Side, context: bytes) -> None:
    assert unreadable(side.good(), side.good().wrap(Key.random(), CONTEXT), context)


def test_an_altered_box_is_unreadable(side: Side) -> None:
    wrapped = side.good().wrap(Key.random(), CONTEXT)
    provider = side.good()
    step = max(1, len(wrapped) // 8)
    # Never the wrong key, and never a good one; a few bytes name the KEK or its version, which is then not known.
    for position in [0, 1, *range(2, len(wrapped), step), len(wrapped) - 1]:
        altered = bytearray(wrapped)
        altered[position] ^= 1
        with pytest.raises((Unreadable, Unavailable)):
            provider.unwrap(bytes(altered), CONTEXT)
    altered[-1] ^= 1
    assert unreadable(provider, wrapped[:-1])
    assert unreadable(provider, wrapped[:-20] + bytes([wrapped[-20] ^ 2]) + wrapped[-19:])
    for foreign in (b"", wrapped[:1], wrapped[:2], b"\1" + wrapped[1:], wrapped[:1] + b"\x63" + wrapped[2:]):
        assert unreadable(provider, foreign)


def test_another_key_of_the_same_service_opens_nothing(side: Side) -> None:
    wrapped = side.good().wrap(Key.random(), CONTEXT)
    with pytest.raises((Unreadable, Unavailable)):
        side.other_key().unwrap(wrapped, CONTEXT) if side.kind != "pkcs11" else _without_its_id(side, wrapped)


def _without_its_id(side: Side, wrapped: bytes) -> None:
    # PKCS #11 boxes name their key: this one is made to name the other key.
    side.other_key().unwrap(wrapped[:3] + b"\2" + wrapped[4:], CONTEXT)


def test_a_rotation_at_the_service_changes_nothing_for_what_was_wrapped(side: Side) -> None:
    data_key = Key.random()
    before = side.good().wrap(data_key, CONTEXT)
    side.rotate()
    after = side.good().wrap(data_key, CONTEXT)
    assert side.good().unwrap(before, CONTEXT) == data_key
    assert side.good().unwrap(after, CONTEXT) == data_key


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("denied", "does not let VecGuard use the key"),
        ("no_key", "does not know the key"),
        pytest.param("unreachable", "cannot be reached|does not know the key", marks=pytest.mark.slow),
    ],
)
def test_a_service_that_does_not_serve_makes_calls_unavailable(side: Side, what: str, said: str) -> None:
    wrapped = side.good().wrap(Key.random(), CONTEXT)
    provider: KeyProvider = getattr(side, what)()
    started = time.monotonic()
    with structlog.testing.capture_logs() as logs:
        with pytest.raises(Unavailable, match=said):
            provider.wrap(Key.random(), CONTEXT)
        if what == "no_key" and side.kind == "pkcs11":
            assert isinstance(provider.unwrap(wrapped, CONTEXT), Key)  # boxes name their key themselves
        else:
            with pytest.raises(Unavailable, match=said):
                provider.unwrap(wrapped, CONTEXT)
    assert time.monotonic() - started < 60
    assert {(log["event"], log["provider"]) for log in logs} == {("key provider failed", side.kind)}
    assert side.good().unwrap(wrapped, CONTEXT)


def test_a_key_that_is_disabled_makes_calls_unavailable_until_it_is_not(side: Side) -> None:
    if side.disabled is None:
        pytest.skip("the service, or its stand-in, has no such state")
    data_key = Key.random()
    wrapped = side.good().wrap(data_key, CONTEXT)
    with side.disabled(), pytest.raises(Unavailable, match="disabled, deleted or retired"):
        side.good().unwrap(wrapped, CONTEXT)
    assert side.good().unwrap(wrapped, CONTEXT) == data_key


def test_the_name_of_the_key_is_fit_for_logs(side: Side) -> None:
    provider = side.good()
    assert provider.key_id.startswith(f"{side.kind}:")
    assert repr(provider).endswith(f"({provider.key_id})")
