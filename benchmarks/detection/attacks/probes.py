"""Probes: is this text stored, and what does the store make of a text that I put there."""

from __future__ import annotations

from typing import Final

from benchmarks.detection.attacks.attack import Attacker
from benchmarks.detection.target import Want

FIRST_WRITTEN: Final = 1 << 40
"""Ids of records that attacks write begin here."""


def membership(attacker: Attacker, same: float = 0.98) -> None:
    """Each candidate's embedding is asked for its nearest record; a score near 1 says that it is stored."""
    if attacker.candidates is None:
        raise ValueError("membership needs candidates")
    told = 0
    for row in attacker.candidates.vectors[: attacker.budget]:
        answer = attacker.target.search(row, Want(limit=1, payload=False))
        told += float(answer.scores[0]) > same
        attacker.note(told)


def known_plaintext(attacker: Attacker, together: int = 4) -> None:
    """Write texts of one's own, read their vectors back: pairs of a text and what the store made of it. Afterwards they
    are deleted, as one who would not be seen does."""
    pairs = 0
    while attacker.left > 2:
        rows = [int(row) for row in attacker.random.choice(len(attacker.public.texts), together, replace=False)]
        ids = [FIRST_WRITTEN + pairs + at for at in range(together)]
        texts = [attacker.public.texts[row] for row in rows]
        attacker.target.write(ids, attacker.public.vectors[rows], texts)
        pairs += len(attacker.target.retrieve(ids, Want(payload=False, vectors=True)).vectors)
        attacker.note(pairs)
        attacker.target.delete(ids)
