"""Threads that do something again and again while a test does something else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self


class Meanwhile:
    """Runs each of `work` in a thread of its own within `with`, whose end sets `self._stop` and waits for them."""

    def __init__(self, *work: Callable[[], None]) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=one) for one in work]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
