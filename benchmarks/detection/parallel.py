"""Independent pieces of work on all cores, with what they share made once: by forked processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from os import sched_getaffinity
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

# What a forked process works on; set in the parent just before it forks, since closures cannot be sent.
_work: Callable[[Any], Any] = lambda item: item  # noqa: E731 - replaced


def spread(work: Callable[[T], R], items: Sequence[T], processes: int = 0) -> Iterator[R]:
    """`work` of each item, in order, as soon as each is there. `processes` 0: one for each core."""
    global _work  # noqa: PLW0603
    _work = work
    count = processes or len(sched_getaffinity(0))
    with ProcessPoolExecutor(count, mp_context=get_context("fork")) as pool:
        yield from pool.map(_one, items)


def _one(item: Any) -> Any:
    return _work(item)
