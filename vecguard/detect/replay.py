"""What a policy would have done to recorded traffic: the same analysis, ladder and budgets, by the observations' time.

Callers are looked at together, too: a crowd that would have come to a rung is told of like a principal, with the calls
of all callers of its collection.

Calls that the policy would have refused are not analysed, as they would not have been served. What the clients would
have done then is not known: they go on here as they did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vecguard.detect.analyst import Analyst
from vecguard.detect.budgets import drawn
from vecguard.detect.detector import Detector
from vecguard.detect.largest import observed_too_large
from vecguard.detect.linking import CROWDS, Linking
from vecguard.detect.memory import MemoryStore
from vecguard.detect.observation import Observation
from vecguard.detect.store import Key
from vecguard.detect.usual import Usual
from vecguard.detect.verdicts import Verdicts
from vecguard.policy.detection import RUNGS, DetectionRule, Rung
from vecguard.policy.model import Policy


@dataclass(slots=True)
class Reached:
    """When a principal first came to a rung, and what had left by then. `after_s` since its first call."""

    rung: Rung
    after_s: float
    calls: int
    records: int
    vectors: int
    reasons: list[str]


@dataclass(slots=True)
class Outcome:
    """What would have become of one principal's calls on one collection; or of a crowd's, which holds all of them.

    `records` and `vectors` are those that answers would have held, the first with repeats. `degraded` calls would have
    been answered in the form that the rung says, `slowed` ones late, `refused` ones not at all, `too_large` ones (by
    `largest_answer`) and those `over_budget` likewise.
    """

    principal: str
    collection: str
    mode: str
    calls: int = 0
    records: int = 0
    vectors: int = 0
    slowed: int = 0
    degraded: int = 0
    refused: int = 0
    too_large: int = 0
    over_budget: dict[str, int] = field(default_factory=dict)
    risk: float = 0.0
    """The highest."""
    began: float = 0.0
    reached: list[Reached] = field(default_factory=list)

    @property
    def rung(self) -> str:
        """The highest rung that was reached; empty for none."""
        return max((one.rung for one in self.reached), key=RUNGS.index, default="")


class Replay:
    """One run of one policy over observations, oldest first."""

    def __init__(self, policy: Policy, detectors: Mapping[str, Detector] | None = None) -> None:
        """`detectors`: all that are registered where left out."""
        self._policy, self._now = policy, 0.0
        self._store, self._verdicts = MemoryStore(clock=lambda: self._now), Verdicts()
        usual = Usual(self._store)
        linking = Linking(self._store, self._verdicts.publish, self._told, usual=usual)
        self._analyst = Analyst(
            self._store, self._verdicts, self._rule, self._told, detectors, together=linking, usual=usual
        )
        self._outcomes: dict[Key, Outcome] = {}
        self._of_all: dict[str, Outcome] = {}

    def _rule(self, collection: str) -> DetectionRule | None:
        entry = self._policy.collection(collection)
        return None if entry is None else entry.detection

    async def run(self, observations: Iterable[Observation]) -> list[Outcome]:
        """Outcomes, the highest risk first; of collections that the policy covers and watches."""
        for one in observations:
            await self.take(one)
        for name, collection in [key for key in self._outcomes if key[0] in CROWDS]:
            self._crowd(name, collection)
        return sorted(self._outcomes.values(), key=lambda found: (-found.risk, found.principal, found.collection))

    async def take(self, one: Observation) -> None:
        """Take the next observation."""
        rule = self._rule(one.collection)
        if rule is None or not rule.watches:
            return
        self._now = max(self._now, one.time)
        key = (one.principal, one.collection)
        outcome = self._outcomes.get(key)
        if outcome is None:
            outcome = self._outcomes[key] = Outcome(*key, mode=rule.mode, began=one.time)
        outcome.calls += 1
        if not self._admitted(key, outcome, rule):
            return
        if observed_too_large(rule, one):
            outcome.too_large += 1
            if rule.enforces:
                return
        wait, budget = await drawn(self._store, one, rule, self._now) if rule.budgets else (0.0, "")
        if wait:
            outcome.over_budget[budget] = outcome.over_budget.get(budget, 0) + 1
            if rule.enforces:
                return
        together = self._of_all.setdefault(one.collection, Outcome("", one.collection, rule.mode, began=one.time))
        together.calls += 1
        for each in (outcome, together):
            each.records += len(one.ids)
            each.vectors += len(one.vector_ids)
        await self._analyst.take([one])

    def _admitted(self, key: Key, outcome: Outcome, rule: DetectionRule) -> bool:
        """Count how a call is answered that meets the verdict of now; whether it is served."""
        verdict = self._verdicts.of(key)
        rung = None if verdict is None else verdict.rung(rule, self._now)
        outcome.refused += rung == "block"
        outcome.degraded += rung == "degrade"
        outcome.slowed += rung in ("slow", "degrade")
        return rung != "block" or not rule.enforces

    def _told(self, event: str, **fields: object) -> None:
        """Take an event of the analyst: a principal came to another rung."""
        if event != "detection":
            return
        principal, collection = str(fields["principal"]), str(fields["collection"])
        outcome = (
            self._outcomes[principal, collection] if principal not in CROWDS else self._crowd(principal, collection)
        )
        outcome.risk = max(outcome.risk, float(str(fields["risk"])))
        known = {one.rung for one in outcome.reached}
        highest, reasons = str(fields["rung"]), fields["reasons"]
        assert isinstance(reasons, list)  # noqa: S101 - of texts, as the analyst tells it
        climbed = RUNGS[: RUNGS.index(highest) + 1] if highest in RUNGS else ()
        for rung in climbed:
            if rung not in known and self._has(outcome.collection, rung):
                since = self._now - outcome.began
                reached = Reached(rung, since, outcome.calls, outcome.records, outcome.vectors, reasons)
                outcome.reached.append(reached)

    def _crowd(self, name: str, collection: str) -> Outcome:
        """The outcome of a crowd as of now."""
        so_far = self._of_all[collection]
        outcome = self._outcomes.setdefault((name, collection), Outcome(name, collection, so_far.mode))
        outcome.calls, outcome.records, outcome.vectors = so_far.calls, so_far.records, so_far.vectors
        outcome.began = so_far.began
        return outcome

    def _has(self, collection: str, rung: Rung) -> bool:
        """Whether the ladder of a collection has a rung."""
        rule = self._rule(collection)
        return rule is not None and rung in {name for name, _ in rule.ladder.rungs}
