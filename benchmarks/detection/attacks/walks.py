"""Walks from record to record: by the vectors that the store gives out, and by ids alone."""

from __future__ import annotations

from collections import deque
from typing import Final

from benchmarks.detection.attacks.attack import Attacker
from benchmarks.detection.target import Want

_SEEDS: Final = 3
_WITH_VECTORS: Final = Want(limit=20, vectors=True)
_RECORDS: Final = Want(limit=20)


def vector_walk(attacker: Attacker, want: Want = _WITH_VECTORS) -> None:
    """Ask with a vector that came back earlier, new ones first, and so on through the neighbourhood graph."""
    waiting = deque(attacker.public.vectors[:_SEEDS])
    while attacker.left > 0 and waiting:
        answer = attacker.target.search(waiting.popleft(), want)
        waiting.extend(answer.vectors[at] for at in attacker.fresh(answer) if at < len(answer.vectors))


def recommend_walk(attacker: Attacker, want: Want = _RECORDS) -> None:
    """The same by `recommend`: what is like this record, and like that one; no vector leaves."""
    waiting: deque[int] = deque()
    for row in attacker.public.vectors[:_SEEDS]:
        answer = attacker.target.search(row, want)
        waiting.extend(int(answer.ids[at]) for at in attacker.fresh(answer))
    while attacker.left > 0 and waiting:
        answer = attacker.target.recommend([waiting.popleft()], want)
        waiting.extend(int(answer.ids[at]) for at in attacker.fresh(answer))
