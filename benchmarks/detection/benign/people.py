"""People who ask: alone, through an application's one key, or through retrieval that asks a question in many ways."""

from __future__ import annotations

import numpy as np

from benchmarks.detection.benign.user import DAY_S, User
from benchmarks.detection.target import Want


def sessions(user: User) -> None:
    """One person: some conversations a day, each about one thing, ten records with their payloads an answer."""
    user.clock.now += 8 * 3_600
    for _ in range(1 + user.random.poisson(3)):
        for row in user.topic(2 + user.random.poisson(5)):
            user.target.search(user.world.questions.vectors[row], Want(limit=10))
            user.wait(40)
        user.wait(3_600)


def application(user: User) -> None:
    """One key for an application's many users: hundreds of popular questions a day, four records each."""
    calls = int(user.random.integers(300, 1_200))
    for row in user.random.choice(len(user.popular), size=calls, p=user.popular):
        user.target.search(user.world.questions.vectors[row], Want(limit=4))
        user.wait(DAY_S / calls)


def multi_query(user: User) -> None:
    """Retrieval that expands: each question goes out with three other phrasings, in one call."""
    user.clock.now += 8 * 3_600
    world = user.world
    odds = user.popular[: len(world.rewrites)] / user.popular[: len(world.rewrites)].sum()
    for _ in range(5 + user.random.poisson(15)):
        row = int(user.random.choice(len(odds), p=odds))
        asked = np.concatenate([world.questions.vectors[row][np.newaxis], world.rewrites[row]])
        user.target.search_batch(asked, Want(limit=5))
        user.wait(1_200)


def semantic_cache(user: User) -> None:
    """A cache before a language model: is there an answer to a question like this? One record; a write on a miss."""
    calls = int(user.random.integers(100, 500))
    known: set[int] = set()
    for row in user.random.choice(len(user.popular), size=calls, p=user.popular):
        vector = user.world.questions.vectors[row]
        user.target.search(vector, Want(limit=1))
        if int(row) not in known:
            known.add(int(row))
            user.target.write([_OWN + int(row)], vector[np.newaxis], [user.world.questions.texts[row]])
        user.wait(DAY_S / calls)


_OWN = 1 << 41
"""Ids of records that honest users of the lab write begin here."""
