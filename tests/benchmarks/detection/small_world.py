"""A small synthetic world, whose texts embed as the rows that they name: quick, and without a model."""

from __future__ import annotations

import numpy as np

from benchmarks.detection.attacks import ATTACKS
from benchmarks.detection.attacks.attack import Attack, Attacker, Public, unit
from benchmarks.detection.offline import OfflineTarget, Stored
from benchmarks.detection.target import Target, Vectors
from benchmarks.detection.world import World
from benchmarks.vectors import synthetic
from vecguard.detect.sketch import Sketcher
from vecguard.keys.key import Key

RECORDS, QUESTIONS, DIMS = 600, 90, 48


def name(number: int) -> str:
    """A name of its own for each number, in letters."""
    return "Q" + "".join(chr(ord("a") + number // 26**place % 26) for place in range(4))


def small_world(seed: int = 3) -> World:
    """Records and questions of one shape; public vectors and candidates from the same draw."""
    sample = synthetic(RECORDS + 300 + 40, QUESTIONS, DIMS, seed)
    rows = sample.rows
    near = np.argsort(-(sample.queries @ sample.queries.T), axis=1)[:, 1:31]
    candidates = np.concatenate([rows[RECORDS + 300 :], rows[:40]])
    return World(
        name="small",
        documents=Public(tuple(f"record of {name(n % 50)} {name(n)}" for n in range(RECORDS)), rows[:RECORDS]),
        questions=Public(tuple(f"question {n}" for n in range(QUESTIONS)), sample.queries),
        near=near,
        rewrites=unit(sample.queries[:30, None, :] + 0.05 * np.ones((1, 3, DIMS), np.float32)),
        public=Public(tuple(f"more of {name(n + 5_000)}" for n in range(300)), rows[RECORDS : RECORDS + 300]),
        candidates=Public(tuple(f"candidate {n}" for n in range(80)), candidates),
    )


def embed(texts: list[str]) -> Vectors:
    """A vector of each text, the same for the same text, unlike for unlike ones."""
    drawn = [np.random.default_rng(list(text.encode())).standard_normal(DIMS) for text in texts]
    return unit(np.array(drawn, np.float32).reshape(len(texts), DIMS))


def sketcher() -> Sketcher:
    """Under a key that stays the same."""
    return Sketcher(Key(bytes(32)))


def offline(world: World, principal: str = "somebody") -> OfflineTarget:
    """The world's records in memory."""
    return OfflineTarget(Stored(world.documents), sketcher(), principal)


def attacker(world: World, target: Target, calls: int, seed: int = 5) -> Attacker:
    """An attacker with so many calls."""
    random = np.random.default_rng(seed)
    return Attacker(target, embed, world.public, random, calls, world.documents.vectors, world.candidates)


def named(name: str) -> Attack:
    """An attack by its name."""
    return next(attack for attack in ATTACKS if attack.name == name)
