"""Recording attacks: each once, unstopped, by one account; and honest calls for attackers to hide in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.detection.attacks.attack import Attack, Attacker
from benchmarks.detection.benign.people import sessions
from benchmarks.detection.benign.user import User, popularity
from benchmarks.detection.live import RECORDED, Proxy
from benchmarks.detection.offline import OfflineTarget, Stored
from benchmarks.detection.recording import Recording
from benchmarks.detection.target import Target
from benchmarks.detection.texts import TextVectors
from benchmarks.detection.world import World
from vecguard.detect.observation import Observation
from vecguard.detect.sketch import Sketcher

HIDERS = "honest crowd"
"""The principal as whom the calls to hide in are recorded."""


@dataclass
class _NoClock:
    now: float = 0.0


def launch(attack: Attack, target: Target, world: World, embed: TextVectors, seed: int, share: float = 1.0) -> Attacker:
    """Run an attack with `share` of its calls to the end, or until it is refused (which raises Refused)."""
    budget = max(int(attack.calls * share), 8)
    random = np.random.default_rng([seed, *attack.name.encode()])
    attacker = Attacker(target, embed, world.public, random, budget, world.documents.vectors, world.candidates)
    attack.run(attacker)
    return attacker


def record_live(proxy: Proxy, attack: Attack, world: World, embed: TextVectors, seed: int, share: float) -> Recording:
    """Against the running proxy, which observes and records."""
    target = proxy.target(RECORDED, attack.name)
    attacker = launch(attack, target, world, embed, seed, share)
    return _recording(attack, attacker, proxy.seen(attack.name, target.calls), len(world.documents.texts))


def record_offline(
    stored: Stored, sketcher: Sketcher, attack: Attack, world: World, embed: TextVectors, seed: int, share: float
) -> Recording:
    """Against exact search in memory: what calibration may look at."""
    target = OfflineTarget(stored, sketcher, attack.name)
    attacker = launch(attack, target, world, embed, seed, share)
    records = len(world.documents.texts)
    return _recording(attack, attacker, [replace(one, records=records) for one in target.seen], records)


def crowd_live(proxy: Proxy, world: World, calls: int, seed: int) -> list[Observation]:
    """Calls of honest sessions, against the running proxy."""
    target = proxy.target(RECORDED, HIDERS)
    _converse(target, world, calls, seed)
    return proxy.seen(HIDERS, target.calls)


def crowd_offline(stored: Stored, sketcher: Sketcher, world: World, calls: int, seed: int) -> list[Observation]:
    """The same in memory."""
    target = OfflineTarget(stored, sketcher, HIDERS)
    _converse(target, world, calls, seed)
    return [replace(one, records=len(world.documents.texts)) for one in target.seen]


def _converse(target: Target, world: World, calls: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    user = User(target, _NoClock(), world, random, popularity(len(world.questions.texts), random))
    while target.calls < calls:
        sessions(user)


def _recording(attack: Attack, attacker: Attacker, seen: Sequence[Observation], records: int) -> Recording:
    return Recording(attack.name, attack.goal, tuple(seen), tuple(attacker.progress), records)
