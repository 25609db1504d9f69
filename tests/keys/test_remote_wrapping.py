"""What all providers elsewhere share: the enclosed key, time limits, and exceptions that nobody foresaw."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from vecguard.errors import ConfigError, Unavailable, Unreadable, VecGuardError
from vecguard.keys.deadline import Deadline
from vecguard.keys.key import Key
from vecguard.keys.remote import RemoteWrapping

CONTEXT = b"context"


class Mirror(RemoteWrapping):
    """A provider that encrypts nothing, so that what it is given can be seen."""

    provider = 3
    kind = "mirror"

    def __init__(self, deadline: float = 10.0) -> None:
        super().__init__("mirror", deadline)
        self.given: list[tuple[bytes, bytes]] = []
        self.error: Exception | None = None
        self.held = threading.Event()
        self.held.set()

    def _encrypt(self, plaintext: bytes, aad: bytes) -> bytes:
        self.given.append((plaintext, aad))
        self.held.wait()
        if self.error is not None:
            raise self.error
        return plaintext

    def _decrypt(self, box: bytes, aad: bytes) -> bytes:
        return box

    def _meaning(self, error: Exception, operation: str) -> tuple[VecGuardError, str]:
        if isinstance(error, ZeroDivisionError):
            raise RuntimeError("a bug while reading an error")
        return Unavailable(f"{operation} failed"), "Some Code"


def test_enclosed_keys_are_the_known_answers(known_keys: dict[str, Any]) -> None:
    for case in known_keys["enclosed"]:
        mirror = type("Mirror", (Mirror,), {"provider": case["provider"]})()
        wrapped = mirror.wrap(Key(bytes.fromhex(known_keys["data_key"])), bytes.fromhex(case["context"]))
        assert mirror.given == [(bytes.fromhex(case["plaintext"]), bytes.fromhex(case["associated_data"]))]
        assert wrapped == bytes([2, case["provider"]]) + mirror.given[0][0]


def test_an_enclosed_key_of_another_context_or_length_is_unreadable() -> None:
    mirror = Mirror()
    wrapped = mirror.wrap(Key.random(), CONTEXT)
    assert mirror.unwrap(wrapped, CONTEXT)
    for box, context in (
        (wrapped, b"other"),
        (wrapped[:-1], CONTEXT),
        (wrapped + b"x", CONTEXT),
        (wrapped[:34], CONTEXT),
    ):
        with pytest.raises(Unreadable):
            mirror.unwrap(box, context)


def test_a_call_without_an_end_ends() -> None:
    mirror = Mirror(deadline=0.05)
    mirror.held.clear()
    started = time.monotonic()
    with pytest.raises(Unavailable, match="cannot be reached"):
        mirror.wrap(Key.random(), CONTEXT)
    assert time.monotonic() - started < 30
    mirror.held.set()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("text"), "wrap failed"),
        (ZeroDivisionError("text"), "the key provider failed"),
        (ConfigError("ours"), "ours"),
    ],
)
def test_every_exception_becomes_one_of_ours(error: Exception, said: str) -> None:
    mirror = Mirror()
    mirror.error = error
    with pytest.raises(VecGuardError) as raised:
        mirror.wrap(Key.random(), CONTEXT)
    assert str(raised.value) == said
    assert raised.value.__context__ is None
    assert raised.value.__cause__ is None


def test_a_deadline_gives_what_came_in_time() -> None:
    deadline = Deadline(10.0)
    outcome = deadline.run(lambda: 7, lambda error: error)
    assert outcome is not None
    assert (outcome.value, outcome.failure) == (7, None)
    assert "7" not in repr(outcome)
    failed = deadline.run(lambda: 1 // 0, lambda error: ValueError(type(error).__name__))
    assert failed is not None
    assert (failed.value, str(failed.failure)) == (None, "ZeroDivisionError")


def test_calls_that_do_not_end_hold_a_bounded_number_of_threads() -> None:
    deadline, held, begun = Deadline(0.02, most_at_once=2), threading.Event(), []

    def stuck() -> None:
        begun.append(1)
        held.wait()

    assert [deadline.run(stuck, lambda error: error) for _ in range(4)] == [None] * 4
    end = time.monotonic() + 30
    while len(begun) < 2 and time.monotonic() < end:
        time.sleep(0.01)  # a thread that was started runs when the processor has time for it
    assert len(begun) == 2
    held.set()
    while (outcome := deadline.run(lambda: 7, lambda error: error)) is None:
        pass
    assert outcome.value == 7
