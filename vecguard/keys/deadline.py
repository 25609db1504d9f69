"""A time limit for calls that have none: name look-ups, slow answers, hardware that hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MOST_AT_ONCE: Final = 8


class Outcome(Generic[T]):
    """What became of a call; never printed, since it may be a key."""

    __slots__ = ("failure", "value")

    def __init__(self) -> None:
        self.value: T | None = None
        self.failure: Exception | None = None

    def __repr__(self) -> str:
        return "Outcome(…)"


class Deadline:
    """Runs calls in threads of their own and waits for each `seconds` at most."""

    def __init__(self, seconds: float, most_at_once: int = MOST_AT_ONCE) -> None:
        """`most_at_once` bounds the threads that calls without an end may hold."""
        self.seconds = seconds
        self._free = threading.BoundedSemaphore(most_at_once)

    def run(self, call: Callable[[], T], translate: Callable[[Exception], Exception]) -> Outcome[T] | None:
        """The value of `call`, or what `translate` makes of its exception; None: out of time.

        What `call` raised is dropped within its thread: its text, and the local variables of its traceback, may hold
        what was sent.
        """
        if not self._free.acquire(timeout=self.seconds):
            return None
        outcome: Outcome[T] = Outcome()
        done = threading.Event()

        def work() -> None:
            try:
                outcome.value = call()
            except Exception as error:  # noqa: BLE001 - whatever a client library raises is answered for
                outcome.failure = translate(error)
            finally:
                self._free.release()
                done.set()

        threading.Thread(target=work, name="vecguard-key-provider", daemon=True).start()
        return outcome if done.wait(self.seconds) else None
