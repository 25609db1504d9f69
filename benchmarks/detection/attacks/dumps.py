"""Dumps: the collection read off without any question."""

from __future__ import annotations

from benchmarks.detection.attacks.attack import Attacker
from benchmarks.detection.target import Want


def scroll_dump(attacker: Attacker, page: int = 100) -> None:
    """Page by page, with payloads and vectors, to the end."""
    start = 0
    while attacker.left > 0:
        answer = attacker.target.scroll(start, Want(limit=page, vectors=True))
        attacker.fresh(answer)
        if len(answer.ids) < page:
            return
        start = int(answer.ids[-1]) + 1


def scroll_at_once(attacker: Attacker) -> None:
    """The same in the largest pages that clients ask for."""
    scroll_dump(attacker, 1_000)


def enumerate_ids(attacker: Attacker, together: int = 20, most: int = 1 << 14) -> None:
    """Guessed ids in random order, some in a call: whatever is there comes with payload and vector."""
    order = attacker.random.permutation(most)
    for first in range(0, most, together):
        if attacker.left <= 0:
            return
        attacker.fresh(attacker.target.retrieve(order[first : first + together].tolist(), Want(vectors=True)))


def deep_offsets(attacker: Attacker, page: int = 50) -> None:
    """One question, paged by offset down to the last record."""
    offset = 0
    while attacker.left > 0:
        answer = attacker.target.search(attacker.public.vectors[0], Want(limit=page, offset=offset))
        attacker.fresh(answer)
        if len(answer.ids) < page:
            return
        offset += page
