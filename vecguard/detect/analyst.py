"""From observations to verdicts: runs the detectors on each principal's small state, combines, decides the rung."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import structlog

from vecguard.detect.detector import Detector, Evidence
from vecguard.detect.observation import Observation
from vecguard.detect.pace import SLICE_S, Pace
from vecguard.detect.risk import combined
from vecguard.detect.store import TREND_LENGTH, Key, Profile, Store
from vecguard.detect.usual import Usual
from vecguard.detect.verdicts import Verdict, Verdicts
from vecguard.errors import Unavailable
from vecguard.policy.detection import DetectionRule
from vecguard.registry import DETECTORS

_LEAST_AT_ONCE: Final = 16
"""Of one principal, where there are so many: a batch costs about as much as its calls, so a few at a time cost most."""
_MOST_AT_ONCE: Final = 64
_TREND_STEP_S: Final = 150.0
_MOST_REASONS: Final = 5
_log = structlog.get_logger("vecguard.detect")


class Tell(Protocol):
    """Takes structured events, as the trail does."""

    def __call__(self, event: str, **fields: object) -> None: ...


class Standing(NamedTuple):
    """Where a principal stood before a call: its risk, its detectors' levels, and whether an operator pinned it."""

    risk: float
    levels: Mapping[str, float]
    pinned: bool = False


class Together(Protocol):
    """Looks at the calls of several callers together (`vecguard.detect.linking`)."""

    def add(self, batch: Sequence[Observation], standing: Standing) -> None:
        """Take calls of one caller on one collection, who stood so before them."""

    async def settle(self, rule: Callable[[str], DetectionRule | None]) -> None:
        """Look at what was taken. Raises Unavailable."""


def registered() -> dict[str, Detector]:
    """All detectors, by name."""
    return {kind: DETECTORS.load(kind) for kind in DETECTORS.kinds}


def weigh(
    profile: Profile, batch: Sequence[Observation], detectors: Mapping[str, Detector], rule: DetectionRule
) -> None:
    """Take a principal's observations, oldest first, into its profile: states, evidence, risk, rung and block.

    Pure but for `profile`, which it changes; time is the observations'.
    """
    now = max(batch[-1].time, profile.at)
    found = [
        evidence
        for name, detector in detectors.items()
        if rule.uses(name) and (evidence := _updated(name, detector, profile, batch)) is not None
    ]
    said = {evidence.detector: evidence for evidence in found}
    # A level of 0 says nothing, and is not worth its room.
    profile.evidence = {
        name: evidence
        for name, evidence in {**profile.evidence, **said}.items()
        if evidence.level > 0 and name in detectors and rule.uses(name)
    }
    profile.risk = combined(profile.risk, now - profile.at if profile.at else 0.0, found)
    profile.at = now
    if not profile.trend or now - profile.trend[-1][0] >= _TREND_STEP_S:
        profile.trend = profile.trend.then(now, profile.risk, TREND_LENGTH)
    reached = rule.ladder.rung(profile.risk_at(now))
    if reached == "block" and profile.blocked_until <= now:
        profile.blocked_until = now + rule.block_s
    profile.rung = reached or ""


def standing_of(profile: Profile, now: float) -> Standing:
    """Where a principal stands at `now`, in seconds since 1970."""
    levels = {name: evidence.level for name, evidence in profile.evidence.items()}
    return Standing(profile.risk_at(now), levels, profile.pinned is not None)


def _updated(name: str, detector: Detector, profile: Profile, batch: Sequence[Observation]) -> Evidence | None:
    """What one detector says. One that fails, or says no number, is reported, and begins anew: the others go on."""
    state = profile.states.get(name)
    if state is None:
        state = profile.states[name] = detector.fresh()
    try:
        evidence = detector.update(state, batch)
        if evidence is not None and not math.isfinite(evidence.level):
            raise ValueError(f"its level is {evidence.level}")
        return evidence
    except Exception:  # noqa: BLE001 - a bug in one must not blind the others
        profile.states[name] = detector.fresh()
        _log.exception("detector failed", detector=name)
        return None


class Analyst:
    """Takes batches of observations, and publishes verdicts."""

    def __init__(
        self,
        store: Store,
        verdicts: Verdicts,
        rule: Callable[[str], DetectionRule | None],
        tell: Tell,
        detectors: Mapping[str, Detector] | None = None,
        together: Together | None = None,
        pace: Pace | None = None,
        usual: Usual | None = None,
    ) -> None:
        """`rule` says what the policy in force has for a collection, None where it does not cover it any more;
        `together` looks at all callers of a collection, after each alone; `pace` gives the event loop back; `usual`
        keeps what is usual on each collection, in the same store."""
        self._store, self._verdicts = store, verdicts
        self._rule, self._tell = rule, tell
        self._detectors = registered() if detectors is None else detectors
        self._together, self._pace = together, pace or Pace()
        self._usual = Usual(store) if usual is None else usual
        self._cost_s = SLICE_S / 8  # of one observation, as measured lately

    async def take(self, observations: Sequence[Observation]) -> None:
        """Analyse observations, oldest first; the event loop is given back after every slice.

        Raises:
            Unavailable: the store cannot be reached.
        """
        self._pace.begin()
        by_key: dict[Key, list[Observation]] = {}
        for one in observations:
            by_key.setdefault((one.principal, one.collection), []).append(one)
        for key, mine in by_key.items():
            start = 0
            while start < len(mine):
                count = self._at_once(len(mine) - start)
                await self._analyse(key, mine[start : start + count])
                start += count
                await self._pace.step()
        if self._together is not None:
            await self._together.settle(self._rule)

    def _at_once(self, waiting: int) -> int:
        """How many of a principal's calls are analysed now: what a slice takes, in parts that are alike, since a small
        one would cost as much."""
        most = min(max(int(SLICE_S / self._cost_s), _LEAST_AT_ONCE), _MOST_AT_ONCE)
        parts = max(round(waiting / most), math.ceil(waiting / _MOST_AT_ONCE))
        return math.ceil(waiting / max(parts, 1))

    async def _analyse(self, key: Key, batch: Sequence[Observation]) -> None:
        rule = self._rule(key[1])
        if rule is None or not rule.watches:
            return
        before, standing = ("", 0.0), Standing(0.0, {})
        if rule.adapt:
            await self._usual.settle(key[1], batch[-1].time)
        detectors = self._usual.fitted(key[1], self._detectors, rule)

        def change(profile: Profile) -> None:
            nonlocal before, standing
            before, standing = (profile.rung, profile.blocked_until), standing_of(profile, batch[0].time)
            began = time.thread_time()
            weigh(profile, batch, detectors, rule)
            spent = (time.thread_time() - began) / len(batch)
            self._cost_s += (spent - self._cost_s) / 4

        profile = await self._store.change(key, change)
        self._verdicts.publish(key, profile)
        self._usual.note(key, profile, rule)
        if self._together is not None:
            self._together.add(batch, standing)
        if before != (profile.rung, profile.blocked_until):
            self._tell("detection", **event_of(key, profile, rule, batch[-1].request_id))

    async def refresh(self, keys: Sequence[Key]) -> None:
        """Publish what the store remembers of these principals now, as after an operator's act.

        Raises:
            Unavailable: the store cannot be reached.
        """
        for key, profile in zip(keys, await self._store.look(keys), strict=True):
            self._verdicts.publish(key, profile or Profile())

    async def take_or_report(self, observations: Sequence[Observation]) -> None:
        """`take`; where the store is away, the trail tells how many observations were not analysed."""
        try:
            await self.take(observations)
        except Unavailable as failure:
            self._tell("detection_failed", observations=len(observations), why=str(failure))


def event_of(key: Key, profile: Profile, rule: DetectionRule, request_id: str) -> dict[str, Any]:
    """The trail's event of a principal that came to another rung, or was blocked anew."""
    reasons = sorted(profile.evidence.values(), key=lambda found: -found.level)
    told = {
        "principal": key[0],
        "collection": key[1],
        "rung": profile.rung,
        "risk": round(profile.risk_at(profile.at), 3),
        "reasons": [found.reason for found in reasons if found.level > 0 and found.reason][:_MOST_REASONS],
        "detectors": {found.detector: round(found.level, 3) for found in reasons[:_MOST_REASONS] if found.level > 0},
        "enforced": rule.enforces,
        "acknowledged": profile.acknowledged > profile.at,
        "request_id": request_id,
    }
    verdict = Verdict(profile.risk, profile.at, profile.blocked_until, pinned=profile.pinned is not None)
    if verdict.blocked_until > profile.at:
        told["blocked_s"] = verdict.seconds_left(rule, profile.at)
    return told
