"""Detection as one front's calls meet it: before a call the latest verdict, after it a reference on a queue.

Where the collection's policy enforces, the answer is read before it leaves, and refused where it is too much of the
collection; where it has budgets, the answer is drawn on them.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol

from google.protobuf.message import Message

from vecguard.catalog import Entry
from vecguard.detect.budgets import drawn
from vecguard.detect.intake import Intake
from vecguard.detect.largest import require_small, sure_of
from vecguard.detect.observation import NAMED, Observation
from vecguard.detect.reading import Reading
from vecguard.detect.sizes import Sizes
from vecguard.detect.sketch import Sketcher
from vecguard.detect.store import Store
from vecguard.detect.verdicts import Verdicts
from vecguard.errors import RateExceeded, Suspended, Unavailable
from vecguard.keys.key import Key
from vecguard.model import UNRESTRAINED, Principal, Restraint, Shape
from vecguard.policy.detection import LEAST_ANSWER, DetectionRule, Rung
from vecguard.stages import stage

_MOST_SKETCHERS: Final = 64
# Draws on budgets that only observe, which wait for a shared store; beyond these they are left out.
_MOST_DRAWING: Final = 1_000
_SLOWED: Final = ("slow", "degrade")

EVERYTHING: Final = 1 << 62
Shown = Callable[[Message], int]
"""How many records a front's answer shows anything of, at most: what can be said without reading it. `EVERYTHING`
where nothing can."""
Observe = Callable[[Message, Message, Mapping[str, Entry], Shape], list[Reading]]
"""A front's reading of one served call: request and answer as the client knows them, the collections that were opened
by the names that the call gives them, and the form of the answer."""


class Call(Protocol):
    """A session, as far as it is looked at here."""

    principal: Principal
    entries: dict[str, Entry]
    shape: Shape
    canaries: dict[str, dict[int, bool]]


class _Place(NamedTuple):
    """When a call was served, to whom, and its id."""

    time: float
    principal: str
    request_id: str


class Watch:
    """What the pipeline of one front asks and tells."""

    def __init__(
        self,
        observe: Observe,
        intake: Intake,
        verdicts: Verdicts,
        store: Store,
        sizes: Sizes,
        tell: Callable[..., None],
        clear_key: Callable[[], Key],
        require_current: Callable[[], None] = lambda: None,
        shown: Shown = lambda answer: EVERYTHING,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clear_key` gives the key of sketches and hashes of collections that are not protected and have none;
        `require_current` raises Unavailable where verdicts are too old to be gone by."""
        self._observe, self._intake = observe, intake
        self._verdicts, self._store, self._sizes = verdicts, store, sizes
        self._tell, self._clear_key, self._clock = tell, clear_key, clock
        self._require_current, self._shown = require_current, shown
        self._sketchers: OrderedDict[bytes | str, Sketcher] = OrderedDict()
        self._cleared: Key | None = None
        self._drawing: set[asyncio.Task[None]] = set()

    async def admit(self, principal: Principal, entry: Entry) -> Restraint:
        """Look up how a principal's calls on a collection are answered now, and wait where they are slowed.

        Raises:
            Suspended: they are refused.
            Unavailable: the policy enforces, and what is known of the principal may be out of date.
        """
        rule = entry.policy.detection
        if not rule.watches:
            return UNRESTRAINED
        if rule.enforces:
            self._require_current()
        if self._intake.full:
            with stage("detect"):
                await self._intake.room()
        verdict = self._verdicts.of((principal.name, entry.name))  # what was found while it waited, too
        if verdict is None:
            return UNRESTRAINED
        now = self._clock()
        rung = verdict.rung(rule, now)
        if rung is None:
            return UNRESTRAINED
        if not rule.enforces:
            return Restraint(rung)
        if rung == "block":
            raise Suspended(verdict.seconds_left(rule, now), denied=rule.block_with == "denied")
        return await _held_back(rule, rung)

    async def served(self, call: Call, ask: Callable[[], Message], answer: Message, size: int, request_id: str) -> None:
        """Take a served call; `ask` parses its request, `size` is that of request and answer in bytes.

        Raises:
            LimitExceeded: the answer is too much of its collection, so it must not leave.
            RateExceeded: a budget is used up, so it must not either.
        """
        watched = [entry for entry in call.entries.values() if entry.policy.detection.watches]
        if not watched:
            return
        with stage("detect"):
            entries, shape, principal = call.entries, call.shape, call.principal.name
            place = _Place(self._clock(), principal, request_id)
            find = partial(self._found, ask, answer, entries, shape)
            if not self._surely_small(answer, watched):
                found = find()
                await self._require_small(found, entries, principal)
                find = partial(list, found)
            read = partial(self._read, find, entries, place, call.canaries)
            if any(entry.policy.detection.budgets for entry in watched):
                observations = read()
                await self._draw_all(observations, {entry.name: entry.policy.detection for entry in watched})
                read = partial(list, observations)
            self._intake.put(read, size)

    def _surely_small(self, answer: Message, watched: Sequence[Entry]) -> bool:
        """Whether an answer need not be read to know that it is not too much of a collection."""
        bounded = [entry for entry in watched if entry.policy.detection.bounds_answers]
        if not bounded:
            return True
        shown = self._shown(answer)
        return all(shown <= sure_of(entry.policy.detection, self._sizes.known(entry.name)) for entry in bounded)

    def _found(
        self, ask: Callable[[], Message], answer: Message, entries: Mapping[str, Entry], shape: Shape
    ) -> list[Reading]:
        return self._observe(ask(), answer, entries, shape)

    async def _require_small(self, found: Sequence[Reading], entries: Mapping[str, Entry], principal: str) -> None:
        """Raises LimitExceeded where an answer is too much of its collection, but for whom an operator pinned."""
        for reading in found:
            if len(reading.ids) + len(reading.vector_ids) <= LEAST_ANSWER:
                continue
            name, rule = reading.collection, entries[reading.collection].policy.detection
            verdict = self._verdicts.of((principal, name))
            if verdict is not None and verdict.pinned:
                continue
            if not self._sizes.of(name):
                await self._sizes.settled({name})
            count = len({*reading.ids, *reading.vector_ids})
            require_small(name, rule, reading.left, count, self._sizes.of(name))

    def _read(
        self,
        find: Callable[[], Sequence[Reading]],
        entries: Mapping[str, Entry],
        place: _Place,
        canaries: Mapping[str, Mapping[int, bool]],
    ) -> list[Observation]:
        """The observations of one call, one for each collection in it that is watched."""
        found = []
        for reading in find():
            entry = entries[reading.collection]  # what was read and never opened is a bug: with budgets, nothing leaves
            if entry.policy.detection.watches:
                met = canaries.get(reading.collection, {})
                reading.canaries = [number + NAMED * by_name for number, by_name in met.items()]
                planted = entry.policy.detection.canaries
                records, sketcher = self._sizes.of(entry.name), self._sketcher(entry)
                found.append(
                    sketcher.observation(
                        reading, collection=entry.name, records=records, planted=planted, **place._asdict()
                    )
                )
        return found

    def _sketcher(self, entry: Entry) -> Sketcher:
        shield = entry.shield
        clear = self._clear()
        place = entry.name if shield is None else shield.manifest.uuid.bytes
        known = self._sketchers.pop(place, None)
        if known is None:
            known = Sketcher(clear.derive(entry.name) if shield is None else shield.detection_key)
        self._sketchers[place] = known
        while len(self._sketchers) > _MOST_SKETCHERS:
            self._sketchers.popitem(last=False)
        return known

    def _clear(self) -> Key:
        """The key of collections in clear; what was made with another is forgotten."""
        key = self._clear_key()
        if key is not self._cleared:
            self._cleared = key
            for place in [place for place in self._sketchers if isinstance(place, str)]:
                del self._sketchers[place]
        return key

    async def _draw_all(self, observations: Sequence[Observation], rules: Mapping[str, DetectionRule]) -> None:
        """Draw what an answer holds on its collections' budgets; where these only observe, beside the call.

        Raises:
            RateExceeded: one of them does not have that much, and the policy enforces it.
            Unavailable: the policy enforces them, and the store cannot be reached.
        """
        for one in observations:
            rule = rules[one.collection]
            if rule.enforces:
                await self._draw(one, rule)
            elif rule.budgets and len(self._drawing) < _MOST_DRAWING:
                beside = asyncio.get_running_loop().create_task(self._drawn_beside(one, rule))
                self._drawing.add(beside)
                beside.add_done_callback(self._drawing.discard)

    async def _drawn_beside(self, one: Observation, rule: DetectionRule) -> None:
        with contextlib.suppress(Unavailable):
            await self._draw(one, rule)

    async def _draw(self, one: Observation, rule: DetectionRule) -> None:
        wait, budget = await drawn(self._store, one, rule, self._clock())
        if not wait:
            return
        told = {"principal": one.principal, "collection": one.collection, "request_id": one.request_id}
        seconds = max(math.ceil(wait), 1)
        self._tell("budget", **told, budget=budget, enforced=rule.enforces, wait_s=seconds)
        if rule.enforces:
            text = f"the budget {budget} of `{one.principal}` on `{one.collection}` is used up"
            raise RateExceeded(f"{text}: try again in {seconds} s", seconds)


async def _held_back(rule: DetectionRule, rung: Rung) -> Restraint:
    if rung in _SLOWED:
        await asyncio.sleep(rule.slow_ms / 1e3)
    if rung != "degrade":
        return Restraint(rung, enforced=True)
    return Restraint(rung, enforced=True, shape=rule.degraded.shape, max_limit=rule.degraded.max_limit)
