"""Callers looked at together: an extraction that is dealt to many accounts is still one extraction.

Each of 64 accounts that share a crawl asks less than a person does. What they ask together is what one crawler asks, so
the calls of all callers of a collection are also looked at as if they came from one. That is fair to honest crowds only
for statistics that do not grow with the crowd. Page's sums do not: every honest call lowers them on average, whoever
made it, and the largest of N calls grows with log N. `LINKED` are the detectors of that kind, with `HEADROOM` for the
longer run. Counts and shares of a collection grow with the number of callers, however honest, and are left out.

There are two crowds, so that an attack does not drown among honest calls:

    EVERYBODY   all callers
    SUSPECTS    those at `SUSPECT` of a level of such a detector, by themselves, before the call

What made a caller a suspect is not counted again: only its calls from then on are. Callers that stand on the ladder are
told of by themselves, and are in no crowd; nor are those whom an operator pinned, a collection's only caller, or the
callers of a collection of fewer than `SMALL` records, where any question is far from the rest of its answer.

A crowd is remembered as if it were a principal: its risk decays, is listed, acknowledged and pardoned as theirs. It
gets no further than the rung `alert`: nobody is answered differently for what others ask.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from vecguard.detect.analyst import Standing, Tell, event_of, weigh
from vecguard.detect.answers import records
from vecguard.detect.detector import Detector
from vecguard.detect.detectors.aimless import Aimless
from vecguard.detect.detectors.anchored import Anchored
from vecguard.detect.detectors.chain import Chain
from vecguard.detect.detectors.crawl import Crawl
from vecguard.detect.detectors.near_duplicates import NearDuplicates
from vecguard.detect.detectors.walk import Walk
from vecguard.detect.observation import Observation
from vecguard.detect.pace import Pace
from vecguard.detect.small import SMALL
from vecguard.detect.store import Key, Profile, Store
from vecguard.detect.thresholds import threshold
from vecguard.detect.usual import Usual
from vecguard.policy.detection import DetectionRule

LINKED: Final = (Aimless, Anchored, Chain, Crawl, NearDuplicates, Walk)
HEADROOM: Final = 1.5
"""A crowd's level 1 over a caller's: docs/detectors.md has what honest crowds get to."""
SUSPECT: Final = 0.2
EVERYBODY: Final = "<all callers>"
SUSPECTS: Final = "<suspect callers>"
CROWDS: Final = (EVERYBODY, SUSPECTS)
_AT_ONCE: Final = 32
_MOST_CROWDS: Final = 1_000
_MOST_CALLERS: Final = 256
"""Of a crowd, that are remembered by name."""
_MOST_NAMED: Final = 8
_TOLD: Final = ("", "log", "alert")


def linked() -> dict[str, Detector]:
    """The detectors that look at crowds, by name."""
    return {one.name: one(HEADROOM * threshold(one.name)) for one in LINKED}


def crowds_of(standing: Standing, rule: DetectionRule) -> tuple[str, ...]:
    """The crowds that a call belongs to, by where its caller stood before it."""
    ladder = rule.ladder.rungs
    if standing.pinned or (ladder and standing.risk >= ladder[0][1]):
        return ()
    suspicion = max((standing.levels.get(one.name, 0.0) for one in LINKED), default=0.0)
    return CROWDS if suspicion >= SUSPECT else (EVERYBODY,)


def look(crowd: Profile, batch: Sequence[Observation], detectors: Mapping[str, Detector], rule: DetectionRule) -> None:
    """Take calls of several callers, oldest first, into a crowd's profile. Pure but for `crowd`, which it changes."""
    weigh(crowd, batch, detectors, rule)
    crowd.blocked_until = 0.0
    if crowd.rung not in _TOLD:
        crowd.rung = _TOLD[-1]


class _Calls(NamedTuple):
    """Of one caller, oldest first, and where it stood before them."""

    seen: Sequence[Observation]
    standing: Standing


class Linking:
    """Looks at the calls of each collection together, after each caller was looked at alone."""

    def __init__(
        self,
        store: Store,
        publish: Callable[[Key, Profile], None],
        tell: Tell,
        pace: Pace | None = None,
        usual: Usual | None = None,
    ) -> None:
        """`pace` gives the event loop back; `usual` is the analyst's, nothing where left out."""
        self._store, self._publish, self._tell = store, publish, tell
        self._pace, self._usual = pace or Pace(), Usual(store) if usual is None else usual
        self._detectors = linked()
        self._waiting: defaultdict[str, list[_Calls]] = defaultdict(list)
        self._callers: OrderedDict[Key, OrderedDict[str, float]] = OrderedDict()

    def add(self, batch: Sequence[Observation], standing: Standing) -> None:
        """Take calls of one caller on one collection, who stood so before them."""
        if batch[0].principal not in CROWDS and records(batch) >= SMALL:
            self._waiting[batch[0].collection].append(_Calls(batch, standing))

    async def settle(self, rule: Callable[[str], DetectionRule | None]) -> None:
        """Look at what was taken; the event loop is given back after every part.

        Raises:
            Unavailable: the store cannot be reached.
        """
        waiting, self._waiting = self._waiting, defaultdict(list)
        for collection, taken in waiting.items():
            held = rule(collection)
            if held is None or not held.watches or held.linking == "off":
                continue
            crowds = [crowds_of(calls.standing, held) for calls in taken]
            for name in CROWDS:
                mine = [calls for calls, belongs in zip(taken, crowds, strict=True) if name in belongs]
                if mine:
                    await self._take((name, collection), mine, held)

    async def _take(self, key: Key, taken: Sequence[_Calls], rule: DetectionRule) -> None:
        calls = sorted([(one, calls.standing) for calls in taken for one in calls.seen], key=lambda call: call[0].time)
        callers = self._remember(key, calls)
        if len(callers) < 2:
            return
        detectors = self._usual.fitted(key[1], self._detectors, rule)
        for start in range(0, len(calls), _AT_ONCE):
            batch = [one for one, _ in calls[start : start + _AT_ONCE]]
            before = ""

            def change(profile: Profile, batch: Sequence[Observation] = batch) -> None:
                nonlocal before
                before = profile.rung
                look(profile, batch, detectors, rule)

            profile = await self._store.change(key, change)
            self._publish(key, profile)
            if before != profile.rung:
                self._say(key, profile, rule, batch[-1].request_id)
            await self._pace.step()

    def _remember(self, key: Key, calls: Sequence[tuple[Observation, Standing]]) -> Mapping[str, float]:
        """The latest callers of a crowd, and how far each is by itself."""
        callers = self._callers.pop(key, OrderedDict())
        self._callers[key] = callers
        latest = dict[str, Standing]()  # by their last calls
        for one, standing in calls:
            latest.pop(one.principal, None)
            latest[one.principal] = standing
        for name, standing in latest.items():
            callers.pop(name, None)
            callers[name] = max(standing.levels.values(), default=0.0)
        while len(callers) > _MOST_CALLERS:
            callers.popitem(last=False)
        while len(self._callers) > _MOST_CROWDS:
            self._callers.popitem(last=False)
        return callers

    def _say(self, key: Key, profile: Profile, rule: DetectionRule, request_id: str) -> None:
        callers = self._callers[key]
        first = sorted(callers, key=lambda name: -callers[name])[:_MOST_NAMED]
        who = f"{len(callers)} callers together; by themselves the most suspect are {', '.join(first)}"
        told = event_of(key, profile, rule, request_id)
        self._tell("detection", **{**told, "reasons": [who, *told["reasons"]], "enforced": False})
