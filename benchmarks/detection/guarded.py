"""Attacks on the live, enforcing proxy: does the block come where the replay of the recording says?"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.detection.attacks.attack import Attack
from benchmarks.detection.live import GUARDED, Proxy
from benchmarks.detection.record import launch
from benchmarks.detection.target import Refused
from benchmarks.detection.texts import TextVectors
from benchmarks.detection.world import World


@dataclass(frozen=True)
class Guarded:
    """`served`: calls that were answered before the first refusal (all, where none came: `refused` says). `replayed`:
    after how many calls the replay of the unstopped recording blocks; None: never. Analysis runs beside the calls, and
    a client that sends without a pause gets some more answered meanwhile."""

    attack: str
    served: int
    refused: bool
    replayed: int | None


def attack_guarded(
    proxy: Proxy, attack: Attack, world: World, embed: TextVectors, seed: int, replayed: int | None, most: int
) -> Guarded:
    """Run an attack for `most` calls at most."""
    target = proxy.target(GUARDED, attack.name)
    try:
        launch(attack, target, world, embed, seed, min(1.0, most / attack.calls))
    except Refused:
        return Guarded(attack.name, target.calls - 1, refused=True, replayed=replayed)
    return Guarded(attack.name, target.calls, refused=False, replayed=replayed)
