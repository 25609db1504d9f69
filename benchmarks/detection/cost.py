"""What detection costs: memory of 10,000 principals with full states, and time of what runs on a call's path."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vecguard.detect.analyst import registered, weigh
from vecguard.detect.intake import Intake
from vecguard.detect.memory import MemoryStore
from vecguard.detect.observation import Observation
from vecguard.detect.store import Profile
from vecguard.detect.verdicts import Verdicts
from vecguard.policy.detection import DetectionRule

PRINCIPALS: Final = 10_000
_CALLS: Final = 20_000


@dataclass(frozen=True)
class Cost:
    """`resident_mib`: growth of the process's resident memory by `PRINCIPALS` full profiles in the product's store;
    `counted_mib`: what the store says it holds; `bound_mib`: the sum of the detectors' `most_bytes`.
    `hot_us`: look-up of the verdict and putting a call on the queue, a call; `analysis_us`: the detectors, beside."""

    resident_mib: float
    counted_mib: float
    bound_mib: float
    hot_us: float
    analysis_us: float


def measure_cost(traffic: Sequence[Observation], principals: int = PRINCIPALS) -> Cost:
    """Fill profiles with `traffic`, which should be of every kind; run it in a process of its own, for the memory."""
    rule, detectors = DetectionRule(), registered()
    full = Profile()
    started = time.process_time()
    for one in traffic:
        weigh(full, [one], detectors, rule)
    analysis = (time.process_time() - started) / len(traffic)
    store = MemoryStore(most_bytes=1 << 40)
    gc.collect()
    before = _resident()

    async def fill() -> None:
        for number in range(principals):
            await store.change((f"principal {number}", "lab"), _copy_of(full))

    asyncio.run(fill())
    gc.collect()
    scale = PRINCIPALS / principals
    bound = sum(detector.most_bytes for detector in detectors.values())
    return Cost(
        resident_mib=scale * (_resident() - before) / 2**20,
        counted_mib=scale * store.used_bytes / 2**20,
        bound_mib=bound * PRINCIPALS / 2**20,
        hot_us=1e6 * _hot(full),
        analysis_us=1e6 * analysis,
    )


def _copy_of(full: Profile) -> Callable[[Profile], None]:
    def change(profile: Profile) -> None:
        profile.states = copy.deepcopy(full.states)
        profile.evidence, profile.trend = dict(full.evidence), full.trend
        profile.risk, profile.at = full.risk, full.at

    return change


def _hot(profile: Profile) -> float:
    """CPU seconds of the synchronous work on a call's path, without what a call costs anyway."""
    verdicts, intake, rule = Verdicts(), Intake(), DetectionRule()
    for number in range(1_000):
        verdicts.publish((f"principal {number}", "lab"), profile)
    started = time.process_time()
    for number in range(_CALLS):
        verdict = verdicts.of((f"principal {number % 2_000}", "lab"))
        if verdict is not None:
            verdict.rung(rule, profile.at)
        intake.put(list, 1_000)
        if number % 64 == 63:
            intake.take()
    return (time.process_time() - started) / _CALLS


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
